"""Says what a chat request, a reply and a failure are, and what a teacher is: the one small interface of synthesis.

It stands here, below the rooms, because synthesis speaks it and models answers it, and neither may import the other.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from mmpipe.errors import ConfigurationError
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Role = Literal["system", "user", "assistant"]

#: Why a request has no reply.
#: `rate`: refused for too many requests until its deadline. `timeout`, `server`, `connection`: transient, tries spent.
#: `unreadable`: answers that are no chat completion (a proxy's HTML page, JSON cut in the middle), tries spent.
#: `oversized`: a reply longer than any that was asked for, not read to its end. `refused`: the engine will not answer
#: this request, ever. `truncated`: the token limit cut a reply that had to be whole, and the raised limit did too.
#: `schema`: not JSON, or not what the schema asks for. `content_filter`: the endpoint's filter stopped it. `text_only`:
#: images for a teacher that reads none. `image_lost`: the bytes of an image are gone or no longer those of its hash.
FailureKind = Literal[
    "rate",
    "timeout",
    "server",
    "connection",
    "unreadable",
    "oversized",
    "refused",
    "truncated",
    "schema",
    "content_filter",
    "text_only",
    "image_lost",
]


#: Made once: an encoder for each key would take longer than the key.
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


class ImageLost(Exception):
    """The bytes of an image in a message cannot be had any more, or are no longer those its hash was made of."""


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image in a message, by what it holds: equal bytes, equal request, wherever they lie.

    Attributes:
        sha256: hexadecimal SHA-256 of the bytes; what the cache key knows of the image.
        media_type: for example `image/jpeg`.
        load: returns the bytes; called when the request goes out, so that waiting requests hold none.
    """

    sha256: str
    media_type: str
    load: Callable[[], bytes] = field(repr=False, compare=False)

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            ImageLost: they cannot be read, or are others than those of the hash.
        """
        try:
            content = self.load()
        except (OSError, KeyError) as error:
            raise ImageLost(f"image {self.sha256[:12]}: {error}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ImageLost(f"image {self.sha256[:12]}: the bytes there now have SHA-256 {found[:12]}")
        return content


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn: text, and the images that stand before it."""

    role: Role
    content: str
    images: tuple[ImagePart, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy; `max_tokens` limits the reply; `stop` strings end it.

    `presence_penalty` is taken from the logit of every token that the reply holds already, `frequency_penalty` as often
    as it holds it (OpenAI's API reference, chat completions); `top_k` draws from so many likeliest tokens, 0 from all.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_k: int = 0

    def __post_init__(self) -> None:
        if not (-2 <= self.presence_penalty <= 2 and -2 <= self.frequency_penalty <= 2 and self.top_k >= 0):
            raise ConfigurationError(
                f"Sampling: presence_penalty {self.presence_penalty:g} and frequency_penalty "
                f"{self.frequency_penalty:g} must lie between -2 and 2, top_k {self.top_k} must be 0 or more."
            )

    @property
    def less_known(self) -> dict[str, float]:
        """The parameters that are set and that not every server knows, by name."""
        named = {
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "top_k": self.top_k,
        }
        return {name: value for name, value in named.items() if value}

    def as_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON-like values."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "stop": list(self.stop),
            # named only where they are set, so that keys made before they were known stay
            **self.less_known,
        }


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a teacher is asked.

    `schema` is a JSON schema the reply must satisfy. `sample_index` tells apart several samples of one prompt: it
    is part of the request's identity and of its seed. `is_whole_wanted` makes a free text that the token limit cut a
    failure, as it always is for JSON.
    """

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    schema: Mapping[str, Any] | None = None
    sample_index: int = 0
    is_whole_wanted: bool = False

    @property
    def must_be_whole(self) -> bool:
        """Whether a reply cut by the token limit is of no use."""
        return self.is_whole_wanted or self.schema is not None

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """The images of all messages, in order."""
        return tuple(image for message in self.messages for image in message.images)

    def make_key(self, teacher: str) -> str:
        """Return the id of this request to this teacher: equal content, equal key, in every process."""
        content: dict[str, Any] = {
            "messages": [_identify_message(message) for message in self.messages],
            "sampling": self.sampling.as_dict(),
            "schema": self.schema,
            "sample_index": self.sample_index,
        }
        if self.is_whole_wanted:
            # named only where it is set, so that keys made before it was known stay
            content["is_whole_wanted"] = True
        return make_id("chat", teacher, _CANONICAL.encode(content))


def _identify_message(message: ChatMessage) -> list[Any]:
    known: list[Any] = [message.role, message.content]
    return [*known, [[image.sha256, image.media_type] for image in message.images]] if message.images else known


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole reply.

    Tokens and attempts count every attempt at this request, failed ones included. `cost` is the money spent on it in
    this run, in the currency of the price list: 0 for a reply that comes from the cache or from a model of our own.
    `left_out` names the sampling parameters that were asked for and that the endpoint refuses: it drew without them.
    """

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    attempts: int = 1
    is_cached: bool = False
    cost: float = 0.0
    left_out: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call would ask for and cost at most, counted before anything is spent.

    Attributes:
        requests: requests handed over.
        repeated: those equal to another of them; asked once.
        cached: those whose reply is in the cache; free.
        prompt_tokens: of the requests that would be asked, one attempt each; what images cost is not counted.
        most_completion_tokens: the sum of their `max_tokens`.
        images: images in them.
        prompt_cost: money for the prompts.
        most_cost: money if every reply used all its tokens, in the first attempt.
        currency: of both.
        counted_by: what counted the prompt tokens: a tokenizer's name, or `characters / 4`.
    """

    requests: int
    repeated: int
    cached: int
    prompt_tokens: int
    most_completion_tokens: int
    images: int
    prompt_cost: float
    most_cost: float
    currency: str
    counted_by: str

    @property
    def asked(self) -> int:
        """Requests that would go out."""
        return self.requests - self.repeated - self.cached
