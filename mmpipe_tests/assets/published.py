"""Publishes frames as datasets, for tests that read them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce

if TYPE_CHECKING:
    import polars as pl

    from mmpipe.storage.lake import Dataset
    from mmpipe.tables.columns import Table


def publish(
    root: str, table: Table, *frames: pl.DataFrame, dump: str | None = "d", removed: int = 0, rows_in: int | None = None
) -> Dataset:
    """Publish one shard per frame; the ledger says that `rows_in` (or all) rows were read and `removed` removed."""
    dataset = Lake(root).dataset(table, dump)
    work = [
        ShardWork(f"{number:03d}", f"{frame.hash_rows().sum() if frame.width else 0}", (frame,))
        for number, frame in enumerate(frames)
    ]

    def make(frame: pl.DataFrame) -> ShardResult:
        read = frame.height + removed if rows_in is None else rows_in
        return ShardResult(frame, read, rows_removed=removed, accounts_for_rows=False)

    produce(dataset, work, make, code_version="1", recipe_yaml="", inputs={}, engine=Engine())
    return dataset
