"""Pairs right and wrong answers of one prompt, as a verifier says: equal numbers, a run for code, trees for API calls.

Where an answer can be checked, no judge is needed: the verifier's word is chosen against rejected (survey, preference
alignment: domain sets for maths and code). An answer that cannot be checked is neither right nor wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.comparisons import Answer, Comparisons, PairBook, PairOrigin, iterate_prompts
from mmpipe.synthesis.cut_answers import CUT, is_cut
from mmpipe.synthesis.drafts import sort_counts
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    #: Says whether an answer (a row of the frame) is right; None if it cannot tell.
    Verify = Callable[[Mapping[str, Any]], bool | None]

METHOD = "verified_pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSettings:
    """How verified answers are paired.

    Attributes:
        pairs_per_prompt: most pairs of one prompt, by hash; None for every right with every wrong one.
        criterion: name of the verifier.
        seed: of the choice.
    """

    pairs_per_prompt: int | None = 4
    criterion: str = "verifier"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class VerifiedPairs:
    """Pairs and what the verifier said.

    Attributes:
        comparisons: pairs; planned = right times wrong answers, over all prompts.
        answers: answers by verdict: right, wrong, unverified, empty, and cut by the limit of tokens (`cut_answer`).
        prompts: prompts by what they gave: paired, all_right, all_wrong, unverified.
    """

    comparisons: Comparisons
    answers: dict[str, int]
    prompts: dict[str, int]


def pair_verified(answers: pl.DataFrame, verify: Verify, settings: VerifiedSettings) -> VerifiedPairs:
    """Return right against wrong answers of each prompt.

    Args:
        answers: columns prompt_id, prompt, answer_id, answer, and whatever the verifier reads; finish_reason where some
            may be cut.
        verify: called once per answer that is whole and not empty.
        settings: how.

    Raises:
        ConfigurationError: an answer_id stands twice, or a prompt_id has two texts.
    """
    verdicts: dict[str, bool | None] = {}
    counts: Counter[str] = Counter()
    for row in answers.sort("answer_id").rows(named=True):
        why = "empty" if not (row["answer"] or "").strip() else CUT if is_cut(row) else ""
        verdict = None if why else verify(row)
        verdicts[row["answer_id"]] = verdict
        name = why or ("unverified" if verdict is None else "right" if verdict else "wrong")
        counts[name] += 1
    book = PairBook()
    prompts: Counter[str] = Counter()
    scored = answers.with_columns(score=pl.lit(0.0))
    for origin, group in iterate_prompts(scored, "score", settings.criterion, METHOD):
        right = [Answer(answer.id, answer.text, 1.0) for answer in group if verdicts[answer.id] is True]
        wrong = [Answer(answer.id, answer.text, 0.0) for answer in group if verdicts[answer.id] is False]
        if right and wrong:
            prompts["paired"] += 1
            _pair(book, origin, right, wrong, settings)
        else:
            prompts["all_right" if right else "all_wrong" if wrong else "unverified"] += 1
    return VerifiedPairs(book.settle(), sort_counts(counts), sort_counts(prompts))


def _pair(
    book: PairBook, origin: PairOrigin, right: list[Answer], wrong: list[Answer], settings: VerifiedSettings
) -> None:
    pairs = list(product(right, wrong))
    pairs.sort(key=lambda pair: make_id(METHOD, settings.seed, pair[0].id, pair[1].id))
    if settings.pairs_per_prompt is not None and len(pairs) > settings.pairs_per_prompt:
        book.leave_out("over_pairs_per_prompt", len(pairs) - settings.pairs_per_prompt)
        pairs = pairs[: settings.pairs_per_prompt]
    for first, second in pairs:
        book.compare(origin, first, second)
