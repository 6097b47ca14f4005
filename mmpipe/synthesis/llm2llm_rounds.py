"""The rounds of LLM2LLM: the pool they start from, the student's evaluation on seed items, and the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.synthesis.drafts import make_seed
from mmpipe.synthesis.llm2llm import (
    EVALUATION_SCHEMA,
    METHOD,
    POOL_SCHEMA,
    Llm2llmSettings,
    augment_wrong,
    make_pool_row,
)
from mmpipe.synthesis.problems import read_problems
from mmpipe.synthesis.row_account import read_text
from mmpipe.synthesis.star import DIRECT
from mmpipe.tables.chat import ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.synthesis.row_account import Judged, RowAccount
    from mmpipe.tables.chat import Teacher


def start_pool(seeds: pl.DataFrame, settings: Llm2llmSettings, account: RowAccount | None = None) -> pl.DataFrame:
    """Return the pool before the first round: the chosen seed items that can be used (`POOL_SCHEMA`).

    Args:
        seeds: columns of `problems.PROBLEMS_SCHEMA`.
        settings: which share is chosen.
        account: takes the items that cannot be used, with the reasons of `problems.read_problems`.
    """
    problems = read_problems(seeds, settings.check, account)
    ranked = sorted(problems, key=lambda problem: make_id("llm2llm seed", settings.seed, problem.problem_id))
    chosen = {problem.problem_id for problem in ranked[: max(1, round(len(ranked) * settings.seed_share))]}
    rows = [make_pool_row(problem, "seed", 0, problem.problem_id, "") for problem in problems]
    return pl.DataFrame([row for row in rows if row["problem_id"] in chosen], schema=POOL_SCHEMA)


def evaluate_student(
    pool: pl.DataFrame, student: Teacher, settings: Llm2llmSettings, round_number: int = 0
) -> pl.DataFrame:
    """Return how the student fares with each **seed** item of the pool, greedy (`EVALUATION_SCHEMA`).

    A student that fails to answer (`teacher_*`) was not seen to be wrong: its reason says so and nothing is augmented.

    Raises:
        TeacherError: the student cannot answer any more.
    """
    problems = read_problems(pool.filter(pl.col("origin") == "seed"), settings.check)
    requests = []
    for problem in problems:
        seed = make_seed(settings.seed, METHOD, "student", problem.problem_id, round_number)
        sampling = Sampling(max_tokens=settings.student_tokens, seed=seed)
        requests.append(ChatRequest(DIRECT.render(question=problem.show()), sampling))
    rows = []
    for problem, outcome in zip(problems, student.answer(requests), strict=True):
        text, reason = read_text(outcome)
        verdict = problem.judge(text, settings.check)
        # what the token limit cut, or what is empty, was answered wrongly; what never came was not answered
        failed = reason.startswith("teacher_") and reason != "teacher_truncated"
        is_right = None if failed else verdict.is_right and not reason
        rows.append((problem.problem_id, round_number, text, is_right, reason or verdict.reason))
    return pl.DataFrame(rows, schema=EVALUATION_SCHEMA, orient="row")


@dataclass(frozen=True, slots=True)
class Llm2llmRound:
    """One round: how the student fared, what the teacher wrote, and the pool after it."""

    evaluation: pl.DataFrame
    judged: Judged
    pool: pl.DataFrame


def run_llm2llm(
    seeds: pl.DataFrame,
    train: Callable[[int, pl.DataFrame], Teacher],
    teacher: Teacher,
    settings: Llm2llmSettings,
) -> list[Llm2llmRound]:
    """Return the rounds; it ends early once the student gets no seed item wrong.

    Args:
        seeds: columns of `problems.PROBLEMS_SCHEMA`.
        train: gives the student of a round, trained from the base model on the pool (`POOL_SCHEMA`).
        teacher: who writes new items.
        settings: how.
    """
    made: list[Llm2llmRound] = []
    pool = start_pool(seeds, settings)
    for number in range(settings.rounds):
        evaluation = evaluate_student(pool, train(number, pool), settings, number)
        judged, pool = augment_wrong(pool, evaluation, teacher, settings, number)
        made.append(Llm2llmRound(evaluation, judged, pool))
        if evaluation.get_column("is_right").all(ignore_nulls=False):
            break
    return made
