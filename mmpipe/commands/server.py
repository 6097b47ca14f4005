"""Speaks to a running web server: finds it, asks it for a backfill, and follows the backfill to its end."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from mmpipe.errors import ConfigurationError, MmpipeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mmpipe.commands.backfill import Plan

_LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on Error { message }
  }
}"""
_FOLLOW = """
query Follow($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on Error { message }
    ... on PartitionBackfill {
      status
      error { message }
      assetBackfillData { assetBackfillStatuses {
        ... on AssetPartitionsStatusCounts {
          assetKey { path } numPartitionsTargeted numPartitionsMaterialized numPartitionsFailed numPartitionsInProgress
        }
        ... on UnpartitionedAssetStatus { assetKey { path } inProgress materialized failed }
      } }
    }
  }
}"""
_HEALTH = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"
_ENDED = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
_WELL = {"COMPLETED", "COMPLETED_SUCCESS"}


class ServerError(MmpipeError):
    """A web server that does not answer, or refused what it was asked for."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A web server that answers.

    Attributes:
        url: where.
        is_own: whether it is the `mmpipe dev` of this project.
        settings: of that one, the settings that change rows, as `served_settings.read_row_settings` gives them; None
            if it told none.
    """

    url: str
    is_own: bool = False
    settings: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class AssetProgress:
    """How far a backfill is with one asset, in partitions (1 for an asset over all dumps)."""

    asset: str
    targeted: int
    made: int
    failed: int
    running: int


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How far a backfill is."""

    status: str
    assets: tuple[AssetProgress, ...]
    error: str | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in _ENDED

    @property
    def is_success(self) -> bool:
        """Whether everything was made."""
        return self.status in _WELL and not any(asset.failed for asset in self.assets)


def find_server(wanted: str | None, state: Path) -> RunningServer | None:
    """Return the server to use: the wanted one, or a running `mmpipe dev` of this project, or None.

    Raises:
        ServerError: a server was asked for, and it does not answer.
    """
    place = state / "server.json"
    record = json.loads(place.read_text()) if place.is_file() else {}
    url = (wanted or record.get("url", "")).rstrip("/")
    if not url:
        return None
    try:
        ask(url, "{ version }")
    except ServerError:
        if wanted:
            raise
        return None  # a killed server leaves its record behind
    is_own = url == record.get("url")
    return RunningServer(url, is_own, record.get("settings") if is_own else None)


def ask(url: str, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the data that a GraphQL operation gives.

    Raises:
        ConfigurationError: the URL is not one of http.
        ServerError: no answer, or an answer that is an error.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"A server's URL begins with http://, not {url!r}.")
    body = json.dumps({"query": query, "variables": dict(variables or {})}).encode()
    request = Request(f"{url.rstrip('/')}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310  (checked)
    try:
        with urlopen(request, timeout=60) as response:  # noqa: S310  (checked above)
            answer = json.load(response)
    except HTTPError as error:
        raise ServerError(f"{url} refused: {error.read().decode(errors='replace')[:500]}") from error
    except (URLError, OSError, ValueError) as error:
        raise ServerError(f"{url} does not answer ({error}). Start it: mmpipe dev.") from error
    if answer.get("errors"):
        raise ServerError(f"{url}: {answer['errors'][0]['message']}")
    data: dict[str, Any] = answer["data"]
    return data


def launch_backfill(url: str, plan: Plan) -> str:
    """Ask for one asset backfill and return its id.

    Raises:
        ServerError: no daemon would work on it, or it was refused.
    """
    daemons = ask(url, _HEALTH)["instance"]["daemonHealth"]["allDaemonStatuses"]
    if not any(daemon["daemonType"] == "BACKFILL" and daemon["healthy"] for daemon in daemons):
        raise ServerError(f"{url} has no running daemon that would work on a backfill. Start both: mmpipe dev.")
    keys = [{"path": list(key.path)} for key in (*(plan.per_dump if plan.dumps else ()), *plan.over_all)]
    params: dict[str, Any] = {"assetSelection": keys, "title": "mmpipe backfill"}
    if plan.dumps:
        params["partitionNames"] = list(plan.dumps)
    else:
        params["allPartitions"] = True  # Dagster wants one of the two; assets over all dumps have none
    answer = ask(url, _LAUNCH, {"params": params})["launchPartitionBackfill"]
    if answer["__typename"] != "LaunchBackfillSuccess":
        raise ServerError(f"{url} refused the backfill: {answer.get('message', answer['__typename'])}")
    return str(answer["backfillId"])


def follow_backfill(url: str, backfill_id: str, seconds_between: float = 2.0) -> Iterator[BackfillProgress]:
    """Yield the progress of a backfill until it has ended; the last one yielded is the end."""
    while True:
        progress = read_progress(ask(url, _FOLLOW, {"id": backfill_id})["partitionBackfillOrError"])
        yield progress
        if progress.has_ended:
            return
        time.sleep(seconds_between)


def read_progress(answer: Mapping[str, Any]) -> BackfillProgress:
    """Return the progress that the server's answer states.

    Raises:
        ServerError: the backfill is not known (any more).
    """
    if answer["__typename"] != "PartitionBackfill":
        raise ServerError(str(answer.get("message", answer["__typename"])))
    statuses = (answer["assetBackfillData"] or {}).get("assetBackfillStatuses") or []
    error = answer["error"]["message"] if answer["error"] else None
    return BackfillProgress(answer["status"], tuple(_read_asset(status) for status in statuses), error)


def _read_asset(status: Mapping[str, Any]) -> AssetProgress:
    asset = "/".join(status["assetKey"]["path"])
    if "numPartitionsTargeted" in status:
        return AssetProgress(
            asset,
            status["numPartitionsTargeted"],
            status["numPartitionsMaterialized"],
            status["numPartitionsFailed"],
            status["numPartitionsInProgress"],
        )
    return AssetProgress(asset, 1, int(status["materialized"]), int(status["failed"]), int(status["inProgress"]))
