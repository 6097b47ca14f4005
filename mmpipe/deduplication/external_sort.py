"""Sorts and joins more rows than memory holds, with DuckDB, which lays them on disk where they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from mmpipe.deduplication.pair_files import Scratch


def write_rows(rows: pl.LazyFrame, scratch: Scratch, name: str) -> Path:
    """Stream rows into a Parquet file of the scratch folder and return its path."""
    file = scratch.name_file(f"{name}.parquet")
    rows.sink_parquet(file, compression="lz4", maintain_order=False)
    return file


def stream_rows(rows: pl.LazyFrame, scratch: Scratch) -> Iterator[pl.DataFrame]:
    """Yield rows in their order, some at a time."""
    batch_rows = max(1024, min(1 << 18, scratch.memory_bytes // 4096))
    yield from (batch for batch in rows.collect_batches(chunk_size=batch_rows, maintain_order=True) if batch.height)


def copy_query(scratch: Scratch, query: str, file: Path) -> None:
    """Write what a query gives, in its order, as a Parquet file.

    Args:
        scratch: where to spill.
        query: DuckDB SQL; files are named in it by `quote_path`.
        file: to write.
    """
    scratch.sorter.execute(f"COPY ({query}) TO {quote_path(file)} (FORMAT parquet, COMPRESSION zstd)")


def quote_path(path: Path) -> str:
    """Return the path as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"
