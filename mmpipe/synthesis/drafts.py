"""Asks a teacher for planned rows, again where a reply will not do, and counts everything that became no row."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.refusals import Refusal, list_candidates, name_reason
from mmpipe.tables.chat import ChatFailure, ChatRequest
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from mmpipe.tables.chat import ChatMessage, ChatReply, Sampling, Teacher

    #: A method's own checks of a reply that satisfies its schema: a draft, or why there is none.
    Accept = Callable[["Planned", Mapping[str, Any]], "Draft | Refusal | str"]


@dataclass(frozen=True, slots=True)
class Parent:
    """A row that another was made from: the table it stands in and its id."""

    table: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One instruction that shall be written, decided before any teacher is asked.

    `stage` and `mode` are the survey's taxonomy (life-cycle stage; synthesis mode). `instruction` is given where the
    method states it itself and the teacher writes only the answer.
    """

    instruction_id: str
    dump: str
    method: str
    stage: str
    mode: str
    prompt_version: str
    messages: tuple[ChatMessage, ...]
    schema: Mapping[str, Any]
    sampling: Sampling
    retry_temperature: float
    evidence: str
    context: str | None = None
    instruction: str | None = None
    images: tuple[str, ...] = ()
    parents: tuple[Parent, ...] = ()

    def make_request(self, attempt: int) -> ChatRequest:
        """Return the request of attempt 0, 1, …; later ones are warmer, each has its own seed."""
        seed = make_seed(self.sampling.seed, self.instruction_id, attempt)
        temperature = self.sampling.temperature
        if attempt:
            temperature = max(temperature, self.retry_temperature)
        sampling = replace(self.sampling, temperature=temperature, seed=seed)
        return ChatRequest(self.messages, sampling, self.schema, sample_index=attempt)


@dataclass(frozen=True, slots=True)
class Draft:
    """An instruction and its answer that passed every check of its method."""

    instruction: str
    response: str


@dataclass(slots=True)
class Spent:
    """What was asked for, failed attempts included. Tokens of cached replies are counted; they cost nothing again."""

    requests: int = 0
    cached: int = 0
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def add(self, outcome: ChatReply | ChatFailure) -> None:
        """Count one outcome."""
        self.requests += 1
        self.cached += 0 if isinstance(outcome, ChatFailure) else int(outcome.is_cached)
        self.attempts += outcome.attempts
        self.prompt_tokens += outcome.prompt_tokens
        self.completion_tokens += outcome.completion_tokens
        self.cost += outcome.cost

    def join(self, other: Spent) -> None:
        """Count what was spent elsewhere too."""
        self.requests += other.requests
        self.cached += other.cached
        self.attempts += other.attempts
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cost += other.cost


@dataclass(frozen=True, slots=True)
class Synthesis:
    """Rows, and the account of what became none: planned = rows + sum of `rejected`.

    Attributes:
        frame: rows of the table the method fills.
        planned: rows that were planned.
        rejected: planned rows that became none, by the reason their last attempt failed for.
        rejected_replies: every reply that was refused, by reason, also where a later attempt succeeded.
        spent: requests, tokens and money.
        candidates: the planned rows that became none, one row each (`refusals.CANDIDATE_SCHEMA`), where the method
            keeps them.
        wanted: rows that were asked for; None where all planned rows were.
    """

    frame: pl.DataFrame
    planned: int
    rejected: dict[str, int]
    rejected_replies: dict[str, int]
    spent: Spent
    candidates: pl.DataFrame | None = None
    wanted: int | None = None

    @property
    def missing(self) -> int:
        """Rows that were wanted and are not there: the budget or the candidates ended first."""
        return max(0, (self.wanted or 0) - self.frame.height)

    @property
    def cost_per_row(self) -> float:
        """Money per accepted row, what was refused included; 0 if there is none."""
        return self.spent.cost / self.frame.height if self.frame.height else 0.0

    @property
    def tokens_per_row(self) -> float:
        """Prompt and completion tokens per accepted row, what was refused included; 0 if there is none."""
        tokens = self.spent.prompt_tokens + self.spent.completion_tokens
        return tokens / self.frame.height if self.frame.height else 0.0


_log = logging.getLogger(__name__)

#: The reason of a candidate that was accepted after the last wanted row was found, in the wave that found it.
BEYOND_WANTED = "beyond_wanted"
_NO_FAULT = frozenset({BEYOND_WANTED, "repeated_candidate"})


