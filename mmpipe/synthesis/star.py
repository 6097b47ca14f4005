"""STaR: a model's own rationales that reach the right answer, with rationalisation from a hint that is taken out again.

Zelikman et al. 2022 (arXiv 2203.14465), Algorithm 1: rationales are generated from few examples and kept if the final
answer is right; for the others the right answer is given as a hint, and what then reaches it is kept as if there had
been none. Each round trains again from the base model. The prompts are in our own words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.synthesis.answer_checks import VERSION, AnswerCheck
from mmpipe.synthesis.drafts import make_seed
from mmpipe.synthesis.grounding import list_words
from mmpipe.synthesis.problems import Problem, read_problems
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.row_account import Judged, Paid, RowAccount, make_instruction_row, read_text
from mmpipe.synthesis.solution_parts import split_solution
from mmpipe.tables.chat import ChatReply, ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmpipe.tables.chat import Teacher

METHOD = "star"

#: Why a rationale is refused, beside the teacher's failures and the reasons of `answer_checks`.
REASONS = ("hint_leaked", "no_rationale")

_PENS = ("A pen costs 3 crowns and a pad 5. What do 2 pens and a pad cost?", "11")
_PENS_SOLVED = "Two pens cost 2 * 3 = 6 crowns. With the pad that is 6 + 5 = 11 crowns. The answer is 11."
_TRAIN = ("A train leaves at 9 and arrives at 13. It stands still for 1 hour. How many hours does it drive?", "3")
_TRAIN_SOLVED = "From 9 to 13 are 4 hours. One of them it stands still, so it drives 4 - 1 = 3 hours. The answer is 3."
_RULES = (
    "You solve problems. You write the steps that lead to the result, in the language of the problem, and end with "
    '"The answer is" and the result.'
)

DIRECT = Prompt(
    "star/direct",
    _RULES,
    "Problem: {question}",
    (({"question": _PENS[0]}, _PENS_SOLVED), ({"question": _TRAIN[0]}, _TRAIN_SOLVED)),
)

#: The same rules and examples with the hint, so that a rationalisation reads like a rationale.
HINTED = Prompt(
    "star/hinted",
    f"{_RULES} Each problem comes with its result in brackets, which your steps must reach and never mention as known.",
    "Problem: {question} [{answer}]",
    (
        ({"question": _PENS[0], "answer": _PENS[1]}, _PENS_SOLVED),
        ({"question": _TRAIN[0], "answer": _TRAIN[1]}, _TRAIN_SOLVED),
    ),
)

#: How a text gives away that it was told the result.
_LEAKS = re.compile(
    r"\bhint(?:s|ed)?\b|\b(?:given|provided|supplied|known|expected|stated|bracketed)\s+(?:final\s+|right\s+|correct\s+)?"
    r"(?:answer|result|solution)\b|\b(?:answer|result|solution)\s+(?:is|was|has been)\s+(?:already\s+)?"
    r"(?:given|provided|supplied|known|told)\b|\bin (?:the )?(?:square )?brackets\b"
    r"|\b(?:told|know|given)\s+(?:that\s+)?the\s+(?:final\s+|right\s+|correct\s+)?(?:answer|result|solution)\b"
    r"|\bsince the (?:answer|result) (?:is|must be)\b|提示|已知答案|给定的?答案|既知の答え|ヒント|\bHinweis\b",
    re.IGNORECASE,
)

DETAILS_SCHEMA = pl.Schema(
    {
        "instruction_id": pl.String,
        "problem_id": pl.String,
        "round": pl.Int64,
        "origin": pl.String,
        "rationale": pl.String,
        "answer": pl.String,
        "verifier": pl.String,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StarSettings:
    """How rationales are made and kept; numbers are those of the paper's released code unless said otherwise.

    Attributes:
        check: how answers are compared.
        has_rationalisation: whether wrong answers are tried again with the hint (`p_rationalization` 1).
        temperature: 0, as the paper samples greedily.
        max_tokens: of one rationale; the code's 96 are of a word-piece model, so ours leaves room.
        training_rows: most rows of a round's training set (`n_train_samples`), chosen by hash.
        first_steps: training steps of the first round.
        step_growth: by how much each round's steps grow (20 %).
        rationale_words: fewest words before the final answer (ours): an answer alone teaches no reasoning.
        seed: of the requests and the choice.
    """

    check: AnswerCheck = field(default_factory=AnswerCheck)
    has_rationalisation: bool = True
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    training_rows: int = 10_000
    first_steps: int = 40
    step_growth: float = 1.2
    rationale_words: int = 3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class StarRound:
    """One round.

    Attributes:
        judged: its rows; `details.origin` is `direct` or `rationalised`.
        training_ids: instruction_id of the rows to train on, at most `training_rows`.
        steps: training steps from the base model.
        numbers: problems, direct_right, rationalised_right, unsolved, hint_leaked, no_rationale.
    """

    judged: Judged
    training_ids: tuple[str, ...]
    steps: int
    numbers: dict[str, int]


def find_hint_leak(text: str, question: str) -> str | None:
    """Return the words by which `text` gives away that it was told the result; words of the question are its own."""
    asked = question.casefold()
    leaks = (match[0] for match in _LEAKS.finditer(text))
    return next((leak for leak in leaks if leak.casefold() not in asked), None)


def count_training_steps(round_number: int, settings: StarSettings) -> int:
    """Return the training steps of round 0, 1, …: 40, 48, 57, … (section 4.1: 20 % more each round)."""
    return int(settings.first_steps * settings.step_growth**round_number + 1e-9)


def run_star_round(
    problems: pl.DataFrame, student: Teacher, settings: StarSettings, round_number: int = 0
) -> StarRound:
    """Return one round's rows: the student's own rationales, then those it finds with the hint.

    Args:
        problems: columns of `problems.PROBLEMS_SCHEMA`.
        student: the model of this round.
        settings: how.
        round_number: from 0; part of ids and seeds.

    Raises:
        TeacherError: the student cannot answer any more.
    """
    account = RowAccount()
    asked = read_problems(problems, settings.check, account)
    unreadable = len(account.refused)
    paid = {problem.problem_id: Paid() for problem in asked}
    refused = _attempt(asked, student, settings, round_number, "direct", paid, account)
    direct_right = len(account.rows)
    if settings.has_rationalisation:
        for _, _, reason in refused:
            account.refuse_reply(reason)
        again = [problem for problem, _, _ in refused]
        refused = _attempt(again, student, settings, round_number, "rationalised", paid, account)
    for problem, text, reason in refused:
        account.refuse(make_id(METHOD, problem.problem_id, round_number), text, reason)
    judged = account.close(DETAILS_SCHEMA)
    ids = judged.synthesis.frame.get_column("instruction_id").to_list()
    ranked = sorted(ids, key=lambda row_id: make_id("star training", settings.seed, row_id))
    numbers = {
        "problems": len(asked),
        "problems_unreadable": unreadable,
        "direct_right": direct_right,
        "rationalised_right": len(account.rows) - direct_right,
        "unsolved": len(refused),
        "hint_leaked": judged.synthesis.rejected_replies.get("hint_leaked", 0),
        "no_rationale": judged.synthesis.rejected_replies.get("no_rationale", 0),
    }
    chosen = tuple(sorted(ranked[: settings.training_rows]))
    return StarRound(judged, chosen, count_training_steps(round_number, settings), numbers)


def _attempt(
    problems: Sequence[Problem],
    student: Teacher,
    settings: StarSettings,
    round_number: int,
    origin: str,
    paid: dict[str, Paid],
    account: RowAccount,
) -> list[tuple[Problem, str, str]]:
    """Ask for every problem, take the rows that pass, and return (problem, text, reason) of the others."""
    prompt = HINTED if origin == "rationalised" else DIRECT
    requests = []
    for problem in problems:
        fields = {"question": problem.show()} | ({"answer": problem.answer} if origin == "rationalised" else {})
        seed = make_seed(settings.seed, METHOD, problem.problem_id, round_number, origin)
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, seed)
        requests.append(ChatRequest(prompt.render(**fields), sampling))
    refused = []
    for problem, request, outcome in zip(problems, requests, account.ask(student, requests), strict=True):
        paid[problem.problem_id].add(outcome)
        text, reason = read_text(outcome)
        reason = reason or _find_fault(problem, text, settings)
        if reason:
            refused.append((problem, text, reason))
            continue
        assert isinstance(outcome, ChatReply)
        row_id = make_id(METHOD, problem.problem_id, round_number)
        rationale, answer = split_solution(text)
        if rationale == text.strip():
            # no cue marks the answer: it is what was read, and found right, among the last words
            answer = problem.judge(text, settings.check).answer
        account.rows.append(
            make_instruction_row(
                instruction_id=row_id,
                dump=problem.dump,
                method=METHOD,
                stage="finetuning",
                mode="model_self_improvement",
                # the problem as it stands without the hint, whichever way the rationale was found
                instruction=problem.show(),
                response=text,
                parents=(problem.parent,),
                teacher=student.name,
                prompt_version=prompt.version,
                sampling=request.sampling,
                paid=paid[problem.problem_id],
            )
        )
        account.details.append(
            {
                "instruction_id": row_id,
                "problem_id": problem.problem_id,
                "round": round_number,
                "origin": origin,
                "rationale": rationale,
                "answer": answer,
                "verifier": VERSION,
            }
        )
    return refused


def _find_fault(problem: Problem, text: str, settings: StarSettings) -> str:
    verdict = problem.judge(text, settings.check)
    if not verdict.is_right:
        return verdict.reason
    if find_hint_leak(text, problem.question) is not None:
        return "hint_leaked"
    rationale, _ = split_solution(text)
    return "" if len(list_words(rationale)) >= settings.rationale_words else "no_rationale"


def run_star(
    problems: pl.DataFrame,
    train: Callable[[int, StarRound | None], Teacher],
    settings: StarSettings,
    *,
    rounds: int,
) -> list[StarRound]:
    """Return the rounds of STaR; round n's student is trained **from the base model** on round n - 1's rows alone.

    A killed run resumes by the teacher's reply cache: what was asked is not asked again.

    Args:
        problems: columns of `problems.PROBLEMS_SCHEMA`.
        train: gives the student of a round, from its number and the round before (None: the base model itself).
        settings: how.
        rounds: how many.
    """
    made: list[StarRound] = []
    for number in range(rounds):
        student = train(number, made[-1] if made else None)
        made.append(run_star_round(problems, student, settings, number))
    return made
