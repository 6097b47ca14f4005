"""Keeps the account of a method that judges candidates: rows, refused candidates with their reasons, what was spent."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.drafts import (
    Parent,
    Planned,
    Spent,
    Synthesis,
    describe_sampling,
    join_left_out,
    sort_counts,
    synthesize,
)
from mmpipe.synthesis.refusals import CANDIDATE_SCHEMA, Refusal, describe_verdict, name_reason
from mmpipe.tables.chat import ChatFailure, ChatReply
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.drafts import Accept
    from mmpipe.tables.chat import ChatRequest, Sampling, Teacher

#: A candidate that became no row: its id, what it said (empty if there was no reply), why, and what was measured.
CANDIDATES_SCHEMA = pl.Schema(CANDIDATE_SCHEMA)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a method made and what it refused.

    Attributes:
        synthesis: rows of SYNTHESIZED_INSTRUCTIONS, with their details as JSON; planned = rows + sum of `rejected`.
        candidates: one row per refused candidate, `CANDIDATES_SCHEMA`; as many as `rejected` says; the same frame as
            the synthesis's own.
        details: what the method alone knows of its rows (key `instruction_id`); its columns are the method's.
    """

    synthesis: Synthesis
    candidates: pl.DataFrame
    details: pl.DataFrame


@dataclass(slots=True)
class Paid:
    """Attempts and tokens that went into one row, failed ones included."""

    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    left_out: tuple[str, ...] = ()

    def add(self, outcome: ChatReply | ChatFailure) -> Paid:
        """Count one outcome; returns itself."""
        self.attempts += outcome.attempts
        self.prompt_tokens += outcome.prompt_tokens
        self.completion_tokens += outcome.completion_tokens
        self.left_out = join_left_out(self.left_out, outcome)
        return self

    def take_share(self, parts: int, place: int) -> Paid:
        """Return what the row at `place` has of what several share: the first the attempts, each its tokens."""
        return Paid(
            self.attempts if place == 0 else 0,
            cut_evenly(self.prompt_tokens, parts, place),
            cut_evenly(self.completion_tokens, parts, place),
            self.left_out,
        )


def cut_evenly(total: int, parts: int, place: int) -> int:
    """Return what the part at `place` has of a total that several share; the first have the remainder."""
    return total // parts + (place < total % parts)


@dataclass(slots=True)
class RowAccount:
    """Collects rows and refusals while a method runs."""

    spent: Spent = field(default_factory=Spent)
    rows: list[dict[str, Any]] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    replies: Counter[str] = field(default_factory=Counter)

    def ask(self, teacher: Teacher, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatFailure]:
        """Return one outcome per request, in order, each counted as spent."""
        outcomes = list(teacher.answer(requests))
        for outcome in outcomes:
            self.spent.add(outcome)
        return outcomes

    def refuse(self, candidate_id: str, text: str, why: Refusal | str, *, was_asked: bool = True) -> None:
        """Count a planned row that became none; `was_asked` says whether a reply was the reason."""
        reason = name_reason(why)
        if was_asked:
            self.replies[reason] += 1
        told = describe_verdict(why)
        details = {} if told is None else {"details": told}
        self.refused.append({"id": candidate_id, "text": text, "reason": reason, **details})

    def refuse_reply(self, reason: str) -> None:
        """Count a reply that was refused though its row may still come."""
        self.replies[reason] += 1

    def ask_planned(
        self,
        planned: Sequence[Planned],
        teacher: Teacher,
        accept: Accept,
        *,
        attempts: int,
    ) -> None:
        """Ask for planned rows by `drafts.synthesize`, and take them, what was refused and what was spent, over.

        Raises:
            TeacherError: the teacher cannot answer any more.
        """
        made = synthesize(planned, teacher, accept, attempts=attempts)
        self.rows.extend(made.frame.to_dicts())
        if made.candidates is not None:
            self.refused.extend(made.candidates.to_dicts())
        self.replies.update(made.rejected_replies)
        self.spent.join(made.spent)

    def close(self, details_schema: pl.Schema) -> Judged:
        """Return the account; what a row's details say stands in its column `details` too, as JSON."""
        details = pl.DataFrame(self.details, schema=details_schema)
        rows = [{**row, **told} for row, told in zip(self.rows, _tell_details(self.rows, details), strict=True)]
        frame = SYNTHESIZED_INSTRUCTIONS.conform(pl.DataFrame(rows, schema=SYNTHESIZED_INSTRUCTIONS.schema))
        rejected = Counter(candidate["reason"] for candidate in self.refused)
        candidates = pl.DataFrame(self.refused, schema=CANDIDATES_SCHEMA)
        synthesis = Synthesis(
            frame,
            len(self.rows) + len(self.refused),
            sort_counts(rejected),
            sort_counts(self.replies),
            self.spent,
            candidates,
        )
        return Judged(synthesis, candidates, details)


def _tell_details(rows: Sequence[Mapping[str, Any]], details: pl.DataFrame) -> list[dict[str, str]]:
    """Return the column `details` of each row; nothing for one that has none."""
    known = {told.pop("instruction_id"): told for told in details.to_dicts()}
    return [
        {"details": write_details(known[row["instruction_id"]])} if row["instruction_id"] in known else {}
        for row in rows
    ]


def write_details(details: Mapping[str, Any]) -> str:
    """Return what a method alone knows of a row as the column `details` holds it: canonical JSON without nulls."""
    known = {name: value for name, value in details.items() if value is not None}
    return json.dumps(known, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def read_text(outcome: ChatReply | ChatFailure) -> tuple[str, str]:
    """Return (text, "") or (what there is of it, reason): a failure, a reply cut by the limit, or nothing said."""
    if isinstance(outcome, ChatFailure):
        return "", f"teacher_{outcome.kind}"
    text = outcome.text.strip()
    if outcome.finish_reason == "length":
        return text, "teacher_truncated"
    return text, "" if text else "empty_reply"


def make_instruction_row(
    *,
    instruction_id: str,
    dump: str,
    method: str,
    stage: str,
    mode: str,
    instruction: str,
    response: str,
    parents: Sequence[Parent],
    teacher: str,
    prompt_version: str,
    sampling: Sampling | None,
    paid: Paid,
    evidence: str = "",
    context: str | None = None,
) -> dict[str, Any]:
    """Return a row of SYNTHESIZED_INSTRUCTIONS without images; `sampling` is None where no model wrote it."""
    return {
        "instruction_id": instruction_id,
        "dump": dump,
        "method": method,
        "stage": stage,
        "mode": mode,
        "instruction": instruction,
        "context": context,
        "response": response,
        "evidence": evidence,
        "images": [],
        "parents": [{"table": parent.table, "id": parent.id} for parent in parents],
        "teacher": teacher,
        "prompt_version": prompt_version,
        "sampling": "{}" if sampling is None else describe_sampling(sampling, paid.left_out),
        "seed": 0 if sampling is None else sampling.seed,
        "attempts": paid.attempts,
        "prompt_tokens": paid.prompt_tokens,
        "completion_tokens": paid.completion_tokens,
    }
