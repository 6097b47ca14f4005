"""Tells of a run as it goes: a line for every dataset that is made with its rows, for what fails, and for warnings."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import dagster as dg

#: Metadata of a materialization that its line is written from, as `assets.metadata` names it.
TOLD_METADATA = (
    "rows_in",
    "rows_out",
    "rows_removed",
    "rows_accepted",
    "rows_refused",
    "shards_made",
    "shards_resumed",
)
#: Metadata that is there where the recipe asks for nothing of a dataset.
OFF = "off"


class StepTeller:
    """Says what the events of one run mean, whoever brings them: this process or a server."""

    def __init__(self, place: str, tell: Callable[[str], None], *, tells_warnings: bool = True) -> None:
        """Begin with nothing heard.

        Args:
            place: what the run is for: the dump's name, for example.
            tell: gets each line.
            tells_warnings: whether warnings of the log are told; else somebody else prints them.
        """
        self._tells_warnings = tells_warnings
        self._place = place
        self._tell = tell
        self._made: dict[str, str] = {}
        self._warned: set[str] = set()

    def hear_made(self, step: str, figures: Mapping[str, float], *, is_off: bool = False) -> None:
        """Keep what a step made until it ends.

        Args:
            step: the step.
            figures: of `TOLD_METADATA`, those that are there.
            is_off: whether the recipe asks for nothing of this dataset.
        """
        self._made[step] = describe_rows(figures, is_off=is_off)

    def hear_success(self, step: str, seconds: float, when: float) -> None:
        """Tell of a step that made something; one that makes nothing, such as a check that passes, is not told of."""
        if step in self._made:
            self._say(f"{step} made in {seconds:.1f} s{self._made.pop(step)}", when)

    def hear_failure(self, step: str, when: float, why: str = "") -> None:
        """Tell of a step that failed."""
        self._say(f"{step} failed{': ' if why else ''}{why}", when)

    def hear_wait(self, step: str, message: str, when: float) -> None:
        """Tell of a step that waits for a place."""
        self._say(f"{step} waits: {message}", when)

    def hear_check(self, asset: str, name: str, description: str, when: float, *, is_warning: bool) -> None:
        """Tell of a check that is not passed: a warning stops nothing."""
        why = f": {description}" if description else ""
        said = f"warning, nothing stops: check {name} is not met" if is_warning else f"check {name} failed"
        self._say(f"{asset}: {said}{why}", when)

    def hear_warning(self, message: str, when: float) -> None:
        """Tell of what was logged as a warning or an error, each text once; of a trace its first and last line."""
        lines = [line for line in message.strip().splitlines() if line.strip()]
        said = f"{lines[0]} … {lines[-1]}" if len(lines) > 1 else "".join(lines)
        if self._tells_warnings and said and said not in self._warned:
            self._warned.add(said)
            self._say(f"warning: {said}", when)

    def _say(self, said: str, when: float) -> None:
        self._tell(f"{time.strftime('%H:%M:%S', time.localtime(when))}  {self._place}: {said}")


def describe_rows(figures: Mapping[str, float], *, is_off: bool = False) -> str:
    """Return what a step made, to stand behind its time: rows in and out, refused or removed; or why nothing.

    Args:
        figures: of `TOLD_METADATA`, those that are there.
        is_off: whether the recipe asks for nothing of this dataset.
    """
    if "rows_in" not in figures:
        return ""
    if is_off and not figures.get("rows_out"):
        return ": empty, the recipe does not ask for it"
    told = f": {figures['rows_in']:,.0f} rows in, {figures['rows_out']:,.0f} out"
    if figures.get("rows_removed"):
        told += f", {figures['rows_removed']:,.0f} removed"
    if figures.get("rows_refused"):
        told += f"; {figures['rows_accepted']:,.0f} accepted, {figures['rows_refused']:,.0f} refused"
    if figures.get("shards_resumed") and not figures.get("shards_made"):
        told += "; all of it was there"
    return told


def hear_steps(instance: dg.DagsterInstance, run_id: str, teller: StepTeller) -> None:
    """Let a teller hear what a run in this process does, as it happens.

    Args:
        instance: Dagster's records.
        run_id: the run; it may not have begun yet.
        teller: says what it means.
    """
    from dagster import AssetCheckSeverity, DagsterEventType

    from mmpipe.assets.checks import CHECK_SUFFIX

    def hear(entry: dg.EventLogEntry) -> None:
        event, when = entry.dagster_event, entry.timestamp
        if event is None:
            # what a check found is told by its evaluation
            if int(entry.level) >= logging.WARNING and not (entry.step_key or "").endswith(CHECK_SUFFIX):
                teller.hear_warning(entry.user_message, when)
        elif event.is_step_materialization:
            metadata = event.step_materialization_data.materialization.metadata
            figures = {name: float(str(metadata[name].value)) for name in TOLD_METADATA if name in metadata}
            teller.hear_made(event.step_key or "", figures, is_off=OFF in metadata)
        elif event.is_step_success:
            teller.hear_success(event.step_key or "", event.step_success_data.duration_ms / 1000, when)
        elif event.is_step_failure:
            teller.hear_failure(event.step_key or "", when)
        elif event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            if not found.passed:
                observed = found.metadata.get("observed")
                teller.hear_check(
                    found.asset_key.to_user_string(),
                    found.check_name,
                    describe_finding(found.description, None if observed is None else str(observed.value)),
                    when,
                    is_warning=found.severity is AssetCheckSeverity.WARN,
                )

    instance.add_event_listener(run_id, hear)


#: What a division leaves, whole: 44.74683544303797.
_LONG_FRACTION = re.compile(r"^-?\d+\.\d{3,}$")


def _round(found: re.Match[str]) -> str:
    return f"{float(found[0]):,.4g}"


def describe_finding(description: str | None, observed: str | None) -> str:
    """Return what a check asks for and what it saw."""
    seen = "" if observed is None else f"Observed {_LONG_FRACTION.sub(_round, observed)}."
    return " ".join(part for part in (description or "", seen) if part)
