"""`mmpipe backfill`: materializes assets for some or all dumps, through a running server or here, one run per dump."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import dagster as dg

from mmpipe.assets.partitions import DUMPS
from mmpipe.commands.loading import is_per_dump, is_trained, select_assets
from mmpipe.commands.processes import PROCESS_TAG, name_this_process
from mmpipe.errors import ConfigurationError, MmpipeError
from mmpipe.storage.commits import FAILED, read_manifest
from mmpipe.storage.dumps import describe_unknown_dump
from mmpipe.storage.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mmpipe.storage.lake import Lake

_log = logging.getLogger(__name__)


class Which(Enum):
    """Which dumps a backfill takes, if they are not named."""

    ALL = "all"
    MISSING = "missing"
    FAILED = "failed"
    FAILED_CHECKS = "failed-checks"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill will run: per-dump assets for each dump, then assets over all dumps once."""

    per_dump: tuple[dg.AssetKey, ...]
    over_all: tuple[dg.AssetKey, ...]
    dumps: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to run."""
        return not self.over_all and not (self.per_dump and self.dumps)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run of a backfill.

    Attributes:
        dump: partition; None for the run over all dumps.
        status: success, failed, or skipped.
        run_id: Dagster's id of the run; empty if skipped.
        seconds: wall time.
        failures: step and message of every step that failed.
    """

    dump: str | None
    status: str
    run_id: str = ""
    seconds: float = 0.0
    failures: tuple[tuple[str, str], ...] = field(default=())


def plan_backfill(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    lake: Lake,
    assets: Sequence[str],
    *,
    partitions: Sequence[str] = (),
    first: str | None = None,
    last: str | None = None,
    which: Which | None = None,
) -> Plan:
    """Return what a backfill runs.

    Args:
        defs: the definitions.
        instance: Dagster's records.
        lake: where the verdicts of the checks are.
        assets: names or selections.
        partitions: dumps by name.
        first: the first dump of a range, by name; the range is sorted by name, not by the order they were added in.
        last: the last dump of the range.
        which: dumps in this state, in place of names.

    Raises:
        ConfigurationError: an unknown asset or dump, or per-dump assets and no word about which dumps.
    """
    keys = select_assets(defs, assets)
    trained = [key.to_user_string() for key in keys if is_trained(defs, key)]
    if trained:
        raise ConfigurationError(
            f"{trained[0]} learns from files that a backfill does not know. Name them to `mmpipe quality train`, or in "
            f"the config of the job train_{trained[0]} in the web UI."
        )
    per_dump = tuple(key for key in keys if is_per_dump(defs, key))
    over_all = tuple(key for key in keys if not is_per_dump(defs, key))
    known = sorted(instance.get_dynamic_partitions(str(DUMPS.name)))
    ways = [bool(partitions), first is not None or last is not None, which is not None]
    if sum(ways) > 1:
        raise ConfigurationError("Give dumps in one way: --partitions, --from/--to, or one of --missing, --failed, …")
    if per_dump and not any(ways):
        raise ConfigurationError(
            f"{per_dump[0].to_user_string()} is made per dump: say which, with --partitions A,B, --from A --to B, "
            f"--missing, --failed, --failed-checks or --all."
        )
    for name in (*partitions, *(bound for bound in (first, last) if bound is not None)):
        if name not in known:
            raise ConfigurationError(describe_unknown_dump(lake, name, known))
    if partitions:
        dumps = sorted(set(partitions))
    elif which is None:
        dumps = [name for name in known if (first or name) <= name <= (last or name)]
    else:
        dumps = [name for name in known if any(_is_in_state(which, key, name, instance, lake) for key in per_dump)]
        if which is not Which.ALL:
            over_all = tuple(key for key in over_all if dumps or _is_in_state(which, key, None, instance, lake))
    return Plan(per_dump, over_all, tuple(dumps) if per_dump else ())


def _is_in_state(which: Which, key: dg.AssetKey, dump: str | None, instance: dg.DagsterInstance, lake: Lake) -> bool:
    if which is Which.ALL:
        return True
    if which is Which.FAILED_CHECKS:
        folder = Place(lake.root).join(key.path[-1])
        place = (folder if dump is None else folder.join(f"dump={dump}")).join("manifest.json")
        return place.is_file() and read_manifest(place.read_text()).checks == FAILED
    if dump is None:
        record = next(iter(instance.get_asset_records([key])), None)
        is_missing = record is None or record.asset_entry.last_materialization is None
        return is_missing if which is Which.MISSING else _has_failed_last(key, None, instance)
    if which is Which.MISSING:
        # a dump that was removed and added again is materialized for Dagster, and has nothing in the lake
        manifest = Place(lake.root).join(key.path[-1], f"dump={dump}", "manifest.json")
        return dump not in instance.get_materialized_partitions(key) or not manifest.is_file()
    return _has_failed_last(key, dump, instance)


