"""Reads how many rows a method that plans beforehand shall make exactly, and puts its candidates in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.synthesis_inputs import read_options
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.filtering.synthesis_sections import SynthesisMethod
    from mmpipe.synthesis.drafts import Planned


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactRows:
    """How many rows are wanted of a dump.

    Attributes:
        wanted: accepted rows, exactly; None to make what the planned ones give.
        budget: most candidates asked about; None for all that can be planned.
    """

    wanted: int | None = None
    budget: int | None = None

    def __post_init__(self) -> None:
        if self.wanted is None and self.budget is not None:
            raise ConfigurationError("`budget` limits what is asked for the sake of `wanted`: write both.")
        if self.wanted is not None and (self.wanted < 1 or (self.budget or self.wanted) < self.wanted):
            raise ConfigurationError("`wanted` must be 1 or more, and `budget` at least as many.")


def read_exact(entry: SynthesisMethod) -> ExactRows:
    """Return how many rows a method shall make exactly.

    Raises:
        RecipeError: another option, a value of another type, or numbers that cannot work; with file and line.
    """
    exact, _ = read_options(entry, ExactRows())
    return exact


def order_candidates(planned: Sequence[Planned], exact: ExactRows, seed: int) -> tuple[list[Planned], int, int]:
    """Return the candidates in the order they are taken, how many rows are wanted of them, and the budget.

    The order is that of a keyed hash of their ids: which rows are made depends neither on the order of documents nor on
    how many there are beside those taken.
    """
    ordered = sorted(planned, key=lambda plan: make_id("exact", seed, plan.instruction_id))
    wanted = exact.wanted or 0
    return ordered, wanted, max(wanted, len(ordered) if exact.budget is None else exact.budget)
