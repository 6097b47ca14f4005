"""Says what the synthesis of a dump would ask for and cost, before anything is asked: each method to its first wait."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl

from mmpipe.errors import DatasetNotReady
from mmpipe.lanes.exact_methods import order_candidates, read_exact
from mmpipe.lanes.instruction_candidates import take_accepted
from mmpipe.lanes.instructions import METHODS, open_critic, open_once, plan_method, reads_instructions
from mmpipe.lanes.preference_methods import check_preferences
from mmpipe.lanes.synthesis_methods import EVOLVED, FILE_METHODS, check_methods, list_entries
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.filtering.synthesis_sections import SynthesisMethod
    from mmpipe.lanes.stage import StageRun
    from mmpipe.tables.chat import ChatRequest, Estimate, Teacher


@dataclass(frozen=True, slots=True)
class MethodEstimate:
    """What one method would ask for.

    Attributes:
        method: its name.
        teacher: whom.
        estimate: of its first round, one attempt each; None where it would make no row of this dump.
        note: what the estimate leaves out, or why there is none.
        waits: whether there is none because rows that it reads are not made yet.
    """

    method: str
    teacher: str
    estimate: Estimate | None
    note: str = ""
    waits: bool = False


class Asked(Exception):
    """A method asks its first round: what, and whom."""

    def __init__(self, requests: Sequence[ChatRequest], teacher: Teacher) -> None:
        self.requests = tuple(requests)
        self.teacher = teacher


class Unasked:
    """Stands for a teacher and stops a method where it asks; whatever else is wanted of it is the teacher's."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    @property
    def name(self) -> str:
        """The teacher's."""
        return self._teacher.name

    def answer(self, requests: Sequence[ChatRequest]) -> NoReturn:
        """Raise Asked."""
        raise Asked(requests, self._teacher)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._teacher, name)


def estimate_synthesis(run: StageRun) -> list[MethodEstimate]:
    """Return what each method of the recipe would ask for in its first round; nobody is asked and nothing is written.

    A method asks its first round for what the tables hold now, and later rounds by what it is told, so that those are
    left out and said to be.

    Args:
        run: of `instruction_candidates`; its inputs are published.

    Raises:
        ConfigurationError: the recipe or a file of it cannot work.
        DatasetNotReady: an input is not published yet.
    """
    check_methods(run.recipe)
    check_preferences(run.recipe)
    opened: dict[str, Teacher] = {}
    return [
        _estimate(
            entry, open_once(run.knobs.choose_teacher(entry.method), opened), open_critic(entry, run, opened), run
        )
        for entry in sorted(list_entries(run.recipe), key=reads_instructions)
    ]


def _estimate(entry: SynthesisMethod, teacher: Teacher, critic: Teacher | None, run: StageRun) -> MethodEstimate:
    if entry.method in METHODS:
        planned = METHODS[entry.method].plan(run.read(METHODS[entry.method].source), run.recipe)
        exact = read_exact(entry)
        note = "refused rows are asked again"
        if exact.wanted is not None:
            ordered, wanted, _ = order_candidates(planned, exact, run.recipe.instructions.seed)
            planned, note = ordered[:wanted], "as many as are wanted; more for those that are refused"
        requests = [plan.make_request(0) for plan in planned]
        return MethodEstimate(entry.method, teacher.name, estimate(teacher, requests), note)
    item = plan_method(entry, Unasked(teacher), run, {}, critic and Unasked(critic))
    if item is None:
        return MethodEstimate(entry.method, teacher.name, None, "makes its rows for another dump")
    ready = item.arguments[1]
    if getattr(ready.settings, "requires_run", False):
        # which queries run is found by compiling all of them, which takes longer than anybody waits for an estimate
        ready = replace(ready, settings=replace(ready.settings, requires_run=False))
    if reads_instructions(entry):
        ready = replace(ready, rows=_read_evolved(run))
        if ready.rows.is_empty():
            note = f"evolves rows of {', '.join(EVOLVED)}, and none are made yet"
            return MethodEstimate(entry.method, teacher.name, None, note, waits=True)
    try:
        FILE_METHODS[entry.method].make(ready)
    except Asked as asked:
        note = "the first round; what follows depends on the replies"
        return MethodEstimate(entry.method, teacher.name, estimate(teacher, asked.requests), note)
    return MethodEstimate(entry.method, teacher.name, estimate(teacher, ()), "asks nobody")


def estimate(teacher: Teacher, requests: Sequence[ChatRequest]) -> Estimate:
    """Return what requests would take, by the teacher's own tokenizer, cache and prices where it has them."""
    from mmpipe.models.request_estimates import estimate_requests

    known = getattr(teacher, "estimate", None)
    made: Estimate = estimate_requests(requests, teacher.name) if known is None else known(requests)
    return made


def _read_evolved(run: StageRun) -> pl.DataFrame:
    """Return the rows that were made before by the methods whose rows are evolved; none where nothing is published."""
    try:
        candidates = run.read(INSTRUCTION_CANDIDATES).scan().filter(pl.col("method").is_in(EVOLVED)).collect()
    except DatasetNotReady:
        return SYNTHESIZED_INSTRUCTIONS.make_empty()
    if not set(SYNTHESIZED_INSTRUCTIONS.column_names) <= set(candidates.columns):
        # made by an earlier version, whose rows lack a column: the next run makes them again
        return SYNTHESIZED_INSTRUCTIONS.make_empty()
    return take_accepted(candidates)
