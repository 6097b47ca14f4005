"""Pairs the last revision of an answer with the first, where an outside judge, asked in both orders, says it is better.

A model that revises is not always one that improves, so that no revision is chosen for being one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.synthesis.comparisons import Comparisons
from mmpipe.synthesis.drafts import sort_counts
from mmpipe.synthesis.pairwise_judge import judge_pairs

if TYPE_CHECKING:
    from mmpipe.synthesis.drafts import Spent
    from mmpipe.synthesis.pairwise_judge import PairwiseSettings, PositionBias
    from mmpipe.tables.chat import Teacher

METHOD = "self_refinement"
MODE = "self_feedback_loop"


@dataclass(frozen=True, slots=True)
class RefinedPairs:
    """Last revisions against first answers.

    Attributes:
        comparisons: planned = answers. An answer that was never revised is `no_revision`, one whose first version the
            judge preferred is `judge_disagrees`.
        bias: of the judge.
        spent: requests of the judge.
    """

    comparisons: Comparisons
    bias: PositionBias
    spent: Spent


def pair_with_first(
    answers: pl.DataFrame, last: pl.DataFrame, judge: Teacher, settings: PairwiseSettings
) -> RefinedPairs:
    """Return the pairs that a judge confirmed.

    Args:
        answers: columns prompt_id, prompt, answer_id, answer; one answer per prompt; evidence if the judge shall see
            some.
        last: columns prompt_id, revision_id, revision, teacher: the last revision of each answer that has one.
        judge: who compares. If it is of the author's family, no pair is made unless the settings allow it.
        settings: how.

    Raises:
        TeacherError: the judge cannot answer any more.
    """
    evidence = "evidence" if "evidence" in answers.columns else pl.lit("").alias("evidence")
    pairs = answers.select("prompt_id", "prompt", evidence, first_id="answer_id", first="answer").join(
        last.select(
            "prompt_id", second_id="revision_id", second="revision", first_model="teacher", second_model="teacher"
        ),
        on="prompt_id",
        maintain_order="left",
        validate="1:1",
    )
    judged = judge_pairs(pairs, judge, replace(settings, mode=MODE))
    made = judged.comparisons
    # the first answers are rows of the table they came from, not revisions
    is_better = made.frame.get_column("chosen_id").is_in(last.get_column("revision_id").to_list())
    left_out = Counter(made.left_out)
    left_out["judge_disagrees"] = made.frame.height - int(is_better.sum())
    left_out["no_revision"] = answers.height - pairs.height
    authors = last.select(chosen_id="revision_id", author="teacher")
    frame = made.frame.filter(is_better).join(authors, on="chosen_id", how="left", maintain_order="left")
    frame = frame.with_columns(method=pl.lit(METHOD), policy=pl.col("author"), criterion=pl.lit(judge.name))
    counts = sort_counts(Counter({reason: count for reason, count in left_out.items() if count}))
    return RefinedPairs(Comparisons(frame.drop("author"), answers.height, counts), judged.bias, judged.spent)
