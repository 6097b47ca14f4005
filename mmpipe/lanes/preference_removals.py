"""Says which preference pairs of a dump are not released, and why: evaluation sets, and what other pairs say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.stage import StageRun, fingerprint_inputs
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.instruction_matches import PREFERENCE_CONTAMINATION
from mmpipe.tables.keep import count_removed_by_rule, keep
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import PREFERENCE_REMOVALS

if TYPE_CHECKING:
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production


def judge_dump_pairs(run: StageRun) -> Production:
    """Judge the pairs of a dump in one shard: methods have shards of their own, and say the same of one prompt."""
    pairs, contamination = run.read(PREFERENCE_PAIRS), run.read(PREFERENCE_CONTAMINATION)
    inputs = fingerprint_inputs(pairs, contamination)
    work = [ShardWork("all", digest_settings(inputs), (pairs, contamination, run.recipe))]
    return run.write(work, removals_shard, inputs=inputs, is_in_process=True)


def removals_shard(pairs: Dataset, contamination: Dataset, recipe: Recipe) -> ShardResult:
    """Return why pairs of a dump fall; of those that an evaluation set takes, none is held against another pair."""
    from mmpipe.deduplication.row_contamination import removals_of_row_contamination
    from mmpipe.synthesis.comparison_groups import find_fallen, key_pairs

    hits = contamination.scan().collect()
    contaminated = PREFERENCE_REMOVALS.conform(
        removals_of_row_contamination(hits, PREFERENCE_CONTAMINATION, remove=recipe.contamination.remove)
    )
    # keys, not texts: a dump of votes has millions of pairs
    shards = [commit.shard for commit in pairs.require_manifest().commits]
    said = ("pair_id", "group_id", "chosen", "rejected")
    read = [key_pairs(pairs.scan_shard(shard).select(said).collect()) for shard in shards]
    keyed = pl.concat([key_pairs(PREFERENCE_PAIRS.make_empty()), *read])
    clean = keep(keyed, contaminated, key="pair_id").frame
    removals = pl.concat([contaminated, removals_of_fallen(find_fallen(clean))]).sort("pair_id", "rule")
    return ShardResult(
        removals,
        keyed.height,
        rows_removed=removals.get_column("pair_id").n_unique(),
        removed_by_rule=count_removed_by_rule(removals, key="pair_id"),
        accounts_for_rows=False,
    )


def removals_of_fallen(fallen: pl.DataFrame) -> pl.DataFrame:
    """Return pairs that another repeats or denies as removals: `value_text` is the other pair's id.

    Args:
        fallen: as `comparison_groups.find_fallen` returns it.
    """
    return PREFERENCE_REMOVALS.conform(
        fallen.select(
            "pair_id",
            rule="reason",
            signal="reason",
            value=pl.lit(None, pl.Float64),
            value_text="other_id",
            low=pl.lit(None, pl.Float64),
            high=pl.lit(None, pl.Float64),
            allowed=pl.lit(None, pl.List(pl.String)),
        )
    )
