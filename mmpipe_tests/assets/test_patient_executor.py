from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.executor import multiprocess
from dagster._utils.interrupts import capture_interrupts

from mmpipe.assets.patient_executor import patient_executor
from mmpipe.definitions import defs

REPOSITORY = Path(__file__).resolve().parents[2]


@dg.op
def begin() -> int:
    return 1


@dg.op(pool="gpu")
def ask(begun: int) -> int:
    return begun + 1


@dg.job(executor_def=patient_executor)
def waiting_job() -> None:
    ask(begin())


def execute() -> None:
    """Run the job as a run worker does."""
    with dg.DagsterInstance.get() as instance, capture_interrupts():
        is_done = dg.execute_job(dg.reconstructable(waiting_job), instance=instance).success
        print("done" if is_done else "failed")
        assert multiprocess.ActiveExecution is ActiveExecution


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("MMPIPE_STATE", str(tmp_path / "state"))
    with dg.DagsterInstance.get() as opened:
        yield opened


@contextmanager
def waiting_run(instance: dg.DagsterInstance) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a run in a process of its own that has nothing left but to wait, and the id of the run it waits for."""

    @dg.job
    def holder() -> None: ...

    held = instance.create_run_for_job(holder, status=dg.DagsterRunStatus.STARTED).run_id
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    assert instance.event_log_storage.claim_concurrency_slot("gpu", held, "step").is_claimed
    process = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import execute; execute()"], cwd=REPOSITORY, env=dict(os.environ),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not instance.event_log_storage.get_concurrency_info("gpu").pending_run_ids:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process, held
    finally:
        process.kill()
        process.wait()


def test_a_run_whose_last_step_waits_for_a_pool_rests_and_goes_on_when_it_is_free(
    instance: dg.DagsterInstance,
) -> None:
    with waiting_run(instance) as (process, held):
        before = psutil.Process(process.pid).cpu_times()
        time.sleep(3)
        after = psutil.Process(process.pid).cpu_times()
        assert after.user + after.system - before.user - before.system < 0.6
        instance.event_log_storage.free_concurrency_slots_for_run(held)
        assert process.wait(30) == 0
        assert process.stdout.read().splitlines()[-1] == "done"


def test_a_run_that_waits_ends_soon_when_told(instance: dg.DagsterInstance) -> None:
    with waiting_run(instance) as (process, held):
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        process.wait(10)
        assert time.monotonic() - asked < 3
    pool = instance.event_log_storage.get_concurrency_info("gpu")
    assert (pool.active_run_ids, pool.pending_run_ids) == ({held}, set())


def test_the_runs_of_the_line_wait_so() -> None:
    job = defs.resolve_job_def("text_lane")
    assert job.executor_def.executor_creation_fn is patient_executor.executor_creation_fn
    assert job.executor_def.name == "multiprocess"
