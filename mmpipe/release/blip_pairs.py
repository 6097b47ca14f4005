"""Renders pairs as BLIP's JSON list of image and caption; a picture with several kept captions stands once for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.release.imagefolder import place_image
from mmpipe.release.llava_pairs import render_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def render_blip(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the pieces of one JSON list: items with `image` (path below the folder of pictures) and `caption`.

    CapFilt trains on the filtered texts of web and captioner alike (Li et al. 2022, "BLIP", section 3.3), hence an item
    per text.
    """
    yield from render_list(
        {"image": place_image(row), "caption": caption}
        for row in rows
        for caption in dict.fromkeys([row["caption"], *(other["caption"] for other in row["other_captions"])])
    )
