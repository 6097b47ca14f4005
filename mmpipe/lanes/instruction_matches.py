"""The instruction lane's rows that hold text of an evaluation set, repeat each other, or were reviewed by people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.duplicates import make_scratch, open_text_embedder
from mmpipe.lanes.instruction_equals import count_dump_equals
from mmpipe.lanes.repeats import open_evaluation_index
from mmpipe.lanes.row_prices import name_shard_method
from mmpipe.lanes.stage import fingerprint_inputs, follow_shards
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.instruction_matches import (
    INSTRUCTION_CONTAMINATION,
    INSTRUCTION_DUPLICATES,
    INSTRUCTION_REVIEWS,
    PREFERENCE_CONTAMINATION,
)
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.keep import keep
from mmpipe.tables.removals import INSTRUCTION_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.stage import Knobs, StageRun
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.tables.columns import Table

#: Rules that no table of rules holds: what a review said.
REVIEW_RULE = "coannotating_verdict"
#: The texts of each table that are held against evaluation sets; a talk's turns are, each by itself.
CHECKED_FIELDS = {
    INSTRUCTION_CONTAMINATION.name: ("instruction", "context", "response"),
    PREFERENCE_CONTAMINATION.name: ("prompt", "chosen", "rejected"),
}


# instruction_contamination, preference_contamination ------------------------------------------------------------------


def find_instruction_contamination(run: StageRun) -> Production:
    """Find text of evaluation sets in what was synthesized; without sets, nothing is found."""
    return _hold_against_sets(run, SYNTHESIZED_INSTRUCTIONS)


def find_preference_contamination(run: StageRun) -> Production:
    """Find text of evaluation sets in the prompts and answers of all pairs; without sets, nothing is found."""
    from mmpipe.tables.preferences import PREFERENCE_PAIRS

    return _hold_against_sets(run, PREFERENCE_PAIRS)


def _hold_against_sets(run: StageRun, source: Table) -> Production:
    rows = run.read(source)
    if run.recipe.contamination.sets:
        # built here once, so that the shards only map it
        open_evaluation_index(run.recipe, run.knobs.cache_folder)
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, run.stage.table, run.recipe, run.knobs.cache_folder))
        for item in follow_shards(rows)
    ]
    return run.write(work, contamination_shard, inputs=fingerprint_inputs(rows))


def contamination_shard(source: Dataset, shard: str, table: Table, recipe: Recipe, cache_folder: str) -> ShardResult:
    """Find text of evaluation sets in the rows of one shard."""
    rows = source.read_shard(shard)
    if not recipe.contamination.sets or rows.is_empty():
        return ShardResult(table.make_empty(), rows.height, accounts_for_rows=False)
    hits = find_contaminated_spans(rows, table, recipe, cache_folder)
    counts = hits.group_by("evaluation_set").agg(pl.col(table.key[0]).n_unique()).sort("evaluation_set").rows()
    return ShardResult(hits, rows.height, counts=dict(counts), accounts_for_rows=False)


def find_contaminated_spans(rows: pl.DataFrame, table: Table, recipe: Recipe, cache_folder: str) -> pl.DataFrame:
    """Return the spans that rows share with the recipe's evaluation sets, as rows of `table`."""
    from mmpipe.deduplication.row_contamination import find_row_contamination

    index = open_evaluation_index(recipe, cache_folder)
    turns = "turns" if "turns" in rows.columns else None
    return find_row_contamination(rows, CHECKED_FIELDS[table.name], index, table, turns=turns)


def find_contaminated_corrections(
    rows: pl.DataFrame, reviews: pl.DataFrame, recipe: Recipe, cache_folder: str
) -> pl.DataFrame:
    """Return removals of instructions into which a person's better answer brought text of an evaluation set.

    What the teacher wrote was held against the sets before anybody reviewed it; a better answer never was.

    Args:
        rows: rows of SYNTHESIZED_INSTRUCTIONS, corrected (`instruction_reviews.apply_corrections`).
        reviews: rows of INSTRUCTION_REVIEWS.
        recipe: names the sets, and whether hits are removed.
        cache_folder: where their index lies.
    """
    from mmpipe.deduplication.row_contamination import removals_of_row_contamination

    written = reviews.filter(pl.col("corrected_response").is_not_null())
    corrected = rows.join(written, on="instruction_id", how="semi")
    hits = INSTRUCTION_CONTAMINATION.make_empty()
    if recipe.contamination.sets and corrected.height:
        hits = find_contaminated_spans(corrected, INSTRUCTION_CONTAMINATION, recipe, cache_folder)
    removals = removals_of_row_contamination(hits, INSTRUCTION_CONTAMINATION, remove=recipe.contamination.remove)
    return INSTRUCTION_REMOVALS.conform(removals)


# instruction_duplicates -----------------------------------------------------------------------------------------------


def find_dump_duplicates(run: StageRun) -> Production:
    """Compare the instructions of a dump that pass everything else, whatever method made them."""
    instructions, contamination = run.read(SYNTHESIZED_INSTRUCTIONS), run.read(INSTRUCTION_CONTAMINATION)
    reviews = run.read(INSTRUCTION_REVIEWS)
    inputs = fingerprint_inputs(instructions, contamination, reviews)
    arguments = (instructions, contamination, reviews, run.recipe, run.knobs)
    work = [ShardWork("all", digest_settings([inputs, run.knobs.embedder_weights]), arguments)]
    return run.write(work, duplicates_shard, inputs=inputs, is_in_process=True)


