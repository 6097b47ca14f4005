"""Counts the equal instructions of a whole dump, shard by shard: which rows come before a row, its shards never say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.filtering.instruction_equals import (
    ASKED,
    COMPARED,
    SIGNAL,
    count_earlier_equals,
    digest_asked,
    digest_equals,
)

if TYPE_CHECKING:
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Dataset


def count_dump_equals(instructions: Dataset, recipe: Recipe) -> dict[str, int]:
    """Return by id how many equal instructions of the dump come before each, for those that have any.

    Passages and answers are read of the few rows whose question stands twice. Where no rule of the recipe limits the
    signal nothing is read.

    Args:
        instructions: a dump's SYNTHESIZED_INSTRUCTIONS.
        recipe: its rules.
    """
    if all(rule.signal != SIGNAL for rule in recipe.instructions.rules):
        return {}
    shards = [commit.shard for commit in instructions.require_manifest().commits if commit.rows_out]
    if not shards:
        return {}
    asked = pl.concat(digest_asked(instructions.scan_shard(shard).select(ASKED).collect()) for shard in shards)
    shared = asked.filter(pl.len().over("asked") > 1).select("instruction_id").lazy()
    found = []
    for shard in shards:
        rows = instructions.scan_shard(shard).select(COMPARED).join(shared, on="instruction_id", how="semi")
        found.append(digest_equals(rows.collect()))
    return count_earlier_equals(pl.concat(found))
