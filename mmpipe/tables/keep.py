"""Keeps rows: the only place in mmpipe where rows disappear, and the invariant that accounts for each of them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from mmpipe.errors import InvariantBroken


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows that stay and the account of those that do not.

    `removed_by_rule` counts rows per failing rule; a row that fails two rules counts under both, once in
    `rows_removed`.
    """

    frame: pl.DataFrame
    rows_in: int
    rows_removed: int
    removed_by_rule: dict[str, int]


def keep(rows: pl.DataFrame, removals: pl.DataFrame, *, key: str) -> Kept:
    """Return the rows of `rows` whose `key` has no removal.

    Args:
        rows: any frame with a unique, non-null `key` column.
        removals: a frame with at least `key` and `rule`; removals of ids that are not in `rows` are refused.
        key: the id column.

    Raises:
        InvariantBroken: ids repeat or are null, or a removal names a row that was never there, so that
            rows in = rows kept + distinct rows removed would not hold.
    """
    if rows.get_column(key).null_count() or rows.get_column(key).n_unique() != rows.height:
        raise InvariantBroken(f"keep: {key} is not unique and non-null in {rows.height} rows; ids must name one row.")
    removed_ids = removals.select(key).unique()
    frame = rows.join(removed_ids, on=key, how="anti", maintain_order="left")
    if rows.height != frame.height + removed_ids.height:
        raise InvariantBroken(
            f"keep: {rows.height} rows in, {frame.height} kept and {removed_ids.height} distinct {key} removed do not "
            f"add up; the removals were made from other rows. Materialize the removals again."
        )
    return Kept(frame, rows.height, removed_ids.height, count_removed_by_rule(removals, key=key))


def count_removed_by_rule(removals: pl.DataFrame, *, key: str) -> dict[str, int]:
    """Return how many distinct rows each rule took, by descending count, then name."""
    counts = removals.group_by("rule").agg(pl.col(key).n_unique().alias("rows"))
    return dict(counts.sort(["rows", "rule"], descending=[True, False]).select("rule", "rows").iter_rows())
