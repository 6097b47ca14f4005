"""Tells of rows that were taken down: when, why, and by what they were named, also where no table has them any more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.commands.fates import Fate, Step
from mmpipe.storage.takedowns import FOLDER, find_taken, read_takedowns
from mmpipe.tables.takedowns import Takedowns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.storage.lake import Lake

#: What a row is called, by the table that brought it into the lake.
_KINDS = {
    "raw_crawl": "document",
    "image_candidates": "pair",
    "image_captions": "caption",
    "rephrased_candidates": "rephrased document",
    "instruction_candidates": "instruction",
    "responses": "response",
    "judgements": "judgement",
    "response_revisions": "revision",
    "preference_pairs": "preference pair",
}


def tell_of_takedown(lake: Lake, fate: Fate) -> Fate:
    """Return the fate of a row, which says so first if the row was taken down."""
    taken = find_taken(lake, fate.id)
    if taken is None:
        return fate
    return replace(fate, verdict=_tell(taken.plan), steps=(*fate.steps, _name_entries(taken.plan)))


def explain_taken(lake: Lake, wanted: str) -> list[Fate]:
    """Return the fate of a row that no table has any more, or of a URL that stays away; none if it is neither.

    Args:
        lake: where the datasets are.
        wanted: an id, its beginning, or a URL.
    """
    if "://" in wanted:
        for entry in read_takedowns(lake).entries:
            if Takedowns((entry,)).match_urls(pl.Series([wanted]))[0]:
                told = {"kind": entry.kind, "written": entry.written}
                verdict = f"{_tell({'date': entry.date, 'reason': entry.reason})}. No dump of the lake has it"
                return [Fate("URL", wanted, None, verdict, (Step(FOLDER, "stays away", told),))]
        return []
    taken = find_taken(lake, wanted)
    if taken is None:
        return []
    kind = _KINDS.get(taken.table, taken.table)
    return [Fate(kind, taken.id, taken.dump, _tell(taken.plan), (_name_entries(taken.plan),))]


def _tell(plan: Mapping[str, Any]) -> str:
    return f"taken down on {plan['date']}: {plan['reason'] or 'no reason was stated'}"


def _name_entries(plan: Mapping[str, Any]) -> Step:
    rows = tuple({"kind": entry["kind"], "written": entry["written"]} for entry in plan["entries"][:20])
    return Step(FOLDER, "named, or made of what was named", rows=rows)