@dataclass(slots=True)
class _Tally:
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    why: Refusal | str = ""
    text: str = ""
    left_out: tuple[str, ...] = ()
    row: dict[str, Any] | None = field(default=None)

    def add(self, outcome: ChatReply | ChatFailure) -> None:
        self.attempts += outcome.attempts
        self.prompt_tokens += outcome.prompt_tokens
        self.completion_tokens += outcome.completion_tokens
        self.left_out = join_left_out(self.left_out, outcome)


def make_seed(seed: int, *parts: str | int) -> int:
    """Return a 31-bit seed for one request, as endpoints take it; equal parts, equal seed."""
    return int(make_id("seed", seed, *parts)[:8], 16) >> 1


def synthesize(
    planned: Sequence[Planned],
    teacher: Teacher,
    accept: Accept,
    *,
    attempts: int = 4,
) -> Synthesis:
    """Return the instructions a teacher wrote, in the order planned.

    All plans are asked at once; those whose reply fails are asked again with another seed, up to `attempts` times.

    Args:
        planned: what shall be written.
        teacher: who writes.
        accept: the method's own checks: a draft, or why there is none.
        attempts: most requests for one row.

    Raises:
        TeacherError: the teacher cannot answer any more. With a reply cache, a later call repeats no paid request.
    """
    tallies = [_Tally() for _ in planned]
    refused: Counter[str] = Counter()
    spent = Spent()
    open_plans = list(range(len(planned)))
    for attempt in range(attempts):
        requests = [planned[place].make_request(attempt) for place in open_plans]
        still_open = []
        for place, request, outcome in zip(open_plans, requests, teacher.answer(requests), strict=True):
            tally, plan = tallies[place], planned[place]
            spent.add(outcome)
            tally.add(outcome)
            verdict = _read(plan, outcome, accept)
            if isinstance(verdict, Draft):
                tally.row = _make_row(plan, verdict, request, teacher.name, tally)
                continue
            tally.why = verdict
            tally.text = _tell_text(outcome)
            refused[name_reason(verdict)] += 1
            still_open.append(place)
        open_plans = still_open
        if not open_plans:
            break
    rows = [tally.row for tally in tallies if tally.row is not None]
    frame = SYNTHESIZED_INSTRUCTIONS.conform(pl.DataFrame(rows, schema=SYNTHESIZED_INSTRUCTIONS.schema))
    rejected = Counter(name_reason(tally.why) for tally in tallies if tally.row is None)
    candidates = list_candidates(
        (plan.instruction_id, tally.text, tally.why)
        for plan, tally in zip(planned, tallies, strict=True)
        if tally.row is None
    )
    return Synthesis(frame, len(planned), sort_counts(rejected), sort_counts(refused), spent, candidates)


