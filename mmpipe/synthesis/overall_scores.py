"""Holds a critique's overall score to the same judge's aspect ratings, and makes one score of them for pairing.

UltraFeedback's published set has 2,628 answers with an overall score of 10, many of which the judge meant as 1: its
authors set those whose mean rating is at most 2 to 1, keep those above 4 and had the rest judged again (their
repository, issue 8). Nothing but this comparison shows it, so it runs on every set.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from mmpipe.synthesis.cut_answers import CUT
from mmpipe.synthesis.drafts import sort_counts
from mmpipe.synthesis.ultrafeedback import Feedback, judge_answers
from mmpipe.synthesis.ultrafeedback_prompts import OVERALL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.synthesis.ultrafeedback import UltraFeedbackSettings
    from mmpipe.tables.chat import Teacher

#: What comparing says. `repaired`: 10 was 1. `to_judge_again`: 10, with middling ratings. `contradictory`: farther from
#: the ratings than is allowed. `no_overall`, `no_ratings`: there is nothing to compare.
VERDICTS = ("consistent", "repaired", "to_judge_again", "contradictory", "no_overall", "no_ratings")

CHECK_SCHEMA = pl.Schema(
    {
        "response_id": pl.String,
        "instruction_id": pl.String,
        "overall_said": pl.Float64,
        "overall": pl.Float64,
        "mean_rating": pl.Float64,
        "ratings": pl.Int64,
        "verdict": pl.String,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverallSettings:
    """When an overall score and the ratings contradict each other.

    Attributes:
        suspect: the overall score that may be a misread 1.
        low_mean: a suspect score with a mean rating of at most this was 1 (UltraFeedback's authors).
        high_mean: a suspect score with a mean rating above this stands (the same).
        most_apart: largest difference between an overall score and the mean rating, both set on 1 to 10 (ours: half of
            the scale).
    """

    suspect: float = 10.0
    low_mean: float = 2.0
    high_mean: float = 4.0
    most_apart: float = 4.5


@dataclass(frozen=True, slots=True)
class OverallCheck:
    """What comparing the scores gave.

    Attributes:
        frame: one row per answer, `CHECK_SCHEMA`: `overall` is null unless consistent or repaired.
        counts: answers by verdict.
    """

    frame: pl.DataFrame
    counts: dict[str, int]

    @property
    def to_judge_again(self) -> list[str]:
        """Ids of the answers whose critique should be asked for again."""
        again = self.frame.filter(pl.col("verdict").is_in(["to_judge_again", "contradictory"]))
        return again.get_column("response_id").to_list()


def check_overall(judgements: pl.DataFrame, settings: OverallSettings) -> OverallCheck:
    """Return what every answer's overall score is worth beside its ratings.

    Args:
        judgements: JUDGEMENTS of `ultrafeedback.judge_answers`; N/A and unparsed ratings do not count.
        settings: limits.
    """
    rows = []
    ordered = judgements.sort("instruction_id", "response_id", "criterion")
    for group in ordered.partition_by("instruction_id", "response_id", maintain_order=True):
        scores = {row["criterion"]: row["score"] for row in group.rows(named=True)}
        said = scores.pop(OVERALL, None)
        ratings = [score for score in scores.values() if score is not None]
        mean = sum(ratings) / len(ratings) if ratings else None
        verdict = find_verdict(said, mean, settings)
        overall = 1.0 if verdict == "repaired" else said if verdict == "consistent" else None
        first = group.row(0, named=True)
        rows.append((first["response_id"], first["instruction_id"], said, overall, mean, len(ratings), verdict))
    frame = pl.DataFrame(rows, schema=CHECK_SCHEMA, orient="row")
    return OverallCheck(frame, sort_counts(Counter(frame.get_column("verdict").to_list())))


def judge_with_check(
    answers: pl.DataFrame, judge: Teacher, settings: UltraFeedbackSettings, limits: OverallSettings
) -> tuple[Feedback, OverallCheck]:
    """Return ratings whose overall scores are held to them, and what that gave.

    Critiques that contradict the ratings are asked for once more, warmer and with another seed; the later one counts.

    Args:
        answers: as `ultrafeedback.judge_answers` takes them.
        judge: who judges.
        settings: by what.
        limits: when scores contradict each other.

    Raises:
        ConfigurationError: as `judge_answers`.
        TeacherError: the judge cannot answer any more.
    """
    feedback = judge_answers(answers, judge, settings)
    check = check_overall(feedback.frame, limits)
    if not check.to_judge_again:
        return feedback, check
    warmer = replace(settings, aspects=(), temperature=settings.retry_temperature, seed=settings.seed + 1)
    again = judge_answers(answers.filter(pl.col("answer_id").is_in(check.to_judge_again)), judge, warmer)
    stays = ~pl.col("judgement_id").is_in(again.frame.get_column("judgement_id").to_list())
    frame = pl.concat([feedback.frame.filter(stays), again.frame]).sort("instruction_id", "response_id", "criterion")
    spent = feedback.spent
    for name in ("requests", "cached", "attempts", "prompt_tokens", "completion_tokens", "cost"):
        setattr(spent, name, getattr(spent, name) + getattr(again.spent, name))
    refused = Counter(feedback.rejected_replies)
    refused.update(again.rejected_replies)
    without = Counter(feedback.without_score)
    without.update(again.without_score)
    joined = Feedback(frame, feedback.planned, sort_counts(without), sort_counts(refused), spent)
    return joined, check_overall(frame, limits)


def find_verdict(overall: float | None, mean_rating: float | None, settings: OverallSettings) -> str:
    """Return one of `VERDICTS` for an overall score from 1 to 10 and a mean rating from 1 to 5."""
    if overall is None:
        return "no_overall"
    if mean_rating is None:
        return "no_ratings"
    if overall == settings.suspect:
        if mean_rating <= settings.low_mean:
            return "repaired"
        return "consistent" if mean_rating > settings.high_mean else "to_judge_again"
    # 1 to 5 set on 1 to 10
    apart = abs(overall - (1 + (mean_rating - 1) * 9 / 4))
    return "contradictory" if apart > settings.most_apart else "consistent"


def score_answers(
    answers: pl.DataFrame, judgements: pl.DataFrame, *, by: Literal["mean_rating", "overall"] = "mean_rating",
    settings: OverallSettings | None = None,
) -> pl.DataFrame:  # fmt: skip
    """Return the answers with columns `score` and `score_status`, as `comparisons` and `best_of_n` take them.

    The mean leaves out ratings that do not apply; an answer of which one rating could not be read has no score, since
    the mean of the others is no score of the same thing.

    Args:
        answers: columns prompt_id, prompt, answer_id, answer.
        judgements: their JUDGEMENTS.
        by: `mean_rating` of the aspects, or the checked `overall` score.
        settings: limits of that check.
    """
    check = check_overall(judgements, settings or OverallSettings())
    checked = {row["response_id"]: row for row in check.frame.rows(named=True)}
    statuses: dict[str, set[str]] = {}
    aspects = judgements.filter(pl.col("criterion") != OVERALL)
    for answer_id, status in aspects.select("response_id", "judgement_status").iter_rows():
        statuses.setdefault(answer_id, set()).add(status)
    scores, reasons = [], []
    for answer_id in answers.get_column("answer_id"):
        score, reason = _find_score(by, checked.get(answer_id), statuses.get(answer_id, set()))
        scores.append(score)
        reasons.append(reason)
    return answers.with_columns(
        pl.Series("score", scores, dtype=pl.Float64), pl.Series("score_status", reasons, dtype=pl.String)
    )


def _find_score(by: str, check: Mapping[str, Any] | None, statuses: set[str]) -> tuple[float | None, str]:
    if check is None:
        return None, "not_judged"
    if CUT in statuses:
        return None, CUT
    if by == "overall":
        return check["overall"], "ok" if check["overall"] is not None else check["verdict"]
    for status in ("own_family", "unparsed"):
        if status in statuses:
            return None, status
    return check["mean_rating"], "ok" if check["mean_rating"] is not None else "no_ratings"
