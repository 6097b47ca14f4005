"""Pairs the better and the worse response to one instruction; what cannot be told apart gives no pair."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from mmpipe.synthesis.cut_answers import CUT, mark_cut
from mmpipe.synthesis.drafts import sort_counts
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Why an instruction, or a comparison, gives no pair.
REASONS = ("unparsed_judgement", "single_response", CUT, "tied_scores", "identical_responses")

PAIRS_SCHEMA = pl.Schema(
    {
        "pair_id": pl.String,
        "instruction_id": pl.String,
        "chosen_id": pl.String,
        "rejected_id": pl.String,
        "chosen": pl.String,
        "rejected": pl.String,
        "score_chosen": pl.Float64,
        "score_rejected": pl.Float64,
        "criterion": pl.String,
    }
)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Preference pairs and the account of what gave none.

    Attributes:
        frame: one row per pair, `PAIRS_SCHEMA`.
        instructions: instructions with a response.
        left_out: responses without a score (`unparsed_judgement`), instructions with fewer than two scored responses
            (`single_response`; `cut_answer` where those that the limit of tokens cut would have made two), and
            comparisons that are ties or of equal text.
    """

    frame: pl.DataFrame
    instructions: int
    left_out: dict[str, int]


def build_pairs(
    responses: pl.DataFrame, judgements: pl.DataFrame, *, which: Literal["best_worst", "all"] = "best_worst"
) -> Pairs:
    """Return preference pairs.

    Args:
        responses: columns response_id, instruction_id, response; one whose finish_reason is `length` is in no pair.
        judgements: columns response_id, criterion, score, judgement_status; one criterion, one row per response.
        which: `best_worst` gives one pair per instruction (highest against lowest score; of equal scores the earlier
            sample); `all` gives every comparison, C(K, 2) less the ties (InstructGPT, section 3.5).
    """
    scored = responses.select("response_id", "instruction_id", "response", mark_cut(responses).alias("is_cut")).join(
        judgements.select("response_id", "criterion", "score", "judgement_status"),
        on="response_id",
        how="left",
        maintain_order="left",
        validate="1:1",
    )
    left_out: Counter[str] = Counter()
    pairs: list[dict[str, Any]] = []
    groups = scored.partition_by("instruction_id", maintain_order=True)
    for group in groups:
        whole = group.filter(~pl.col("is_cut"))
        rows = whole.filter(pl.col("score").is_not_null() & (pl.col("judgement_status") == "ok")).rows(named=True)
        left_out["unparsed_judgement"] += whole.height - len(rows)
        if len(rows) < 2:
            left_out[CUT if len(rows) + group.height - whole.height >= 2 else "single_response"] += 1
            continue
        comparisons = list(combinations(rows, 2)) if which == "all" else [_find_extremes(rows)]
        for first, second in comparisons:
            better, worse = (first, second) if first["score"] >= second["score"] else (second, first)
            reason = _find_reason(better, worse)
            if reason:
                left_out[reason] += 1
            else:
                pairs.append(_make_pair(better, worse))
    counts = sort_counts(Counter({reason: count for reason, count in left_out.items() if count}))
    return Pairs(pl.DataFrame(pairs, schema=PAIRS_SCHEMA), len(groups), counts)


def _find_extremes(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    return max(rows, key=lambda row: row["score"]), min(rows, key=lambda row: row["score"])


def _find_reason(better: dict[str, Any], worse: dict[str, Any]) -> str:
    if better["score"] == worse["score"]:
        return "tied_scores"
    return "identical_responses" if better["response"].split() == worse["response"].split() else ""


def _make_pair(better: dict[str, Any], worse: dict[str, Any]) -> dict[str, Any]:
    return {
        "pair_id": make_id("preference", better["instruction_id"], better["response_id"], worse["response_id"]),
        "instruction_id": better["instruction_id"],
        "chosen_id": better["response_id"],
        "rejected_id": worse["response_id"],
        "chosen": better["response"],
        "rejected": worse["response"],
        "score_chosen": better["score"],
        "score_rejected": worse["score"],
        "criterion": better["criterion"],
    }
