from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from mmpipe.commands.backfill import Which, plan_backfill, run_here
from mmpipe.commands.crawl_removal import SEQUENCES, plan_removal, print_removed, refuse_at_work, remove_dump
from mmpipe.errors import ConfigurationError, DatasetNotReady
from mmpipe.lanes.instruction_reviews import VERDICTS, write_review_file
from mmpipe.storage.dump_removal import find_made_from
from mmpipe.storage.dumps import list_dumps
from mmpipe.storage.lake import Lake
from mmpipe.storage.places import Place
from mmpipe.storage.sequence import hold_sequence
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import PRETRAINING_DATASET
from mmpipe.tables.published import PUBLISHED_TABLES
from mmpipe.tables.text import DEDUPED_CORPUS, FILTERED_TEXT, TEXT_DUPLICATES
from mmpipe_tests.commands.conftest import TinyProject
from mmpipe_tests.commands.tiny_definitions import defs
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.release_lake import make_release_lake
from mmpipe_tests.lanes.running import run_stages


def fill(lake: Lake) -> None:
    """Publish two dumps: of b, one document repeats one of a; each has a part in the orders of dumps."""
    for dump in ("a", "b"):
        rows = [{"doc_id": f"{dump}{place}", "dump": dump, "text": "words"} for place in range(3)]
        publish(lake, FILTERED_TEXT, dump, fill_rows(FILTERED_TEXT, rows))
        publish(lake, DEDUPED_CORPUS, dump, fill_rows(DEDUPED_CORPUS, rows))
        write_review_file(lake, dump, VERDICTS, INSTRUCTION_REVIEWS.make_empty())
        for name in SEQUENCES:
            with hold_sequence(lake, name) as sequence:
                sequence.append(dump)
    found = [{"doc_id": "b1", "dump": "b", "kept_doc_id": "a1", "kept_dump": "a"}]
    publish(lake, TEXT_DUPLICATES, "b", fill_rows(TEXT_DUPLICATES, found))
    manifest = Place(lake.root).join(TEXT_DUPLICATES.name, "dump=b", "manifest.json")
    told = json.loads(manifest.read_text()) | {"inputs": {"text_signatures[a]": "1", "text_signatures[b]": "2"}}
    manifest.write_text(json.dumps(told))


def test_a_dump_goes_whole_and_nothing_else_does(tiny: TinyProject, instance: dg.DagsterInstance) -> None:
    fill(tiny.lake)
    tiny.add(instance, "a", "b")
    outside = tiny.folder / "a.warc.gz"
    outside.write_bytes(b"of the user")
    others = {path: path.read_bytes() for path in sorted(tiny.folder.rglob("dump=b/**/*")) if path.is_file()}

    unasked = tiny.run("crawl", "remove", "a")
    assert (unasked.returncode, "Say --yes" in unasked.stderr) == (1, True)
    assert list_dumps(tiny.lake) == ["a", "b"]
    ran = tiny.run("crawl", "remove", "a", "--yes")

    assert ran.returncode == 0, ran.stderr
    assert f"Its crawl files stay: {tiny.folder}" in ran.stdout
    assert "text_duplicates 1" in ran.stdout
    assert "mmpipe backfill text_duplicates+ --partitions b" in ran.stdout
    assert instance.get_dynamic_partitions("dump") == ["b"]
    assert list_dumps(tiny.lake) == ["b"]
    for name in SEQUENCES:
        with hold_sequence(tiny.lake, name) as sequence:
            assert sequence.dumps == ["b"]
    left = {path.relative_to(tiny.lake.root).as_posix() for path in Path(tiny.lake.root).rglob("dump=a/**/*")}
    assert left == {f"reviews/dump=a/{VERDICTS}"}  # what people said is not made again
    assert {path: path.read_bytes() for path in sorted(tiny.folder.rglob("dump=b/**/*")) if path.is_file()} == others
    assert outside.read_bytes() == b"of the user"
    gone = tiny.run("crawl", "remove", "a", "--yes")
    assert (gone.returncode, "The dump 'a' was removed on " in gone.stderr) == (1, True)
    assert f"Add it again: mmpipe crawl add a {tiny.folder}/a.warc.gz; then mmpipe backfill" in gone.stderr
    for command in (["report", "a", "--lane", "images"], ["judge", "--dump", "a"], ["estimate", "a"]):
        asked = tiny.run(*command)
        assert (asked.returncode, "The dump 'a' was removed on " in asked.stderr) == (1, True), asked.stderr
    assert "No dump 'c' was added." in tiny.run("report", "c").stderr
    assert "\na was removed on " in f"\n{tiny.run('crawl', 'list').stdout}"
    tiny.add(instance, "a")
    assert "was removed" not in tiny.run("crawl", "list").stdout


