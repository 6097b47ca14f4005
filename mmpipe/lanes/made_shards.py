"""Says which shards of a stage a run would find committed: what is made asks nobody again, whatever became of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from mmpipe.errors import DatasetNotReady
from mmpipe.filtering.synthesis_sections import SYNTHESIS_METHODS
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.rephrasing import REPHRASING
from mmpipe.lanes.stage import StageRun
from mmpipe.storage.shards import list_made
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, JUDGEMENTS, RESPONSES
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.lanes.stage import Stage
    from mmpipe.lanes.synthesis_estimates import MethodEstimate
    from mmpipe.storage.shards import ShardWork

#: The tables somebody is asked for, each made of those before it.
_ORDER = (INSTRUCTION_CANDIDATES, RESPONSES, JUDGEMENTS, RESPONSE_REVISIONS, PREFERENCE_PAIRS)
_MADE = "made already, so nobody is asked; MMPIPE_TEACHER_ROUND asks anew"


class _Planned(Exception):
    """A stage knows its shards: these."""

    def __init__(self, work: Sequence[ShardWork]) -> None:
        self.work = work


class _PlanningRun(StageRun):
    """A stage's run that ends where its shards would be made."""

    def write(self, work: Sequence[ShardWork], *_: Any, **__: Any) -> NoReturn:
        """Raise _Planned."""
        raise _Planned(work)


def find_made(run: StageRun, stage: Stage) -> dict[str, bool]:
    """Return of each shard that a stage would make whether it is committed; nothing is made and nobody is asked.

    Args:
        run: of any stage of the same dump.
        stage: which.
    """
    planning = _PlanningRun(stage, run.lake, run.recipe, run.knobs, run.engine, run.dump)
    try:
        stage.make(planning)
    except _Planned as planned:
        made = list_made(run.read(stage.table), planned.work, stage.compute_code_version(run.recipe))
        return {item.shard: item.shard in made for item in planned.work}
    except DatasetNotReady:
        pass
    return {}


def leave_out_made(run: StageRun, told: Sequence[MethodEstimate]) -> list[MethodEstimate]:
    """Return estimates without what is made already, so that they say what a run would ask now.

    A table behind one that something is still asked for is made of rows that are not there yet: its estimates stay.

    Args:
        run: of any stage of the dump.
        told: of all steps, as `synthesis_estimates` and `answer_estimates` name them.
    """
    made: dict[str, dict[str, bool]] = {}
    unsettled: list[int] = []
    left = []
    for one in told:
        stage, is_by_method = _find_stage(one.method)
        place = _ORDER.index(stage.table) if stage.table in _ORDER else -1
        if one.estimate is None or any(before < place for before in unsettled):
            left.append(one)
            continue
        name = stage.table.name
        made[name] = made[name] if name in made else find_made(run, stage)
        own = [done for shard, done in made[name].items() if not is_by_method or shard.startswith(f"{one.method}-")]
        if own and all(own):
            left.append(replace(one, estimate=None, note=_MADE))
            continue
        left.append(one)
        if place >= 0 and one.estimate.asked:
            unsettled.append(place)
    return left


def _find_stage(name: str) -> tuple[Stage, bool]:
    """Return the stage that an estimate is of, and whether its shards are named `METHOD-…`."""
    step = name.partition(" (")[0]
    if step == "rephrasing":
        return REPHRASING, False
    tables = {table.name: table for table in _ORDER[1:-1]}
    table = tables.get(step) or (INSTRUCTION_CANDIDATES if step in SYNTHESIS_METHODS else PREFERENCE_PAIRS)
    return next(stage for stage in INSTRUCTION_LANE if stage.table is table), step not in tables
