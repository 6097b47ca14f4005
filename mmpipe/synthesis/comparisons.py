"""Makes comparison pairs of answers to one prompt: what a pair is, when there is none, and groups that stay whole.

InstructGPT (Ouyang et al. 2022, section 3.5) has K = 4 to 9 answers ranked and trains on all C(K, 2) comparisons of a
prompt as one batch element, because comparisons of one prompt are correlated and overfit when shuffled apart.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.cut_answers import CUT, is_cut
from mmpipe.synthesis.drafts import Parent, sort_counts
from mmpipe.synthesis.preferences import PAIRS_SCHEMA
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import PARENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polars.datatypes import DataType, DataTypeClass

#: Columns of a pair: those of `preferences.PAIRS_SCHEMA`, by which the release renders, and where it comes from.
#: `group_id` keeps the pairs of one prompt together; `iteration` and `policy` tell rounds apart; `margin` is the
#: difference of the scores; `tags`, `license` and `source_urls` are what a source says of itself.
_COLUMNS: dict[str, DataType | DataTypeClass] = {
    **PAIRS_SCHEMA,
    "group_id": pl.String,
    "prompt": pl.String,
    "margin": pl.Float64,
    "method": pl.String,
    "stage": pl.String,
    "mode": pl.String,
    "iteration": pl.Int64,
    "policy": pl.String,
    "tags": pl.List(pl.String),
    "license": pl.String,
    "source_urls": pl.List(pl.String),
    "parents": pl.List(PARENT),
}
COMPARISONS_SCHEMA = pl.Schema(_COLUMNS)

#: The stage of the survey's taxonomy that every preference method belongs to.
STAGE = "preference_alignment"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that may stand in a pair; without a score it never does."""

    id: str
    text: str
    score: float | None
    model: str = ""
    urls: tuple[str, ...] = ()
    license: str = ""
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOrigin:
    """What all pairs of one prompt have in common; the fields are those of `COMPARISONS_SCHEMA`."""

    prompt_id: str
    prompt: str
    method: str
    mode: str
    criterion: str
    iteration: int = 0
    policy: str = ""
    tags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    license: str = ""
    parent_table: str = "responses"


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Pairs, and the account of what became none: planned = rows + sum of `left_out`.

    Attributes:
        frame: one row per pair, `COMPARISONS_SCHEMA`; the pairs of a prompt stand together.
        planned: comparisons looked at.
        left_out: comparisons that gave no pair, by reason.
    """

    frame: pl.DataFrame
    planned: int
    left_out: dict[str, int]


@dataclass(slots=True)
class PairBook:
    """Collects the pairs of any method, sees to it that each prefers something, and counts why others are none."""

    planned: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    _rows: list[dict[str, Any]] = field(default_factory=list)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count comparisons that give no pair."""
        if count:
            self.planned += count
            self.left_out[reason] += count

    def compare(
        self, origin: PairOrigin, first: Answer, second: Answer, *, least_margin: float = 0.0, end_marker: str = ""
    ) -> None:
        """Add the pair of two answers, the one with the higher score chosen, or count why there is none.

        Args:
            origin: what the pair has in common with the others of its prompt.
            first: an answer.
            second: another answer to the same prompt.
            least_margin: smallest difference of scores that counts; equal scores never do.
            end_marker: put behind both texts: the token at which a preference model is read (Bai et al. 2022).
        """
        reason = find_no_preference(first, second, least_margin)
        if reason:
            self.leave_out(reason)
            return
        assert first.score is not None
        assert second.score is not None
        self.planned += 1
        better, worse = (first, second) if first.score > second.score else (second, first)
        self._rows.append(_make_row(origin, better, worse, end_marker))

    def settle(self) -> Comparisons:
        """Return the pairs, by prompt and id, so that the order they came in does not matter.

        Pairs that repeat or deny another one are among them: `comparison_groups.find_fallen` names those, each with the
        other, within a method as among several.
        """
        rows = sorted(self._rows, key=lambda row: (row["group_id"], row["pair_id"]))
        # by columns, which is several times faster than by rows
        columns = {name: [row[name] for row in rows] for name in COMPARISONS_SCHEMA}
        return Comparisons(pl.DataFrame(columns, schema=COMPARISONS_SCHEMA), self.planned, sort_counts(self.left_out))


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSettings:
    """How ranked answers become pairs.

    Attributes:
        by: `score` (higher is better) or `rank` (1 is best; equal ranks are ties).
        least_margin: smallest difference of scores or ranks of a pair.
        answers_per_prompt: most answers of one prompt, chosen by hash of their ids; InstructGPT ranks 4 to 9
            (section 3.4). None for all.
        criterion: what was ranked by.
        seed: of that choice.
    """

    by: Literal["score", "rank"] = "score"
    least_margin: float = 0.0
    answers_per_prompt: int | None = 9
    criterion: str = "ranking"
    seed: int = 0


