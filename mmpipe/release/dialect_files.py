"""Renders released rows as one file per trainer's dialect; a row that a dialect cannot hold is left out and told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import polars as pl

from mmpipe.errors import ConfigurationError, InvariantBroken, name_nearest
from mmpipe.release import (
    exporters_axolotl,
    exporters_llama_factory,
    exporters_llava,
    exporters_openai,
    exporters_trl,
)
from mmpipe.release.json_lines import write_json_line
from mmpipe.release.jsonl import place_image
from mmpipe.release.records import Conversation, Preference, ToolCall, Turn


def _export_within(export: Callable[[Any], dict[str, Any]], record: Any) -> dict[str, Any]:
    """Return a line of OpenAI's files, which the platform takes: not too many pictures, none too large."""
    line = export(record)
    exporters_openai.require_row_within(record.id, line, exporters_openai.FileLimits())
    return line


#: How each dialect writes a conversation.
CONVERSATION_DIALECTS: Mapping[str, Callable[[Conversation], dict[str, Any]]] = MappingProxyType(
    {
        "trl": exporters_trl.export_conversation,
        "trl_prompt_completion": partial(exporters_trl.export_conversation, form="prompt_completion"),
        "llama_factory_alpaca": exporters_llama_factory.export_alpaca,
        "llama_factory_sharegpt": exporters_llama_factory.export_sharegpt,
        "axolotl": exporters_axolotl.export_chat_template,
        "llava": exporters_llava.export_conversation,
        "openai": partial(_export_within, exporters_openai.export_conversation),
    }
)

#: How each dialect writes a preference.
PREFERENCE_DIALECTS: Mapping[str, Callable[[Preference], dict[str, Any]]] = MappingProxyType(
    {
        "trl": exporters_trl.export_preference,
        "trl_implicit": partial(exporters_trl.export_preference, is_prompt_explicit=False),
        "llama_factory_alpaca": exporters_llama_factory.export_alpaca,
        "llama_factory_sharegpt": exporters_llama_factory.export_sharegpt,
        "axolotl": exporters_axolotl.export_preference,
        "openai": partial(_export_within, exporters_openai.export_preference),
    }
)

#: Dialects whose file is one JSON list instead of a JSON object per line.
_LISTS = ("llava",)


@dataclass(frozen=True, slots=True)
class DialectFile:
    """One file of a dialect.

    Attributes:
        name: of the file: the dialect, with `.json` for one list, `.jsonl` for lines.
        text: its content.
        rows: rows in it.
        refused: what the dialect could not hold, by id of the row; rows in = rows + len(refused).
    """

    name: str
    text: str
    rows: int
    refused: Mapping[str, str]


def read_conversations(frame: pl.DataFrame) -> list[Conversation]:
    """Return the conversations of `sft_dataset` rows; pictures by the paths that `jsonl.list_image_files` gives."""
    return [
        Conversation(
            row["id"],
            _add_calls(_read_turns(row["messages"]), row.get("tool_calls")),
            tuple(map(place_image, row.get("images") or ())),
            tuple(json.loads(row.get("tools") or "[]")),
        )
        for row in frame.iter_rows(named=True)
    ]


def read_preferences(frame: pl.DataFrame) -> list[Preference]:
    """Return the preferences of `preference_dataset` rows; the margin is the difference of the scores."""
    return [
        Preference(
            row["id"],
            _read_turns(row["prompt"]),
            _read_turns(row["chosen"]),
            _read_turns(row["rejected"]),
            tuple(map(place_image, row.get("images") or ())),
            margin=row["score_chosen"] - row["score_rejected"],
            group_id=row["group_id"],
        )
        for row in frame.iter_rows(named=True)
    ]


def render_conversations_for(conversations: Iterable[Conversation], dialect: str) -> DialectFile:
    """Return the conversations as the file of a dialect, one of `CONVERSATION_DIALECTS`.

    Raises:
        ConfigurationError: there is no such dialect.
    """
    return _render(conversations, dialect, CONVERSATION_DIALECTS)


def render_preferences_for(preferences: Iterable[Preference], dialect: str) -> DialectFile:
    """Return the preferences as the file of a dialect, one of `PREFERENCE_DIALECTS`.

    Raises:
        ConfigurationError: there is no such dialect.
    """
    return _render(preferences, dialect, PREFERENCE_DIALECTS)


def _render(records: Iterable[Any], dialect: str, known: Mapping[str, Callable[[Any], dict[str, Any]]]) -> DialectFile:
    if dialect not in known:
        raise ConfigurationError(f"Release: there is no dialect {dialect!r}.{name_nearest(dialect, known)}")
    rows, refused = [], {}
    for record in records:
        try:
            rows.append(write_json_line(known[dialect](record)))
        except InvariantBroken as fault:  # one row that this dialect has no room for; the others have it
            refused[record.id] = str(fault)
    if dialect in _LISTS:
        return DialectFile(
            f"{dialect}.json", "[" + ",\n".join(row.rstrip("\n") for row in rows) + "]\n", len(rows), refused
        )
    return DialectFile(f"{dialect}.jsonl", "".join(rows), len(rows), refused)


def _add_calls(turns: tuple[Turn, ...], tool_calls: str | None) -> tuple[Turn, ...]:
    """Return the turns with the calls of the last one in place of the words that say them."""
    if tool_calls is None:
        return turns
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in json.loads(tool_calls))
    return (*turns[:-1], replace(turns[-1], content="", tool_calls=calls))


def _read_turns(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    return tuple(Turn(message["role"], message["content"]) for message in messages)
