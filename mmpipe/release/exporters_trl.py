"""Writes conversations and preferences as TRL's dataset formats, and reads them back.

Source: TRL, "Dataset formats and types". Each `export_*` is undone by its `import_*`: `import(export(x)) == x`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mmpipe.errors import ConfigurationError, InvariantBroken, name_nearest
from mmpipe.release.conversations import IMAGE_PLACEHOLDER
from mmpipe.release.preference_forms import split_shared_prompt
from mmpipe.release.records import (
    Conversation,
    LabelledAnswer,
    Preference,
    Turn,
    list_messages,
    read_messages,
    refuse,
    require_sound,
)

_DIALECT = "trl"

#: Which columns a conversation stands in: `messages`, or `prompt` and `completion` (loss on the completion alone).
ConversationForm = Literal["messages", "prompt_completion"]
_FORMS = ("messages", "prompt_completion")


def export_conversation(
    conversation: Conversation, *, form: ConversationForm = "messages", is_standard: bool = False
) -> dict[str, Any]:
    """Return a row of TRL's SFT formats.

    Messages of a row with pictures hold lists of parts (`type` image or text), those of any other row strings; TRL
    puts the pictures of column `images` in the places of the image parts. A tool call's arguments stay an object.

    Args:
        conversation: what to write.
        form: the columns; see `ConversationForm`.
        is_standard: plain strings instead of messages, only for one question and one answer in `prompt_completion`.

    Raises:
        InvariantBroken: no trainer accepts the row, or the form cannot hold it; the row is named.
        ConfigurationError: there is no such form.
    """
    require_sound(conversation, _DIALECT)
    if form not in _FORMS:
        raise ConfigurationError(f"trl: there is no form {form!r}.{name_nearest(form, _FORMS)}")
    has_images = bool(conversation.images)
    row: dict[str, Any] = {"id": conversation.id}
    if is_standard:
        if form != "prompt_completion":
            raise ConfigurationError("trl: the standard form of a conversation has the columns of prompt_completion.")
        row |= {
            "prompt": _take_text(conversation.id, conversation.turns[:-1]),
            "completion": _take_text(conversation.id, conversation.turns[-1:]),
        }
    elif form == "messages":
        row["messages"] = _write(conversation.turns, has_images=has_images)
    else:
        row["prompt"] = _write(conversation.turns[:-1], has_images=has_images)
        row["completion"] = _write(conversation.turns[-1:], has_images=has_images)
    return row | _write_extras(conversation)


def import_conversation(row: Mapping[str, Any]) -> Conversation:
    """Return the conversation of a row that `export_conversation` wrote, in any form."""
    if "messages" in row:
        turns = _read(row["messages"])
    else:
        turns = (*_read_side(row["prompt"], "user"), *_read_side(row["completion"], "assistant"))
    return Conversation(row["id"], turns, tuple(row.get("images") or ()), tuple(row.get("tools") or ()))


def export_preference(
    preference: Preference, *, is_prompt_explicit: bool = True, is_standard: bool = False
) -> dict[str, Any]:
    """Return a row of TRL's preference formats: DPO with an explicit prompt, reward modelling without.

    With an implicit prompt `chosen` and `rejected` hold the whole conversation, and TRL takes the turns that both
    begin with for the prompt.

    Args:
        preference: what to write.
        is_prompt_explicit: whether there is a column `prompt`.
        is_standard: plain strings instead of messages, for one question and one turn of answer; with a prompt.

    Raises:
        InvariantBroken: no trainer accepts the row, or the form cannot hold it; the row is named.
        ConfigurationError: strings with an implicit prompt, for which `preference_forms.write_transcripts` is there.
    """
    require_sound(preference, _DIALECT)
    if is_standard and not is_prompt_explicit:
        raise ConfigurationError("trl: strings with an implicit prompt are transcripts: use write_transcripts.")
    has_images = bool(preference.images)
    sides = {"prompt": preference.prompt, "chosen": preference.chosen, "rejected": preference.rejected}
    row: dict[str, Any] = {"id": preference.id}
    if is_standard:
        row |= {name: _take_text(preference.id, turns) for name, turns in sides.items()}
    elif is_prompt_explicit:
        row |= {name: _write(turns, has_images=has_images) for name, turns in sides.items()}
    else:
        if preference.chosen[0] == preference.rejected[0]:
            refuse(_DIALECT, preference.id, "has answers that begin alike, so its implicit prompt would grow")
        row |= {
            name: _write((*preference.prompt, *sides[name]), has_images=has_images) for name in ("chosen", "rejected")
        }
    return row | _write_extras(preference) | _write_pair_extras(preference)


def import_preference(row: Mapping[str, Any]) -> Preference:
    """Return the preference of a row that `export_preference` wrote, in any form."""
    if "prompt" in row:
        prompt = _read_side(row["prompt"], "user")
        chosen, rejected = (_read_side(row[name], "assistant") for name in ("chosen", "rejected"))
    else:
        prompt, chosen, rejected = split_shared_prompt(_read(row["chosen"]), _read(row["rejected"]))
    return Preference(
        row["id"],
        prompt,
        chosen,
        rejected,
        tuple(row.get("images") or ()),
        tuple(row.get("tools") or ()),
        row.get("margin"),
        row.get("group_id"),
    )


def export_labelled(answer: LabelledAnswer, *, is_standard: bool = False) -> dict[str, Any]:
    """Return a row of TRL's unpaired preference format (KTO, BCO): `prompt`, `completion`, `label`.

    Raises:
        InvariantBroken: no trainer accepts the row, or strings cannot hold it; the row is named. That both labels are
            there is a matter of the whole dataset: `preference_forms.require_both_labels`.
    """
    require_sound(answer, _DIALECT)
    has_images = bool(answer.images)
    write = (
        (lambda turns: _take_text(answer.id, turns))
        if is_standard
        else (lambda turns: _write(turns, has_images=has_images))
    )
    row = {"id": answer.id, "prompt": write(answer.prompt), "completion": write(answer.completion)}
    return {**row, "label": answer.label} | _write_extras(answer)


def import_labelled(row: Mapping[str, Any]) -> LabelledAnswer:
    """Return the answer of a row that `export_labelled` wrote, in either form."""
    return LabelledAnswer(
        row["id"],
        _read_side(row["prompt"], "user"),
        _read_side(row["completion"], "assistant"),
        row["label"],
        tuple(row.get("images") or ()),
        tuple(row.get("tools") or ()),
    )


def require_one_form(rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a dataset whose rows differ in columns or in the kind of a column.

    TRL decides by the first row whether a dataset is conversational and whether it is a vision dataset.

    Raises:
        InvariantBroken: naming the first row that is unlike the first of all.
    """
    if not rows:
        return
    first = _describe_form(rows[0])
    for row in rows[1:]:
        if _describe_form(row) != first:
            raise InvariantBroken(
                f"{_DIALECT}: row {row['id']} is not of the form of row {rows[0]['id']}: TRL judges a dataset by its "
                f"first row. Write rows with pictures, with tools and with plain strings into files of their own."
            )


