"""Tells of a run in this process as it goes: a line for every dataset that is made, and for what fails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import dagster as dg


def tell_steps(instance: dg.DagsterInstance, run_id: str, place: str, tell: Callable[[str], None]) -> None:
    """Tell of what a run in this process has made, and of every step and check of it that failed, as it happens.

    A step that makes nothing, such as a check that passes, is not told of.

    Args:
        instance: Dagster's records.
        run_id: the run; it may not have begun yet.
        place: what it runs for: the dump's name, for example.
        tell: gets each line.
    """
    from dagster import DagsterEventType

    made: set[str | None] = set()

    def hear(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            return
        said = ""
        if event.is_step_materialization:
            made.add(event.step_key)
        elif event.is_step_success and event.step_key in made:
            said = f"{event.step_key} made in {event.step_success_data.duration_ms / 1000:.1f} s"
        elif event.is_step_failure:
            said = f"{event.step_key} failed"
        elif event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            said = "" if found.passed else f"{found.asset_key.to_user_string()}: check {found.check_name} failed"
        if said:
            tell(f"{time.strftime('%H:%M:%S')}  {place}: {said}")

    instance.add_event_listener(run_id, hear)
