"""Writes a chat request as an OpenAI-compatible endpoint reads it, and reads what it answers."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.models.shown_thoughts import strip_thoughts
from mmpipe.tables.chat import ChatMessage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mmpipe.models.http_transport import HttpAnswer
    from mmpipe.tables.chat import ChatRequest, Sampling


#: What decides how tokens are drawn, by its name in a request.
_DRAWING = ("temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty", "top_k")
#: How servers say that a parameter is none of theirs.
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|not permitted|not allowed|extra_forbidden", re.IGNORECASE
)


class UnreadableAnswer(Exception):
    """An answer that is no chat completion: a proxy's HTML page, JSON cut in the middle, JSON of another kind."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat completion as it came: its first choice, and what the endpoint says it used."""

    text: str
    finish_reason: str
    refusal: str
    prompt_tokens: int
    completion_tokens: int


def render_request(
    model: str,
    request: ChatRequest,
    *,
    max_tokens: int,
    is_schema_sent: bool,
    left_out: Collection[str] = (),
) -> dict[str, Any]:
    """Return the body of `POST /chat/completions`; images become data URLs.

    Args:
        model: name the endpoint knows.
        request: what is asked.
        max_tokens: limit of the reply, which may be raised above the request's.
        is_schema_sent: whether `response_format` is asked for.
        left_out: sampling parameters that the endpoint refuses; `max_tokens` goes by its other name then.

    A schema that is not sent as such is told in words, behind the system message: the model cannot know it otherwise.

    Raises:
        ImageLost: an image's bytes cannot be had any more.
    """
    sampling = request.sampling
    messages = list(request.messages)
    if request.schema is not None and not is_schema_sent:
        told = f"Reply with one JSON object of this schema, and nothing else:\n{json.dumps(request.schema)}"
        if messages[0].role == "system":
            messages[0] = ChatMessage("system", f"{messages[0].content}\n\n{told}", messages[0].images)
        else:
            messages.insert(0, ChatMessage("system", told))
    body: dict[str, Any] = {
        "model": model,
        "messages": [_render_message(message) for message in messages],
        # models that think count their thoughts too, and have the limit under another name
        "max_completion_tokens" if "max_tokens" in left_out else "max_tokens": max_tokens,
    }
    body |= {name: value for name, value in list_drawing(sampling).items() if name not in left_out}
    if request.schema is not None and is_schema_sent:
        named = {"name": "reply", "schema": dict(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def list_drawing(sampling: Sampling) -> dict[str, Any]:
    """Return what of a request says how tokens are drawn, by its name there."""
    drawing: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        **sampling.less_known,
    }
    return drawing | ({"stop": list(sampling.stop)} if sampling.stop else {})


def _render_message(message: ChatMessage) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role, "content": message.content}
    parts: list[dict[str, Any]] = []
    for image in message.images:
        url = f"data:{image.media_type};base64,{b64encode(image.read()).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return {"role": message.role, "content": [*parts, {"type": "text", "text": message.content}]}


def read_completion(answer: HttpAnswer) -> Completion:
    """Return the completion in an answer of status 200; blank lines that kept the connection alive may precede it.

    Raises:
        UnreadableAnswer: it is none.
    """
    try:
        value = json.loads(answer.content)
    except ValueError as error:
        kind = answer.headers.get("content-type", "").split(";")[0] or "no content type"
        start = answer.content[:120].decode("utf-8", "replace").strip()
        raise UnreadableAnswer(f"{len(answer.content):,} bytes of {kind}, no JSON ({error}): {start}") from error
    try:
        return _read_choice(value)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise UnreadableAnswer(f"JSON that is no chat completion ({type(error).__name__}: {error})") from error


def _read_choice(value: Mapping[str, Any]) -> Completion:
    usage = value.get("usage") or {}
    choice = value["choices"][0]
    message = choice["message"]
    # half of a surrogate pair, as a cut emoji leaves, is no text that can be stored
    text = (message.get("content") or "").encode("utf-8", "replace").decode()
    return Completion(
        strip_thoughts(text).strip(),
        choice.get("finish_reason") or "stop",
        message.get("refusal") or "",
        _read_count(usage.get("prompt_tokens")),
        _read_count(usage.get("completion_tokens")),
    )


def _read_count(value: Any) -> int:
    # an absurd count is the server's, and must not turn the sum of a run around
    return value if isinstance(value, int) and value >= 0 else 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer with an error status says of itself."""

    message: str
    code: str
    kind: str


def list_refused_parameters(refusal: Refusal, body: Mapping[str, Any]) -> list[str]:
    """Return the sampling parameters of a request that an error refuses as such, not for what they would do.

    Some servers know none of `top_k` or `seed`; models that think take no temperature, and call `max_tokens`
    `max_completion_tokens`.
    """
    if not _UNSUPPORTED.search(f"{refusal.code} {refusal.message}"):
        return []
    named = re.findall(rf"(?:['\"`]|\bargument(?: supplied)?: ?)({'|'.join(_DRAWING)})\b", refusal.message)
    if "max_completion_tokens" in refusal.message:
        named.append("max_tokens")
    return [name for name in dict.fromkeys(named) if name in body]


def read_refusal(answer: HttpAnswer) -> Refusal:
    """Return the error in an answer, in OpenAI's form or as its plain text."""
    said = answer.content[:2000].decode("utf-8", "replace").strip()
    try:
        value = json.loads(answer.content)
    except ValueError:
        return Refusal(said[:300], "", "")
    error = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(error, dict):
        message = error.get("message") or error.get("detail") or said
        return Refusal(str(message)[:300], str(error.get("code") or ""), str(error.get("type") or ""))
    return Refusal(str(error)[:300], "", "")
