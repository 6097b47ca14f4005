"""Says of a row whose dump was removed where it still stands, and since when the rest of it is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mmpipe.commands.fates import Fate, Step
from mmpipe.storage.dumps import find_removed_dump, list_dumps
from mmpipe.tables.published import OVER_ALL_DUMPS

if TYPE_CHECKING:
    from mmpipe.storage.lake import Lake

_GONE = "removed with its dump"
_OVER_ALL = frozenset(table.name for table in OVER_ALL_DUMPS)


def tell_of_removed_dump(lake: Lake, fate: Fate) -> Fate:
    """Return a fate as it is if its dump is there; else with the removal in the place of what nobody can know."""
    if fate.dump is None or fate.dump in list_dumps(lake):
        return fate
    removed = find_removed_dump(lake, fate.dump)
    when = removed.tell_when() if removed is not None else ""
    holding = [step.asset for step in fate.steps if step.asset in _OVER_ALL and _holds(step)]
    if not holding:
        verdict = f"its dump {fate.dump} was removed {when}".rstrip()
    else:
        verdict = (
            f"still in {', '.join(holding)}, though its dump was removed {when}".rstrip()
            + f". Without it: mmpipe backfill {' '.join(holding)}."
            + (f" {removed.tell_return()}" if removed is not None else "")
        )
    steps = tuple(step if step.asset in _OVER_ALL else replace(step, fate=_GONE) for step in fate.steps)
    return replace(fate, verdict=verdict, steps=steps)


def _holds(step: Step) -> bool:
    return bool(step.values or step.rows) or (step.fate.startswith("in ") and not step.fate.startswith("in 0 "))
