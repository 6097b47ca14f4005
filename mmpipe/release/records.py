"""Says what a released conversation or preference is before any trainer's dialect, and what no trainer accepts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmpipe.errors import InvariantBroken
from mmpipe.release.conversations import IMAGE_PLACEHOLDER

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that an assistant turn asks for: the tool's name and its arguments, a JSON object."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    Attributes:
        role: who speaks; `tool` gives the result of one call.
        content: its text; `<image>` stands for a picture, in a user's or a tool's turn.
        tool_calls: what an assistant asks tools to do; each is answered by one tool turn, in order.
        name: of the tool whose result a tool turn gives; None for any other role.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation to learn from: its last turn is the assistant's.

    Attributes:
        id: of the row.
        turns: in order.
        images: path or URI of each picture, in the order of the placeholders.
        tools: JSON schema of each tool that may be called.
    """

    id: str
    turns: tuple[Turn, ...]
    images: tuple[str, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt, the better and the worse.

    Attributes:
        id: of the row.
        prompt: turns before the answers; the last is not the assistant's.
        chosen: the better answer, from an assistant turn to an assistant turn.
        rejected: the worse answer, likewise.
        images: path or URI of each picture of the prompt.
        tools: JSON schema of each tool.
        margin: by how much the better is better, above 0; None where nobody measured it.
        group_id: what its comparison set has in common: pairs of one prompt never part in a split.
    """

    id: str
    prompt: tuple[Turn, ...]
    chosen: tuple[Turn, ...]
    rejected: tuple[Turn, ...]
    images: tuple[str, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    margin: float | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """One answer with a yes or no, as KTO learns from (Ethayarajh et al. 2024, arXiv 2402.01306)."""

    id: str
    prompt: tuple[Turn, ...]
    completion: tuple[Turn, ...]
    label: bool
    images: tuple[str, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()


def list_messages(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """Return the turns as OpenAI's and TRL's messages, without call ids; `tool_calls` and `name` where there are any.

    Arguments stay an object, as chat templates and TRL want them.
    """
    messages = []
    for turn in turns:
        message: dict[str, Any] = {"role": turn.role, "content": turn.content}
        if turn.tool_calls:
            message["tool_calls"] = [
                {"type": "function", "function": {"name": call.name, "arguments": dict(call.arguments)}}
                for call in turn.tool_calls
            ]
        if turn.name is not None:
            message["name"] = turn.name
        messages.append(message)
    return messages


def read_messages(messages: Iterable[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """Return the turns of messages; the inverse of `list_messages`, whose absent and null fields are the same."""
    return tuple(
        Turn(
            message["role"],
            message["content"],
            tuple(
                ToolCall(call["function"]["name"], call["function"]["arguments"])
                for call in message.get("tool_calls") or ()
            ),
            message.get("name"),
        )
        for message in messages
    )


def find_turns_fault(turns: Sequence[Turn], image_count: int, *, ends_with_assistant: bool = True) -> str | None:
    """Return why a trainer would refuse or silently drop the turns, or None.

    Held: an optional system turn first, then user and assistant in turns; calls answered one by one, in order, by the
    tools named, before the assistant goes on; no turn empty (an assistant that calls may say nothing); as many
    placeholders as pictures, none of them in a system's or assistant's words.

    Args:
        turns: of one conversation.
        image_count: pictures it comes with.
        ends_with_assistant: whether the last turn must be the assistant's, as for training; otherwise it must not be,
            as for a prompt.
    """
    fault = _find_order_fault(turns)
    if fault is not None:
        return fault
    if (turns[-1].role == "assistant") != ends_with_assistant:
        return "does not end with the assistant" if ends_with_assistant else "ends with the assistant"
    wrong = next((turn for turn in turns if turn.role in {"system", "assistant"} and _count_images(turn)), None)
    if wrong is not None:
        return f"has an image placeholder in a turn of the {wrong.role}"
    placeholders = sum(map(_count_images, turns))
    return None if placeholders == image_count else f"has {placeholders} image placeholders and {image_count} images"


def _find_order_fault(turns: Sequence[Turn]) -> str | None:
    """Return which turn is out of place or empty, or whose call nobody answers."""
    has_system = bool(turns) and turns[0].role == "system"
    rest = turns[1:] if has_system else turns
    if not rest or rest[0].role != "user":
        return "does not begin with the user"
    due: list[str] = []
    before: Turn | None = None
    for turn in rest:
        fault = _find_place_fault(before, turn, due) or _find_turn_fault(turn)
        if fault is not None:
            return fault
        due = [call.name for call in turn.tool_calls] if turn.role == "assistant" else due[1:]
        before = turn
    if due and turns[-1].role == "tool":
        return f"ends before the result of tool {due[0]!r}"
    return _find_turn_fault(turns[0]) if has_system else None


def _find_place_fault(before: Turn | None, turn: Turn, due: Sequence[str]) -> str | None:
    """Return why a turn may not follow the one before it, with the tools `due` that have not answered yet."""
    if turn.role == "tool":
        if not due:
            return f"has a result of tool {turn.name!r} that nobody called"
        return None if turn.name == due[0] else f"has a result of tool {turn.name!r} where {due[0]!r} was called"
    if due:
        return f"goes on before the result of tool {due[0]!r}"
    awaited = "user" if before is None or before.role == "assistant" else "assistant"
    if turn.role != awaited:
        return f"does not alternate between user and assistant: {turn.role} where {awaited} is due"
    return None


def _find_turn_fault(turn: Turn) -> str | None:
    if turn.tool_calls and turn.role != "assistant":
        return f"has a tool call in a turn of the {turn.role}"
    if turn.name is not None and turn.role != "tool":
        return f"has the name {turn.name!r} on a turn of the {turn.role}, where only tools have one"
    if not turn.content.strip() and not turn.tool_calls:
        return f"has an empty turn ({turn.role})"
    if any(not call.name for call in turn.tool_calls):
        return "has a tool call without a name"
    wrong = next((call.name for call in turn.tool_calls if not _is_json_object(call.arguments)), None)
    return None if wrong is None else f"calls tool {wrong!r} with arguments that are no JSON object"


def _is_json_object(arguments: Any) -> bool:
    try:
        return isinstance(arguments, Mapping) and bool(
            json.loads(json.dumps(dict(arguments), allow_nan=False)) == arguments
        )
    except (TypeError, ValueError):
        return False


def _count_images(turn: Turn) -> int:
    return turn.content.count(IMAGE_PLACEHOLDER)


def find_conversation_fault(conversation: Conversation) -> str | None:
    """Return why a conversation is nothing to train on, or None; see `find_turns_fault`."""
    fault = find_turns_fault(conversation.turns, len(conversation.images))
    return fault or _find_tools_fault(conversation.turns, conversation.tools)


def find_preference_fault(preference: Preference) -> str | None:
    """Return why a preference teaches nothing, or None.

    Held besides the rules of `find_turns_fault` for both answers: they differ by more than white space, and a margin is
    above 0.
    """
    images = len(preference.images)
    fault = find_turns_fault(preference.prompt, images, ends_with_assistant=False)
    if fault is not None:
        return f"has a prompt that {fault}"
    for name, answer in (("chosen", preference.chosen), ("rejected", preference.rejected)):
        turns = (*preference.prompt, *answer)
        fault = find_turns_fault(turns, images) or _find_tools_fault(turns, preference.tools)
        if fault is not None:
            return f"with its {name} answer {fault}"
    if _squeeze(preference.chosen) == _squeeze(preference.rejected):
        return "prefers nothing: both answers are the same but for white space"
    if preference.margin is not None and not 0 < preference.margin < float("inf"):
        return f"prefers nothing: its margin is {preference.margin}"
    return None


def find_label_fault(answer: LabelledAnswer) -> str | None:
    """Return why a labelled answer teaches nothing, or None; see `find_turns_fault`."""
    images = len(answer.images)
    turns = (*answer.prompt, *answer.completion)
    fault = find_turns_fault(answer.prompt, images, ends_with_assistant=False)
    return fault or find_turns_fault(turns, images) or _find_tools_fault(turns, answer.tools)


def _find_tools_fault(turns: Iterable[Turn], tools: Sequence[Mapping[str, Any]]) -> str | None:
    """Return which call asks for a tool that the conversation does not list; without a list, nothing is held."""
    if not tools:
        return None
    known = {str(tool.get("function", tool).get("name")) for tool in tools}
    asked = (call.name for turn in turns for call in turn.tool_calls if call.name not in known)
    wrong = next(asked, None)
    return None if wrong is None else f"calls tool {wrong!r}, which is not among its tools"


def _squeeze(turns: Iterable[Turn]) -> list[tuple[str, list[str], tuple[ToolCall, ...]]]:
    return [(turn.role, turn.content.split(), turn.tool_calls) for turn in turns]


def require_sound(record: Conversation | Preference | LabelledAnswer, dialect: str) -> None:
    """Refuse a record that no trainer accepts, before it is written in a trainer's dialect.

    Raises:
        InvariantBroken: naming the dialect, the row and what is wrong with it.
    """
    if isinstance(record, Conversation):
        refuse(dialect, record.id, find_conversation_fault(record))
    elif isinstance(record, Preference):
        refuse(dialect, record.id, find_preference_fault(record))
    else:
        refuse(dialect, record.id, find_label_fault(record))


def refuse(dialect: str, row_id: str, fault: str | None) -> None:
    """Raise InvariantBroken if there is a fault, naming the dialect and the row."""
    if fault is not None:
        raise InvariantBroken(f"{dialect}: row {row_id} {fault}.")
