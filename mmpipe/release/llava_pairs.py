"""Renders pairs as LLaVA's JSON list: a person asks for a description of <image>, and the caption answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmpipe.release.imagefolder import place_image
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: The token that LLaVA replaces by the picture.
IMAGE_TOKEN = "<image>"  # noqa: S105 - no password

#: What the person asks, one per pair by hash of its id.
REQUESTS = (
    "What does this picture show?",
    "Say in a few words what can be seen.",
    "Write a short caption for this image.",
    "Describe the image briefly.",
    "Give a one-line summary of the picture.",
    "Which caption fits this photo?",
)


def render_llava(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the pieces of one JSON list: an item per row, with `id`, `image` and `conversations`.

    `image` is the path below the folder of pictures. LLaVA wants the token at the start of its turn, the person first
    and turns that alternate (Liu et al. 2023, "Visual Instruction Tuning", section 4.2).
    """
    yield from render_list(_describe(row) for row in rows)


def _describe(row: Mapping[str, Any]) -> dict[str, Any]:
    request = REQUESTS[int(make_id("llava", row["pair_id"])[:8], 16) % len(REQUESTS)]
    # a caption that holds the token would ask for a second picture
    caption = row["caption"].replace(IMAGE_TOKEN, "").strip()
    return {
        "id": row["key"],
        "image": place_image(row),
        "conversations": [
            {"from": "human", "value": f"{IMAGE_TOKEN}\n{request}"},
            {"from": "gpt", "value": caption},
        ],
    }


def render_list(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the pieces of a JSON list, one line per item, without holding the list."""
    is_first = True
    for item in items:
        yield ("[\n" if is_first else ",\n") + json.dumps(item, ensure_ascii=False)
        is_first = False
    yield "[]\n" if is_first else "\n]\n"
