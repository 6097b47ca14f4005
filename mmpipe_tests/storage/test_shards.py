from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import DatasetNotReady, InvariantBroken, ShardError, TeacherError
from mmpipe.storage.commits import PASSED, UNKNOWN
from mmpipe.storage.lake import Dataset, Lake
from mmpipe.storage.shards import Engine, Production, ShardResult, ShardWork, produce
from mmpipe.tables.columns import Column, Table

NUMBERS = Table("numbers", "Numbers.", ("id",), (Column("id", pl.Int64, "Number."),))


def count_up(start: int, stop: int) -> ShardResult:
    return ShardResult(pl.DataFrame({"id": range(start, stop)}), stop - start)


def count_up_slowly(start: int, stop: int, started: str, seconds: float) -> ShardResult:
    (Path(started) / str(start)).touch()
    time.sleep(seconds)
    return count_up(start, stop)


def fail_at(start: int, stop: int, wrong: int) -> ShardResult:
    if start == wrong:
        raise ValueError(f"cannot count from {start}")
    return count_up(start, stop)


def lose_a_row(start: int, stop: int) -> ShardResult:
    return ShardResult(pl.DataFrame({"id": range(start, stop - 1)}), stop - start)


def plan(shards: int, *arguments: object, rows: int = 10) -> list[ShardWork]:
    return [ShardWork(f"{n:03d}", str(n), (n * rows, (n + 1) * rows, *arguments)) for n in range(shards)]


def make(dataset: Dataset, work: list[ShardWork], function: object = count_up, **changed: object) -> Production:
    given_settings = {"code_version": "1", "recipe_yaml": "name: none\n", "inputs": {}, "engine": Engine()} | changed
    return produce(dataset, work, function, **given_settings)  # type: ignore[arg-type]


def read_bytes(dataset: Dataset) -> dict[str, bytes]:
    return {place.name: place.read_bytes() for place in dataset.list_files()}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Lake(str(tmp_path / "lake")).dataset(NUMBERS, "d1")


def test_committed_shards_are_read_in_order(dataset: Dataset) -> None:
    production = make(dataset, plan(3), engine=Engine(workers=2))

    assert dataset.scan().collect()["id"].to_list() == list(range(30))
    assert (production.made_shards, production.resumed_shards) == (3, 0)
    assert (production.manifest.rows_in, production.manifest.rows_out) == (30, 30)
    assert dataset.folder.join("recipe.yaml").read_text() == "name: none\n"


def test_a_second_run_makes_nothing(dataset: Dataset) -> None:
    before = make(dataset, plan(3)).manifest

    again = make(dataset, plan(3))

    assert (again.made_shards, again.resumed_shards) == (0, 3)
    assert again.manifest.fingerprint == before.fingerprint


