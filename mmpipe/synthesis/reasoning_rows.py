"""Chain-of-thought rows: a question, the reasoning, the conclusion, kept where the conclusion is right.

Wei et al. 2022 (arXiv 2201.11903), section 2: intermediate steps before the answer; here the teacher writes both apart,
and both stay apart in the details. Rows by a search over thoughts are `thought_trees`. The prompt is in our own words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.answer_checks import AnswerCheck, find_last_cue
from mmpipe.synthesis.drafts import Draft, Planned
from mmpipe.synthesis.grounding import list_words, measure_repetition
from mmpipe.synthesis.problems import Problem, read_problems
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.row_account import Judged, RowAccount
from mmpipe.tables.chat import Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.tables.chat import Teacher

METHOD = "reasoning_rows"

#: Why a reply is refused, beside the teacher's failures and the reasons of `answer_checks`.
REASONS = ("no_rationale", "repetition", "rationale_contradicts")

PROMPT = Prompt(
    "reasoning_rows/chain",
    "You answer a question. First you write the steps that lead to the answer, each from the ones before it, in the "
    "language of the question. Then you write the answer alone.",
    "Question: {question}",
    (
        (
            {"question": "A pen costs 3 crowns and a pad 5. What do 2 pens and a pad cost?"},
            {"rationale": "Two pens cost 2 * 3 = 6 crowns. With the pad that is 6 + 5 = 11 crowns.", "answer": "11"},
        ),
        (
            {"question": "Which floats on water?\n(A) a key\n(B) a cork"},
            {"rationale": "A key is of metal, which is heavier than water. A cork is lighter.", "answer": "B"},
        ),
    ),
)

_SCHEMA = {
    "type": "object",
    "properties": {
        "rationale": {"type": "string", "maxLength": 4000},
        "answer": {"type": "string", "minLength": 1, "maxLength": 300},
    },
    "required": ["rationale", "answer"],
    "additionalProperties": False,
}

DETAILS_SCHEMA = pl.Schema(
    {"instruction_id": pl.String(), "problem_id": pl.String(), "rationale": pl.String(), "answer": pl.String()}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSettings:
    """How chain-of-thought rows are asked for and which are kept; the limits are ours.

    Attributes:
        check: how answers are compared.
        attempts: most requests per question; later ones are warmer.
        rationale_words: fewest words of a rationale.
        repetition: largest share of repeated trigrams in it.
        temperature: of the first attempt.
        retry_temperature: of later ones.
        top_p: nucleus.
        max_tokens: of a reply.
        seed: of the requests.
    """

    check: AnswerCheck = field(default_factory=AnswerCheck)
    attempts: int = 3
    rationale_words: int = 3
    repetition: float = 0.3
    temperature: float = 0.0
    retry_temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 512
    seed: int = 0


def make_chain_rows(problems: pl.DataFrame, teacher: Teacher, settings: ChainSettings) -> Judged:
    """Return a reasoned row for every problem the teacher solves rightly.

    Args:
        problems: columns of `problems.PROBLEMS_SCHEMA`.
        teacher: who reasons.
        settings: how.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    account = RowAccount()
    asked = {
        make_id(METHOD, problem.problem_id): problem for problem in read_problems(problems, settings.check, account)
    }
    accepted: dict[str, tuple[str, str]] = {}

    def accept(plan: Planned, reply: Mapping[str, Any]) -> Draft | str:
        rationale, answer = reply["rationale"].strip(), reply["answer"].strip()
        fault = _find_fault(asked[plan.instruction_id], rationale, answer, settings)
        if fault:
            return fault
        accepted[plan.instruction_id] = (rationale, answer)
        return Draft(plan.instruction or "", write_reasoned(rationale, answer))

    planned = [_plan(row_id, problem, settings) for row_id, problem in asked.items()]
    account.ask_planned(planned, teacher, accept, attempts=settings.attempts)
    for row in account.rows:
        rationale, answer = accepted[row["instruction_id"]]
        problem = asked[row["instruction_id"]]
        account.details.append(
            {
                "instruction_id": row["instruction_id"],
                "problem_id": problem.problem_id,
                "rationale": rationale,
                "answer": answer,
            }
        )
    return account.close(DETAILS_SCHEMA)


def write_reasoned(rationale: str, answer: str) -> str:
    """Return reasoning and answer as one text, the answer last behind a cue that `answer_checks` reads."""
    return f"{rationale}\nThe answer is {answer}{'' if answer.endswith(('.', '。')) else '.'}"


def _plan(row_id: str, problem: Problem, settings: ChainSettings) -> Planned:
    return Planned(
        instruction_id=row_id,
        dump=problem.dump,
        method=METHOD,
        stage="instruction_tuning",
        mode="general_distillation.reasoning_steps",
        prompt_version=PROMPT.version,
        messages=PROMPT.render(question=problem.show()),
        schema=_SCHEMA,
        sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed),
        retry_temperature=settings.retry_temperature,
        evidence="",
        instruction=problem.show(),
        parents=(problem.parent,),
    )


def _find_fault(problem: Problem, rationale: str, answer: str, settings: ChainSettings) -> str:
    verdict = problem.judge(answer, settings.check)
    if not verdict.is_right:
        return verdict.reason
    if len(list_words(rationale)) < settings.rationale_words:
        return "no_rationale"
    if measure_repetition(rationale) > settings.repetition:
        return "repetition"
    # a chain that ends in a cue of its own must end in the same answer
    has_cue = find_last_cue(rationale) is not None
    return "rationale_contradicts" if has_cue and not problem.judge(rationale, settings.check).is_right else ""
