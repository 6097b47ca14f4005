"""Gathers new comparisons from the best policy of each round and mixes them with old ones in an exact ratio.

Iterated online training (Bai et al. 2022, section 4.5): the newest policies answer, people or a judge compare, and the
preference model is trained again on old and new comparisons together. Every pair names its round and its policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.comparison_groups import name_method
from mmpipe.synthesis.comparisons import Comparisons, ComparisonSettings, compare_ranked
from mmpipe.synthesis.responses import ResponseSettings, sample_responses
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.synthesis.drafts import Synthesis
    from mmpipe.tables.chat import Teacher

    #: Scores answers: takes columns prompt_id, prompt, answer_id, answer; returns a score per row, null if it has none.
    Score = Callable[[pl.DataFrame], pl.Series]

METHOD = "online_preferences"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineSettings:
    """How a round is gathered and mixed.

    Attributes:
        new_share: of the mixed prompts that are of this round, as an exact fraction: `1/2`, `0.3`.
        most_prompts: most prompts of the mix; None for as many as the ratio allows.
        sampling: how the policy answers.
        comparing: how scored answers become pairs.
        seed: of the choice of prompts.
    """

    new_share: str = "1/2"
    most_prompts: int | None = None
    sampling: ResponseSettings = field(default_factory=ResponseSettings)
    comparing: ComparisonSettings = field(default_factory=ComparisonSettings)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Mix:
    """Old and new comparisons in their ratio.

    Attributes:
        frame: `comparisons.COMPARISONS_SCHEMA`.
        new_prompts: prompts of this round.
        old_prompts: prompts of earlier rounds.
        unused_prompts: prompts of either that the ratio left no room for.
    """

    frame: pl.DataFrame
    new_prompts: int
    old_prompts: int
    unused_prompts: int


@dataclass(frozen=True, slots=True)
class OnlineRound:
    """One round.

    Attributes:
        comparisons: new pairs of this round.
        mix: what the preference model is trained on next; the next round's old pairs are `mix.frame` or all so far.
        responses: the policy's answers, with what was asked and spent.
    """

    comparisons: Comparisons
    mix: Mix
    responses: Synthesis


def run_online_round(
    instructions: pl.DataFrame, policy: Teacher, score: Score, old: pl.DataFrame, round_number: int,
    settings: OnlineSettings,
) -> OnlineRound:  # fmt: skip
    """Return a round's comparisons and their mix with old ones.

    Args:
        instructions: columns instruction_id, dump, instruction, context, evidence.
        policy: the best policy so far, who answers.
        score: the preference model of the round before, or a judge.
        old: pairs of earlier rounds; may be empty.
        round_number: 0, 1, …; above that of every old pair.
        settings: how.

    Raises:
        ConfigurationError: the round is not new, the policy already made an earlier one, or the share is no fraction
            from 0 to 1.
        TeacherError: the policy cannot answer any more.
    """
    _check_round(old, policy.name, round_number)
    parse_share(settings.new_share)
    responses = sample_responses(instructions, policy, settings.sampling)
    asked = instructions.select(
        "instruction_id", prompt=pl.concat_str("context", "instruction", separator="\n\n", ignore_nulls=True)
    )
    answers = responses.frame.join(asked, on="instruction_id").select(
        "finish_reason", "prompt", prompt_id="instruction_id", answer_id="response_id", answer="response"
    )
    # two policies' samples of one prompt have the same place in their lists, so ids name the policy too
    answers = answers.with_columns(
        answer_id=pl.col("answer_id").map_elements(
            lambda answer_id: make_id(METHOD, policy.name, round_number, answer_id), return_dtype=pl.String
        )
    )
    scored = answers.with_columns(score(answers).alias("score"), policy=pl.lit(policy.name))
    comparisons = pair_round(scored, policy.name, old, round_number, settings)
    return OnlineRound(comparisons, mix_rounds(comparisons.frame, old, settings), responses)


def pair_round(
    scored: pl.DataFrame, policy: str, old: pl.DataFrame, round_number: int, settings: OnlineSettings
) -> Comparisons:
    """Return the comparisons of a round's scored answers.

    Args:
        scored: columns prompt_id, prompt, answer_id, answer, score, policy.
        policy: name of the model that answered.
        old: pairs of earlier rounds; may be empty.
        round_number: above that of every old pair.
        settings: how.

    Raises:
        ConfigurationError: as `run_online_round`.
    """
    _check_round(old, policy, round_number)
    made = compare_ranked(scored, settings.comparing)
    frame = made.frame.with_columns(iteration=pl.lit(round_number, pl.Int64), mode=pl.lit("external_evaluator"))
    return name_method(Comparisons(frame, made.planned, made.left_out), METHOD)


def mix_rounds(new: pl.DataFrame, old: pl.DataFrame, settings: OnlineSettings) -> Mix:
    """Return old and new pairs whose prompts stand in exactly the ratio asked for, as many as there can be.

    Prompts are counted and not pairs, because a prompt's pairs stay together; which ones goes by hash. For a share p/q
    in lowest terms, k·p new and k·(q-p) old prompts with the largest k. A prompt that has pairs of both is taken for
    new, and its old pairs go, so that no prompt is judged by two rounds at once.

    Raises:
        ConfigurationError: the share is no fraction from 0 to 1.
    """
    share = parse_share(settings.new_share)
    new_groups = _rank(new, settings.seed)
    is_new = set(new_groups)
    old_groups = [group for group in _rank(old, settings.seed) if group not in is_new]
    parts = (share.numerator, share.denominator - share.numerator)
    limits = [len(groups) // part for groups, part in zip((new_groups, old_groups), parts, strict=True) if part]
    if settings.most_prompts is not None:
        limits.append(settings.most_prompts // share.denominator)
    count = min(limits)
    taken_new, taken_old = new_groups[: count * parts[0]], old_groups[: count * parts[1]]
    frame = pl.concat(
        [old.filter(pl.col("group_id").is_in(taken_old)), new.filter(pl.col("group_id").is_in(taken_new))]
    )
    unused = len(new_groups) + len(old_groups) - len(taken_new) - len(taken_old)
    return Mix(frame, len(taken_new), len(taken_old), unused)


def parse_share(text: str) -> Fraction:
    """Return a share as an exact fraction.

    Raises:
        ConfigurationError: it is none from 0 to 1.
    """
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(-1)
    if not 0 <= share <= 1:
        raise ConfigurationError(f"new_share must be a fraction from 0 to 1, like 1/2 or 0.3, not {text!r}.")
    return share


def _rank(frame: pl.DataFrame, seed: int) -> list[str]:
    groups = frame.get_column("group_id").unique().to_list()
    return sorted(groups, key=lambda group: make_id("mix", seed, group))


def _check_round(old: pl.DataFrame, policy: str, round_number: int) -> None:
    newest = old.get_column("iteration").max()
    if isinstance(newest, int) and newest >= round_number:
        raise ConfigurationError(f"Round {round_number} is not new: the old comparisons go up to round {newest}.")
    if policy in old.get_column("policy").to_list():
        raise ConfigurationError(
            f"The policy {policy} made an earlier round; a new one needs the policy that was trained on it."
        )
