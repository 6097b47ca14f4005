"""Keeps every candidate of a synthesis, accepted or refused with its reason, and takes the accepted ones on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import InvariantBroken
from mmpipe.filtering.judge import OK, judge
from mmpipe.lanes.instruction_matches import count_equals, judge_all
from mmpipe.lanes.stage import fingerprint_inputs, follow_shards
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings, make_id
from mmpipe.tables.instruction_matches import INSTRUCTION_CONTAMINATION, INSTRUCTION_DUPLICATES, INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.keep import Kept, count_removed_by_rule, keep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.synthesis.drafts import Synthesis

#: The column that says why a candidate became no row; removals name it as their signal.
STATUS = "candidate_status"
#: Characters of a refused text that are kept.
TEXT_CHARS = 20_000


def count_spent(synthesis: Synthesis) -> dict[str, float]:
    """Return what a synthesis asked for and paid, and each refused reply by reason, as tallies that can be added up."""
    spent = synthesis.spent
    # replies, not rows: a row that is asked for again counts for each
    refused = {f"replies_refused_{reason}": count for reason, count in synthesis.rejected_replies.items()}
    return {
        "requests": spent.requests,
        "requests_cached": spent.cached,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cost": spent.cost,
        **({"missing": synthesis.missing} if synthesis.wanted is not None else {}),
        **refused,
    }


# instruction_candidates -----------------------------------------------------------------------------------------------


def account_for_candidates(synthesis: Synthesis, method: str, dump: str, device_seconds: float) -> ShardResult:
    """Return every candidate of a method as one row: planned = accepted + refused.

    Args:
        synthesis: what the method made.
        method: the recipe's name of it.
        dump: of the shard.
        device_seconds: how long the teacher was held.

    Raises:
        InvariantBroken: rows and refused candidates are not all that was planned.
    """
    refused = list_refused(synthesis, method, dump)
    accepted = synthesis.frame.with_columns(
        pl.lit(OK).alias(STATUS), pl.col("instruction_id").alias("candidate"), pl.lit("").alias("text")
    )
    frame = INSTRUCTION_CANDIDATES.conform(
        pl.concat([accepted.select(INSTRUCTION_CANDIDATES.column_names), refused], how="vertical")
    )
    if frame.height != synthesis.planned:
        raise InvariantBroken(
            f"{method}: {synthesis.planned} candidates were planned; {accepted.height} rows and {refused.height} "
            f"refused ones are there. The method's account is wrong."
        )
    counts = count_spent(synthesis) | {"accepted": accepted.height}
    return ShardResult(frame, synthesis.planned, counts=counts, device_seconds=device_seconds)


def list_refused(synthesis: Synthesis, method: str, dump: str) -> pl.DataFrame:
    """Return the refused candidates as rows of INSTRUCTION_CANDIDATES, in their order.

    Methods name a candidate as they like, and one name may stand several times; the id tells them apart. What a method
    counts without naming it has no name and no text.

    Raises:
        InvariantBroken: more are named than counted.
    """
    columns = ("id", "text", "reason", "details")
    named = [] if synthesis.candidates is None else synthesis.candidates.select(columns).rows()
    reasons = Counter(reason for _, _, reason, _ in named)
    unnamed = Counter(synthesis.rejected) - reasons
    if reasons - Counter(synthesis.rejected):
        raise InvariantBroken(
            f"{method}: refused candidates are counted as {synthesis.rejected} and named as {dict(reasons)}: the "
            f"method's account is wrong."
        )
    seen: Counter[str] = Counter()
    rows = []
    for candidate, text, reason, details in (
        *named,
        *(("", "", reason, None) for reason in sorted(unnamed.elements())),
    ):
        rows.append(
            {
                "instruction_id": make_id("refused", dump, method, candidate, seen[candidate]),
                "dump": dump,
                "method": method,
                STATUS: reason,
                "candidate": candidate,
                "text": (text or "")[:TEXT_CHARS],
                "details": details,
            }
        )
        seen[candidate] += 1
    return pl.DataFrame(rows, schema=INSTRUCTION_CANDIDATES.schema)


def take_accepted(candidates: pl.DataFrame) -> pl.DataFrame:
    """Return the accepted candidates as rows of SYNTHESIZED_INSTRUCTIONS."""
    columns = SYNTHESIZED_INSTRUCTIONS.column_names
    return SYNTHESIZED_INSTRUCTIONS.conform(candidates.filter(pl.col(STATUS) == OK).select(columns))


# synthesized_instructions ---------------------------------------------------------------------------------------------


def accept_instructions(run: StageRun) -> Production:
    """Take on the candidates that their method accepted; nobody is asked."""
    candidates = run.read(INSTRUCTION_CANDIDATES)
    commits = {commit.shard: commit for commit in candidates.require_manifest().commits}
    work = [
        # what was paid is not in the rows, and may differ between two runs that made equal ones
        ShardWork(item.shard, make_id(item.inputs, str(commits[item.shard].counts)), item.arguments)
        for item in follow_shards(candidates)
    ]
    return run.write(work, accept_shard, inputs=fingerprint_inputs(candidates))


def accept_shard(candidates: Dataset, shard: str) -> ShardResult:
    """Take on the accepted candidates of one shard, with what they cost: candidates = rows + refused by reason."""
    rows = candidates.read_shard(shard)
    (commit,) = (commit for commit in candidates.require_manifest().commits if commit.shard == shard)
    removals = judge(rows, (), key="instruction_id", status=STATUS)
    return ShardResult(
        take_accepted(rows),
        rows.height,
        rows_removed=removals.height,
        removed_by_rule=count_removed_by_rule(removals, key="instruction_id"),
        counts=commit.counts,
    )


# instruction_removals -------------------------------------------------------------------------------------------------


def judge_instructions(run: StageRun) -> Production:
    """Judge the instructions by rules, evaluation sets, reviews and repeats; what a method refused has its reason."""
    candidates, instructions = run.read(INSTRUCTION_CANDIDATES), run.read(SYNTHESIZED_INSTRUCTIONS)
    contamination = run.read(INSTRUCTION_CONTAMINATION)
    whole = run.read(INSTRUCTION_DUPLICATES), run.read(INSTRUCTION_REVIEWS)
    earlier = count_equals(instructions, contamination, run.read(INSTRUCTION_REVIEWS), run.recipe)
    fingerprint = digest_settings([[dataset.require_manifest().fingerprint for dataset in whole], earlier])
    arguments = (candidates, instructions, contamination, *whole)
    work = [
        ShardWork(item.shard, item.inputs, (*arguments, item.shard, run.recipe, earlier))
        for item in follow_shards(candidates, instructions, contamination, extra=fingerprint)
    ]
    inputs = fingerprint_inputs(candidates, instructions, contamination, *whole)
    return run.write(work, judge_instructions_shard, inputs=inputs)


def judge_instructions_shard(
    candidates: Dataset,
    instructions: Dataset,
    contamination: Dataset,
    duplicates: Dataset,
    reviews: Dataset,
    shard: str,
    recipe: Recipe,
    earlier: Mapping[str, int],
) -> ShardResult:
    """Judge the candidates of one shard; `earlier` counts equal instructions of the dump.

    Raises:
        InvariantBroken: the instructions are not the accepted candidates.
    """
    every, rows = candidates.read_shard(shard), instructions.read_shard(shard)
    refused = tell_measured(judge(every, (), key="instruction_id", status=STATUS), every)
    # of distinct ids, which `keep` demands, all but the refused ones
    kept = keep(every.select("instruction_id"), refused, key="instruction_id").frame
    if set(kept.get_column("instruction_id")) != set(rows.get_column("instruction_id")):
        raise InvariantBroken(
            f"{instructions.label}, shard {shard}: its {rows.height} rows are not the {kept.height} candidates that "
            f"were accepted. Materialize {instructions.label} again."
        )
    failed = judge_all(rows, contamination, duplicates, reviews, shard, recipe, earlier)
    removals = pl.concat([refused, failed]).sort("instruction_id", maintain_order=True)
    return ShardResult(
        removals,
        every.height,
        rows_removed=removals.get_column("instruction_id").n_unique(),
        removed_by_rule=count_removed_by_rule(removals, key="instruction_id"),
        accounts_for_rows=False,
    )


def tell_measured(refused: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """Return the removals of refused candidates with what their method's check measured, found and lets pass.

    A check that only says yes or no leaves its own name as `value_text`, and the numbers null.

    Args:
        refused: removals as `judge` gives them.
        candidates: rows of INSTRUCTION_CANDIDATES; the `details` of refused ones are `Refusal.describe`'s.
    """
    from mmpipe.synthesis.refusals import read_refusal

    said = candidates.filter(pl.col(STATUS) != OK).select("instruction_id", "details").rows()
    told = {number: read_refusal(details) for number, details in said}
    measured = [told[number] for number in refused.get_column("instruction_id")]
    found = [
        None if not one else one.get("found") or (f"like {one['near']}" if "near" in one else None) for one in measured
    ]
    words = pl.Series("found", found, dtype=pl.String)
    numbers = [
        pl.Series(name, [one.get(name) for one in measured], dtype=pl.Float64) for name in ("value", "low", "high")
    ]
    has_value = numbers[0].is_not_null()
    return refused.with_columns(
        *numbers, value_text=pl.when(words.is_null() & ~has_value).then("value_text").otherwise(words)
    )


def keep_instructions(instructions: Dataset, removals: Dataset) -> Kept:
    """Return the instructions of a dump that no rule removed; refused candidates never were instructions."""
    by_rules = removals.scan().filter(pl.col("signal") != STATUS)
    return keep(instructions.scan().collect(), by_rules.collect(), key="instruction_id")


def scan_kept(instructions: Dataset, removals: Dataset) -> pl.LazyFrame:
    """Return the rows of `keep_instructions` read lazily, in their order: whoever needs few of them reads those."""
    removed = removals.scan().filter(pl.col("signal") != STATUS).select("instruction_id").unique()
    return instructions.scan().join(removed, on="instruction_id", how="anti", maintain_order="left")
