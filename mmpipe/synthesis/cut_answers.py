"""Says which answers the limit of tokens cut: no judge is asked about them, and they are in no pair, by any method.

Its missing end would tell it from the other answer, and that is what a preference model would learn. The reason is
counted by this name wherever one is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Why an answer is in no pair.
CUT = "cut_answer"
#: What an engine says of a reply that the limit of tokens ended.
_ENDED_BY = "length"


def is_cut(row: Mapping[str, Any]) -> bool:
    """Return whether an answer was cut, as its `finish_reason` says; one that says nothing was not."""
    return bool(row.get("finish_reason") == _ENDED_BY)


def mark_cut(answers: pl.DataFrame) -> pl.Expr:
    """Return which answers were cut, as a column of truth values; without `finish_reason` none was."""
    if "finish_reason" not in answers.columns:
        return pl.lit(value=False)
    return (pl.col("finish_reason") == _ENDED_BY).fill_null(value=False)
