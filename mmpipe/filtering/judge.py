"""Judges signals by rules: which rules each row fails, and the funnel they make. It removes nothing; `keep` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import RecipeError, SchemaError, name_nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polars.datatypes import DataType, DataTypeClass

    from mmpipe.filtering.rules import Rule

#: The status of a row that could be read; rows of every other status are removed under that status.
OK = "ok"

#: Where a removal stands among all: a column while they are made.
_ORDER = "removal order"

_REMOVALS_SCHEMA: dict[str, DataType | DataTypeClass] = {
    "rule": pl.String,
    "signal": pl.String,
    "value": pl.Float64,
    "value_text": pl.String,
    "low": pl.Float64,
    "high": pl.Float64,
    "allowed": pl.List(pl.String),
}


@dataclass(frozen=True, slots=True)
class Funnel:
    """What a list of rules does to a table: rows in, rows kept, and rows each rule takes (by itself).

    `removed_by_rule` is ordered by descending count, then name, and leaves out rules that take nothing.
    """

    rows_in: int
    rows_kept: int
    removed_by_rule: dict[str, int]

    @property
    def rows_removed(self) -> int:
        """Distinct rows that fail a rule or have no readable content."""
        return self.rows_in - self.rows_kept


def judge(signals: pl.DataFrame, rules: Sequence[Rule], *, key: str, status: str | None) -> pl.DataFrame:
    """Return one row per failed rule of each row, with the measured value and the limits.

    A row whose `status` is not `ok` was never measured: it gets one removal named by that status and no other. Every
    other row gets all rules it fails. The result depends neither on the order of the rows nor on how they are cut into
    shards.

    Args:
        signals: one row per judged row; `key`, `status` and every signal of `rules` as columns.
        rules: rules in the order of the recipe.
        key: the id column.
        status: the column that says whether the row could be read, or None if all could.

    Returns:
        The columns of `tables.removals.describe_removals`, sorted by key, then by rule order.

    Raises:
        SchemaError: a column is missing or of the wrong kind, or `key` or `status` is null somewhere.
        RecipeError: two rules share a name.
    """
    _check(signals.schema, rules, key=key, status=status)
    for column in (key, status):
        if column is not None and signals.get_column(column).null_count():
            raise SchemaError(f"judge: {column} is null in {signals.get_column(column).null_count()} rows.")
    frame = signals.select(_list_columns(rules, key, status)).with_columns(pl.col(key).cast(pl.String))
    if not frame.get_column(key).is_sorted():
        frame = frame.sort(key, maintain_order=True)
    # numbers are sorted, and not keys: rows of one key first, then by rule
    frame = frame.with_columns((pl.col(key).rle_id().cast(pl.Int64) * (len(rules) + 1)).alias(_ORDER))
    readable = pl.lit(value=True) if status is None else pl.col(status) == OK
    empty = pl.DataFrame(schema={key: pl.String, **_REMOVALS_SCHEMA, _ORDER: pl.Int64})
    parts = [
        frame.lazy().filter(readable & ~rule.passes()).select(_describe(rule, order + 1, key))
        for order, rule in enumerate(rules)
    ]
    if status is not None:
        parts.append(frame.lazy().filter(pl.col(status) != OK).select(_describe_status(key, status)))
    return pl.concat([empty.lazy(), *parts]).sort(_ORDER, maintain_order=True).drop(_ORDER).collect()


def _list_columns(rules: Sequence[Rule], key: str, status: str | None) -> list[str]:
    words = [rule.own_column for rule in rules if rule.own_limits]
    return list(dict.fromkeys([key, *([status] if status else []), *(rule.signal for rule in rules), *words]))


def count_funnel(
    signals: pl.DataFrame | pl.LazyFrame, rules: Sequence[Rule], *, key: str, status: str | None
) -> Funnel:
    """Return the funnel that `judge` and `keep` would make, in one pass and writing nothing.

    Args:
        signals: as for `judge`; a lazy frame is streamed, so a table larger than memory may be asked.
        rules: as for `judge`.
        key: as for `judge`.
        status: as for `judge`.

    Raises:
        SchemaError: a column is missing or of the wrong kind.
        RecipeError: two rules share a name.
    """
    frame = signals.lazy()
    _check(frame.collect_schema(), rules, key=key, status=status)
    readable = pl.lit(value=True) if status is None else pl.col(status) == OK
    failed = [(readable & ~rule.passes()).sum().alias(f"rule:{rule.name}") for rule in rules]
    kept = pl.all_horizontal(readable, *(rule.passes() for rule in rules)).sum().alias("kept")
    counts = frame.select(pl.len().alias("rows"), kept, *failed).collect(engine="streaming").row(0, named=True)
    removed = {rule.name: int(counts[f"rule:{rule.name}"] or 0) for rule in rules}
    if status is not None:
        unreadable = frame.filter(pl.col(status) != OK).group_by(status).agg(pl.len().alias("rows"))
        removed.update(dict(unreadable.collect(engine="streaming").select(status, "rows").iter_rows()))
    ordered = sorted(((rows, name) for name, rows in removed.items() if rows), key=lambda item: (-item[0], item[1]))
    return Funnel(int(counts["rows"]), int(counts["kept"] or 0), {name: rows for rows, name in ordered})


def _describe(rule: Rule, order: int, key: str) -> list[pl.Expr]:
    value = pl.col(rule.signal)
    as_number = pl.lit(None, pl.Float64) if rule.is_categorical else value.cast(pl.Float64).fill_nan(None)
    return [
        pl.col(key).cast(pl.String),
        pl.lit(rule.name, pl.String).alias("rule"),
        pl.lit(rule.signal, pl.String).alias("signal"),
        as_number.alias("value"),
        (value.cast(pl.String) if rule.is_categorical else pl.lit(None, pl.String)).alias("value_text"),
        rule.find_limit("low").alias("low"),
        rule.find_limit("high").alias("high"),
        pl.lit(None if rule.allowed is None else list(rule.allowed), pl.List(pl.String)).alias("allowed"),
        pl.col(_ORDER) + order,
    ]


def _describe_status(key: str, status: str) -> list[pl.Expr]:
    return [
        pl.col(key).cast(pl.String),
        pl.col(status).cast(pl.String).alias("rule"),
        pl.lit(status, pl.String).alias("signal"),
        pl.lit(None, pl.Float64).alias("value"),
        pl.col(status).cast(pl.String).alias("value_text"),
        pl.lit(None, pl.Float64).alias("low"),
        pl.lit(None, pl.Float64).alias("high"),
        pl.lit(None, pl.List(pl.String)).alias("allowed"),
        pl.col(_ORDER),
    ]


def _check(schema: pl.Schema, rules: Sequence[Rule], *, key: str, status: str | None) -> None:
    names = [rule.name for rule in rules]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RecipeError(f"judge: rules named twice: {repeated}; each row keeps one removal per rule name.")
    for column in (key, status, *(rule.signal for rule in rules)):
        if column is not None and column not in schema:
            raise SchemaError(f"judge: the signals have no column {column!r}.{name_nearest(column, schema.names())}")
    for rule in rules:
        is_word = schema[rule.signal] == pl.String
        if is_word != rule.is_categorical and schema[rule.signal] != pl.Null:
            wanted = "words (allowed)" if is_word else "numbers (low, high)"
            raise SchemaError(f"judge: {rule.signal} holds {schema[rule.signal]}, so {rule.name} must limit {wanted}.")
        if rule.own_limits and schema.get(rule.own_column) not in (pl.String, pl.Null):
            raise SchemaError(
                f"judge: {rule.name} has limits by {rule.own_column}, and the signals have no words in "
                f"{rule.own_column!r}."
            )
