"""Writes the chosen blocks of a page as text: paragraphs and headings on own lines, lists, tables and code kept."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from mmpipe.extraction.html_vocabulary import FLAG, TAG

_CELLS = frozenset((TAG["td"], TAG["th"]))
_IN_PRE = FLAG["pre"]


def write_blocks(  # noqa: C901 - one branch per kind of block
    text: NDArray[np.uint8], blocks: NDArray[np.int32], chosen: NDArray[np.bool_], is_markdown: bool, has_tables: bool
) -> str:
    """Return the text of the chosen blocks in the page's order.

    A list item begins with `- `, cells of one table row stand on one line between ` | `, and preformatted text keeps
    its lines. Markdown also has `#` before headings and fences around preformatted text.

    Args:
        text: UTF-8 bytes of all blocks, and `blocks` as `html_blocks.read_blocks` gives them.
        blocks: (n, columns) int32.
        chosen: which blocks to write.
        is_markdown: whether headings and code are marked.
        has_tables: whether table rows of more than one cell are written.
    """
    from mmpipe.extraction.html_runs import ELEMENT, END, FLAGS, HEADING, ITEM, LISTS, ROW, START, TAG_ID

    data = text.tobytes()
    parts: list[str] = []
    row_before = item_before = 0
    element_before = -1
    was_code = False
    columns = blocks[chosen][:, [START, END, TAG_ID, FLAGS, ELEMENT, ROW, HEADING, ITEM, LISTS]].tolist()
    # a row of one cell is layout
    cells = Counter(row for _, _, tag, _, _, row, *_ in columns if tag in _CELLS and row > 0)
    for start, end, tag, flags, element, row, heading, item, lists in columns:
        words = data[start:end].decode("utf-8", "replace")
        is_cell = tag in _CELLS and cells[row] > 1
        if is_cell and not has_tables:
            continue
        is_code = bool(flags & _IN_PRE)
        if was_code and not (is_code and is_markdown):
            if is_markdown:
                parts.append("\n```")
            was_code = False
        if parts:
            parts.append(" | " if is_cell and row == row_before and element != element_before else "\n")
        if is_code and is_markdown:
            if not was_code:
                parts.append("```\n")
                was_code = True
        elif item and item != item_before and not is_cell:
            parts.append("  " * (lists - 1) * is_markdown + "- ")
        elif heading and is_markdown:
            parts.append("#" * heading + " ")
        parts.append(words)
        row_before, element_before = (row, element) if is_cell else (0, -1)
        item_before = item
    if was_code:
        parts.append("\n```")
    return "".join(parts)
