"""Counts the equal instructions of a whole dump, shard by shard: which rows come before a row, its shards never say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.filtering.instruction_equals import (
    ASKED,
    COMPARED,
    SIGNAL,
    count_earlier_equals,
    digest_asked,
    digest_equals,
    keep_equal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Dataset


def count_dump_equals(
    instructions: Dataset, recipe: Recipe, judge: Callable[[pl.DataFrame, str, Recipe], pl.DataFrame]
) -> dict[str, int]:
    """Return by id how many equal instructions of the dump come before each, for those that have any.

    Rows that another reason takes come before nobody, or the last of equal rows would go for one that goes itself.
    Passages and answers are read of the few rows whose question stands twice. Where no rule of the recipe limits the
    signal nothing is read.

    Args:
        instructions: a dump's SYNTHESIZED_INSTRUCTIONS.
        recipe: its rules.
        judge: returns the removals of rows of a shard by a recipe, column instruction_id among them.
    """
    rules = recipe.instructions.rules
    if all(rule.signal != SIGNAL for rule in rules):
        return {}
    shards = [commit.shard for commit in instructions.require_manifest().commits if commit.rows_out]
    if not shards:
        return {}
    asked = pl.concat(digest_asked(instructions.scan_shard(shard).select(ASKED).collect()) for shard in shards)
    shared = asked.filter(pl.len().over("asked") > 1).select("instruction_id").lazy()
    found = []
    for shard in shards:
        rows = instructions.scan_shard(shard).select(COMPARED).join(shared, on="instruction_id", how="semi")
        found.append(digest_equals(rows.collect()).with_columns(pl.lit(shard).alias("shard")))
    equal = keep_equal(pl.concat(found))
    others = replace(
        recipe, instructions=replace(recipe.instructions, rules=tuple(rule for rule in rules if rule.signal != SIGNAL))
    )
    for (shard,), part in equal.partition_by("shard", as_dict=True, maintain_order=True).items():
        rows = instructions.scan_shard(str(shard)).join(part.lazy(), on="instruction_id", how="semi")
        equal = equal.join(judge(rows.collect(), str(shard), others), on="instruction_id", how="anti")
    return count_earlier_equals(equal)
