"""Evol-Instruct: instructions are made harder or rarer, round by round; what fails is eliminated and tried anew.

Xu et al. 2023 (arXiv 2304.12244, section 3.2; WizardLM). A pool holds one instruction per seed. In a round each is
evolved by one of six operators, judged, and answered. If that succeeds, the evolved instruction takes its ancestor's
place and is a row; if one of four eliminations strikes, the ancestor returns to the pool as it was, and the next round
tries it with another operator. The program that was published has neither the eliminations nor the return.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.drafts import Parent, make_seed
from mmpipe.synthesis.evol_eliminations import find_evolved_fault, find_response_fault, strip_heading
from mmpipe.synthesis.evol_pool import GROWN_TABLE, LINEAGE, POOL, start_pool
from mmpipe.synthesis.evol_prompts import ANSWER, COMPLICATE_INPUT, EQUALITY, EQUALITY_SCHEMA, FORMS, OPERATORS
from mmpipe.synthesis.refusals import Refusal, name_reason
from mmpipe.synthesis.reply_faults import find_other_script
from mmpipe.synthesis.row_account import Paid, RowAccount, make_instruction_row, write_details
from mmpipe.tables.chat import ChatFailure, ChatRequest, Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.teacher_families import describe_judge, refuse_own_judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.drafts import Synthesis
    from mmpipe.synthesis.evol_pool import EvolInstructSettings
    from mmpipe.synthesis.prompts import Prompt
    from mmpipe.tables.chat import ChatReply, Teacher

METHOD = "evol_instruct"
STAGE = "instruction_tuning"
MODE = "general_distillation.from_seeds"


@dataclass(frozen=True, slots=True)
class Evolution:
    """What evolution made.

    Attributes:
        synthesis: a row of SYNTHESIZED_INSTRUCTIONS per evolved instruction; planned = seeds * rounds.
        candidates: eliminated ones: id, text, reason, details.
        pool: the state after the last round, one row per seed.
        lineage: every attempt with its parent, operator and end.
    """

    synthesis: Synthesis
    candidates: pl.DataFrame
    pool: pl.DataFrame
    lineage: pl.DataFrame


@dataclass(slots=True)
class _Attempt:
    """One evolution on its way."""

    slot: dict[str, Any]
    instruction_id: str
    operator: Prompt
    paid: Paid
    evolved: str = ""
    reason: Refusal | str | None = None
    response: str = ""
    request: ChatRequest | None = None


def evolve_instructions(
    seeds: pl.DataFrame, teacher: Teacher, settings: EvolInstructSettings, *, judge: Teacher | None = None
) -> Evolution:
    """Return the instructions that seeds evolve into, round by round.

    Every request depends on its ancestor, the round and the settings alone: a killed run that begins again asks the
    same, and a cache of replies answers.

    Args:
        seeds: see `evol_pool.start_pool`.
        teacher: who evolves and answers.
        settings: how.
        judge: who says whether there is a gain of information; the teacher if None, as in the paper.

    Raises:
        ConfigurationError: the judge is of the teacher's family, and the settings do not allow it.
        SchemaError: see `evol_pool.start_pool`.
        TeacherError: the teacher cannot answer any more.
    """
    judge = judge or teacher
    refuse_own_judge(judge, teacher, settings.families, method=METHOD, is_own_allowed=settings.judges_own_family)
    pool = start_pool(seeds, settings)
    account = RowAccount()
    lineage = [pl.DataFrame(schema=LINEAGE)]
    for round_number in range(settings.rounds):
        pool, attempted = evolve_round(pool, round_number, teacher, judge, settings, account)
        lineage.append(attempted)
    judged = account.close(pl.Schema())
    return Evolution(judged.synthesis, judged.candidates, pool, pl.concat(lineage))


def evolve_round(
    pool: pl.DataFrame,
    round_number: int,
    teacher: Teacher,
    judge: Teacher,
    settings: EvolInstructSettings,
    account: RowAccount,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the pool after one round, in the same order, and the lineage of its attempts; rows go to the account.

    Args:
        pool: columns of POOL.
        round_number: from 0; part of every request's seed.
        teacher: who evolves and answers.
        judge: who compares.
        settings: how.
        account: takes rows and what is eliminated.
    """
    attempts = [_begin(slot, round_number, settings) for slot in pool.iter_rows(named=True)]
    _evolve(attempts, teacher, settings, account)
    _judge([attempt for attempt in attempts if attempt.reason is None], judge, settings, account)
    _answer([attempt for attempt in attempts if attempt.reason is None], teacher, settings, account)
    judged_by = describe_judge(judge, teacher, settings.families)
    slots, lineage = [], []
    for attempt in attempts:
        slots.append(_settle(attempt, teacher.name, judged_by, account))
        lineage.append(
            {
                "instruction_id": attempt.instruction_id,
                "parent_id": attempt.slot["instruction_id"],
                "root_id": attempt.slot["root_id"],
                "round": round_number,
                "operator": attempt.operator.name.rpartition("/")[2],
                "reason": None if attempt.reason is None else name_reason(attempt.reason),
            }
        )
    return pl.DataFrame(slots, schema=POOL), pl.DataFrame(lineage, schema=LINEAGE)


def choose_operator(instruction_id: str, round_number: int, seed: int) -> Prompt:
    """Return the operator of an instruction in a round: each of the six equally likely, drawn by a hash of the id."""
    return OPERATORS[_draw(len(OPERATORS), METHOD, "operator", seed, round_number, instruction_id)]


def _draw(count: int, *parts: str | int) -> int:
    # 60 bits: no remainder that could be seen
    return int(make_id(*parts)[:15], 16) % count