def _describe_form(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((name, _describe_value(value)) for name, value in row.items())


def _describe_value(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict) and "role" in value[0]:
        return f"messages of {type(value[0]['content']).__name__}"
    return type(value).__name__


def _write(turns: Sequence[Turn], *, has_images: bool) -> list[dict[str, Any]]:
    messages = list_messages(turns)
    if has_images:
        # a template that takes parts takes them in every turn, and a column has one type
        for message in messages:
            message["content"] = split_parts(message["content"])
    return messages


def _read(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    joined = [
        {
            **message,
            "content": message["content"] if isinstance(message["content"], str) else join_parts(message["content"]),
        }
        for message in messages
    ]
    return read_messages(joined)


def _read_side(side: Any, role: Literal["user", "assistant"]) -> tuple[Turn, ...]:
    return (Turn(role, side),) if isinstance(side, str) else _read(side)


def split_parts(content: str) -> list[dict[str, str]]:
    """Return text with placeholders as parts: `{"type": "image"}` for each placeholder, text between as it stands."""
    parts = [
        {"type": "image"} if piece == IMAGE_PLACEHOLDER else {"type": "text", "text": piece}
        for piece in re.split(f"({re.escape(IMAGE_PLACEHOLDER)})", content)
        if piece
    ]
    return parts or [{"type": "text", "text": ""}]


def join_parts(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return parts as text with placeholders; the inverse of `split_parts`."""
    return "".join(IMAGE_PLACEHOLDER if part["type"] == "image" else part["text"] for part in parts)


def _take_text(row_id: str, turns: Sequence[Turn]) -> str:
    """Return the text of a single user or assistant turn.

    Raises:
        InvariantBroken: there is more than strings can hold.
    """
    if len(turns) != 1 or turns[0].tool_calls or turns[0].role not in {"user", "assistant"}:
        refuse(_DIALECT, row_id, "has more than one question and one answer, which the standard form cannot hold")
    return turns[0].content


def _write_extras(record: Conversation | Preference | LabelledAnswer) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if record.images:
        extras["images"] = list(record.images)
    if record.tools:
        extras["tools"] = [dict(tool) for tool in record.tools]
    return extras


def _write_pair_extras(preference: Preference) -> dict[str, Any]:
    extras = {"margin": preference.margin, "group_id": preference.group_id}
    return {name: value for name, value in extras.items() if value is not None}
