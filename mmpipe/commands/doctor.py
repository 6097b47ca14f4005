"""`mmpipe doctor`: finds what a kill or a wrong installation left behind, and mends what can be mended safely."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import psutil
from dagster._core.events import DagsterEventType

from mmpipe.commands.processes import PROCESS_TAG, is_gone
from mmpipe.commands.teacher_findings import find_teachers
from mmpipe.errors import MmpipeError
from mmpipe.storage.lake import Lake
from mmpipe.storage.takedowns import list_open

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mmpipe.assets.project import Project

#: Free bytes below which a run is likely to die in the middle.
LEAST_FREE_BYTES = 5 * 2**30
_TEMPORARY = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}\.tmp")
_RUNNING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: name of the check.
        is_wrong: whether something must be done.
        message: what it is, and what to do.
        mend: does it, where that is safe.
    """

    check: str
    is_wrong: bool
    message: str
    mend: Callable[[], None] | None = None


def examine(project: Project, instance: dg.DagsterInstance, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what every check finds, at least one finding for each.

    Args:
        project: the project.
        instance: Dagster's records.
        environ: its environment, completed.
    """
    yield from _or_well("runs", find_stuck_runs(instance), "no run is stuck")
    yield from _or_well("pools", find_held_slots(instance), "no slot is held by a dead run")
    yield from _or_well("lake", find_orphans(Path(environ["MMPIPE_LAKE"])), "no orphaned temporary file")
    yield from _or_well("takedowns", find_open_takedowns(environ["MMPIPE_LAKE"]), "no takedown was cut off")
    yield from _or_well("versions", find_clashes(), "no packages that clash")
    yield _examine_definitions(project)
    yield from _examine_weights(environ)
    for is_wrong, message in find_teachers(environ):
        yield Finding("teachers", is_wrong=is_wrong, message=message)
    yield from _examine_disk(environ)


def _or_well(check: str, findings: list[Finding], well: str) -> list[Finding]:
    return findings or [Finding(check, is_wrong=False, message=well)]


# stuck runs, held slots -----------------------------------------------------------------------------------------------


def find_stuck_runs(instance: dg.DagsterInstance) -> list[Finding]:
    """Return a finding per run that is started for Dagster and whose process is gone."""
    findings = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_RUNNING)):
        process = find_run_process(instance, run)
        if process is not None and is_gone(process):
            partition = run.tags.get("dagster/partition", "all dumps")
            findings.append(
                Finding(
                    "runs",
                    is_wrong=True,
                    message=f"run {run.run_id} ({partition}) is {run.status.value}, but its process {process} is gone",
                    mend=partial(_end_run, instance, run),
                )
            )
    return findings


def find_run_process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Return the process of a run as `processes.name_this_process` names one, or None if nothing tells it.

    Runs of `mmpipe` carry it as a tag. Dagster's own write their process id into an engine event; its start is not
    known, so a process that began after the event is another one.
    """
    if PROCESS_TAG in run.tags:
        return run.tags[PROCESS_TAG]
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.get_dagster_event()
        pid = event.engine_event_data.metadata.get("pid") if event.event_specific_data is not None else None
        if pid is not None and event.step_key is None:
            return _name_process(int(str(pid.value)), entry.timestamp)
    return None


def _name_process(pid: int, seen_at: float) -> str:
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        created = 0.0
    # one that began after it was seen is a newer process with the same id: name the old one, which is gone
    return f"{socket.gethostname()}:{pid}:{created if created <= seen_at else 0.0:.2f}"


def _end_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.report_run_failed(
        run, "mmpipe doctor: the process of this run is gone. What it committed stays; run again."
    )
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def find_held_slots(instance: dg.DagsterInstance) -> list[Finding]:
    """Return a finding per run that holds or waits for a slot of a pool and has ended."""
    holders: dict[str, set[str]] = {}
    storage = instance.event_log_storage
    for pool in sorted(storage.get_concurrency_keys()):
        info = storage.get_concurrency_info(pool)
        for run_id in info.active_run_ids | info.pending_run_ids | info.assigned_run_ids:
            holders.setdefault(run_id, set()).add(pool)
    findings = []
    for run_id, pools in sorted(holders.items()):
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            findings.append(
                Finding(
                    "pools",
                    is_wrong=True,
                    message=f"run {run_id} has ended and still holds a slot of {', '.join(sorted(pools))}",
                    mend=partial(storage.free_concurrency_slots_for_run, run_id),
                )
            )
    return findings


def end_lost_runs(instance: dg.DagsterInstance, tell: Callable[[str], None]) -> None:
    """End runs whose process is gone, and free the slots that ended runs hold: a run would wait for them for ever.

    Only what is surely dead on this machine is touched, as by `mmpipe doctor --fix`.

    Args:
        instance: Dagster's records.
        tell: gets one line for each.
    """
    # an ended run's slots are found after it is ended
    for find in (find_stuck_runs, find_held_slots):
        for finding in find(instance):
            if finding.mend is not None:
                finding.mend()
                tell(f"{finding.message}; mended.")


# the lake -------------------------------------------------------------------------------------------------------------


def find_open_takedowns(lake: str) -> list[Finding]:
    """Return a finding per takedown that was cut off: part of what it names may still be published."""
    return [
        Finding("takedowns", is_wrong=True, message=f"takedown {record.name} was cut off. End it: mmpipe takedown")
        for record in list_open(Lake(lake))
    ]


def find_orphans(lake: Path) -> list[Finding]:
    """Return a finding per temporary file whose writer is gone; nothing reads such a file."""
    if "://" in str(lake) or not lake.is_dir():
        return []
    findings = []
    for path in sorted(lake.rglob(".*.tmp")):
        matched = _TEMPORARY.fullmatch(path.name)
        if matched and is_gone(_name_process(int(matched[1]), path.stat().st_mtime)):
            message = f"{path} ({path.stat().st_size:,} bytes) is the unfinished write of a process that is gone"
            findings.append(Finding("lake", is_wrong=True, message=message, mend=path.unlink))
    return findings


# the installation -----------------------------------------------------------------------------------------------------


def find_clashes() -> list[Finding]:
    """Return a finding per pair of installed packages that is known not to work together."""
    versions = {
        dist.metadata["Name"].lower(): dist.version
        for dist in importlib.metadata.distributions()
        if dist.metadata["Name"]
    }
    problems = []
    dagster = versions["dagster"]
    problems += [
        f"{name} {versions[name]} does not match dagster {dagster}: pip install {name}=={dagster}"
        for name in ("dagster-webserver", "dagster-graphql", "dagster-dg-cli", "dagster-shared", "dagster-pipes")
        if versions.get(name, dagster) != dagster
    ]
    for name, below, why in (
        ("typer", (0, 26), "the help of dg is empty"),
        ("sqlalchemy", (2, 1), "contracts cannot be checked through DuckDB"),
    ):
        if name in versions and _read_version(versions[name]) >= below:
            wanted = ".".join(map(str, below))
            problems.append(f"{name} {versions[name]} is too new ({why}): pip install '{name}<{wanted}'")
    problems += _find_torch_clash(versions)
    return [Finding("versions", is_wrong=True, message=problem) for problem in problems]


def _find_torch_clash(versions: Mapping[str, str]) -> list[str]:
    if "torch" not in versions or "torchvision" not in versions:
        return []
    try:
        # its operators are compiled against one torch: only the import shows a wrong pair
        importlib.import_module("torchvision.ops")
    except (ImportError, RuntimeError, OSError) as error:
        pair = f"torch {versions['torch']} and torchvision {versions['torchvision']}"
        return [f"{pair} are no pair ({error}): install both from one index, in one command"]
    return []


def _read_version(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _examine_definitions(project: Project) -> Finding:
    from mmpipe.commands.loading import load_definitions

    try:
        graph = load_definitions(project).resolve_asset_graph()
    except MmpipeError as error:
        return Finding("definitions", is_wrong=True, message=f"recipe, contracts and assets do not load: {error}")
    return Finding(
        "definitions",
        is_wrong=False,
        message=f"{len(graph.materializable_asset_keys)} assets and {len(graph.asset_check_keys)} checks load",
    )


def _examine_weights(environ: Mapping[str, str]) -> Iterator[Finding]:
    from mmpipe.models.language import find_language_weights

    try:
        path = find_language_weights(environ.get("MMPIPE_LANGUAGE") or None)
    except MmpipeError as error:
        yield Finding("weights", is_wrong=True, message=str(error))
    else:
        yield Finding("weights", is_wrong=False, message=f"language: {path}")
    for name in ("MMPIPE_CLIP", "MMPIPE_TOKENIZER"):
        value = environ.get(name, "").removeprefix("local-dir:")
        if value.startswith(("/", ".", "~")) and not Path(value).expanduser().exists():
            yield Finding("weights", is_wrong=True, message=f"{name}={value} is not there")
        elif value:
            yield Finding("weights", is_wrong=False, message=f"{name}: {value}")


def _examine_disk(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name in ("MMPIPE_LAKE", "MMPIPE_STATE"):
        folder = Path(environ[name])
        if "://" in environ[name]:
            continue
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        if not os.access(folder, os.W_OK):
            yield Finding("disk", is_wrong=True, message=f"{name}: {folder} cannot be written to")
        yield Finding(
            "disk",
            is_wrong=free < LEAST_FREE_BYTES,
            message=f"{name}: {free / 2**30:.1f} GiB free in {environ[name]}",
        )