def compare_ranked(answers: pl.DataFrame, settings: ComparisonSettings) -> Comparisons:
    """Return all comparisons of each prompt's answers: C(K, 2) less ties, missing scores and equal texts.

    Args:
        answers: columns prompt_id, prompt, answer_id, answer, and score or rank; null or NaN is a missing one. A
            column policy is passed on; an answer whose finish_reason is `length` is in no pair.
        settings: how.

    Raises:
        ConfigurationError: an answer_id stands twice.
    """
    book = PairBook()
    for origin, group in iterate_prompts(answers, settings.by, settings.criterion, "comparisons"):
        ordered = sorted(group, key=lambda answer: make_id("ranked", settings.seed, answer.id))
        kept = ordered[: settings.answers_per_prompt]
        book.leave_out("over_answers_per_prompt", count_pairs(len(group)) - count_pairs(len(kept)))
        for first, second in combinations(sorted(kept, key=lambda answer: answer.id), 2):
            book.compare(origin, first, second, least_margin=settings.least_margin)
    return book.settle()


def iterate_prompts(
    answers: pl.DataFrame, by: str, criterion: str, method: str, mode: str = "general_distillation"
) -> Iterator[tuple[PairOrigin, list[Answer]]]:
    """Yield each prompt and its answers, by prompt id and answer id, whatever the order of the rows.

    Raises:
        ConfigurationError: an answer_id stands twice, or one prompt_id has two prompts.
    """
    if answers.get_column("answer_id").is_duplicated().any():
        raise ConfigurationError("An answer_id stands twice among the answers; one row is one answer.")
    texts = answers.select("prompt_id", "prompt").unique()
    if texts.get_column("prompt_id").is_duplicated().any():
        wrong = texts.filter(pl.col("prompt_id").is_duplicated()).get_column("prompt_id").min()
        raise ConfigurationError(f"The prompt {wrong!r} has two texts; answers to different prompts are not compared.")
    has_model, has_policy = "model" in answers.columns, "policy" in answers.columns
    for group in answers.sort("prompt_id", "answer_id").partition_by("prompt_id", maintain_order=True):
        rows = group.rows(named=True)
        origin = PairOrigin(
            prompt_id=rows[0]["prompt_id"],
            prompt=rows[0]["prompt"],
            method=method,
            mode=mode,
            criterion=criterion,
            policy=", ".join(sorted({row["policy"] or "" for row in rows} - {""})) if has_policy else "",
        )
        sign = -1.0 if by == "rank" else 1.0
        yield (
            origin,
            [
                Answer(
                    row["answer_id"],
                    row["answer"] or "",
                    _sign(row[by], sign),
                    (row["model"] or "") if has_model else "",
                    is_cut=is_cut(row),
                )
                for row in rows
            ],
        )


def find_no_preference(first: Answer, second: Answer, least_margin: float = 0.0) -> str:
    """Return why two answers give no pair; an empty text if they do."""
    if first.is_cut or second.is_cut:
        return CUT
    if first.score is None or second.score is None:
        return "missing_score"
    if not first.text.strip() or not second.text.strip():
        return "empty_answer"
    if first.text.split() == second.text.split():
        return "identical_answers"
    if first.score == second.score:
        return "tied_scores"
    return "small_margin" if abs(first.score - second.score) < least_margin else ""


def count_pairs(answers: int) -> int:
    """Return C(answers, 2)."""
    return answers * (answers - 1) // 2


def _sign(value: float | None, sign: float) -> float | None:
    # NaN is what a table may have for a missing number; it compares with nothing
    return None if value is None or math.isnan(value) else sign * float(value)


def _make_row(origin: PairOrigin, better: Answer, worse: Answer, end_marker: str) -> dict[str, Any]:
    assert better.score is not None
    assert worse.score is not None
    parents = (Parent(origin.parent_table, better.id), Parent(origin.parent_table, worse.id))
    return {
        "pair_id": make_id("comparison", origin.method, origin.prompt_id, better.id, worse.id),
        "instruction_id": origin.prompt_id,
        "chosen_id": better.id,
        "rejected_id": worse.id,
        "chosen": better.text + end_marker,
        "rejected": worse.text + end_marker,
        "score_chosen": better.score,
        "score_rejected": worse.score,
        "criterion": origin.criterion,
        "group_id": origin.prompt_id,
        "prompt": origin.prompt,
        "margin": better.score - worse.score,
        "method": origin.method,
        "stage": STAGE,
        "mode": origin.mode,
        "iteration": origin.iteration,
        "policy": origin.policy,
        "tags": list(origin.tags),
        # as SPDX writes it: a pair stands under every licence that one of its texts stands under
        "license": " AND ".join(sorted({origin.license, better.license, worse.license} - {""})) or None,
        "source_urls": [*origin.urls, *better.urls, *worse.urls],
        "parents": [{"table": parent.table, "id": parent.id} for parent in parents],
    }