def duplicates_shard(
    instructions: Dataset, contamination: Dataset, reviews: Dataset, recipe: Recipe, knobs: Knobs
) -> ShardResult:
    """Compare the instructions of one dump; those that another reason takes are nobody's twin."""
    from mmpipe.deduplication.instruction_duplicates import (
        InstructionDuplicateSettings,
        find_keyed_duplicates,
        key_instructions,
    )

    section = recipe.instructions.duplicates
    height = instructions.require_manifest().rows_out
    if section is None:
        return ShardResult(INSTRUCTION_DUPLICATES.make_empty(), height, accounts_for_rows=False)
    settings = InstructionDuplicateSettings(**asdict(section))
    shards = [commit.shard for commit in instructions.require_manifest().commits]
    earlier = count_equals(instructions, contamination, reviews, recipe)
    keyed = [key_instructions(SYNTHESIZED_INSTRUCTIONS.make_empty(), settings)]
    for shard in shards:
        rows = instructions.read_shard(shard)
        removals = judge_rows(rows, contamination.read_shard(shard), reviews, shard, recipe, earlier)
        keyed.append(key_instructions(keep(rows, removals, key="instruction_id").frame, settings))
    embed = None
    if section.cosine is not None:
        embed = open_text_embedder(knobs).embed
    with make_scratch(knobs) as scratch:
        found = find_keyed_duplicates(pl.concat(keyed), settings, embed=embed, scratch=scratch / "pairs")
    counts = found.group_by("comparison").len().sort("comparison").rows()
    return ShardResult(found, height, counts=dict(counts), accounts_for_rows=False)


# instruction_removals -------------------------------------------------------------------------------------------------


def count_equals(instructions: Dataset, contamination: Dataset, reviews: Dataset, recipe: Recipe) -> dict[str, int]:
    """Return by id how many equal instructions of a dump come before each; see `instruction_equals`."""

    def judge_others(rows: pl.DataFrame, shard: str, others: Recipe) -> pl.DataFrame:
        return judge_rows(rows, contamination.read_shard(shard), reviews, shard, others, {})

    return count_dump_equals(instructions, recipe, judge_others)


def judge_rows(
    rows: pl.DataFrame,
    contamination: pl.DataFrame,
    reviews: Dataset,
    shard: str,
    recipe: Recipe,
    earlier: Mapping[str, int],
) -> pl.DataFrame:
    """Return the removals of one shard by rules, evaluation sets and people's verdicts; not yet those of repeats.

    Args:
        rows: instructions of the shard.
        contamination: spans that they share with evaluation sets.
        reviews: verdicts of the dump.
        shard: its name, which says what method made it.
        recipe: the rules, some of which may have limits by method.
        earlier: equal instructions before each, by id (`instruction_equals.count_dump_equals`).
    """
    from mmpipe.deduplication.row_contamination import removals_of_row_contamination
    from mmpipe.filtering.instruction_signals import measure_instructions
    from mmpipe.filtering.judge import judge
    from mmpipe.filtering.rules import METHOD

    # a row's own `method` is the file's name in `synthesis`, which two methods of a recipe may share
    signals = measure_instructions(rows, earlier).with_columns(pl.lit(name_shard_method(shard)).alias(METHOD))
    failed = judge(signals, recipe.instructions.rules, key="instruction_id", status=None)
    hits = removals_of_row_contamination(contamination, INSTRUCTION_CONTAMINATION, remove=recipe.contamination.remove)
    return pl.concat([failed, INSTRUCTION_REMOVALS.conform(hits), list_rejected(rows, reviews)])


def list_rejected(rows: pl.DataFrame, reviews: Dataset) -> pl.DataFrame:
    """Return a removal for each row that a review says to remove; `value_text` names who said so."""
    said = reviews.scan().join(rows.lazy().select("instruction_id"), on="instruction_id", how="semi").collect()
    rejected = said.filter(pl.col("verdict") == "remove")
    by = pl.format("remove, by {}", pl.col("annotators").list.join(", "))
    return INSTRUCTION_REMOVALS.conform(
        rejected.select(
            "instruction_id",
            pl.lit(REVIEW_RULE).alias("rule"),
            pl.lit("verdict").alias("signal"),
            pl.lit(None, dtype=pl.Float64).alias("value"),
            by.alias("value_text"),
            pl.lit(None, dtype=pl.Float64).alias("low"),
            pl.lit(None, dtype=pl.Float64).alias("high"),
            pl.lit(["keep"], dtype=pl.List(pl.String)).alias("allowed"),
        )
    )


def judge_all(
    rows: pl.DataFrame,
    contamination: Dataset,
    duplicates: Dataset,
    reviews: Dataset,
    shard: str,
    recipe: Recipe,
    earlier: Mapping[str, int],
) -> pl.DataFrame:
    """Return every removal of the instructions of one shard, in the columns of INSTRUCTION_REMOVALS."""
    from mmpipe.deduplication.instruction_duplicates import removals_of_instruction_duplicates

    alone = judge_rows(rows, contamination.read_shard(shard), reviews, shard, recipe, earlier)
    of_shard = rows.lazy().select("instruction_id")
    repeated = duplicates.scan().join(of_shard, on="instruction_id", how="semi").collect()
    return pl.concat([alone, removals_of_instruction_duplicates(repeated)])