def synthesize_exactly(
    candidates: Iterator[Planned],
    teacher: Teacher,
    accept: Accept,
    *,
    wanted: int,
    budget: int,
) -> Synthesis:
    """Return exactly `wanted` instructions: the first candidates, in their order, that are accepted.

    Candidates are asked once each, in waves sized by the share accepted so far, until enough are accepted. `accept` is
    called in candidate order, so it may compare with what it accepted before; which rows come out depends neither on
    the size of the waves nor on the order in which replies arrive. What a wave accepts beyond the last wanted row is
    rejected as `beyond_wanted`: paid for, and in the cache.

    Args:
        candidates: what could be written, as many as there are; taken as needed.
        teacher: who writes.
        accept: the method's own checks: a draft, or why there is none.
        wanted: rows to be made.
        budget: most candidates taken. An id that occurred before is taken and rejected as `repeated_candidate`.

    Returns:
        The rows, with every rejected candidate named in `candidates`; `missing` is above 0 where the budget or the
        candidates ended first, which is logged too.

    Raises:
        ConfigurationError: the budget is below what is wanted.
        TeacherError: the teacher cannot answer any more. With a reply cache, a later call repeats no paid request.
    """
    if not 0 <= wanted <= budget:
        raise ConfigurationError(f"{wanted} rows are wanted of at most {budget} candidates: raise the budget.")
    rows: list[dict[str, Any]] = []
    refused: list[tuple[str, str, Refusal | str]] = []
    seen: set[str] = set()
    spent = Spent()
    taken = accepted = 0
    while len(rows) < wanted and taken < budget:
        wave = list(islice(candidates, min(_size_wave(wanted - len(rows), accepted, taken), budget - taken)))
        if not wave:
            break
        taken += len(wave)
        fresh = []
        for plan in wave:
            if plan.instruction_id in seen:
                refused.append((plan.instruction_id, "", "repeated_candidate"))
            else:
                seen.add(plan.instruction_id)
                fresh.append(plan)
        requests = [plan.make_request(0) for plan in fresh]
        for plan, request, outcome in zip(fresh, requests, teacher.answer(requests), strict=True):
            spent.add(outcome)
            # once the rows are full, further ones are not compared with: a pool would grow by rows that are not there
            verdict = BEYOND_WANTED if len(rows) == wanted else _read(plan, outcome, accept)
            if not isinstance(verdict, Draft):
                refused.append((plan.instruction_id, _tell_text(outcome), verdict))
                continue
            accepted += 1
            tally = _Tally()
            tally.add(outcome)
            rows.append(_make_row(plan, verdict, request, teacher.name, tally))
    if len(rows) < wanted:
        end = f"the budget of {budget} candidates" if taken >= budget else f"the {taken} candidates there were"
        _log.warning("%d of %d wanted rows were accepted, then %s ended.", len(rows), wanted, end)
    frame = SYNTHESIZED_INSTRUCTIONS.conform(pl.DataFrame(rows, schema=SYNTHESIZED_INSTRUCTIONS.schema))
    rejected = Counter(name_reason(why) for _, _, why in refused)
    replies = Counter({reason: count for reason, count in rejected.items() if reason not in _NO_FAULT})
    return Synthesis(
        frame,
        taken,
        sort_counts(rejected),
        sort_counts(replies),
        spent,
        list_candidates(refused),
        wanted,
    )


def _size_wave(missing: int, accepted: int, taken: int) -> int:
    """Return how many candidates should yield the missing rows; at most twice as many as were taken so far."""
    if not taken:
        return missing
    # one more accepted than there were: a share of 0 tells nothing yet
    expected = -(-missing * (taken + 1) // (accepted + 1))
    return max(1, min(expected, 2 * taken))


def sort_counts(counts: Counter[str]) -> dict[str, int]:
    """Return counts by descending number, then name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _tell_text(outcome: ChatReply | ChatFailure) -> str:
    return outcome.detail if isinstance(outcome, ChatFailure) else outcome.text


def _read(plan: Planned, outcome: ChatReply | ChatFailure, accept: Accept) -> Draft | Refusal | str:
    if isinstance(outcome, ChatFailure):
        return f"teacher_{outcome.kind}"
    return accept(plan, json.loads(outcome.text))


def _make_row(plan: Planned, draft: Draft, request: ChatRequest, teacher: str, tally: _Tally) -> dict[str, Any]:
    return {
        "instruction_id": plan.instruction_id,
        "dump": plan.dump,
        "method": plan.method,
        "stage": plan.stage,
        "mode": plan.mode,
        "instruction": draft.instruction,
        "context": plan.context,
        "response": draft.response,
        "evidence": plan.evidence,
        "images": list(plan.images),
        "parents": [{"table": parent.table, "id": parent.id} for parent in plan.parents],
        "teacher": teacher,
        "prompt_version": plan.prompt_version,
        "sampling": describe_sampling(request.sampling, tally.left_out),
        "seed": request.sampling.seed,
        "attempts": tally.attempts,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
    }


def join_left_out(known: tuple[str, ...], outcome: ChatReply | ChatFailure) -> tuple[str, ...]:
    """Return the parameters that a row's replies were drawn without, with those of one more outcome."""
    return known if isinstance(outcome, ChatFailure) else tuple(sorted({*known, *outcome.left_out}))


def describe_sampling(sampling: Sampling, left_out: Collection[str] = ()) -> str:
    """Return the sampling parameters as canonical JSON; the seed has a column of its own.

    Args:
        sampling: what was asked for.
        left_out: parameters that the endpoint refused: what was drawn without them does not say them.
    """
    unsaid = {"seed", *left_out}
    parameters = {name: value for name, value in sampling.as_dict().items() if name not in unsaid}
    return json.dumps(parameters, sort_keys=True, separators=(",", ":"))
