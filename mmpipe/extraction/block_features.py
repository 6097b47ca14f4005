"""Compiled measures of a page's blocks: what each says of itself, of what it stands in, and of its neighbours."""

# compiled loops: calls cost, and so do comparisons through a tuple
# ruff: noqa: C901, PLR0912, PLR0915

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.extraction.html_blocks import LIKENESS, PARENT
from mmpipe.extraction.html_runs import (
    BREAKS,
    CAPITALS,
    CHARS,
    COMMAS,
    DIGITS,
    ELEMENT,
    EMPHASIS,
    ENDS_SENTENCE,
    FLAGS,
    FUNCTION_WORDS,
    GROUP_BITS,
    GROUP_WORDS,
    HEADING,
    IS_CODE,
    ITEM,
    LEVEL,
    LINK_WORDS,
    LINKS,
    LISTS,
    MARKS,
    ROW,
    SHORT_WORDS,
    SOURCE,
    STARTS,
    TAG_ID,
    WORDS,
)
from mmpipe.extraction.html_vocabulary import CLASS_WORDS, FLAG, TAG, TEXT_GROUPS
from mmpipe.extraction.html_vocabulary import FLAGS as FLAG_NAMES

_OWN = (
    "words", "chars_per_word", "link_share", "links", "marks", "commas", "digits", "capitals", "short_words",
    "function_words", "group_words", "breaks", "ends_sentence", "starts", "emphasis", "is_code", "level", "heading",
    "tag", "lists", "source_position", "word_position", "block_position", "index", "page_words", "page_blocks",
    "page_link_share", "page_paragraph_share", "page_marks", "page_code_words", "repeats", "same_row_blocks",
    "same_item_blocks", "in_main", "in_wide_main", "before_main", "since_heading", "last_heading", "since_first_h1",
    "headings_h1", "alike_blocks", "alike_words", "alike_link_share", "alike_mean_words", "markup_per_char",
)  # fmt: skip
_LEVELS = 5
_LEVEL = ("words", "link_share", "marks", "mean_words", "page_share", "paragraph_share")
_NEIGHBOURS = (-3, -2, -1, 1, 2, 3)
_NEIGHBOUR = ("words", "link_share", "tag", "ends_sentence", "same_parent")
#: Names of the columns of `measure_blocks`.
FEATURES = (
    *_OWN,
    *(f"up{level}_{name}" for level in range(_LEVELS) for name in _LEVEL),
    *(f"at{offset}_{name}" for offset in _NEIGHBOURS for name in _NEIGHBOUR),
    *(f"in_{name}" for name in FLAG_NAMES),
    *(f"says_{name}" for name in TEXT_GROUPS[1:]),
    *(f"near_{name}" for name in CLASS_WORDS),
    *(f"far_{name}" for name in CLASS_WORDS),
)
_COUNT = len(FEATURES)
_OWN_COUNT, _LEVEL_COUNT, _NEIGHBOUR_COUNT = len(_OWN), len(_LEVEL), len(_NEIGHBOUR)
_OFFSETS = np.array(_NEIGHBOURS, np.int64)
_FLAG_COUNT, _GROUP_COUNT, _CLASS_COUNT = len(FLAG_NAMES), len(TEXT_GROUPS), len(CLASS_WORDS)
_IN_PARAGRAPH = FLAG["paragraph"]
_IN_PRE = FLAG["pre"]
_H1 = TAG["h1"]
_TD, _TH, _LI, _P = TAG["td"], TAG["th"], TAG["li"], TAG["p"]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def measure_blocks(
    blocks: NDArray[np.int32],
    marks: NDArray[np.uint64],
    elements: NDArray[np.int32],
    page_bytes: int,
) -> NDArray[np.float32]:
    """Return the measures of each block, (n, len(FEATURES)) float32; arguments as `read_blocks` gives them."""
    n = blocks.shape[0]
    found = np.zeros((n, _COUNT), np.float32)
    if n == 0:
        return found
    m = elements.shape[0]
    # what an element and all in it hold: words, words in links, marks, blocks, words in paragraphs, prose
    sums = np.zeros((m, 6), np.float32)
    for i in range(n):
        block = blocks[i]
        words = max(block[WORDS], 1)
        row = sums[block[ELEMENT]]
        row[0] += words
        row[1] += block[LINK_WORDS]
        row[2] += block[MARKS] + block[COMMAS]
        row[3] += 1
        if block[FLAGS] & _IN_PARAGRAPH:
            row[4] += words
        if 2 * block[LINK_WORDS] <= words:
            row[5] += block[MARKS] + block[COMMAS] + (words / 10 if words >= 10 else 0)
    for element in range(m - 1, 0, -1):
        parent = elements[element, PARENT]
        for column in range(6):
            sums[parent, column] += sums[element, column]
    total_words = max(sums[0, 0], np.float32(1))
    total_prose = sums[0, 5]
    # the deepest elements that hold most of the page's prose
    main = 0
    wide = 0
    for element in range(1, m):
        if sums[element, 5] >= 0.6 * total_prose and elements[element, PARENT] == main:
            main = element
        if sums[element, 5] >= 0.9 * total_prose and elements[element, PARENT] == wide:
            wide = element
    inside = np.zeros((m, 2), np.bool_)
    inside[main, 0] = True
    inside[wide, 1] = True
    for element in range(1, m):
        parent = elements[element, PARENT]
        if inside[parent, 0]:
            inside[element, 0] = True
        if inside[parent, 1]:
            inside[element, 1] = True

    size = 16
    while size < 4 * n:
        size *= 2
    mask = size - 1
    text_slot = np.full(size, -1, np.int32)
    text_count = np.zeros(size, np.int32)
    alike_key = np.full(size, -1, np.int64)
    alike = np.zeros((size, 3), np.float32)
    text_of = np.zeros(n, np.int32)
    alike_of = np.zeros(n, np.int32)
    row_blocks = np.zeros(m, np.int32)
    item_blocks = np.zeros(m, np.int32)
    h1_count = 0
    code_words = np.float32(0)
    for i in range(n):
        block = blocks[i]
        slot = np.int64(marks[i, 2] & np.uint64(mask))
        while text_slot[slot] >= 0 and marks[text_slot[slot], 2] != marks[i, 2]:
            slot = (slot + 1) & mask
        text_slot[slot] = i
        text_count[slot] += 1
        text_of[i] = slot
        element = block[ELEMENT]
        key = np.int64(elements[element, LIKENESS]) * 31 + np.int64(
            elements[max(elements[element, PARENT], 0), LIKENESS]
        )
        slot = (key ^ (key >> 17)) & mask
        while alike_key[slot] >= 0 and alike_key[slot] != key:
            slot = (slot + 1) & mask
        alike_key[slot] = key
        alike_of[i] = slot
        alike[slot, 0] += 1
        alike[slot, 1] += max(block[WORDS], 1)
        alike[slot, 2] += block[LINK_WORDS]
        row_blocks[block[ROW]] += 1
        item_blocks[block[ITEM]] += 1
        h1_count += block[HEADING] == 1
        if block[FLAGS] & _IN_PRE:
            code_words += block[WORDS]

    before = np.float32(0)
    last_heading = 0
    since_heading = 0
    since_h1 = -1
    entered = False
    for i in range(n):
        block = blocks[i]
        row = found[i]
        words = np.float32(max(block[WORDS], 1))
        element = block[ELEMENT]
        if block[HEADING] > 0:
            last_heading = block[HEADING]
            since_heading = 0
            if block[HEADING] == 1 and since_h1 < 0:
                since_h1 = 0
        is_in_main = inside[element, 0]
        entered = entered or is_in_main
        row[0] = np.log1p(words)
        row[1] = block[CHARS] / words
        row[2] = block[LINK_WORDS] / words
        row[3] = block[LINKS]
        row[4] = block[MARKS] / words
        row[5] = block[COMMAS] / words
        row[6] = block[DIGITS] / max(block[CHARS], 1)
        row[7] = block[CAPITALS] / words
        row[8] = block[SHORT_WORDS] / words
        row[9] = block[FUNCTION_WORDS] / words
        row[10] = block[GROUP_WORDS] / words
        row[11] = block[BREAKS]
        row[12] = block[ENDS_SENTENCE]
        row[13] = block[STARTS]
        row[14] = block[EMPHASIS]
        row[15] = block[IS_CODE]
        row[16] = block[LEVEL]
        row[17] = block[HEADING]
        row[18] = block[TAG_ID]
        row[19] = block[LISTS]
        row[20] = block[SOURCE] / np.float32(page_bytes)
        row[21] = before / total_words
        row[22] = i / np.float32(n)
        row[23] = i
        row[24] = np.log1p(total_words)
        row[25] = np.log1p(np.float32(n))
        row[26] = sums[0, 1] / total_words
        row[27] = sums[0, 4] / total_words
        row[28] = sums[0, 2] / total_words
        row[29] = code_words / total_words
        row[30] = text_count[text_of[i]]
        row[31] = row_blocks[block[ROW]] if block[ROW] > 0 else 0
        row[32] = item_blocks[block[ITEM]] if block[ITEM] > 0 else 0
        row[33] = is_in_main
        row[34] = inside[element, 1]
        row[35] = not entered
        row[36] = since_heading
        row[37] = last_heading
        row[38] = since_h1
        row[39] = h1_count
        group = alike[alike_of[i]]
        row[40] = group[0]
        row[41] = np.log1p(group[1])
        row[42] = group[2] / group[1]
        row[43] = np.log1p(group[1] / group[0])
        row[44] = (block[SOURCE] - (blocks[i - 1, SOURCE] if i > 0 else 0)) / np.float32(max(block[CHARS], 1))
        at = _OWN_COUNT
        ancestor = element
        for _ in range(_LEVELS):
            held = sums[ancestor]
            own = max(held[0], np.float32(1))
            row[at] = np.log1p(held[0])
            row[at + 1] = held[1] / own
            row[at + 2] = held[2] / own
            row[at + 3] = np.log1p(held[0] / max(held[3], np.float32(1)))
            row[at + 4] = held[0] / total_words
            row[at + 5] = held[4] / own
            at += _LEVEL_COUNT
            ancestor = max(elements[ancestor, PARENT], 0)
        parent = elements[element, PARENT]
        for offset in _OFFSETS:
            other = i + offset
            if 0 <= other < n:
                beside = blocks[other]
                their = np.float32(max(beside[WORDS], 1))
                row[at] = np.log1p(their)
                row[at + 1] = beside[LINK_WORDS] / their
                row[at + 2] = beside[TAG_ID]
                row[at + 3] = beside[ENDS_SENTENCE]
                row[at + 4] = elements[beside[ELEMENT], PARENT] == parent
            else:
                row[at] = -1
                row[at + 1] = -1
            at += _NEIGHBOUR_COUNT
        for bit in range(_FLAG_COUNT):
            row[at + bit] = (block[FLAGS] >> bit) & 1
        at += _FLAG_COUNT
        for bit in range(1, _GROUP_COUNT):
            row[at + bit - 1] = (block[GROUP_BITS] >> bit) & 1
        at += _GROUP_COUNT - 1
        for bit in range(_CLASS_COUNT):
            row[at + bit] = np.float32((marks[i, 0] >> np.uint64(bit)) & np.uint64(1))
            row[at + _CLASS_COUNT + bit] = np.float32((marks[i, 1] >> np.uint64(bit)) & np.uint64(1))
        before += words
        since_heading += 1
        if since_h1 >= 0:
            since_h1 += 1
    return found
