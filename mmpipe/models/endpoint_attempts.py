"""Asks an endpoint one request, again where that can help: back-off, shared pauses, deadlines, and when to give up."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from mmpipe.errors import TeacherError
from mmpipe.models.teacher import find_schema_fault
from mmpipe.tables.chat import ChatFailure, ChatReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.models.prices import Prices
    from mmpipe.tables.chat import ChatRequest, FailureKind

_TRANSIENT_STATUS = frozenset({408, 409, 425})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an endpoint is asked again.

    Attributes:
        attempts: most attempts of one request that fail by timeout, server error or connection. Being told to wait
            (429) is no attempt.
        first_pause_s: seconds before the second attempt; doubled for each next, with jitter.
        longest_pause_s: most seconds of such a pause. A pause the server asks for is kept to whatever its length.
        rate_deadline_s: seconds one request may spend being told to wait.
        dead_after: connections refused one after another, before any success, that make the endpoint dead.
    """

    attempts: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    rate_deadline_s: float = 600.0
    dead_after: int = 8


class EndpointHealth:
    """What all requests to one endpoint know together: until when to pause, and whether it is alive.

    Args:
        url: for messages.
        dead_after: `Patience.dead_after`.
    """

    def __init__(self, url: str, dead_after: int) -> None:
        self.url = url
        self._dead_after = dead_after
        self._paused_until = 0.0
        self._refused_connections = 0
        self._has_answered = False

    async def wait_for_pause(self) -> None:
        """Wait while the endpoint has asked for a pause: one key has one budget, so all its requests pause."""
        loop = asyncio.get_running_loop()
        while (left := self._paused_until - loop.time()) > 0:
            # spread: all waking at once would be refused at once
            await asyncio.sleep(left + random.uniform(0, 0.1))  # noqa: S311 - jitter

    def pause(self, seconds: float) -> None:
        """Pause all requests for at least `seconds` from now."""
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)

    def note_answer(self) -> None:
        """Any HTTP answer, also a refusal, is a sign of life."""
        self._has_answered = True
        self._refused_connections = 0

    def note_no_connection(self, detail: str, *, is_last_attempt: bool) -> None:
        """Count a connection that could not be had.

        Raises:
            TeacherError: the endpoint never answered and refuses connections, or did and no longer does although a
                request has used up its attempts.
        """
        self._refused_connections += 1
        if self._refused_connections >= self._dead_after and (not self._has_answered or is_last_attempt):
            raise TeacherError(
                f"{self.url} is dead: {self._refused_connections} connections failed one after another ({detail}). "
                f"Start the server or correct the URL, then run again: replies that have arrived are cached."
            )


@dataclass(frozen=True, slots=True)
class _Again:
    """An attempt that failed in a way another may not, and the seconds to wait before it."""

    kind: FailureKind
    detail: str
    pause_s: float


class RequestAttempts:
    """One request on its way: its attempts, and what they used."""

    def __init__(
        self,
        client: Any,
        model: str,
        request: ChatRequest,
        health: EndpointHealth,
        patience: Patience,
        prices: Prices,
        *,
        is_schema_sent: bool,
        secret: str | None,
    ) -> None:
        self._client = client
        self._request = request
        self._health = health
        self._patience = patience
        self._prices = prices
        self._secret = secret
        self._attempts = 0
        self._failed = 0
        self._waits = 0
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._body = _make_body(model, request, is_schema_sent=is_schema_sent)

    async def run(self) -> ChatReply | ChatFailure:
        """Return the reply, or the failure of the last attempt.

        Raises:
            TeacherError: no request to this endpoint can succeed.
        """
        waited_s = 0.0
        while True:
            await self._health.wait_for_pause()
            self._attempts += 1
            outcome = await self._try_once()
            if not isinstance(outcome, _Again):
                return outcome
            if outcome.kind == "rate":
                # waits its turn with all other requests; its attempts are left as they are
                waited_s += outcome.pause_s
                self._waits += 1
                if waited_s > self._patience.rate_deadline_s:
                    return self._fail("rate", f"told to wait for {waited_s:.0f} s in all: {outcome.detail}")
                self._health.pause(outcome.pause_s)
                continue
            self._failed += 1
            if self._failed >= self._patience.attempts:
                return self._fail(outcome.kind, outcome.detail)
            await asyncio.sleep(outcome.pause_s)

    async def _try_once(self) -> ChatReply | ChatFailure | _Again:
        import openai

        try:
            completion = await self._client.chat.completions.create(**self._body)
        except openai.APITimeoutError:
            return _Again("timeout", f"no reply within {self._client.timeout} s", self._choose_pause({}))
        except openai.APIConnectionError as error:
            detail = f"{error} {error.__cause__ or ''}".strip()
            is_last = self._failed + 1 >= self._patience.attempts
            self._health.note_no_connection(self._hide(detail), is_last_attempt=is_last)
            return _Again("connection", detail, self._choose_pause({}))
        except openai.APIStatusError as error:
            self._health.note_answer()
            return self._read_status(error)
        except (openai.APIError, json.JSONDecodeError) as error:
            self._health.note_answer()
            return _Again("server", f"unreadable reply: {error}", self._choose_pause({}))
        self._health.note_answer()
        try:
            return self._read_completion(completion)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            # valid JSON, but no chat completion: the client does not check what servers send
            return _Again("server", f"a malformed reply ({type(error).__name__}: {error})", self._choose_pause({}))

    def _choose_pause(self, headers: Mapping[str, str]) -> float:
        asked_s = read_retry_after(headers)
        if asked_s is not None:
            return asked_s
        doublings = min(self._failed + self._waits, 10)
        pause_s: float = min(self._patience.first_pause_s * 2**doublings, self._patience.longest_pause_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def _read_status(self, error: Any) -> ChatFailure | _Again:
        """Return what a refusing status means: again, or never.

        Raises:
            TeacherError: the status says that no request can succeed.
        """
        status, said = error.status_code, self._hide(str(error))
        if status in (401, 403):
            raise TeacherError(
                f"{self._health.url} refuses the key (HTTP {status}): {said}. Set the right key in the environment "
                f"variable that the teacher's settings name."
            )
        if status == 404:
            raise TeacherError(
                f"{self._health.url} does not know model {self._body['model']!r} or has no chat completions "
                f"(HTTP 404): {said}. Correct the model's name or the URL (most end in /v1)."
            )
        if status == 429:
            if "insufficient_quota" in (error.code, error.type):
                # out of money is told by the same status as out of breath, and waiting does not help
                raise TeacherError(f"{self._health.url}: the account's quota is used up. {said}")
            return _Again("rate", said, self._choose_pause(error.response.headers))
        if status >= 500 or status in _TRANSIENT_STATUS:
            return _Again("server", said, self._choose_pause(error.response.headers))
        return self._fail("content_filter" if error.code == "content_filter" else "refused", said)

    def _read_completion(self, completion: Any) -> ChatReply | ChatFailure | _Again:
        usage = getattr(completion, "usage", None)
        if usage is not None:
            self._prompt_tokens += int(usage.prompt_tokens or 0)
            self._completion_tokens += int(usage.completion_tokens or 0)
        choices = getattr(completion, "choices", None)
        if not choices or choices[0].message is None:
            return _Again("server", "a reply without choices", self._choose_pause({}))
        choice = choices[0]
        if choice.finish_reason == "content_filter":
            return self._fail("content_filter", "the endpoint's filter stopped the reply")
        if getattr(choice.message, "refusal", None):
            return self._fail("refused", choice.message.refusal)
        # half of a surrogate pair, as a cut emoji leaves, is no text that can be stored
        text = (choice.message.content or "").encode("utf-8", "replace").decode().strip()
        if not text:
            return _Again("server", "an empty reply", self._choose_pause({}))
        return self._read_text(text, is_cut=choice.finish_reason == "length")

    def _read_text(self, text: str, *, is_cut: bool) -> ChatReply | ChatFailure:
        if self._request.schema is not None:
            if is_cut:
                return self._fail("truncated", f"cut at max_tokens = {self._request.sampling.max_tokens}")
            fault = find_schema_fault(text, self._request.schema)
            if fault is not None:
                return self._fail("schema", fault)
        tokens = (self._prompt_tokens, self._completion_tokens)
        cost = self._prices.compute_cost(*tokens)
        return ChatReply(text, "length" if is_cut else "stop", *tokens, self._attempts, cost=cost)

    def _fail(self, kind: FailureKind, detail: str) -> ChatFailure:
        tokens = (self._prompt_tokens, self._completion_tokens)
        cost = self._prices.compute_cost(*tokens)
        return ChatFailure(kind, self._hide(detail)[:500], self._attempts, *tokens, cost=cost)

    def _hide(self, text: str) -> str:
        # some servers repeat the key they refuse
        return text.replace(self._secret, "***") if self._secret else text


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


def _make_body(model: str, request: ChatRequest, *, is_schema_sent: bool) -> dict[str, Any]:
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.schema is not None and is_schema_sent:
        named = {"name": "reply", "schema": dict(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body
