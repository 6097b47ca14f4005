"""LLM2LLM: a teacher writes new problems like those a student got wrong, from seed items only, never from its own.

Lee et al. 2024 (arXiv 2403.15042), Algorithm 1: train the student from the base model, evaluate it on the **seed**
items, have the teacher write one new item for each it got wrong, add those, and again. Answers are compared by
`answer_checks`, as the published compare takes -5 for 5 and 1/2 for 12. The prompt is in our own words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.answer_checks import AnswerCheck
from mmpipe.synthesis.drafts import Parent, make_seed
from mmpipe.synthesis.grounding import list_words, measure_order
from mmpipe.synthesis.problems import PROBLEMS_SCHEMA, Problem, read_problems
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.row_account import Judged, Paid, RowAccount, make_instruction_row, read_text
from mmpipe.synthesis.solution_parts import normalize_solution
from mmpipe.synthesis.star import DIRECT
from mmpipe.tables.chat import ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.tables.chat import Teacher

METHOD = "llm2llm"

#: Why a new item is refused, beside the teacher's failures.
REASONS = (
    "question_empty",
    "question_repeats_seed",
    "question_known",
    "answer_unreadable",
    "solution_misses_answer",
    "teacher_disagrees",
)

AUGMENT = Prompt(
    "llm2llm/augment",
    "You write one new problem that asks for the same skill as the given one, which a pupil got wrong. You change the "
    "story and all numbers, and keep the language and the kind of answer. You solve it step by step; the solution ends "
    'with "The answer is" and the answer.',
    "Problem: {question}\nRight answer: {answer}\nThe pupil's answer: {said}",
    (
        (
            {
                "question": "A pen costs 3 crowns and a pad 5. What do 2 pens and a pad cost?",
                "answer": "11",
                "said": "3 + 5 = 8. The answer is 8.",
            },
            {
                "question": "A seat on the ferry is 7 crowns, a bicycle 4. What do 3 seats and 2 bicycles cost?",
                "solution": "Three seats are 3 * 7 = 21 crowns, two bicycles 2 * 4 = 8. That is 21 + 8 = 29. "
                "The answer is 29.",
                "answer": "29",
            },
        ),
    ),
)

_SCHEMA = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "maxLength": 2000},
        "solution": {"type": "string", "minLength": 1, "maxLength": 4000},
        "answer": {"type": "string", "minLength": 1, "maxLength": 300},
    },
    "required": ["question", "solution", "answer"],
    "additionalProperties": False,
}

#: How the student fared with each seed item of a round.
EVALUATION_SCHEMA = pl.Schema(
    {
        "problem_id": pl.String(),
        "round": pl.Int64(),
        "said": pl.String(),
        "is_right": pl.Boolean(),
        "reason": pl.String(),
    }
)

#: The state between rounds: a seed item or an augmentation, with the round and seed it comes from.
POOL_SCHEMA = pl.Schema(
    {**PROBLEMS_SCHEMA, "origin": pl.String(), "round": pl.Int64(), "seed_id": pl.String(), "solution": pl.String()}
)

DETAILS_SCHEMA = pl.Schema(
    {
        "instruction_id": pl.String(),
        "seed_id": pl.String(),
        "round": pl.Int64(),
        "question": pl.String(),
        "answer": pl.String(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Llm2llmSettings:
    """How the data grows around errors.

    Attributes:
        check: how answers are compared.
        rounds: 10 (the released code's).
        epochs: training epochs from the base model each round (3).
        seed_share: share of the seed items used, chosen by hash (low-data settings of 1 % and more, section 4).
        student_tokens: most tokens of a student's answer.
        temperature: of the teacher.
        top_p: nucleus of the teacher.
        max_tokens: of a new item.
        seed_order: largest share of a new question's content words that stands in its seed in the same order (ROUGE-L
            precision, ours): what is nearer is the seed again.
        votes: times the teacher must solve its own new problem (ours); 0 trusts it. More than half must agree.
        seed: of the requests and the choice.
    """

    check: AnswerCheck = field(default_factory=AnswerCheck)
    rounds: int = 10
    epochs: int = 3
    seed_share: float = 1.0
    student_tokens: int = 256
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 512
    seed_order: float = 0.9
    votes: int = 0
    seed: int = 0


def augment_wrong(
    pool: pl.DataFrame,
    evaluation: pl.DataFrame,
    teacher: Teacher,
    settings: Llm2llmSettings,
    round_number: int = 0,
) -> tuple[Judged, pl.DataFrame]:
    """Return one new item per seed item the student got wrong, with the pool that has them.

    Args:
        pool: `POOL_SCHEMA`: what there is already.
        evaluation: `EVALUATION_SCHEMA` of this round.
        teacher: who writes.
        settings: how.
        round_number: part of ids and seeds.

    Raises:
        ConfigurationError: the evaluation names an item that is no seed: an augmentation is never augmented.
        TeacherError: the teacher cannot answer any more.
    """
    seeds = {
        problem.problem_id: problem
        for problem in read_problems(pool.filter(pl.col("origin") == "seed"), settings.check)
    }
    wrong = evaluation.filter(~pl.col("is_right")).rows(named=True)
    stray = [row["problem_id"] for row in wrong if row["problem_id"] not in seeds]
    if stray:
        raise ConfigurationError(
            f"LLM2LLM augments seed items only; {len(stray)} evaluated items are none, among them {stray[0]!r}. "
            f"Evaluate the student on the rows of origin 'seed'."
        )
    account = RowAccount()
    asked = [seeds[row["problem_id"]] for row in wrong]
    requests = [_make_request(seeds[row["problem_id"]], row["said"], settings, round_number) for row in wrong]
    known = {normalize_solution(question) for question in pool.get_column("question")}
    drafts: list[tuple[Problem, Problem, str, ChatRequest, Paid]] = []
    for seed_item, request, outcome in zip(asked, requests, account.ask(teacher, requests), strict=True):
        row_id = make_id(METHOD, seed_item.problem_id, round_number)
        text, reason = read_text(outcome)
        if reason:
            account.refuse(row_id, text, reason)
            continue
        reply = json.loads(text)
        item = Problem(row_id, seed_item.dump, reply["question"].strip(), reply["answer"].strip(), table=METHOD)
        reason = _find_fault(item, reply["solution"], seed_item, settings)
        if not reason and normalize_solution(item.question) in known:
            reason = "question_known"
        if reason:
            account.refuse(row_id, item.question, reason)
            continue
        known.add(normalize_solution(item.question))
        drafts.append((seed_item, item, reply["solution"].strip(), request, Paid().add(outcome)))
    agreed = _vote([draft[1] for draft in drafts], teacher, settings, account, [draft[4] for draft in drafts])
    added = []
    for (seed_item, item, solution, request, paid), is_agreed in zip(drafts, agreed, strict=True):
        if not is_agreed:
            account.refuse(item.problem_id, item.question, "teacher_disagrees")
            continue
        _take(account, seed_item, item, solution, request, paid, teacher.name, round_number)
        added.append(make_pool_row(item, "augmented", round_number, seed_item.problem_id, solution))
    grown = pl.concat([pool, pl.DataFrame(added, schema=POOL_SCHEMA)])
    return account.close(DETAILS_SCHEMA), grown


def _make_request(item: Problem, said: str, settings: Llm2llmSettings, round_number: int) -> ChatRequest:
    seed = make_seed(settings.seed, METHOD, "teacher", item.problem_id, round_number)
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, seed)
    return ChatRequest(AUGMENT.render(question=item.show(), answer=item.answer, said=said), sampling, _SCHEMA)


def _find_fault(item: Problem, solution: str, seed_item: Problem, settings: Llm2llmSettings) -> str:
    if not list_words(item.question):
        return "question_empty"
    if measure_order(item.question, seed_item.question) > settings.seed_order:
        return "question_repeats_seed"
    try:
        is_reached = item.judge(solution, settings.check).is_right
    except ConfigurationError:
        return "answer_unreadable"
    return "" if is_reached else "solution_misses_answer"


def _vote(
    items: Sequence[Problem], teacher: Teacher, settings: Llm2llmSettings, account: RowAccount, paid: Sequence[Paid]
) -> list[bool]:
    """Return for each new item whether more than half of the teacher's own solutions reach its answer."""
    places, requests = [], []
    for place, item in enumerate(items):
        for vote in range(settings.votes):
            seed = make_seed(settings.seed, METHOD, "vote", item.problem_id, vote)
            sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, seed)
            places.append(place)
            requests.append(ChatRequest(DIRECT.render(question=item.question), sampling, sample_index=vote))
    right = [0] * len(items)
    for place, outcome in zip(places, account.ask(teacher, requests), strict=True):
        paid[place].add(outcome)
        text, reason = read_text(outcome)
        right[place] += int(not reason and items[place].judge(text, settings.check).is_right)
    return [2 * count > settings.votes or not settings.votes for count in right]


