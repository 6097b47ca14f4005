"""Asks an endpoint one request, again where that can help: back-off, deadlines, what each answer means."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

from mmpipe.errors import TeacherError
from mmpipe.models.chat_wire import (
    UnreadableAnswer,
    list_drawing,
    list_refused_parameters,
    read_completion,
    read_refusal,
    render_request,
)
from mmpipe.models.http_transport import NoConnection, NoReplyInTime, OversizedReply, encode_json
from mmpipe.models.teacher import find_schema_fault, unwrap_json
from mmpipe.tables.chat import ChatFailure, ChatReply, FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.models.chat_wire import Completion
    from mmpipe.models.endpoint_health import EndpointHealth, Patience
    from mmpipe.models.http_transport import HttpAnswer, HttpTransport
    from mmpipe.models.prices import Prices
    from mmpipe.tables.chat import ChatRequest

_TRANSIENT_STATUS = frozenset({408, 409, 425})
_KINDS: dict[type[Exception], FailureKind] = {
    NoReplyInTime: "timeout",
    NoConnection: "connection",
    UnreadableAnswer: "unreadable",
}


@dataclass(frozen=True, slots=True)
class Asking:
    """What the requests of one teacher have in common.

    Attributes:
        transport: how they go out.
        model: name the endpoint knows.
        timeout_s: seconds one attempt may take.
        health: of the endpoint.
        patience: how often it is asked.
        prices: of the model.
        is_schema_sent: whether `response_format` is asked for.
        secret: the key, to be hidden in what the endpoint says.
        key_variable: environment variable that holds the key, for messages; may be empty.
    """

    transport: HttpTransport
    model: str
    timeout_s: float
    health: EndpointHealth
    patience: Patience
    prices: Prices
    is_schema_sent: bool
    secret: str | None
    key_variable: str = ""


@dataclass(frozen=True, slots=True)
class _Again:
    """An attempt that failed in a way another may not, and the seconds to wait before it."""

    kind: FailureKind
    detail: str
    pause_s: float


@dataclass(frozen=True, slots=True)
class _Changed:
    """An attempt that is made again at once, in another form."""


class RequestAttempts:
    """One request on its way: its attempts, and what they used."""

    def __init__(self, asking: Asking, request: ChatRequest) -> None:
        self._asking = asking
        self._health = asking.health
        self._patience = asking.patience
        self._request = request
        self._max_tokens = request.sampling.max_tokens
        self._attempts = 0
        self._failed = 0
        self._waits = 0
        self._used_s = 0.0
        self._waited_s = 0.0
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._left_out: tuple[str, ...] = ()

    async def run(self) -> ChatReply | ChatFailure:
        """Return the reply, or the failure of the last attempt.

        Raises:
            TeacherError: no request to this endpoint can succeed.
        """
        while True:
            outcome = await self._try_in_turn()
            if isinstance(outcome, (ChatReply, ChatFailure)):
                return outcome
            if isinstance(outcome, _Again):
                failure = self._give_up(outcome)
                if failure is not None:
                    return failure
                if outcome.kind != "rate":
                    await asyncio.sleep(outcome.pause_s)

    async def _try_in_turn(self) -> ChatReply | ChatFailure | _Again | _Changed:
        """Make one attempt when the endpoint takes it, and let all requests know what became of it."""
        place = await self._health.enter()
        try:
            started = time.monotonic()
            outcome = await self._try_once(min(self._asking.timeout_s, self._patience.deadline_s - self._used_s))
            self._used_s += time.monotonic() - started
            if not isinstance(outcome, _Again):
                self._health.note_answer(place)
            elif outcome.kind == "rate":
                self._health.note_rate(place, outcome.pause_s)
            else:
                self._failed += 1
                is_last = self._failed >= self._patience.attempts
                self._health.note_failure(place, outcome.kind, self._hide(outcome.detail), is_last_attempt=is_last)
            return outcome
        finally:
            self._health.leave(place)

    def _give_up(self, again: _Again) -> ChatFailure | None:
        """Return the failure where no further attempt is due.

        Raises:
            TeacherError: the endpoint has told request after request to wait.
        """
        if again.kind == "rate":
            # waits its turn with all other requests; its attempts are left as they are
            self._waited_s += again.pause_s
            self._waits += 1
            if self._waited_s > self._patience.rate_deadline_s:
                self._health.note_rate_failure(again.detail)
                return self._fail("rate", f"told to wait for {self._waited_s:.0f} s in all: {again.detail}")
            return None
        self._used_s += again.pause_s
        if self._failed >= self._patience.attempts:
            return self._fail(again.kind, again.detail)
        if self._used_s >= self._patience.deadline_s:
            detail = f"no reply within {self._patience.deadline_s:g} s of attempts; the last: {again.detail}"
            return self._fail(again.kind, detail)
        return None

    async def _try_once(self, within_s: float) -> ChatReply | ChatFailure | _Again | _Changed:
        is_schema_sent = self._asking.is_schema_sent and not self._health.is_schema_refused
        body = render_request(
            self._asking.model,
            self._request,
            max_tokens=self._max_tokens,
            is_schema_sent=is_schema_sent,
            left_out=self._health.refused_parameters,
        )
        self._left_out = tuple(name for name in list_drawing(self._request.sampling) if name not in body)
        self._attempts += 1
        try:
            answer = await self._asking.transport.post("/chat/completions", encode_json(body), within_s=within_s)
            if answer.status != 200:
                return self._read_status(answer, body)
            return self._read_completion(read_completion(answer))
        except OversizedReply as error:
            return self._fail("oversized", str(error))
        except (NoReplyInTime, NoConnection, UnreadableAnswer) as error:
            return _Again(_KINDS[type(error)], str(error), self._choose_pause({}))

    def _choose_pause(self, headers: Mapping[str, str]) -> float:
        asked_s = read_retry_after(headers)
        if asked_s is not None:
            return asked_s
        doublings = min(self._failed + self._waits, 10)
        pause_s: float = min(self._patience.first_pause_s * 2**doublings, self._patience.longest_pause_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def _read_status(self, answer: HttpAnswer, body: Mapping[str, Any]) -> ChatFailure | _Again | _Changed:
        """Return what a refusing status means: again, in another form, or never.

        Raises:
            TeacherError: the status says that no request can succeed.
        """
        status, refusal = answer.status, read_refusal(answer)
        # one line, without the full stop that many messages end with
        said = " ".join(self._hide(f"HTTP {status}: {refusal.message}").split()).rstrip(".: ")
        if status in (401, 403):
            raise TeacherError(self._tell_refused_key(said))
        if status == 404 or 300 <= status < 400:
            raise TeacherError(
                f"{self._health.url} does not know model {self._asking.model!r} or has no chat completions. {said}. "
                f"Correct the model's name or the URL (most end in /v1)."
            )
        if status == 429:
            if "insufficient_quota" in (refusal.code, refusal.kind):
                # out of money is told by the same status as out of breath, and waiting does not help
                raise TeacherError(f"{self._health.url}: the account's quota is used up. {said}.")
            return _Again("rate", said, self._choose_pause(answer.headers))
        if status >= 500 or status in _TRANSIENT_STATUS:
            return _Again("server", said, self._choose_pause(answer.headers))
        unknown = list_refused_parameters(refusal, body)
        if unknown:
            # a server that lacks a way to draw still answers; the log tells that it draws otherwise
            for name in unknown:
                self._health.refuse_parameter(name, said)
            return _Changed()
        if "response_format" in body and ("response_format" in refusal.message or "json_schema" in refusal.message):
            # a server without structured output; the reply is held to its schema in any case
            self._health.is_schema_refused = True
            return _Changed()
        if self._max_tokens > self._request.sampling.max_tokens:
            cut = f"cut at max_tokens = {self._request.sampling.max_tokens}, and the endpoint gives no more: {said}"
            return self._fail("truncated", cut)
        return self._fail("content_filter" if refusal.code == "content_filter" else "refused", said)

    def _tell_refused_key(self, said: str) -> str:
        url, variable = self._health.url, self._asking.key_variable
        if not self._asking.secret:
            where = f"in {variable}" if variable else "in the environment"
            return f"{url} asks for a key, and none is set. {said}. Set it {where}, then run again."
        where = f" in {variable}" if variable else ""
        return f"{url} refuses the key{where}. {said}. Set the right one, then run again."

    def _read_completion(self, completion: Completion) -> ChatReply | ChatFailure | _Again | _Changed:
        self._prompt_tokens += completion.prompt_tokens
        self._completion_tokens += completion.completion_tokens
        is_cut = completion.finish_reason == "length"
        if completion.refusal or completion.finish_reason == "content_filter":
            kind: FailureKind = "refused" if completion.refusal else "content_filter"
            return self._fail(kind, completion.refusal or "the endpoint's filter stopped the reply")
        if is_cut and (self._request.must_be_whole or not completion.text):
            # without text: all tokens went into thinking that is not shown
            return self._raise_limit()
        if not completion.text:
            return _Again("unreadable", "an empty reply", self._choose_pause({}))
        text = completion.text
        if self._request.schema is not None:
            text = unwrap_json(text)
            fault = find_schema_fault(text, self._request.schema)
            if fault is not None:
                return self._fail("schema", fault)
        tokens = (self._prompt_tokens, self._completion_tokens)
        cost = self._asking.prices.compute_cost(*tokens)
        reason: Literal["stop", "length"] = "length" if is_cut else "stop"
        return ChatReply(text, reason, *tokens, self._attempts, cost=cost, left_out=self._left_out)

    def _raise_limit(self) -> ChatFailure | _Changed:
        """Raise the limit of tokens that cut a reply, once; then the reply is truncated."""
        raised = int(self._request.sampling.max_tokens * self._patience.raise_max_tokens)
        if self._max_tokens >= raised:
            return self._fail("truncated", f"cut at max_tokens = {self._max_tokens}")
        self._max_tokens = raised
        return _Changed()

    def _fail(self, kind: FailureKind, detail: str) -> ChatFailure:
        tokens = (self._prompt_tokens, self._completion_tokens)
        cost = self._asking.prices.compute_cost(*tokens)
        return ChatFailure(kind, self._hide(detail)[:500], self._attempts, *tokens, cost=cost)

    def _hide(self, text: str) -> str:
        # some servers repeat the key they refuse
        return text.replace(self._asking.secret, "***") if self._asking.secret else text


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` (seconds or a date) or `retry-after-ms` ask for, None if neither does."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None  # an unreadable wish is none
