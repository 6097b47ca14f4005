"""Writes conversations as LLaVA's JSON list, and reads them back.

Source: Liu et al. 2023, "Visual Instruction Tuning", and the project's data of 158 thousand conversations: `id`,
`image` (a path below the folder of pictures; absent from rows of text), `conversations` of `from` and `value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmpipe.release.conversations import IMAGE_PLACEHOLDER
from mmpipe.release.records import Conversation, Turn, refuse, require_sound

_DIALECT = "llava"
_SPEAKERS = {"user": "human", "assistant": "gpt"}


def export_conversation(conversation: Conversation, *, allows_several: bool = False) -> dict[str, Any]:
    """Return one item of LLaVA's list.

    The first human turn begins with the placeholder and a line feed; LLaVA's loader moves a placeholder that stands
    elsewhere, so it would train on other words than were written.

    Args:
        conversation: what to write; LLaVA has neither system turns nor tools.
        allows_several: whether several pictures may stand in a list under `image`, as LLaVA-NeXT's interleaved data
            has them, with placeholders anywhere in human turns. LLaVA itself reads one path.

    Raises:
        InvariantBroken: no trainer accepts the row, or LLaVA cannot hold it; the row is named.
    """
    require_sound(conversation, _DIALECT)
    turns, images = conversation.turns, conversation.images
    if any(turn.role not in _SPEAKERS or turn.tool_calls for turn in turns) or conversation.tools:
        refuse(_DIALECT, conversation.id, "has a system turn or tools, which LLaVA cannot hold")
    if len(images) > 1 and not allows_several:
        refuse(_DIALECT, conversation.id, f"has {len(images)} images, where LLaVA reads one")
    if len(images) == 1 and not turns[0].content.startswith(f"{IMAGE_PLACEHOLDER}\n"):
        refuse(_DIALECT, conversation.id, f"does not begin with {IMAGE_PLACEHOLDER} and a line feed")
    image = {} if not images else {"image": images[0] if len(images) == 1 else list(images)}
    entries = [{"from": _SPEAKERS[turn.role], "value": turn.content} for turn in turns]
    return {"id": conversation.id, **image, "conversations": entries}


def import_conversation(item: Mapping[str, Any]) -> Conversation:
    """Return the conversation of an item that `export_conversation` wrote."""
    turns = tuple(
        Turn("user" if entry["from"] == "human" else "assistant", entry["value"]) for entry in item["conversations"]
    )
    image = item.get("image", ())
    return Conversation(item["id"], turns, (image,) if isinstance(image, str) else tuple(image))
