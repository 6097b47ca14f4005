from __future__ import annotations

import threading
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from sqlalchemy import create_engine

from mmpipe.assets import event_log
from mmpipe.assets.event_log import KeptEnginesEventLog, SqliteState
from mmpipe_tests.commands.conftest import TinyProject, tiny

__all__ = ["tiny"]


@dg.asset
def one() -> None:
    """An asset that makes nothing."""


def test_a_run_makes_an_engine_per_file_and_dagsters_own_log_reads_what_was_written(
    tiny: TinyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def count(url: str, **settings: object) -> object:
        made.append(url)
        return create_engine(url, **settings)

    monkeypatch.setattr(event_log, "create_engine", count)
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, KeptEnginesEventLog)
        runs = [dg.materialize([one], instance=instance) for _ in range(2)]
        written = [[entry.message for entry in instance.all_logs(run.run_id)] for run in runs]
        folder = instance.event_log_storage._base_dir
    assert len(made) == len(set(made)) == 3  # the index and two runs
    own = sqlite_event_log.SqliteEventLogStorage(folder)
    assert [[entry.message for entry in own.get_logs_for_run(run.run_id)] for run in runs] == written
    assert all(len(messages) > 5 for messages in written)


def test_engines_do_not_pile_up_and_threads_share_them(tmp_path: Path) -> None:
    state = SqliteState.from_local(str(tmp_path))
    log = state.event_log_storage
    assert isinstance(log, KeptEnginesEventLog)
    faults: list[BaseException] = []

    def read() -> None:
        try:
            for number in range(40):
                assert log.get_logs_for_run(f"run{number % 25}") == []
        except BaseException as error:  # a thread's error is seen by nobody else
            faults.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(log._engines) == 16