@given(st.permutations(range(4)), st.integers(1, 3))
@settings(max_examples=8, deadline=None)
def test_bytes_do_not_depend_on_order_or_workers(order: list[int], workers: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        one, other = (Lake(folder).dataset(NUMBERS, name) for name in ("one", "other"))
        make(one, plan(4))
        work = plan(4)
        make(other, [work[n] for n in order], engine=Engine(workers=workers))
        assert read_bytes(one) == {name: read_bytes(other)[name] for name in read_bytes(one)}


def test_a_failed_shard_does_not_stop_its_neighbours_and_nothing_is_published(dataset: Dataset) -> None:
    with pytest.raises(ShardError, match=r"1 of 3 shards failed; 2 are committed(.|\n)*cannot count from 10"):
        make(dataset, plan(3, 10), fail_at)

    assert dataset.find_manifest() is None
    mended = make(dataset, plan(3, -1), fail_at)
    assert (mended.made_shards, mended.resumed_shards) == (1, 2)


def fail_at_length(start: int, _end: int) -> ShardResult:
    raise ValueError(f"there is no {start}\n\nIn the expression:\n\tcol('id')")


def test_a_failure_is_told_by_the_first_line_of_its_message(dataset: Dataset) -> None:
    with pytest.raises(ShardError) as caught:
        make(dataset, plan(1), fail_at_length)
    assert str(caught.value).splitlines()[1:] == ["shard 000 failed: ValueError: there is no 0"]


def fail_for_a_reason(start: int, _end: int) -> ShardResult:
    if start < 20:
        raise TeacherError("http://u refuses the key.")
    raise InvariantBroken(f"{start} is not {start + 1}")


def test_shards_that_failed_alike_are_told_of_once(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ShardError) as caught:
        make(dataset, plan(9), fail_for_a_reason)
    _, *causes = str(caught.value).splitlines()
    assert causes[0] == "shards 000, 001 failed: http://u refuses the key."
    assert causes[1] == "shard 002 failed: 20 is not 21"
    assert causes[5:] == ["and 3 more; the run's log names each."]
    told = [record.getMessage().partition(": ")[2] for record in caplog.records if "failed" in record.getMessage()]
    assert told[:2] == ["shard 000 failed: http://u refuses the key.", "shard 001 failed: as shard 000"]
    # what is nobody's fault but ours comes with its place in the code
    assert "in fail_for_a_reason" in told[2]


def fail_like_all(_start: int, _end: int) -> ShardResult:
    raise TeacherError("down")


def test_of_many_shards_that_failed_alike_the_first_are_named(dataset: Dataset) -> None:
    with pytest.raises(ShardError, match=r"shards 000, 001, 002, 003, 004 and 4 more failed: down$"):
        make(dataset, plan(9), fail_like_all)


def test_a_commit_names_the_digest_of_its_file(dataset: Dataset) -> None:
    for commit in make(dataset, plan(2)).manifest.commits:
        written = dataset.folder.join(commit.file).read_bytes()
        assert (commit.file_digest, commit.bytes) == (xxhash.xxh3_128_hexdigest(written), len(written))


def test_a_failed_run_leaves_what_was_published(dataset: Dataset) -> None:
    make(dataset, plan(3))

    with pytest.raises(ShardError):
        make(dataset, plan(3, 10), fail_at, code_version="2")

    assert dataset.scan().collect().height == 30


def test_a_shard_that_loses_a_row_is_not_committed(dataset: Dataset) -> None:
    with pytest.raises(ShardError, match="10 rows in, 9 out and 0 removed do not add up"):
        make(dataset, plan(1), lose_a_row)

    assert dataset.find_commits() == {}


def test_only_what_changed_is_made_again_and_old_files_go(dataset: Dataset) -> None:
    make(dataset, plan(3))
    work = plan(3)
    work[1] = ShardWork("001", "other", (100, 110))

    again = make(dataset, work)

    assert again.made_shards == 1
    assert dataset.scan().collect()["id"].to_list() == [*range(10), *range(100, 110), *range(20, 30)]
    make(dataset, work, code_version="2")
    make(dataset, work, code_version="3")
    parts = [path for path in dataset.folder.list_files() if path.startswith("part-")]
    assert len(parts) == 6, "the current files and those of the manifest before, which may still be read"


def test_what_nobody_made_names_the_command_that_makes_it(dataset: Dataset) -> None:
    told = f"mmpipe backfill \\+{dataset.table.name}" + (f" --partitions {dataset.dump}" if dataset.dump else "") + "$"
    with pytest.raises(DatasetNotReady, match=told):
        dataset.scan()


def test_readers_refuse_what_failed_its_checks_also_later(dataset: Dataset) -> None:
    make(dataset, plan(1))
    dataset.record_verdict(["id__unique"])

    with pytest.raises(DatasetNotReady, match="id__unique"):
        dataset.scan()

    with pytest.raises(DatasetNotReady, match="id__unique"):
        Lake(dataset.folder.url.rsplit("/", 2)[0]).dataset(NUMBERS, "d1").scan()
    # made again, it is open until it is judged again: a mended contract must be able to pass it
    assert make(dataset, plan(1)).manifest.checks == UNKNOWN
    assert dataset.scan().collect().height == 10
    dataset.record_verdict([])
    assert dataset.require_manifest().checks == PASSED


def test_a_verdict_on_other_content_is_not_recorded(dataset: Dataset) -> None:
    judged = make(dataset, plan(1)).manifest.fingerprint
    make(dataset, plan(2))

    dataset.record_verdict(["id__unique"], judged)

    assert dataset.require_manifest().checks == UNKNOWN


def test_a_refused_dataset_loses_what_was_rendered_from_it(dataset: Dataset) -> None:
    make(dataset, plan(1))
    dataset.folder.join("release", "all.jsonl").write_text("{}")
    dataset.folder.join("README.md").write_text("card")

    dataset.record_verdict(["id__unique"])

    assert not [path for path in dataset.folder.list_files() if path.startswith(("release", "README"))]


def test_a_damaged_part_is_made_again(dataset: Dataset) -> None:
    make(dataset, plan(2))
    damaged = dataset.list_files()[0]
    damaged.write_bytes(damaged.read_bytes()[:100])

    assert make(dataset, plan(2)).made_shards == 1
    assert dataset.scan().collect().height == 20


def test_an_absent_dataset_says_what_to_do(dataset: Dataset) -> None:
    with pytest.raises(DatasetNotReady, match=r"numbers\[d1\] is not materialized"):
        dataset.scan()


def test_a_second_writer_waits_and_finds_the_work_done(dataset: Dataset, tmp_path: Path) -> None:
    script = (
        "from mmpipe_tests.storage.test_shards import *\n"
        f"dataset = Lake({str(tmp_path / 'lake')!r}).dataset(NUMBERS, 'd1')\n"
        f"made = make(dataset, plan(3, {str(tmp_path)!r}, 0.4), count_up_slowly)\n"
        "print(made.made_shards)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(2)
    ]

    assert sorted(writer.communicate(timeout=60)[0].strip() for writer in writers) == ["0", "3"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_is_resumed_and_ends_in_the_same_bytes(dataset: Dataset, tmp_path: Path, workers: int) -> None:
    script = (
        "from mmpipe_tests.storage.test_shards import *\n"
        f"dataset = Lake({str(tmp_path / 'lake')!r}).dataset(NUMBERS, 'd1')\n"
        f"make(dataset, plan(8, {str(tmp_path)!r}, 0.3), count_up_slowly, engine=Engine(workers={workers}))"
    )
    run = subprocess.Popen([sys.executable, "-c", script], cwd=Path.cwd(), start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "40").exists():
        assert time.monotonic() < deadline, "the run never reached its fifth shard"
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()

    committed = len(dataset.find_commits())
    assert 2 <= committed < 8
    resumed = make(dataset, plan(8, str(tmp_path), 0.0), count_up_slowly)

    assert resumed.resumed_shards == committed
    whole = Lake(str(tmp_path / "whole")).dataset(NUMBERS, "d1")
    make(whole, plan(8, str(tmp_path), 0.0), count_up_slowly)
    assert read_bytes(dataset) == read_bytes(whole)


def test_a_killed_worker_is_told_and_the_rest_stays(dataset: Dataset) -> None:
    with pytest.raises(ShardError, match="worker process was killed"):
        make(dataset, plan(4, os.getpid()), kill_worker, engine=Engine(workers=2))

    assert make(dataset, plan(4)).manifest.rows_out == 40


def kill_worker(start: int, stop: int, parent: int) -> ShardResult:
    if start == 20 and os.getpid() != parent:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return count_up(start, stop)


def test_an_object_store_holds_datasets_too(tmp_path: Path) -> None:
    dataset = Lake(f"memory://{tmp_path.name}/lake").dataset(NUMBERS, "d1")

    make(dataset, plan(2))
    assert make(dataset, plan(2)).resumed_shards == 2

    assert dataset.scan().collect()["id"].to_list() == list(range(20))
    assert Lake(f"memory://{tmp_path.name}/lake").list_dumps(NUMBERS) == ["d1"]


NAMED = Table("named", "Names.", ("id",), (Column("id", pl.Int64, "Number."), Column("name", pl.String, "Name.")))


def name_numbers(start: int, stop: int) -> ShardResult:
    frame = pl.DataFrame({"id": range(start, stop), "name": [f"n{number}" for number in range(start, stop)]})
    return ShardResult(frame, stop - start)


def test_rows_are_read_by_id_and_files_without_any_only_for_their_ids(tmp_path: Path) -> None:
    dataset = Lake(str(tmp_path / "lake")).dataset(NAMED, "d1")
    make(dataset, plan(3), name_numbers)
    # the middle file loses its names: whoever read them there would fail
    middle = dataset.list_files()[1]
    pl.DataFrame({"id": range(10, 20)}).write_parquet(str(middle.local_path))

    found = dataset.read_rows([25, 3, 99, 3], ("name",))

    assert found.rows() == [(3, "n3"), (25, "n25")]
    assert dataset.read_rows([], ("name",)).rows() == []
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        dataset.read_rows([15], ("name",))
