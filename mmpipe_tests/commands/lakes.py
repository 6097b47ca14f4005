"""Writes small datasets into a lake for tests: rows with the columns that matter, the others filled in."""

from __future__ import annotations

from typing import Any

import polars as pl

from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.columns import Table


def publish(lake: Lake, table: Table, dump: str | None, rows: list[dict[str, Any]]) -> None:
    """Publish rows as a dataset of one shard; a column that is not given is null, or empty where null may not be."""
    filled = [{column.name: row.get(column.name, _fill(column)) for column in table.columns} for row in rows]
    unknown = {name for row in rows for name in row} - set(table.column_names)
    assert not unknown, unknown
    frame = pl.DataFrame(filled, schema=table.schema)
    produce(
        lake.dataset(table, dump),
        [ShardWork("0", "inputs", (frame,))],
        _as_it_is,
        code_version="1",
        recipe_yaml="",
        inputs={},
        engine=Engine(),
    )


def _as_it_is(frame: pl.DataFrame) -> ShardResult:
    return ShardResult(frame, frame.height)


def _fill(column: Any) -> Any:
    if column.nullable:
        return None
    if column.dtype == pl.String:
        return ""
    return [] if column.dtype.base_type() is pl.List else 0
