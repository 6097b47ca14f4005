"""Watches for new dumps: a dump that lies whole and at rest becomes a partition and gets one run of the whole line."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg

from mmpipe.assets.jobs import WHOLE_LINE
from mmpipe.assets.partitions import DUMPS, validate_dump_name
from mmpipe.assets.project import find_crawl_folder
from mmpipe.assets.resources import LakeResource
from mmpipe.errors import ConfigurationError
from mmpipe.storage.arrivals import Sighting, survey_crawl
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.places import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Dumps taken in one tick. Dagster gives a tick 60 s, and queueing a run costs 0.1 s.
DUMPS_PER_TICK = 20


@dataclass(frozen=True, slots=True)
class Memory:
    """What the sensor remembers of a dump: identity at the last look, and identity for which a run was asked."""

    seen: str | None = None
    taken: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What one look leads to: dumps to take now, what to remember, and what the others wait for."""

    take: tuple[Sighting, ...]
    memory: dict[str, Memory]
    waiting: dict[str, str] = field(default_factory=dict)


def decide(memory: Mapping[str, Memory], sightings: Sequence[Sighting], limit: int = DUMPS_PER_TICK) -> Decision:
    """Decide which dumps to take.

    A dump is taken when it is whole, has not changed since the look before (a file still being copied grows), and was
    not taken with the same content before. Content that comes again under the same name is taken again. A dump that is
    gone keeps what was taken, so that its return is no news.

    Args:
        memory: what was remembered, by dump.
        sightings: what was seen now.
        limit: dumps to take at most; the rest follow at the next look.
    """
    remembered = {dump: Memory(None, old.taken) for dump, old in memory.items() if old.taken is not None}
    take: list[Sighting] = []
    waiting: dict[str, str] = {}
    for sighting in sightings:
        old = memory.get(sighting.dump, Memory())
        taken = old.taken
        problem = sighting.lacking or _name_problem(sighting.dump)
        if sighting.identity is None or problem:
            waiting[sighting.dump] = problem
        elif sighting.identity == taken:
            pass
        elif sighting.identity != old.seen:
            waiting[sighting.dump] = "it has just come or changed; it is taken once it stays the same for one look"
        elif len(take) >= limit:
            waiting[sighting.dump] = f"{limit} dumps are taken at a time"
        else:
            take.append(sighting)
            taken = sighting.identity
        remembered[sighting.dump] = Memory(sighting.identity, taken)
    return Decision(tuple(take), remembered, waiting)


def read_cursor(cursor: str | None) -> dict[str, Memory]:
    """Return what a cursor remembers; an empty one nothing (run keys still keep a dump from running twice)."""
    return {dump: Memory(*pair) for dump, pair in json.loads(cursor).items()} if cursor else {}


def write_cursor(memory: Mapping[str, Memory]) -> str:
    """Return the cursor that remembers this."""
    return json.dumps({dump: [item.seen, item.taken] for dump, item in sorted(memory.items())})


def make_run_key(sighting: Sighting) -> str:
    """Return the key under which Dagster runs a dump once: its name and its content."""
    return f"{sighting.dump}:{sighting.identity}"


def build_dump_sensor(crawl: str | None = None, job: str = WHOLE_LINE) -> dg.SensorDefinition:
    """Return the sensor that asks for a run of a job for every new dump.

    Args:
        crawl: folder or fsspec URL, a subfolder per dump; None for MMPIPE_CRAWL.
        job: name of the job.
    """
    crawl = crawl or find_crawl_folder(os.environ)

    @dg.sensor(
        name="new_dumps",
        job_name=job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        description=(
            f"Watches {crawl}. A subfolder is a dump; once its warc.paths is there with every file it names, and "
            f"nothing has changed for one look, the dump becomes a partition and {job} runs for it."
        ),
    )
    def new_dumps(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
        try:
            sightings = survey_crawl(Place(crawl))
        except FileNotFoundError:
            # not the same as empty: what is remembered stays
            return dg.SensorResult(
                skip_reason=f"{crawl} is not there. Make it, or set MMPIPE_CRAWL.", cursor=context.cursor
            )
        decision = decide(read_cursor(context.cursor), sightings)
        opened = lake.open()
        for sighting in decision.take:
            root = sighting.root or Place(crawl).join(sighting.dump).url
            record_dump(opened, Dump(sighting.dump, root, sighting.files))
        names = [sighting.dump for sighting in decision.take]
        return dg.SensorResult(
            dynamic_partitions_requests=[DUMPS.build_add_request(names)] if names else None,
            run_requests=[
                dg.RunRequest(run_key=make_run_key(sighting), partition_key=sighting.dump) for sighting in decision.take
            ],
            cursor=write_cursor(decision.memory),
            skip_reason=None if names else _describe_waiting(crawl, decision.waiting),
        )

    return new_dumps


def _name_problem(dump: str) -> str:
    try:
        validate_dump_name(dump)
    except ConfigurationError as error:
        return str(error)
    return ""


def _describe_waiting(crawl: str, waiting: Mapping[str, str]) -> str:
    if not waiting:
        return f"No new dump in {crawl}."
    return "\n".join(f"{dump} is not taken: {reason}." for dump, reason in sorted(waiting.items()))