def _has_failed_last(key: dg.AssetKey, dump: str | None, instance: dg.DagsterInstance) -> bool:
    if dump is None:
        record = next(iter(instance.get_asset_records([key])), None)
        run_id = record.asset_entry.last_run_id if record is not None else None
        run = instance.get_run_by_id(run_id) if run_id else None
        materialized = record.asset_entry.last_materialization if record is not None else None
        is_made = materialized is not None and materialized.run_id == run_id
        return run is not None and run.status is dg.DagsterRunStatus.FAILURE and not is_made
    status = instance.get_status_by_partition(key, [dump], DUMPS) or {}
    state = status.get(dump)
    return state is not None and state.value == "FAILED"


def run_here(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    plan: Plan,
    *,
    on_start: Callable[[str | None, str], None] = lambda _dump, _run_id: None,
    tell: Callable[[str], None] = lambda told: _log.warning("%s", told),
    log_level: str = "ERROR",
) -> list[Outcome]:
    """Run a plan in this process, one run per dump in the order of names, then assets over all dumps.

    A dump that fails does not stop the next one. Assets over all dumps are skipped if one failed, as they would go
    on without it.

    Args:
        defs: the definitions.
        instance: Dagster's records; the runs show in the web UI.
        plan: what to run.
        on_start: gets dump and run id before each run.
        tell: gets a line where a lost run is ended, and where a step waits for another run.
        log_level: what the runs say on the terminal; the UI has everything.

    Raises:
        KeyboardInterrupt: a run was interrupted; what was committed stays, and no further dump is begun.
    """
    from mmpipe.commands.doctor import end_lost_runs
    from mmpipe.commands.pool_waits import waiting_patiently

    end_lost_runs(instance, tell)
    with waiting_patiently(tell), _unheard_by_root():
        outcomes = [_run_once(defs, instance, plan.per_dump, dump, on_start, log_level) for dump in plan.dumps]
        if plan.over_all:
            if all(outcome.status == "success" for outcome in outcomes):
                outcomes.append(_run_once(defs, instance, plan.over_all, None, on_start, log_level))
            else:
                outcomes.append(Outcome(None, "skipped"))
    return outcomes


@contextmanager
def _unheard_by_root() -> Iterator[None]:
    """Keep what mmpipe logs from the root logger: libraries give that a handler, and the runs' logs have all of it."""
    logger = logging.getLogger("mmpipe")
    before = logger.propagate
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = before


def _run_once(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    keys: Sequence[dg.AssetKey],
    dump: str | None,
    on_start: Callable[[str | None, str], None],
    log_level: str,
) -> Outcome:
    from dagster._core.utils import make_new_run_id

    job = defs.resolve_implicit_job_def_def_for_assets(keys)
    if job is None:
        raise ConfigurationError(f"Not runnable together: {', '.join(key.to_user_string() for key in keys)}.")
    run_id = make_new_run_id()
    on_start(dump, run_id)
    started = time.monotonic()
    result = job.execute_in_process(
        instance=instance,
        asset_selection=list(keys),
        partition_key=dump,
        raise_on_error=False,
        run_id=run_id,
        run_config={"loggers": {"console": {"config": {"log_level": log_level}}}},
        # a killed process leaves its run started for ever; by this tag `mmpipe doctor` sees that nobody is left
        tags={PROCESS_TAG: name_this_process()},
    )
    if any(_is_interrupted(event) for event in result.all_events):
        # Dagster writes an interrupt down as a failed step and goes on: whoever pressed Ctrl-C wants all of it to end
        raise KeyboardInterrupt
    failures = tuple(
        (event.step_key or "run", describe_failure(event)) for event in result.all_events if event.is_step_failure
    )
    status = "success" if result.success else "failed"
    return Outcome(dump, status, run_id, time.monotonic() - started, failures)


def _is_interrupted(event: dg.DagsterEvent) -> bool:
    error = getattr(event.event_specific_data, "error", None)
    return error is not None and error.cls_name == "DagsterExecutionInterruptedError"


def describe_failure(event: dg.DagsterEvent) -> str:
    """Return what a step died of, in one line: what mmpipe said, else the innermost cause; without the trace."""
    error = event.step_failure_data.error
    if error is None:
        return event.message or "failed"
    chain = [error]
    while error.cause is not None:
        error = error.cause
        chain.append(error)
    return name_cause([(link.cls_name or "", link.message) for link in chain])


def name_cause(chain: Sequence[tuple[str, str]]) -> str:
    """Return what a chain of errors, the outermost first, comes down to: what mmpipe said, else the innermost cause.

    Args:
        chain: class name and message of each; messages begin with the class, as Python prints them.
    """
    ours = list_error_names()
    name, message = next((link for link in chain if link[0] in ours), chain[-1])
    said = " ".join(message.split())
    head, _, rest = said.partition(f"{name}: ")
    # the class of an error of ours tells nothing that its words do not
    return rest if name in ours and rest and " " not in head else said


def list_error_names() -> set[str]:
    """Return the names of the errors that mmpipe itself raises."""
    return {MmpipeError.__name__, *(kind.__name__ for kind in _list_kinds(MmpipeError))}


def _list_kinds(kind: type[MmpipeError]) -> list[type[MmpipeError]]:
    return [below for child in kind.__subclasses__() for below in (child, *_list_kinds(child))]
