from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import dagster as dg

from mmpipe.assets.project import find_project
from mmpipe.commands.backfill import Which, plan_backfill, run_here
from mmpipe.commands.doctor import examine, find_clashes, find_orphans, find_run_process, find_stuck_runs
from mmpipe.commands.loading import load_definitions
from mmpipe.commands.processes import PROCESS_TAG, is_gone, name_this_process
from mmpipe_tests.commands.conftest import TinyProject


def start_hanging(tiny: TinyProject, command: list[str]) -> subprocess.Popen[bytes]:
    (tiny.folder / "var" / "lake" / "hang-d1").touch()
    process = subprocess.Popen(command, cwd=tiny.folder, env=tiny.environ, start_new_session=True)
    deadline = time.monotonic() + 90
    while not (tiny.folder / "var" / "lake" / "hanging").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return process


def test_a_killed_run_is_found_ended_and_its_slot_freed(tiny: TinyProject, instance: dg.DagsterInstance) -> None:
    tiny.add(instance, "d1")
    process = start_hanging(tiny, tiny.command("backfill", "all", "--all", "--here"))
    assert find_stuck_runs(instance) == []
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (tiny.folder / "var" / "lake" / "hang-d1").unlink()
    orphan = tiny.folder / "var" / "lake" / f".part-0.parquet.{process.pid}-0123abcd.tmp"
    orphan.write_text("half")

    wrong = {finding.check for finding in examine(find_project(), instance, tiny.environ) if finding.is_wrong}
    assert {"runs", "lake"} <= wrong
    assert instance.event_log_storage.get_concurrency_info("gpu").active_slot_count == 1

    mended = tiny.run("doctor", "--fix")
    assert "mended runs" in mended.stdout
    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]
    assert instance.event_log_storage.get_concurrency_info("gpu").active_slot_count == 0
    assert not orphan.exists()
    assert find_stuck_runs(instance) == []

    defs = load_definitions(find_project())
    again = run_here(defs, instance, plan_backfill(defs, instance, tiny.lake, ["all"], which=Which.FAILED))
    assert [outcome.status for outcome in again] == ["success", "success"]
    assert tiny.count_runs("text_signals-d1") == 1


def test_a_run_of_dagsters_own_command_is_found_by_its_events(tiny: TinyProject, instance: dg.DagsterInstance) -> None:
    tiny.add(instance, "d1")
    location = find_project().read_code_location()
    command = ["-m", "dagster", "asset", "materialize", "-m", location.module, "-d", str(location.working_directory)]
    command += ["--select", "raw_crawl,text_signals", "--partition", "d1"]
    process = start_hanging(tiny, [tiny.command()[0], *command])
    (run,) = instance.get_runs()
    assert PROCESS_TAG not in run.tags
    assert find_run_process(instance, run).split(":")[1] == str(process.pid)
    assert find_stuck_runs(instance) == []
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (finding,) = find_stuck_runs(instance)
    finding.mend()
    assert find_stuck_runs(instance) == []


def test_slots_of_ended_runs_are_freed(tiny: TinyProject, instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(_make_job())
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "step")
    instance.report_run_failed(run)
    findings = [finding for finding in examine(find_project(), instance, tiny.environ) if finding.check == "pools"]
    assert [finding.is_wrong for finding in findings] == [True]
    findings[0].mend()
    assert instance.event_log_storage.get_concurrency_info("gpu").active_slot_count == 0


def _make_job() -> dg.JobDefinition:
    @dg.job
    def any_job() -> None: ...

    return any_job


def test_a_process_is_gone_only_if_it_is_surely_gone() -> None:
    name = name_this_process()
    host, pid, created = name.rsplit(":", 2)
    assert not is_gone(name)
    assert is_gone(f"{host}:{pid}:{float(created) - 100:.2f}")  # the id was used again
    assert not is_gone(f"other-{host}:{pid}:1.00")


def test_living_writers_keep_their_files(tmp_path: Path) -> None:
    (tmp_path / f".a.{os.getpid()}-0123abcd.tmp").touch()
    (tmp_path / ".b.notes.tmp").touch()
    assert find_orphans(tmp_path) == []
    assert find_orphans(tmp_path / "absent") == []


def test_this_installation_has_no_clash() -> None:
    assert find_clashes() == []
