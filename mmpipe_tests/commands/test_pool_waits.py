from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
import psutil
import pytest
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.executor import in_process

from mmpipe.assets.project import find_project
from mmpipe.commands import pool_waits
from mmpipe.commands.backfill import Which, plan_backfill, run_here
from mmpipe.commands.loading import load_definitions
from mmpipe.commands.processes import PROCESS_TAG, name_this_process
from mmpipe_tests.commands.conftest import TinyProject


def hold_pool(instance: dg.DagsterInstance, process: str) -> str:
    """Return the id of a run that holds the one place of the pool `gpu`."""

    @dg.job
    def holder() -> None: ...

    run = instance.create_run_for_job(holder, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: process})
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    assert instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "step").is_claimed
    return run.run_id


@contextmanager
def waiting_backfill(tiny: TinyProject, says: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Yield a backfill in a process of its own, and its lines until it said something."""
    process = subprocess.Popen(
        tiny.command("backfill", "text_signals", "--partitions", "d1"), cwd=tiny.folder,
        env=tiny.environ | {"COLUMNS": "200", "PYTHONUNBUFFERED": "1"}, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    lines: list[str] = []
    assert process.stdout is not None
    try:
        for line in process.stdout:
            lines.append(line)
            if says in line:
                break
        yield process, lines
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_second_backfill_says_for_whom_it_waits_rests_and_ends_when_told(
    tiny: TinyProject, instance: dg.DagsterInstance, ending: signal.Signals
) -> None:
    tiny.add(instance, "d1")
    holder = hold_pool(instance, name_this_process())
    with waiting_backfill(tiny, "waits for run") as (process, lines):
        assert f"  d1: text_signals waits for run {holder[:8]} (process " in "".join(lines)
        assert lines[-1].endswith("which holds the pool gpu\n")
        before = psutil.Process(process.pid).cpu_times()
        time.sleep(3)
        after = psutil.Process(process.pid).cpu_times()
        assert after.user + after.system - before.user - before.system < 1.0
        process.send_signal(ending)
        asked = time.monotonic()
        assert process.wait(10) == 130
        assert time.monotonic() - asked < 5
        assert "waits for run" not in process.stdout.read()
    pool = instance.event_log_storage.get_concurrency_info("gpu")
    assert (pool.active_run_ids, pool.pending_run_ids) == ({holder}, set())
    (mine,) = instance.get_runs(dg.RunsFilter(job_name="__ASSET_JOB"))
    assert mine.status is dg.DagsterRunStatus.FAILURE
    assert tiny.count_runs("text_signals-d1") == 0


def run_while(instance: dg.DagsterInstance, tiny: TinyProject, meanwhile: Callable[[], None]) -> tuple[str, list[str]]:
    """Return how a backfill ended that something happens to, and what it told."""
    tiny.add(instance, "d1")
    defs = load_definitions(find_project())
    told: list[str] = []
    threading.Thread(target=meanwhile).start()
    plan = plan_backfill(defs, instance, tiny.lake, ["text_signals"], which=Which.ALL)
    (outcome,) = run_here(defs, instance, plan, tell=told.append, log_level="CRITICAL")
    return outcome.status, told


def test_it_goes_on_when_the_place_is_free(tiny: TinyProject, instance: dg.DagsterInstance) -> None:
    holder = hold_pool(instance, name_this_process())

    def free() -> None:
        time.sleep(3.5)
        instance.event_log_storage.free_concurrency_slots_for_run(holder)

    before = InstanceConcurrencyContext
    status, told = run_while(instance, tiny, free)
    assert status == "success"
    assert in_process.InstanceConcurrencyContext is before
    assert [line for line in told if "waits for" in line] == told
    assert len(told) == 1


def test_a_holder_that_is_killed_meanwhile_is_waited_for_no_longer(
    tiny: TinyProject, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_waits, "SEARCH_SECONDS", 2.0)
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        seen = psutil.Process(sleeper.pid)
        name = f"{name_this_process().split(':')[0]}:{sleeper.pid}:{seen.create_time():.2f}"
        holder = hold_pool(instance, name)

        def kill() -> None:
            time.sleep(1)
            sleeper.kill()
            sleeper.wait()

        status, told = run_while(instance, tiny, kill)
    assert status == "success"
    assert told[0] == f"text_signals waits for run {holder[:8]} (process {sleeper.pid}), which holds the pool gpu"
    assert any("is gone; mended." in line for line in told[1:])
    found = instance.get_run_by_id(holder)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.FAILURE
