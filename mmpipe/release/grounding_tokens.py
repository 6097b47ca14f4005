"""Writes a grounded caption with location tokens, and reads it back: boxes as cells of a grid of 32 by 32."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Cells per side of the picture (Kosmos-2; Peng et al. 2023, arXiv 2306.14824, §3.1).
GRID = 32

#: Left, top, right and bottom as shares of the picture's width and height, 0 to 1.
Box = tuple[float, float, float, float]

_DELIMITER = "</delimiter_of_multi_objects/>"
_CELLS = r"<patch_index_(\d{4})><patch_index_(\d{4})>"
_GROUNDED = re.compile(
    rf"<phrase>(.*?)</phrase><object>({_CELLS}(?:{re.escape(_DELIMITER)}{_CELLS})*)</object>", re.DOTALL
)
_PAIR = re.compile(_CELLS)
#: What in a caption would read as a token, and what would read as an escaped one.
_LIKE_TOKEN = re.compile(r"<(?=/?(?:phrase|object|patch_index_\d{4}|delimiter_of_multi_objects/)>)")
_LIKE_ESCAPE = re.compile(r"&(?=(?:amp;)*lt;)")
_ESCAPED = re.compile(r"&((?:amp;)*lt;)")


class GroundedSpan(NamedTuple):
    """Characters `start` to `end` of a caption, and the boxes of what they name."""

    start: int
    end: int
    boxes: tuple[Box, ...]


def encode_box(box: Box, grid: int = GRID) -> tuple[int, int]:
    """Return the cells, counted row by row from 0, that hold the upper left and the lower right corner.

    A right or lower edge on a line between two cells belongs to the cell before it.

    Raises:
        ValueError: the box has no area or reaches out of the picture.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"{box} is no box with an area inside the picture, in shares of its width and height.")
    first = math.floor(top * grid) * grid + math.floor(left * grid)
    # a thin box just right of a line may round to the cell before its own
    last_row = max(math.ceil(bottom * grid) - 1, first // grid)
    last_column = max(math.ceil(right * grid) - 1, first % grid)
    return first, last_row * grid + last_column


def decode_box(first: int, last: int, grid: int = GRID) -> Box:
    """Return the box of two cells: between their centres, or to the outer edges where they share a row or a column.

    So it is at most half a cell off on every side, or holds the box that was encoded and is at most a cell larger;
    encoded again, it is the same cells.

    Raises:
        ValueError: a cell is not on the grid, or the second lies left of or above the first.
    """
    (top, left), (bottom, right) = divmod(first, grid), divmod(last, grid)
    if not (0 <= first < grid * grid and 0 <= last < grid * grid) or right < left or bottom < top:
        raise ValueError(f"cells {first} and {last} are no corners of a box on a grid of {grid} by {grid}.")
    if left == right or top == bottom:
        return left / grid, top / grid, (right + 1) / grid, (bottom + 1) / grid
    return (left + 0.5) / grid, (top + 0.5) / grid, (right + 0.5) / grid, (bottom + 0.5) / grid


def encode_caption(caption: str, spans: Iterable[GroundedSpan]) -> str:
    """Return the caption with each span as `<phrase>…</phrase><object>…</object>` with the cells of its boxes.

    Text that would read as one of these tokens is escaped as HTML does it (`&lt;`), and no other text is changed.

    Args:
        caption: any text.
        spans: in any order; each has a box or more.

    Raises:
        ValueError: spans overlap, are empty, reach out of the caption or have no box.
    """
    parts: list[str] = []
    at = 0
    for start, end, boxes in sorted(spans):
        if not (at <= start < end <= len(caption)) or not boxes:
            raise ValueError(f"span {start}:{end} overlaps another, has no box, or is not in the caption.")
        cells = _DELIMITER.join("".join(f"<patch_index_{cell:04d}>" for cell in encode_box(box)) for box in boxes)
        parts += [_escape(caption[at:start]), f"<phrase>{_escape(caption[start:end])}</phrase><object>{cells}</object>"]
        at = end
    return "".join((*parts, _escape(caption[at:])))


def decode_caption(text: str) -> tuple[str, list[GroundedSpan]]:
    """Return the caption of an encoded one and its spans, whose boxes are those of `decode_box`.

    Raises:
        ValueError: cells of an object are no box.
    """
    caption = ""
    spans = []
    at = 0
    for found in _GROUNDED.finditer(text):
        caption += _unescape(text[at : found.start()])
        start = len(caption)
        caption += _unescape(found[1])
        boxes = tuple(decode_box(int(first), int(last)) for first, last in _PAIR.findall(found[2]))
        spans.append(GroundedSpan(start, len(caption), boxes))
        at = found.end()
    return caption + _unescape(text[at:]), spans


def _escape(text: str) -> str:
    return _LIKE_TOKEN.sub("&lt;", _LIKE_ESCAPE.sub("&amp;", text))


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda found: "<" if found[1] == "lt;" else f"&{found[1].removeprefix('amp;')}", text)
