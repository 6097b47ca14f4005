"""Tells of the runs of a server as they go: a line when one begins, and a line when it ends."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import dagster as dg

#: Assets of a run that a line names; of more, it gives the number.
_NAMED_ASSETS = 3
#: Seconds that one process may write a change down after another that has a later time.
_LATENESS = timedelta(seconds=5)


class RunTeller:
    """Looks at Dagster's records, and tells of what began and what ended since it last looked."""

    def __init__(self, instance: dg.DagsterInstance, tell: Callable[[str], None]) -> None:
        """Begin now: what ended before is not told.

        Args:
            instance: Dagster's records.
            tell: gets each line.
        """
        self._instance = instance
        self._tell = tell
        self._began = self._latest = datetime.now(UTC)
        self._told: dict[str, str] = {}

    def look(self) -> None:
        """Tell of runs that changed since the last look. A storage that is locked is asked the next time."""
        from dagster import DagsterRunStatus, RunsFilter
        from sqlalchemy.exc import OperationalError

        since = max(self._began, self._latest - _LATENESS)
        try:
            changed = self._instance.get_run_records(RunsFilter(updated_after=since), ascending=True)
        except OperationalError:
            return
        for record in changed:
            run = record.dagster_run
            self._latest = max(self._latest, record.update_timestamp)
            if run.is_finished:
                state = f"ended, {run.status.value.lower()}"
            elif run.status is DagsterRunStatus.STARTED:
                state = "began"
            else:
                continue
            if self._told.get(run.run_id) == state:
                continue
            self._told[run.run_id] = state
            took = (
                f" after {record.end_time - record.start_time:.0f} s" if record.start_time and record.end_time else ""
            )
            place, work = name_place(run.tags), _name_work(run)
            self._tell(f"{time.strftime('%H:%M:%S')}  {place}: run {run.run_id[:8]} {state}{took} ({work})")


def name_place(tags: Mapping[str, str]) -> str:
    """Return what a run is for, by its tags: its dump; a run of a range of dumps names both ends."""
    first = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_start")
    last = tags.get("dagster/asset_partition_range_end", first)
    if first is None:
        return "over all dumps"
    return first if first == last else f"{first} to {last}"


def _name_work(run: dg.DagsterRun) -> str:
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    if not assets:
        return run.job_name
    return ", ".join(assets) if len(assets) <= _NAMED_ASSETS else f"{len(assets)} assets"
