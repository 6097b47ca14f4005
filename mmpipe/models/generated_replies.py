"""Renders requests as token ids for a model in this process, and reads generated token ids as replies or failures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmpipe.models.shown_thoughts import strip_thoughts
from mmpipe.models.teacher import find_schema_fault
from mmpipe.tables.chat import ChatFailure, ChatReply

if TYPE_CHECKING:
    from mmpipe.tables.chat import ChatRequest


def render_prompt(tokenizer: Any, request: ChatRequest) -> list[int]:
    """Return the token ids of a request by the model's chat template, up to where the reply begins."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def list_end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end a reply, sorted."""
    stated = model.generation_config.eos_token_id
    ids = stated if isinstance(stated, list) else [stated]
    return sorted({*(token for token in ids if token is not None), tokenizer.eos_token_id})


def read_reply(
    tokenizer: Any, request: ChatRequest, prompt_tokens: int, ids: list[int], ends: list[int]
) -> ChatReply | ChatFailure:
    """Return the reply in `ids` (padded on the right), or why it is none."""
    end = next((place for place, token in enumerate(ids) if token in ends), None)
    used = len(ids) if end is None else end + 1
    text = strip_thoughts(tokenizer.decode(ids[:end], skip_special_tokens=True))
    stops = [place for place in (text.find(stop) for stop in request.sampling.stop) if place >= 0]
    if stops:
        text = text[: min(stops)]
    is_whole = end is not None or bool(stops)
    if request.must_be_whole and not is_whole:
        detail = f"cut at max_tokens = {request.sampling.max_tokens}"
        return ChatFailure("truncated", detail, prompt_tokens=prompt_tokens, completion_tokens=used)
    if request.schema is not None:
        text = _escape_control_characters(text)
        fault = find_schema_fault(text, request.schema)
        if fault is not None:
            return ChatFailure("schema", fault, prompt_tokens=prompt_tokens, completion_tokens=used)
    return ChatReply(text.strip(), "stop" if is_whole else "length", prompt_tokens, used)


def _escape_control_characters(text: str) -> str:
    """Return JSON text with its control characters escaped, which the grammar lets through raw in bounded strings."""
    try:
        return json.dumps(json.loads(text, strict=False), ensure_ascii=False)
    except json.JSONDecodeError:
        return text
