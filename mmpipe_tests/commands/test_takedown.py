from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest

from mmpipe.commands.doctor import find_open_takedowns
from mmpipe.commands.explain import explain
from mmpipe.commands.lookup import RowNotFound
from mmpipe.commands.takedown import read_entries
from mmpipe.errors import ConfigurationError, MmpipeError
from mmpipe.lanes.takedown import plan_takedown, take_down
from mmpipe.storage.takedowns import list_open, list_records
from mmpipe.tables.instructions import PRETRAINING_DATASET
from mmpipe.tables.text import EXTRACTED_TEXT
from mmpipe_tests.commands.conftest import TinyProject
from mmpipe_tests.commands.tiny_definitions import defs
from mmpipe_tests.lanes.takedown_lake import Made, make_lake, read_content


@pytest.fixture
def made(tiny: TinyProject) -> Made:
    """Return the project's lake with random rows."""
    return make_lake(Path(tiny.lake.root), 5)


def test_a_page_goes_and_everybody_can_be_told(tiny: TinyProject, instance: dg.DagsterInstance, made: Made) -> None:
    page = made.rows[("deduped_corpus", "d1", "00000-0000")][0]
    before = read_content(made.lake)

    dry = tiny.run("takedown", "--url", page["url"], "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert "extracted_text" in dry.stdout
    assert page["doc_id"] in dry.stdout
    assert "Nothing was changed." in dry.stdout
    unasked = tiny.run("takedown", "--url", page["url"])
    assert (unasked.returncode, "Say --yes" in unasked.stderr) == (1, True)
    assert read_content(made.lake) == before

    ran = tiny.run("takedown", "--url", page["url"], "--reason", "letter of 2026-11-20", "--yes")

    assert ran.returncode == 0, ran.stderr
    assert "made anew by: mmpipe backfill all --partitions d1" in ran.stdout
    (record,) = list_records(made.lake)
    assert record.report_place.url in ran.stdout
    told = record.report_place.read_text()
    assert "It holds:" in told
    assert page["url"] in told
    (fate,) = explain(made.lake, page["doc_id"])
    assert fate.verdict.endswith(": letter of 2026-11-20")
    assert fate.verdict.startswith("taken down on 20")
    below = sorted(made.list_below({page["doc_id"]}) - {page["doc_id"]})
    for row_id in below:
        (gone,) = explain(made.lake, row_id[:20])
        assert (gone.id, gone.verdict) == (row_id, fate.verdict)
    assert plan_takedown(made.lake, read_entries(made.lake, urls=[page["url"]])).search.shards == ()


def test_while_a_run_is_at_work_nothing_is_taken_down(
    tiny: TinyProject, instance: dg.DagsterInstance, made: Made
) -> None:
    before = read_content(made.lake)
    job = defs.resolve_implicit_global_asset_job_def()
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "d1"})
    ran = tiny.run("takedown", "--domain", "a.example", "--yes")
    assert ran.returncode == 1
    assert "A run is queued or at work" in ran.stderr
    assert "then take it down" in " ".join(ran.stderr.split())
    assert read_content(made.lake) == before


def test_killed_it_is_told_by_the_doctor_and_ended_by_the_same_command(
    tiny: TinyProject, instance: dg.DagsterInstance, made: Made
) -> None:
    command = tiny.command("takedown", "--domain", "a.example", "--yes")
    process = subprocess.Popen(command, cwd=tiny.folder, env=tiny.environ, start_new_session=True)
    deadline = time.monotonic() + 90
    while not list_records(made.lake):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (open_one,) = list_open(made.lake)
    (finding,) = find_open_takedowns(made.lake.root)
    assert open_one.name in finding.message

    ended = tiny.run("takedown")

    assert ended.returncode == 0, ended.stderr
    assert f"The takedown {open_one.name} had been cut off; it is ended now." in ended.stdout
    assert list_open(made.lake) == []
    assert find_open_takedowns(made.lake.root) == []
    report = open_one.read_report()
    assert report is not None
    assert report["proof"]["holds"]
    texts = made.lake.dataset(EXTRACTED_TEXT, "d1").scan().collect()
    hosts = {row["url"].split("/")[2] for row in texts.to_dicts() if row["text"] is not None}
    assert not hosts & {"a.example", "www.a.example"}


def test_a_file_names_one_thing_per_line(tiny: TinyProject, made: Made) -> None:
    row_id = sorted(made.parents)[0]
    file = tiny.folder / "letters.txt"
    file.write_text(f"\ufeff# of November\nhttps://a.example/x\n\nb.example\n{row_id}\nhttps://a.example/x/\n")
    entries = read_entries(made.lake, file=file, reason="r")
    assert [(entry.kind, entry.value) for entry in entries] == [
        ("url", "a.example/x"),
        ("domain", "b.example"),
        ("id", row_id),
    ]
    file.write_text("a.example\nnothing\n")
    with pytest.raises(ConfigurationError, match=r"letters.txt, line 2: .*is no domain"):
        read_entries(made.lake, file=file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_entries(made.lake, file=tiny.folder / "absent.txt")


def test_what_would_take_down_too_much_or_nothing_is_refused(tiny: TinyProject, made: Made) -> None:
    with pytest.raises(ConfigurationError, match="Nothing was named"):
        read_entries(made.lake)
    with pytest.raises(ConfigurationError, match="public suffix"):
        read_entries(made.lake, domains=["co.uk"])
    with pytest.raises(MmpipeError, match="No published dataset"):
        read_entries(made.lake, ids=["0" * 32])
    with pytest.raises(ConfigurationError, match="Give all 32 digits"):
        read_entries(made.lake, ids=["000000"])
    packed = made.lake.dataset(PRETRAINING_DATASET).scan().collect().get_column("sequence_id")[0]
    with pytest.raises(ConfigurationError, match=f"mmpipe trace {packed}"):
        read_entries(made.lake, ids=[packed])


def test_a_url_that_no_dump_has_is_told_as_staying_away(tiny: TinyProject, made: Made) -> None:
    entries = read_entries(made.lake, domains=["later.example"], reason="r")
    report = take_down(made.lake, plan_takedown(made.lake, entries), str(tiny.folder / "cache"))
    assert (report["proof"]["holds"], report["next"]) == (True, "")
    (fate,) = explain(made.lake, "https://www.later.example/page")
    assert fate.verdict.endswith(": r. No dump of the lake has it")
    with pytest.raises(RowNotFound):
        explain(made.lake, "https://www.other.example/page")
