"""The choice among image-text pairs: what fails a rule, what repeats, what balance leaves out; and what stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.image_balance import IMAGE_BALANCE
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.keep import count_removed_by_rule, keep
from mmpipe.tables.removals import IMAGE_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production

#: What a pair that stays does not take along: why its bytes were not found.
_NOT_KEPT = ("image_detail", "image_sha256")


def list_judged_columns(recipe: Recipe) -> list[str]:
    """Return the columns of image_signals and image_counts that judging by a recipe reads, beside the id."""
    limited = dict.fromkeys(rule.signal for rule in recipe.images.rules)
    languages = ["caption_language"] if any(rule.by_language for rule in recipe.images.rules) else []
    return ["decode_status", *limited, *languages]


def read_measured(signals: Dataset, counts: Dataset, shard: str, columns: list[str]) -> pl.DataFrame:
    """Return `pair_id` and the wanted columns of one shard, those of the signals and of the counts side by side."""
    wanted = dict.fromkeys(columns)
    own = [name for name in wanted if name in IMAGE_SIGNALS.schema]
    counted = [name for name in wanted if name not in IMAGE_SIGNALS.schema]
    rows = signals.scan_shard(shard).select("pair_id", *own).collect()
    if not counted:
        return rows
    return rows.join(
        counts.scan_shard(shard).select("pair_id", *counted).collect(), on="pair_id", how="left", maintain_order="left"
    )


def judge_shard(signals: Dataset, counts: Dataset, shard: str, recipe: Recipe) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what was judged of one shard (`pair_id` and the limited signals), and the removals by rules."""
    from mmpipe.filtering.image_verdicts import judge_images as judge_rows

    rows = read_measured(signals, counts, shard, list_judged_columns(recipe))
    return rows, judge_rows(rows, recipe.images.rules)


def list_passing(signals: Dataset, counts: Dataset, recipe: Recipe) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield each shard with the `pair_id` of its pairs that pass every rule; one shard is held at a time."""
    for commit in signals.require_manifest().commits:
        rows, removals = judge_shard(signals, counts, commit.shard, recipe)
        yield commit.shard, rows.select("pair_id").join(removals, on="pair_id", how="anti", maintain_order="left")


# image_removals -------------------------------------------------------------------------------------------------------

CHOICE = (IMAGE_SIGNALS, IMAGE_COUNTS, IMAGE_DUPLICATES, IMAGE_BALANCE)


def judge_images(run: StageRun) -> Production:
    """Judge the stored signals by the rules of the recipe, and cite what repeats another and what balance left out."""
    datasets = [run.read(table) for table in CHOICE]
    signals, counts, duplicates, balance = datasets
    extra = [dataset.require_manifest().fingerprint for dataset in (duplicates, balance)]
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, duplicates, balance, run.recipe))
        for item in follow_shards(signals, counts, extra=" ".join(extra))
    ]
    return run.write(work, removals_shard, inputs=fingerprint_inputs(*datasets))


def removals_shard(
    signals: Dataset, counts: Dataset, shard: str, duplicates: Dataset, balance: Dataset, recipe: Recipe
) -> ShardResult:
    """Judge one shard."""
    from mmpipe.deduplication.image_duplicates import cite_duplicates
    from mmpipe.sampling.balance_removals import cite_balance

    rows, failed = judge_shard(signals, counts, shard, recipe)
    ids = rows.lazy().select("pair_id")
    repeated = duplicates.scan().join(ids, on="pair_id", how="semi").collect()
    balanced = balance.scan().filter(~pl.col("is_kept")).join(ids, on="pair_id", how="semi").collect()
    removals = pl.concat(
        [IMAGE_REMOVALS.conform(part) for part in (failed, cite_duplicates(repeated), cite_balance(balanced))]
    )
    return ShardResult(
        removals,
        rows.height,
        rows_removed=removals.get_column("pair_id").n_unique(),
        removed_by_rule=count_removed_by_rule(removals, key="pair_id"),
        accounts_for_rows=False,
    )


# filtered_image_pairs -------------------------------------------------------------------------------------------------


def filter_pairs(run: StageRun) -> Production:
    """Keep the pairs without removals."""
    from mmpipe.lanes.image_report import save_image_report

    assert run.dump is not None
    datasets = [run.read(table) for table in (IMAGE_CANDIDATES, IMAGE_SIGNALS, IMAGE_REMOVALS)]
    work = [ShardWork(item.shard, item.inputs, item.arguments) for item in follow_shards(*datasets)]
    production = run.write(work, filter_pairs_shard, inputs=fingerprint_inputs(*datasets))
    save_image_report(run.lake, run.dump, cache_folder=run.knobs.cache_folder)
    return production


def filter_pairs_shard(candidates: Dataset, signals: Dataset, removals: Dataset, shard: str) -> ShardResult:
    """Keep the pairs of one shard."""
    rows = candidates.read_shard(shard).drop(_NOT_KEPT)
    wanted = [name for name in FILTERED_IMAGE_PAIRS.column_names if name not in rows.columns]
    measured = signals.scan_shard(shard).select("pair_id", *wanted).collect()
    pairs = rows.join(measured, on="pair_id", how="left", maintain_order="left")
    kept = keep(pairs, removals.read_shard(shard), key="pair_id")
    frame = kept.frame.select(FILTERED_IMAGE_PAIRS.column_names)
    return ShardResult(frame, kept.rows_in, kept.rows_removed, kept.removed_by_rule)