@pytest.mark.parametrize("name", ["..", "../lake", "", "a/../b"])
def test_a_name_that_leads_elsewhere_is_no_dump(tiny: TinyProject, instance: dg.DagsterInstance, name: str) -> None:
    fill(tiny.lake)
    with pytest.raises(ConfigurationError, match="was added"):
        plan_removal(tiny.lake, instance, [name], "")


@pytest.mark.parametrize("partition", ["a", "b", None])
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_while_a_run_may_read_it_a_dump_stays(
    tiny: TinyProject, instance: dg.DagsterInstance, partition: str | None, status: dg.DagsterRunStatus
) -> None:
    tiny.add(instance, "a", "b")
    tags = {"dagster/partition": partition} if partition else {}
    run = instance.create_run_for_job(defs.resolve_implicit_global_asset_job_def(), status=status, tags=tags)
    with pytest.raises(ConfigurationError, match=f"{run.run_id[:8]} of {partition or 'all dumps'}"):
        refuse_at_work(instance)
    instance.report_run_canceled(run)
    refuse_at_work(instance)


def test_a_dump_of_one_file_is_said_to_have_one(tiny: TinyProject) -> None:
    (tiny.folder / "a.warc.gz").write_bytes(b"")
    added = tiny.run("crawl", "add", "a", "a.warc.gz")
    assert added.stdout == f"a: 1 file below {tiny.folder}. Run it: mmpipe backfill all --partitions a\n", added.stderr


def test_a_dump_that_is_written_just_now_stays(tiny: TinyProject, instance: dg.DagsterInstance) -> None:
    fill(tiny.lake)
    tiny.add(instance, "a")
    before = sorted(Path(tiny.lake.root).rglob("*.parquet"))
    with tiny.lake.dataset(DEDUPED_CORPUS, "a").lock(), pytest.raises(DatasetNotReady):
        remove_dump(tiny.lake, instance, "a")
    assert sorted(Path(tiny.lake.root).rglob("*.parquet")) == before
    assert instance.get_dynamic_partitions("dump") == ["a"]


def test_a_dump_that_comes_again_lacks_everything(tiny: TinyProject, instance: dg.DagsterInstance) -> None:
    tiny.add(instance, "a")
    plan = plan_backfill(defs, instance, tiny.lake, ["*"], which=Which.ALL)
    assert [outcome.status for outcome in run_here(defs, instance, plan)] == ["success", "success"]
    assert plan_backfill(defs, instance, tiny.lake, ["*"], which=Which.MISSING).is_empty
    remove_dump(tiny.lake, instance, "a")
    tiny.add(instance, "a")
    assert plan_backfill(defs, instance, tiny.lake, ["*"], which=Which.MISSING).dumps == ("a",)


def test_one_that_lies_where_dumps_are_looked_for_is_told(
    tiny: TinyProject, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.add(instance, "a", "b")
    (tiny.folder / "var" / "crawl" / "a").mkdir(parents=True)
    planned = plan_removal(tiny.lake, instance, ["a", "b"], str(tiny.folder / "var" / "crawl"))
    print_removed(Console(width=300), planned)
    told = capsys.readouterr().out
    assert "The folder a still lies where" in told
    assert "The folder b" not in told


def test_a_release_made_again_is_without_the_rows(
    tmp_path: Path, tiny: TinyProject, instance: dg.DagsterInstance
) -> None:
    from mmpipe.lanes.release import RELEASE_LANE
    from mmpipe.lanes.stage import Knobs
    from mmpipe.tables.rephrased import REPHRASED_DOCUMENTS

    lake = make_release_lake(tmp_path / "r")
    publish(lake, DEDUPED_CORPUS, "b", fill_rows(DEDUPED_CORPUS, [{"doc_id": "x", "dump": "b", "text": "other words"}]))
    for dump in ("a", "b"):
        publish(lake, REPHRASED_DOCUMENTS, dump, REPHRASED_DOCUMENTS.make_empty())
    knobs = Knobs(cache_folder=str(tmp_path / "r" / "cache"))
    dataset = lake.dataset(PRETRAINING_DATASET)

    def read_documents() -> set[str]:
        run_stages(lake, None, RELEASE_LANE, knobs=knobs)
        return set(dataset.scan().collect().get_column("doc_ids").explode())

    both = read_documents()
    assert [found.table.name for found in find_made_from(lake, "a", PUBLISHED_TABLES) if found.dump is None] == [
        "sft_dataset", "preference_dataset", "pretraining_dataset"
    ]  # fmt: skip
    remove_dump(lake, instance, "a")
    assert read_documents() == {"x"} < both
    assert "Dump: `a`" not in dataset.folder.join("README.md").read_text()
    remove_dump(lake, instance, "b")
    assert read_documents() == set()
