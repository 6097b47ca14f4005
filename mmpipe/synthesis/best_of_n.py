"""Picks the best of n answers, and pairs it with the worst, or with another one drawn: one pair per prompt.

Best-of-n is rejection sampling by a reward (Bai et al. 2022; Touvron et al. 2023, section 3.2.3). Zephyr (Tunstall et
al. 2023, section 3) pairs the highest mean score with one of the others at random, for diversity and a harder contrast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from mmpipe.synthesis.comparisons import Answer, Comparisons, PairBook, iterate_prompts
from mmpipe.synthesis.cut_answers import CUT
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

METHOD = "best_of_n"

#: The best answer of each prompt, for supervised fine-tuning on what was preferred.
BEST_SCHEMA = pl.Schema(
    {
        "prompt_id": pl.String,
        "prompt": pl.String,
        "answer_id": pl.String,
        "answer": pl.String,
        "score": pl.Float64,
        "scored_answers": pl.Int64,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfNSettings:
    """How the best is picked.

    Attributes:
        rejected: `worst`, or `drawn`: one of those that are worse than the best, by hash.
        least_margin: smallest difference of scores of a pair.
        least_answers: fewest scored answers that are worth a choice.
        criterion: what was scored.
        seed: of draws; equal scores are told apart by them, never by the order of rows.
    """

    rejected: Literal["worst", "drawn"] = "worst"
    least_margin: float = 0.0
    least_answers: int = 2
    criterion: str = "score"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class BestOfN:
    """The best answers, and pairs.

    Attributes:
        best: one row per prompt with enough scored answers, `BEST_SCHEMA`.
        comparisons: at most one pair per prompt; planned = prompts.
    """

    best: pl.DataFrame
    comparisons: Comparisons


def pick_best(answers: pl.DataFrame, settings: BestOfNSettings) -> BestOfN:
    """Return each prompt's best answer and its pair.

    Args:
        answers: columns prompt_id, prompt, answer_id, answer, score; null is a missing score. An answer whose
            finish_reason is `length` is neither best nor in a pair.
        settings: how.

    Raises:
        ConfigurationError: an answer_id stands twice, or a prompt_id has two texts.
    """
    book = PairBook()
    best_rows: list[dict[str, Any]] = []
    for origin, group in iterate_prompts(answers, "score", settings.criterion, METHOD):
        whole = [answer for answer in group if not answer.is_cut]
        scored = [answer for answer in whole if answer.score is not None and answer.text.strip()]
        least = max(settings.least_answers, 1)
        if len(scored) < least:
            has_enough = len(scored) + len(group) - len(whole) >= least
            book.leave_out(CUT if has_enough else "too_few_scored_answers")
            continue
        # a draw by id, then a stable sort by score: among equals, the draw decides
        drawn = sorted(scored, key=lambda answer: make_id(METHOD, settings.seed, answer.id))
        best = max(drawn, key=_get_score)
        best_rows.append(
            {
                "prompt_id": origin.prompt_id,
                "prompt": origin.prompt,
                "answer_id": best.id,
                "answer": best.text,
                "score": best.score,
                "scored_answers": len(scored),
            }
        )
        other = _pick_rejected(drawn, best, settings)
        if other is None:
            book.leave_out("tied_scores")
        else:
            book.compare(origin, best, other, least_margin=settings.least_margin)
    return BestOfN(pl.DataFrame(best_rows, schema=BEST_SCHEMA), book.settle())


def _pick_rejected(drawn: Sequence[Answer], best: Answer, settings: BestOfNSettings) -> Answer | None:
    """Return an answer that scores less than the best; None if all scores are equal."""
    worse = [answer for answer in drawn if _get_score(answer) < _get_score(best)]
    if not worse:
        return None
    return worse[0] if settings.rejected == "drawn" else min(worse, key=_get_score)


def _get_score(answer: Answer) -> float:
    assert answer.score is not None
    return answer.score
