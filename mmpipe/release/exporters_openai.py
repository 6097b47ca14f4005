"""Writes conversations and preferences as OpenAI's fine-tuning JSONL, and reads them back, within its limits.

Source: OpenAI's guides to supervised, vision and preference fine-tuning. A line holds no id, so that the inverses are
told it. The guides announce that the platform closes for new users; other servers keep reading the format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmpipe.errors import InvariantBroken
from mmpipe.release.conversations import IMAGE_PLACEHOLDER
from mmpipe.release.exporters_trl import split_parts
from mmpipe.release.json_lines import write_json_line
from mmpipe.release.records import Conversation, Preference, ToolCall, Turn, refuse, require_sound

_DIALECT = "openai"

#: Pictures that are read (guide to vision fine-tuning).
_IMAGE_KINDS = ("jpeg", "png", "webp")

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What a training file may hold.

    Attributes:
        least_rows: fewer are refused (10, guide to supervised fine-tuning).
        bytes: size of the file (512 MB, of the files endpoint).
        images_per_row: (10, guide to vision fine-tuning).
        image_bytes: of one picture (10 MB, likewise).
        rows_with_images: (50,000, likewise).
    """

    least_rows: int = 10
    bytes: int = 512_000_000
    images_per_row: int = 10
    image_bytes: int = 10_000_000
    rows_with_images: int = 50_000


def export_conversation(conversation: Conversation) -> dict[str, Any]:
    """Return one line of supervised fine-tuning: `messages`, and `tools` where there are any.

    Pictures are URLs or `data:` URLs in parts of type `image_url`; arguments are a JSON string; calls get ids by their
    place, which the results repeat.

    Raises:
        InvariantBroken: no trainer accepts the row, a picture is neither kind of URL, or the name of a tool is none
            that the API takes (letters, digits, `_` and `-`, 64 at most); the row is named.
    """
    require_sound(conversation, _DIALECT)
    _require_urls(conversation.id, conversation.images)
    _require_names(conversation.id, conversation.tools)
    return _write_input(conversation.turns, conversation.images, conversation.tools)


def import_conversation(line: Mapping[str, Any], row_id: str) -> Conversation:
    """Return the conversation of a line that `export_conversation` wrote."""
    turns, images = _read_messages(line["messages"])
    return Conversation(row_id, turns, images, tuple(line.get("tools") or ()))


def export_preference(preference: Preference) -> dict[str, Any]:
    """Return one line of preference fine-tuning: `input`, `preferred_output`, `non_preferred_output`.

    Raises:
        InvariantBroken: no trainer accepts the row, an answer is not one assistant turn, or a picture is neither a URL
            nor a `data:` URL; the row is named.
    """
    require_sound(preference, _DIALECT)
    _require_urls(preference.id, preference.images)
    if len(preference.chosen) != 1 or len(preference.rejected) != 1:
        refuse(_DIALECT, preference.id, "has an answer of several turns, where one message is allowed")
    return {
        "input": _write_input(preference.prompt, preference.images, preference.tools),
        "preferred_output": _write_messages(preference.chosen, ()),
        "non_preferred_output": _write_messages(preference.rejected, ()),
    }


def import_preference(line: Mapping[str, Any], row_id: str) -> Preference:
    """Return the preference of a line that `export_preference` wrote; margin and group are not in it."""
    prompt, images = _read_messages(line["input"]["messages"])
    chosen, _ = _read_messages(line["preferred_output"])
    rejected, _ = _read_messages(line["non_preferred_output"])
    return Preference(row_id, prompt, chosen, rejected, images, tuple(line["input"].get("tools") or ()))


def render_lines(rows: Iterable[tuple[str, Mapping[str, Any]]], limits: FileLimits | None = None) -> Iterator[str]:
    """Yield the JSON lines (with line feeds) of one file, and refuse what breaks a limit.

    Args:
        rows: (id, line), as `export_conversation` or `export_preference` wrote it.
        limits: of the file.

    Raises:
        InvariantBroken: naming the row that is one too many or too large; or, at the end, that there are too few.
    """
    limits = limits or FileLimits()
    count = size = with_images = 0
    for row_id, line in rows:
        with_images += require_row_within(row_id, line, limits) > 0
        if with_images > limits.rows_with_images:
            refuse(_DIALECT, row_id, f"is one row with images more than the {limits.rows_with_images:,} of a file")
        text = write_json_line(line)
        size += len(text.encode())
        if size > limits.bytes:
            refuse(_DIALECT, row_id, f"does not fit any more into a file of {limits.bytes:,} bytes; begin another")
        count += 1
        yield text
    if count < limits.least_rows:
        raise InvariantBroken(f"{_DIALECT}: {count} rows are fewer than the {limits.least_rows} a file must have.")


