"""Tells of the runs of a backfill on a server as they go, from the events that its web server gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmpipe.assets.checks import CHECK_SUFFIX
from mmpipe.commands.backfill import name_cause
from mmpipe.commands.run_lines import name_place
from mmpipe.commands.server import ask
from mmpipe.commands.step_lines import OFF, TOLD_METADATA, StepTeller, describe_finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RUNS = """
query Runs($filter: RunsFilter!) {
  runsOrError(filter: $filter) { ... on Runs { results { runId status updateTime tags { key value } } } }
}"""
_EVENTS = """
query Events($run: ID!, $cursor: String) {
  logsForRun(runId: $run, afterCursor: $cursor, limit: 500) {
    ... on EventConnection {
      cursor hasMore
      events {
        __typename
        ... on MessageEvent { message timestamp level stepKey }
        ... on MaterializationEvent { metadataEntries { label ... on IntMetadataEntry { intValue } } }
        ... on ExecutionStepFailureEvent { error { className message causes { className message } } }
        ... on AssetCheckEvaluationEvent { evaluation {
          success severity checkName description assetKey { path }
          metadataEntries { label ... on IntMetadataEntry { intRepr } ... on FloatMetadataEntry { floatValue }
            ... on TextMetadataEntry { text } ... on BoolMetadataEntry { boolValue } }
        } }
      }
    }
  }
}"""
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
#: Seconds that one process may write a change down after another that has a later time.
_LATENESS = 10.0


@dataclass(slots=True)
class _Followed:
    teller: StepTeller
    cursor: str | None = None
    began: dict[str, float] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)


class BackfillTeller:
    """Asks a web server what the runs of one backfill did since it last asked, and tells of it."""

    def __init__(self, url: str, backfill_id: str, tell: Callable[[str], None]) -> None:
        """Begin with nothing told.

        Args:
            url: the server.
            backfill_id: the backfill.
            tell: gets each line.
        """
        self._url = url
        self._tag = {"key": "dagster/backfill", "value": backfill_id}
        self._tell = tell
        self._followed: dict[str, _Followed] = {}
        self._ended: set[str] = set()
        self._updated = 0.0

    def look(self) -> None:
        """Tell of what happened since the last look.

        Raises:
            ServerError: no answer.
        """
        asked = {"tags": [self._tag]} | ({"updatedAfter": self._updated - _LATENESS} if self._updated else {})
        changed = {run["runId"]: run for run in ask(self._url, _RUNS, {"filter": asked})["runsOrError"]["results"]}
        for run_id, run in sorted(changed.items(), key=lambda item: item[1]["updateTime"] or 0.0):
            self._updated = max(self._updated, run["updateTime"] or 0.0)
            if run_id not in self._ended and run_id not in self._followed:
                tags = {tag["key"]: tag["value"] for tag in run["tags"]}
                self._followed[run_id] = _Followed(StepTeller(name_place(tags), self._tell))
        for run_id, followed in list(self._followed.items()):
            self._read_events(run_id, followed)
            if run_id in changed and changed[run_id]["status"] in _ENDED:
                # its state was read before its events: nothing more comes
                self._ended.add(run_id)
                del self._followed[run_id]

    def _read_events(self, run_id: str, followed: _Followed) -> None:
        has_more = True
        while has_more:
            answer = ask(self._url, _EVENTS, {"run": run_id, "cursor": followed.cursor})["logsForRun"]
            for event in answer.get("events", ()):
                _hear(event, followed)
            followed.cursor = answer.get("cursor", followed.cursor)
            has_more = answer.get("hasMore", False)


def _hear(event: Mapping[str, Any], followed: _Followed) -> None:
    teller, step, when = followed.teller, event.get("stepKey") or "", float(event.get("timestamp") or 0) / 1000
    match event["__typename"]:
        case "ExecutionStepStartEvent":
            followed.began[step] = when
        case "MaterializationEvent":
            figures = {entry["label"]: entry["intValue"] for entry in event["metadataEntries"] if "intValue" in entry}
            is_off = any(entry["label"] == OFF for entry in event["metadataEntries"])
            teller.hear_made(step, {name: figures[name] for name in TOLD_METADATA if name in figures}, is_off=is_off)
        case "ExecutionStepSuccessEvent":
            teller.hear_success(step, when - followed.began.get(step, when), when)
        case "ExecutionStepFailureEvent":
            error = event["error"]
            chain = [(link["className"], link["message"]) for link in (error, *error["causes"])] if error else []
            teller.hear_failure(step, when, name_cause(chain) if chain else "")
        case "RunFailureEvent" if not followed.began:
            teller.hear_failure("the run", when, event["message"])
        case "AssetCheckEvaluationEvent":
            _hear_check(event["evaluation"], when, teller)
        case "EngineEvent" if "blocked by limit for pool" in event["message"] and step not in followed.blocked:
            followed.blocked.add(step)
            teller.hear_wait(step, f"another run holds the pool {event['message'].rpartition(' ')[2]}", when)
        case "LogMessageEvent":
            # what a check found is told by its evaluation
            if event["level"] in ("WARNING", "ERROR", "CRITICAL") and not step.endswith(CHECK_SUFFIX):
                teller.hear_warning(event["message"], when)


def _hear_check(found: Mapping[str, Any], when: float, teller: StepTeller) -> None:
    if found["success"]:
        return
    observed = next((_read_value(entry) for entry in found["metadataEntries"] if entry["label"] == "observed"), None)
    teller.hear_check(
        "/".join(found["assetKey"]["path"]),
        found["checkName"],
        describe_finding(found["description"], observed),
        when,
        is_warning=found["severity"] == "WARN",
    )


def _read_value(entry: Mapping[str, Any]) -> str:
    return str(next(value for name, value in entry.items() if name != "label"))