def _take(
    account: RowAccount,
    seed_item: Problem,
    item: Problem,
    solution: str,
    request: ChatRequest,
    paid: Paid,
    teacher: str,
    round_number: int,
) -> None:
    account.rows.append(
        make_instruction_row(
            instruction_id=item.problem_id,
            dump=item.dump,
            method=METHOD,
            stage="finetuning",
            mode="general_distillation.from_seeds",
            instruction=item.question,
            response=solution,
            parents=(Parent(seed_item.table, seed_item.problem_id),),
            teacher=teacher,
            prompt_version=AUGMENT.version,
            sampling=request.sampling,
            paid=paid,
        )
    )
    account.details.append(
        {
            "instruction_id": item.problem_id,
            "seed_id": seed_item.problem_id,
            "round": round_number,
            "question": item.question,
            "answer": item.answer,
        }
    )


def make_pool_row(item: Problem, origin: str, round_number: int, seed_id: str, solution: str) -> dict[str, Any]:
    """Return an item as a row of POOL_SCHEMA."""
    return {
        "problem_id": item.problem_id,
        "dump": item.dump,
        "question": item.question,
        "answer": item.answer,
        "options": list(item.options),
        "table": item.table,
        "origin": origin,
        "round": round_number,
        "seed_id": seed_id,
        "solution": solution,
    }
