"""Pairs people's answers with a policy's own, round after round (SPIN, Chen et al. 2024, section 4).

Each iteration the policy of the one before answers the prompts of the fine-tuning set; the set's own answer is chosen,
the policy's is rejected. From the second iteration on, the pairs of the iteration before are trained on again (the
paper's section 5.1: 50 thousand pairs at iteration 0, 100 thousand after).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.comparisons import Answer, Comparisons, PairBook, PairOrigin
from mmpipe.synthesis.drafts import Spent, make_seed, sort_counts
from mmpipe.tables.chat import ChatFailure, ChatMessage, ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from mmpipe.tables.chat import Teacher

METHOD = "spin"

GENERATIONS_SCHEMA = pl.Schema(
    {
        "prompt_id": pl.String,
        "answer_id": pl.String,
        "generated": pl.String,
        "iteration": pl.Int64,
        "policy": pl.String,
        "finish_reason": pl.String,
        "seed": pl.Int64,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpinSettings:
    """How a policy plays against itself.

    Attributes:
        temperature: of its answers (1, as the released code generates).
        top_p: nucleus.
        max_tokens: of one answer (256, the same). An answer that this cuts is left out: its end would tell it apart.
        keeps_cut: whether cut answers are rejected ones all the same.
        seed: of the requests.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    keeps_cut: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Generations:
    """A policy's own answers: planned = rows + sum of `rejected`.

    Attributes:
        frame: `GENERATIONS_SCHEMA`.
        planned: prompts.
        rejected: prompts without an answer, by reason.
        spent: requests and tokens.
    """

    frame: pl.DataFrame
    planned: int
    rejected: dict[str, int]
    spent: Spent


def generate_answers(rows: pl.DataFrame, policy: Teacher, iteration: int, settings: SpinSettings) -> Generations:
    """Return the policy's own answer to each prompt.

    Args:
        rows: columns prompt_id, prompt.
        policy: the model of the iteration before.
        iteration: 0, 1, …
        settings: how.

    Raises:
        TeacherError: the policy cannot answer any more.
    """
    asked = rows.select("prompt_id", "prompt").sort("prompt_id").rows(named=True)
    requests = [
        ChatRequest(
            (ChatMessage("user", row["prompt"]),),
            Sampling(
                settings.temperature,
                settings.top_p,
                settings.max_tokens,
                make_seed(settings.seed, METHOD, iteration, row["prompt_id"]),
            ),
        )
        for row in asked
    ]
    made, spent = [], Spent()
    rejected: Counter[str] = Counter()
    for row, request, reply in zip(asked, requests, policy.answer(requests), strict=True):
        spent.add(reply)
        if isinstance(reply, ChatFailure):
            rejected[f"teacher_{reply.kind}"] += 1
        elif not reply.text.strip():
            rejected["empty_answer"] += 1
        elif reply.finish_reason == "length" and not settings.keeps_cut:
            rejected["cut_answer"] += 1
        else:
            made.append(
                {
                    "prompt_id": row["prompt_id"],
                    "answer_id": make_id(METHOD, policy.name, iteration, row["prompt_id"]),
                    "generated": reply.text.strip(),
                    "iteration": iteration,
                    "policy": policy.name,
                    "finish_reason": reply.finish_reason,
                    "seed": request.sampling.seed,
                }
            )
    return Generations(pl.DataFrame(made, schema=GENERATIONS_SCHEMA), len(asked), sort_counts(rejected), spent)


def pair_with_own(rows: pl.DataFrame, generations: pl.DataFrame) -> Comparisons:
    """Return real against generated: one pair per row, less rows without a generation and those of equal words.

    Args:
        rows: columns prompt_id, prompt, answer_id, answer: the fine-tuning set, one row per prompt.
        generations: `GENERATIONS_SCHEMA`, one iteration, one row per prompt.

    Raises:
        ConfigurationError: a prompt stands twice on one side, or the generations are of several iterations.
    """
    for name, frame in (("fine-tuning set", rows), ("generations", generations)):
        if frame.get_column("prompt_id").is_duplicated().any():
            raise ConfigurationError(f"The {name} has a prompt_id twice; SPIN pairs one answer with one.")
    if generations.get_column("iteration").n_unique() > 1:
        raise ConfigurationError("The generations are of several iterations; pair each with its own, then mix them.")
    own = {row["prompt_id"]: row for row in generations.rows(named=True)}
    book = PairBook()
    for row in rows.sort("prompt_id").rows(named=True):
        generation = own.get(row["prompt_id"])
        if generation is None:
            book.leave_out("no_generation")
            continue
        origin = PairOrigin(
            prompt_id=row["prompt_id"],
            prompt=row["prompt"],
            method=METHOD,
            mode="model_self_improvement",
            criterion="real_against_generated",
            iteration=generation["iteration"],
            policy=generation["policy"],
        )
        real = Answer(row["answer_id"], row["answer"], 1.0)
        book.compare(origin, real, Answer(generation["answer_id"], generation["generated"], 0.0))
    return book.settle()


def add_previous(current: pl.DataFrame, previous: pl.DataFrame) -> pl.DataFrame:
    """Return what an iteration is trained on: its own pairs and those of the iteration just before, and no older.

    Raises:
        ConfigurationError: `current` is not of one iteration.
    """
    iterations = current.get_column("iteration").unique().to_list()
    if len(iterations) > 1:
        raise ConfigurationError(f"The current pairs are of the iterations {sorted(iterations)}; they must be of one.")
    if not iterations:
        return current
    return pl.concat([previous.filter(pl.col("iteration") == iterations[0] - 1), current])


def list_spin_rows(frame: pl.DataFrame) -> list[dict[str, list[dict[str, str]]]]:
    """Return pairs as SPIN's own files have them: `real` and `generated`, each a user and an assistant message."""
    return [
        {
            name: [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row[column]}]
            for name, column in (("real", "chosen"), ("generated", "rejected"))
        }
        for row in frame.iter_rows(named=True)
    ]
