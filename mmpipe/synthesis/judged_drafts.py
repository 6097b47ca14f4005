"""Asks a teacher for planned rows and has a method judge all replies of a round at once, as parallel programs need."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.drafts import Planned
from mmpipe.synthesis.refusals import Refusal
from mmpipe.synthesis.row_account import Judged, Paid, RowAccount, make_instruction_row
from mmpipe.tables.chat import ChatFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mmpipe.tables.chat import ChatReply, ChatRequest, Teacher

    #: Judges the replies of a round, in order; replies satisfy the schema of their plan.
    Judge = Callable[[Sequence[tuple["Planned", Mapping[str, Any]]]], Sequence["Accepted | Refused"]]
    #: Compares accepted rows with one another: reasons, by instruction_id, of those that go.
    Compare = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]]

#: One column more than a method's own: the row that the details are of.
DETAILS_KEY = {"instruction_id": pl.String()}


@dataclass(frozen=True, slots=True)
class Accepted:
    """A draft that passed: what the row says, and what the method alone knows of it."""

    instruction: str
    response: str
    details: Mapping[str, Any] = field(default_factory=dict)
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A draft that did not pass, the name of the check, and what was wrong in a few words.

    `value`, `low` and `high` say what was measured and may be measured; None where the check only says yes or no.
    """

    reason: str
    detail: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def tell(self) -> Refusal:
        """Return it as the account of refused candidates takes it."""
        return Refusal(reason=self.reason, value=self.value, low=self.low, high=self.high, found=self.detail)


@dataclass(slots=True)
class _Open:
    plan: Planned
    paid: Paid = field(default_factory=Paid)
    why: Refusal | str = ""
    text: str = ""


def judge_drafts(
    planned: Sequence[Planned],
    teacher: Teacher,
    judge: Judge,
    *,
    details_schema: Mapping[str, pl.DataType],
    attempts: int = 1,
    compare: Compare | None = None,
) -> Judged:
    """Return rows in the order planned, refused candidates, and details by row.

    All plans are asked at once; refused ones are asked again with another seed, up to `attempts` times.

    Args:
        planned: what shall be written; ids are distinct.
        teacher: who writes.
        judge: the method's checks.
        details_schema: columns of the details, without `instruction_id`.
        attempts: most requests for one row.
        compare: checks between rows, after all are written; refused ones are not asked again.

    Raises:
        TeacherError: the teacher cannot answer any more. With a reply cache, a later call repeats no paid request.
    """
    account = RowAccount()
    made: dict[str, tuple[dict[str, Any], Mapping[str, Any]]] = {}
    waiting = [_Open(plan) for plan in planned]
    for attempt in range(attempts):
        requests = [one.plan.make_request(attempt) for one in waiting]
        outcomes = account.ask(teacher, requests)
        verdicts = _judge_round(waiting, outcomes, judge)
        still = []
        for one, request, outcome, verdict in zip(waiting, requests, outcomes, verdicts, strict=True):
            one.paid.add(outcome)
            if isinstance(verdict, Accepted):
                row = _make_row(one, verdict, request, teacher.name)
                made[one.plan.instruction_id] = (row, verdict.details)
                continue
            one.why = verdict.tell()
            one.text = _tell(outcome, verdict)
            still.append(one)
            if attempt + 1 < attempts:
                account.refuse_reply(verdict.reason)
        waiting = still
        if not waiting:
            break
    refused = {one.plan.instruction_id: one for one in waiting}
    gone = compare([row for row, _ in made.values()]) if compare is not None and made else {}
    for plan in planned:
        number = plan.instruction_id
        if number in refused:
            account.refuse(number, refused[number].text, refused[number].why)
        elif number in gone:
            account.refuse(number, made[number][0]["instruction"], gone[number])
        else:
            row, details = made[number]
            account.rows.append(row)
            account.details.append({"instruction_id": number, **details})
    return account.close(pl.Schema({**DETAILS_KEY, **details_schema}))


def _judge_round(
    waiting: Sequence[_Open],
    outcomes: Sequence[ChatReply | ChatFailure],
    judge: Judge,
) -> list[Accepted | Refused]:
    replies = [
        (place, (one.plan, json.loads(outcome.text)))
        for place, (one, outcome) in enumerate(zip(waiting, outcomes, strict=True))
        if not isinstance(outcome, ChatFailure)
    ]
    judged = dict(
        zip((place for place, _ in replies), judge([reply for _, reply in replies]) if replies else (), strict=True)
    )
    return [
        Refused(f"teacher_{outcome.kind}", outcome.detail) if isinstance(outcome, ChatFailure) else judged[place]
        for place, outcome in enumerate(outcomes)
    ]


def _tell(outcome: ChatReply | ChatFailure, verdict: Refused) -> str:
    said = "" if isinstance(outcome, ChatFailure) else outcome.text
    return f"{said}\n{verdict.detail}".strip()


def _make_row(one: _Open, accepted: Accepted, request: ChatRequest, teacher: str) -> dict[str, Any]:
    plan = one.plan
    return make_instruction_row(
        instruction_id=plan.instruction_id,
        dump=plan.dump,
        method=plan.method,
        stage=plan.stage,
        mode=plan.mode,
        instruction=accepted.instruction,
        response=accepted.response,
        parents=plan.parents,
        teacher=teacher,
        prompt_version=plan.prompt_version,
        sampling=request.sampling,
        paid=one.paid,
        evidence=plan.evidence if accepted.evidence is None else accepted.evidence,
        context=plan.context,
    )