def _begin(slot: dict[str, Any], round_number: int, settings: EvolInstructSettings) -> _Attempt:
    paid = Paid(slot["attempts"], slot["prompt_tokens"], slot["completion_tokens"])
    operator = choose_operator(slot["instruction_id"], round_number, settings.seed)
    return _Attempt(slot, make_id(METHOD, slot["instruction_id"], settings.seed, round_number), operator, paid)


def _evolve(
    attempts: Sequence[_Attempt], teacher: Teacher, settings: EvolInstructSettings, account: RowAccount
) -> None:
    """Have each instruction evolved; eliminate what is empty, cut, copied from the prompt, or what it was before."""
    requests = []
    for attempt in attempts:
        fields = {"instruction": attempt.slot["instruction"]}
        if attempt.operator is COMPLICATE_INPUT:
            fields["form"] = FORMS[_draw(len(FORMS), METHOD, "form", attempt.instruction_id)]
        requests.append(_request(attempt, attempt.operator, fields, "evolve", settings))
    for attempt, outcome in zip(attempts, account.ask(teacher, requests), strict=True):
        attempt.evolved, attempt.reason = _read(attempt, outcome)
        if attempt.reason is not None:
            continue
        attempt.evolved = strip_heading(attempt.evolved)
        ancestor = attempt.slot["instruction"]
        attempt.reason = find_evolved_fault(attempt.evolved, ancestor)
        if attempt.reason is None and settings.refuses_other_script:
            attempt.reason = find_other_script(attempt.evolved, ancestor)


def _judge(attempts: Sequence[_Attempt], judge: Teacher, settings: EvolInstructSettings, account: RowAccount) -> None:
    """Eliminate what says no more than its ancestor."""
    requests = [
        ChatRequest(
            EQUALITY.render(first=attempt.slot["instruction"], second=attempt.evolved),
            Sampling(max_tokens=16, seed=make_seed(settings.seed, attempt.instruction_id, "judge")),
            EQUALITY_SCHEMA,
        )
        for attempt in attempts
    ]
    for attempt, outcome in zip(attempts, account.ask(judge, requests), strict=True):
        said, attempt.reason = _read(attempt, outcome)
        if attempt.reason is None and json.loads(said)["verdict"] == "equal":
            attempt.reason = Refusal(reason="evol_no_information_gain", found=f"{judge.name} says: equal")


def _answer(
    attempts: Sequence[_Attempt], teacher: Teacher, settings: EvolInstructSettings, account: RowAccount
) -> None:
    """Have what is left answered; eliminate what the teacher cannot answer."""
    for attempt in attempts:
        attempt.request = _request(attempt, ANSWER, {"instruction": attempt.evolved}, "answer", settings)
    requests = [attempt.request for attempt in attempts if attempt.request is not None]
    for attempt, outcome in zip(attempts, account.ask(teacher, requests), strict=True):
        attempt.response, attempt.reason = _read(attempt, outcome)
        if attempt.reason is None:
            attempt.reason = find_response_fault(attempt.response, settings.sorry_words)
        if attempt.reason is None and settings.refuses_other_script:
            attempt.reason = find_other_script(attempt.response, attempt.evolved)


def _request(
    attempt: _Attempt, prompt: Prompt, fields: dict[str, str], purpose: str, settings: EvolInstructSettings
) -> ChatRequest:
    seed = make_seed(settings.seed, attempt.instruction_id, purpose)
    sampling = Sampling(
        temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_tokens, seed=seed
    )
    return ChatRequest(prompt.render(**fields), sampling)


def _read(attempt: _Attempt, outcome: ChatReply | ChatFailure) -> tuple[str, str | None]:
    """Return what was said, and why it will not do; the attempt pays for it in any case."""
    attempt.paid.add(outcome)
    if isinstance(outcome, ChatFailure):
        return "", f"teacher_{outcome.kind}"
    return outcome.text.strip(), "teacher_truncated" if outcome.finish_reason == "length" else None


def _describe(attempt: _Attempt) -> dict[str, Any]:
    """Return what became of a seed: which it was, by what it evolved last, and how often."""
    return {
        "root_id": attempt.slot["root_id"],
        "operator": attempt.operator.name.rpartition("/")[2],
        "evolutions": attempt.slot["evolutions"] + 1,
    }


def _settle(attempt: _Attempt, teacher: str, judged_by: Mapping[str, Any], account: RowAccount) -> dict[str, Any]:
    """Return the slot after an attempt: the evolved instruction, or its ancestor, as it was, with what that cost."""
    slot, paid = attempt.slot, attempt.paid
    if attempt.reason is not None or attempt.request is None:
        account.refuse(attempt.instruction_id, attempt.evolved, attempt.reason or "evol_empty")
        owed = {"attempts": paid.attempts, "prompt_tokens": paid.prompt_tokens}
        return slot | owed | {"completion_tokens": paid.completion_tokens}
    account.rows.append(
        make_instruction_row(
            instruction_id=attempt.instruction_id,
            dump=slot["dump"],
            method=METHOD,
            stage=STAGE,
            mode=MODE,
            instruction=attempt.evolved,
            response=attempt.response,
            parents=[Parent(slot["table"], slot["instruction_id"])],
            teacher=teacher,
            prompt_version=f"{attempt.operator.version}+{EQUALITY.version}+{ANSWER.version}",
            sampling=attempt.request.sampling,
            paid=paid,
        )
        | {"details": write_details({**_describe(attempt), **judged_by})}
    )
    return {
        "root_id": slot["root_id"],
        "instruction_id": attempt.instruction_id,
        "table": GROWN_TABLE,
        "dump": slot["dump"],
        "instruction": attempt.evolved,
        "evolutions": slot["evolutions"] + 1,
        "attempts": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }
