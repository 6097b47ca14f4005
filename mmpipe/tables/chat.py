"""Says what a chat request, a reply and a failure are, and what a teacher is: the one small interface of synthesis.

It stands here, below the rooms, because synthesis speaks it and models answers it, and neither may import the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Role = Literal["system", "user", "assistant"]

#: Why a request has no reply. `rate`: refused for too many requests until its deadline. `timeout`, `server`,
#: `connection`: transient, attempts used up. `refused`: the engine will not answer this request, ever. `truncated`:
#: the token limit cut a reply that had to be whole. `schema`: not JSON, or not what the schema asks for.
FailureKind = Literal["rate", "timeout", "server", "connection", "refused", "truncated", "schema", "content_filter"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn: text only."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy; `max_tokens` limits the reply; `stop` strings end it."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0
    stop: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON-like values."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "stop": list(self.stop),
        }


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a teacher is asked.

    `schema` is a JSON schema the reply must satisfy. `sample_index` tells apart several samples of one prompt: it
    is part of the request's identity and of its seed.
    """

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    schema: Mapping[str, Any] | None = None
    sample_index: int = 0

    def make_key(self, teacher: str) -> str:
        """Return the id of this request to this teacher: equal content, equal key, in every process."""
        content = {
            "messages": [[message.role, message.content] for message in self.messages],
            "sampling": self.sampling.as_dict(),
            "schema": self.schema,
            "sample_index": self.sample_index,
        }
        return make_id("chat", teacher, json.dumps(content, sort_keys=True, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole reply.

    Tokens and attempts count every attempt at this request, failed ones included. `cost` is the money spent on it in
    this run, in the currency of the price list: 0 for a reply that comes from the cache or from a model of our own.
    """

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    attempts: int = 1
    is_cached: bool = False
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class ChatFailure:
    """A request without a usable reply: data, counted by kind, never a row."""

    kind: FailureKind
    detail: str
    attempts: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


@runtime_checkable
class Teacher(Protocol):
    """A model that answers chat requests."""

    @property
    def name(self) -> str:
        """Who it is, as `engine:model@digest`; part of every cache key and every row."""

    def answer(self, requests: Sequence[ChatRequest]) -> Iterator[ChatReply | ChatFailure]:
        """Yield one reply or failure per request, in the order of the requests.

        A reply to a request with a schema is JSON that satisfies it; anything else is a failure.

        Raises:
            TeacherError: the teacher cannot answer any more (dead endpoint, refused key).
        """
