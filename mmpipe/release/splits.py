"""Splits rows into training and validation so that rows which share a user, document, image or prompt never part."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from mmpipe.errors import ConfigurationError, InvariantBroken

#: What `assign_splits` returns: `split_group` is equal for rows that may not part.
SPLITS = pl.Schema({"id": pl.String, "split": pl.String, "split_group": pl.String})


def list_group_keys(frame: pl.DataFrame, parent_tables: Collection[str] | None = None) -> pl.DataFrame:
    """Return `id` and `group_keys` of released rows: comparison set, user, parents and images, whichever they have.

    Args:
        frame: `id`; of the columns group_id, user_id, parents (structs of table and id) and images (structs with a
            path, or paths) those that are there count.
        parent_tables: tables whose rows tie children together; None for all. A table of few rows that all others are
            made from (seed tasks, demonstrations) would tie everything into one group: leave it out.
    """
    keys = [
        pl.concat_list(pl.format(f"{name}:{{}}", pl.col(name).cast(pl.String))).list.drop_nulls()
        for name in ("group_id", "user_id")
        if name in frame.columns
    ]
    if "parents" in frame.columns:
        table, row = pl.element().struct.field("table"), pl.element().struct.field("id")
        counts = pl.lit(value=True) if parent_tables is None else table.is_in(list(parent_tables))
        keys.append(
            pl.col("parents").list.eval(
                pl.when(counts).then(pl.concat_str(pl.lit("parent:"), table, pl.lit(":"), row)).drop_nulls()
            )
        )
    if "images" in frame.columns:
        inner = getattr(frame.schema["images"], "inner", None)
        image = pl.element().struct.field("path") if isinstance(inner, pl.Struct) else pl.element()
        keys.append(pl.col("images").list.eval(pl.format("image:{}", image)))
    empty = pl.lit([], dtype=pl.List(pl.String))
    return frame.select("id", group_keys=pl.concat_list(empty, *[key.fill_null(empty) for key in keys]))


def assign_splits(rows: pl.DataFrame, fractions: Mapping[str, float], seed: int) -> pl.DataFrame:
    """Return SPLITS, one row per row, in order.

    Rows that share a key, directly or through other rows, are one group; a group is drawn as a whole by a hash of the
    seed and its least key, so the draw depends on neither order nor machine. The shares hold on average over groups;
    a group of many rows moves the counts of rows.

    Args:
        rows: `id` (unique) and `group_keys`, lists of strings; a row with none is a group of its own.
        fractions: share of each split, above 0 in sum 1; for example `{"train": 0.98, "validation": 0.02}`.
        seed: of the draws.

    Raises:
        ConfigurationError: the shares are not what they should be.
        InvariantBroken: an id stands there twice; it is named.
    """
    _require_fractions(fractions)
    repeated = rows.filter(pl.col("id").is_duplicated())
    if repeated.height:
        raise InvariantBroken(f"Splits: row {repeated.item(0, 'id')} stands there more than once.")
    if rows.is_empty():
        return pl.DataFrame(schema=SPLITS)
    groups = _unite(rows.get_column("group_keys").fill_null([]).to_list(), rows.get_column("id").to_list())
    bounds = np.cumsum(list(fractions.values()))
    names = list(fractions)
    chosen = {group: names[_place(group, seed, bounds)] for group in set(groups)}
    return pl.DataFrame(
        {"id": rows.get_column("id"), "split": [chosen[group] for group in groups], "split_group": groups},
        schema=SPLITS,
    )


def find_straddling(splits: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return `group_key` and `splits` of the keys whose rows stand in more than one split: none, if all is well.

    It looks at the keys themselves, so it holds any split to account, whoever made it.
    """
    return (
        rows.select("id", group_key="group_keys")
        .explode("group_key")
        .drop_nulls()
        .join(splits.select("id", "split"), on="id")
        .group_by("group_key")
        .agg(splits=pl.col("split").unique().sort())
        .filter(pl.col("splits").list.len() > 1)
        .sort("group_key")
    )


def _require_fractions(fractions: Mapping[str, float]) -> None:
    wrong = next((name for name, share in fractions.items() if not (math.isfinite(share) and share > 0)), None)
    if wrong is not None:
        raise ConfigurationError(f"Splits: the share of {wrong!r} must be above 0, not {fractions[wrong]}.")
    if not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-9):
        raise ConfigurationError(f"Splits: shares must make 1, not {sum(fractions.values()):g}.")


def _unite(keys_of_rows: Sequence[Sequence[str | None]], ids: Sequence[str]) -> list[str]:
    """Return the name of each row's group: a digest of the least key in it, by union-find over keys.

    The least by hash rather than the row's own id: a new row of a known group leaves its draw alone, unless it brings
    a key that hashes lower.
    """
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        root = key
        while parent[root] != root:
            root = parent[root]
        while parent[key] != root:
            parent[key], key = root, parent[key]
        return root

    hashes: dict[str, int] = {}
    firsts = []
    for keys, row_id in zip(keys_of_rows, ids, strict=True):
        present = [key for key in keys if key is not None] or [f"row:{row_id}"]
        for key in present:
            if key not in parent:
                parent[key] = key
                hashes[key] = xxhash.xxh3_128_intdigest(key.encode())
            low, high = sorted((find(present[0]), find(key)), key=lambda root: (hashes[root], root))
            # the root is always the least key of its group
            parent[high] = low
        firsts.append(present[0])
    return [xxhash.xxh3_128_hexdigest(find(first).encode()) for first in firsts]


def _place(group: str, seed: int, bounds: NDArray[np.float64]) -> int:
    draw = (xxhash.xxh3_64_intdigest(f"split\0{group}".encode(), seed=seed) >> 11) * 2.0**-53
    return min(int(np.searchsorted(bounds, draw, side="right")), len(bounds) - 1)