def require_row_within(row_id: str, line: Mapping[str, Any], limits: FileLimits) -> int:
    """Return how many pictures a line has.

    Raises:
        InvariantBroken: it has more than a row may have, or one that is too large or of another kind than is read.
    """
    images = list(_list_urls(line))
    if len(images) > limits.images_per_row:
        refuse(_DIALECT, row_id, f"has {len(images)} images, where {limits.images_per_row} are allowed")
    largest = max((_count_bytes(url) for url in images), default=0)
    if largest > limits.image_bytes:
        refuse(_DIALECT, row_id, f"has an image of {largest:,} bytes, where {limits.image_bytes:,} are allowed")
    kinds = (url.partition(";")[0].removeprefix("data:image/") for url in images if url.startswith("data:"))
    wrong = next((kind for kind in kinds if kind not in _IMAGE_KINDS), None)
    if wrong is not None:
        refuse(_DIALECT, row_id, f"has an image of kind {wrong}, where {', '.join(_IMAGE_KINDS)} are read")
    return len(images)


def _write_input(turns: Sequence[Turn], images: Sequence[str], tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    written: dict[str, Any] = {"messages": _write_messages(turns, images)}
    return written | ({"tools": [dict(tool) for tool in tools]} if tools else {})


def _write_messages(turns: Sequence[Turn], images: Sequence[str]) -> list[dict[str, Any]]:
    left = iter(images)
    calls = results = 0
    messages = []
    for turn in turns:
        content: Any = turn.content
        if IMAGE_PLACEHOLDER in turn.content:
            content = [
                {"type": "image_url", "image_url": {"url": next(left)}} if part["type"] == "image" else part
                for part in split_parts(turn.content)
            ]
        message: dict[str, Any] = {"role": turn.role, "content": content}
        if turn.tool_calls:
            message["tool_calls"] = [
                {
                    "id": f"call_{calls + place}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
                }
                for place, call in enumerate(turn.tool_calls)
            ]
            calls += len(turn.tool_calls)
        if turn.role == "tool":
            message["tool_call_id"] = f"call_{results}"
            results += 1
        messages.append(message)
    return messages


def _read_messages(messages: Iterable[Mapping[str, Any]]) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    names: dict[str, str] = {}
    images: list[str] = []
    turns = []
    for message in messages:
        content = message["content"]
        if not isinstance(content, str):
            images += [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
            content = "".join(IMAGE_PLACEHOLDER if part["type"] == "image_url" else part["text"] for part in content)
        calls = message.get("tool_calls") or ()
        names |= {call["id"]: call["function"]["name"] for call in calls}
        asked = tuple(ToolCall(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls)
        name = names[message["tool_call_id"]] if message["role"] == "tool" else None
        turns.append(Turn(message["role"], content, asked, name))
    return tuple(turns), tuple(images)


def _require_urls(row_id: str, images: Sequence[str]) -> None:
    wrong = next((image for image in images if not image.startswith(("https://", "http://", "data:image/"))), None)
    if wrong is not None:
        refuse(_DIALECT, row_id, f"has the image {wrong[:80]!r}, which is neither a URL nor a data URL")


def _require_names(row_id: str, tools: Sequence[Mapping[str, Any]]) -> None:
    for tool in tools:
        name = str(tool.get("function", tool).get("name"))
        if not _TOOL_NAME.fullmatch(name):
            refuse(_DIALECT, row_id, "has a tool whose name has other signs than letters, digits, _ and -, or too many")


def _list_urls(line: Mapping[str, Any]) -> Iterator[str]:
    for message in line.get("messages") or line["input"]["messages"]:
        if not isinstance(message["content"], str):
            yield from (part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url")


def _count_bytes(url: str) -> int:
    """Return the bytes of a picture in a data URL; 0 for one that only the server can weigh."""
    encoded = url.partition(";base64,")[2] if url.startswith("data:") else ""
    return len(encoded) * 3 // 4 - encoded.count("=", max(0, len(encoded) - 2))
