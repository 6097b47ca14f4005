"""Joins what one method made in several goes, such as rounds or tools, into one synthesis with one account."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.synthesis.drafts import Spent, Synthesis, sort_counts
from mmpipe.synthesis.refusals import CANDIDATE_SCHEMA
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence


def join_syntheses(parts: Sequence[Synthesis], refused: pl.DataFrame | None = None) -> Synthesis:
    """Return rows, refused candidates and what was spent of all parts: planned = rows + rejected still holds.

    Args:
        parts: rows of SYNTHESIZED_INSTRUCTIONS each, in their order; none twice.
        refused: candidates (`refusals.CANDIDATE_SCHEMA`) that no part knows of; they count as planned.
    """
    more = pl.DataFrame(schema=CANDIDATE_SCHEMA) if refused is None else refused.select(list(CANDIDATE_SCHEMA))
    rejected, replies = Counter(more.get_column("reason").to_list()), Counter[str]()
    spent = Spent()
    for part in parts:
        rejected.update(part.rejected)
        replies.update(part.rejected_replies)
        spent.join(part.spent)
    frames = [SYNTHESIZED_INSTRUCTIONS.make_empty(), *(part.frame for part in parts)]
    named = [part.candidates.select(list(CANDIDATE_SCHEMA)) for part in parts if part.candidates is not None]
    return Synthesis(
        pl.concat(frames),
        more.height + sum(part.planned for part in parts),
        sort_counts(rejected),
        sort_counts(replies),
        spent,
        pl.concat([more, *named]),
    )


def drop_rows(synthesis: Synthesis, ids: Sequence[str], reason: str) -> Synthesis:
    """Return a synthesis without the rows of these ids: each becomes a candidate refused for `reason`."""
    dropped = synthesis.frame.filter(pl.col("instruction_id").is_in(list(ids)))
    why = {"reason": pl.lit(reason, pl.String), "details": pl.lit(None, pl.String)}
    fallen = dropped.select(id="instruction_id", text="response", **why)
    kept = synthesis.frame.join(dropped, on="instruction_id", how="anti", maintain_order="left")
    rest = dataclasses.replace(synthesis, frame=kept, planned=synthesis.planned - dropped.height)
    return join_syntheses([rest], fallen)
