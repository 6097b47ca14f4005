"""Compiled tokenizer of HTML: a page's bytes to runs of text and tags (HTML standard, section 13.2.5).

Comments, declarations and what is never shown (`html_vocabulary.UNSHOWN`) leave no token. Time is linear in the page.
"""

# compiled loops: calls cost, and so do comparisons through a tuple
# ruff: noqa: C901, PLR0912, PLR0915, PLR1714, SIM109

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.extraction.html_vocabulary import FIRST_UNSHOWN, TAG
from mmpipe.extraction.uncounted_loops import ZERO, compile_loop

#: Columns of the token table, int32. A run of text has KIND TEXT and its bounds; a tag its id and what it says.
KIND, FIRST, LAST, TAG_OF, IS_HIDDEN, HAS_TARGET = range(6)
TEXT, OPENING, CLOSING = range(3)
TOKEN_COLUMNS = 6

_LT, _GT, _AMP, _SLASH, _BANG, _DASH, _EQUALS, _SPACE = 60, 62, 38, 47, 33, 45, 61, 32
_SEED = np.uint64(0xCBF29CE484222325)
_STEP = np.uint64(0x100000001B3)
_FOLD = np.uint64(32)
_SVG, _MATH, _TITLE, _TEXTAREA = TAG["svg"], TAG["math"], TAG["title"], TAG["textarea"]
_TAG_COUNT = len(TAG)
#: Tags in a line of text that are worth a token: a short name is emphasis or the like, not a custom element.
_SHORT_NAME = 6
_MOST_VALUE_BYTES = 512
_CLASS_HASH_BYTES = 64


def _pack(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(name.encode()[:8].ljust(8, b"\0"), "little"))


_CLASS, _ID, _ROLE, _ITEMPROP, _STYLE, _HIDDEN, _ARIA_HIDDEN, _HREF = (
    _pack(name) for name in ("class", "id", "role", "itemprop", "style", "hidden", "aria-hidden", "href")
)


@compile_loop(inline="always")
def find_slot(keys: NDArray[np.uint64], key: np.uint64) -> Any:
    """Return where a hash stands in a table of `html_vocabulary`, or -1."""
    mask = keys.size - 1
    slot = np.int64(key & np.uint64(mask))
    while keys[slot]:
        if keys[slot] == key:
            return slot
        slot = (slot + 1) & mask
    return -1


@compile_loop()
def _skip_to(page: NDArray[np.uint8], position: int, byte: int) -> int:
    """Return the position after the next `byte`, or the page's end."""
    while position < page.size and page[position] != byte:
        position += 1
    return min(position + 1, page.size)


@compile_loop()
def _skip_comment(page: NDArray[np.uint8], position: int) -> int:
    """Return the end of the comment whose text begins at `position`; one that never ends takes the rest."""
    n = page.size
    if position < n and page[position] == _GT:
        return position + 1
    if position + 1 < n and page[position] == _DASH and page[position + 1] == _GT:
        return position + 2
    while position < n:
        if page[position] == _GT and page[position - 2] == _DASH:
            if page[position - 1] == _DASH:
                break
            if page[position - 1] == _BANG and page[position - 3] == _DASH:
                break
        position += 1
    return min(position + 1, n)


@compile_loop()
def _skip_declaration(page: NDArray[np.uint8], position: int, no_section_end: NDArray[np.bool_]) -> int:
    """Return the end of a comment, CDATA section or declaration that begins at `position`."""
    n = page.size
    if position + 3 < n and page[position + 2] == _DASH and page[position + 3] == _DASH:
        return _skip_comment(page, position + 4)
    is_section = (
        position + 8 < n
        and page[position + 2] == 91
        and page[position + 3] == 67
        and page[position + 4] == 68
        and page[position + 5] == 65
        and page[position + 6] == 84
    )
    if is_section and not no_section_end[0]:
        end = position + 9
        while end + 2 < n and not (page[end] == 93 and page[end + 1] == 93 and page[end + 2] == _GT):
            end += 1
        if end + 2 < n:
            return end + 3
        # none ends from here on: not to be sought again
        no_section_end[0] = True
    return _skip_to(page, position, _GT)


@compile_loop()
def _find_end_tag(page: NDArray[np.uint8], position: int, name: int, length: int) -> int:
    """Return where the end tag begins of the element whose name stands at `name`, or -1."""
    n = page.size
    while position < n - length - 1:
        if page[position] == _LT and page[position + 1] == _SLASH:
            at = 0
            while at < length and page[position + 2 + at] | 32 == page[name + at] | 32:
                at += 1
            after = position + 2 + length
            if at == length and (after >= n or page[after] <= _SPACE or page[after] == _GT or page[after] == _SLASH):
                return position
        position += 1
    return -1


@compile_loop(inline="always")
def _scan_value(
    page: NDArray[np.uint8], start: int, end: int, steps: NDArray[np.int16], class_bits: NDArray[np.uint64]
) -> Any:
    """Return the bits of CLASS_WORDS that stand in an attribute's value."""
    bits = np.uint64(0)
    state = steps[0, 0]
    was_lower = False
    was_boundary = True
    for position in range(start, min(end, start + _MOST_VALUE_BYTES)):
        byte = page[position]
        is_lower = 97 <= byte <= 122
        is_upper = 65 <= byte <= 90
        if not is_lower and not is_upper and was_boundary:
            continue
        if is_upper and was_lower:
            state = steps[state, 0]
            bits |= class_bits[state]
        was_boundary = not is_lower and not is_upper
        was_lower = is_lower
        state = steps[state, 0 if was_boundary else (byte & 31)]
        bits |= class_bits[state]
    return bits | class_bits[steps[state, 0]]


@compile_loop(inline="always")
def _read_attributes(
    page: NDArray[np.uint8],
    position: int,
    tokens: NDArray[np.int32],
    marks: NDArray[np.uint64],
    row: int,
    steps: NDArray[np.int16],
    class_bits: NDArray[np.uint64],
) -> tuple[int, bool]:
    """Read a tag's attributes up to its end into a row of both; return the end and whether the tag closes itself."""
    n = page.size
    closes_itself = False
    while position < n:
        byte = page[position]
        if byte == _GT:
            return position + 1, closes_itself
        if byte <= _SPACE or byte == _SLASH:
            closes_itself = byte == _SLASH
            position += 1
            continue
        packed = np.uint64(0)
        shift = np.uint64(0)
        first = position
        while position < n:
            byte = page[position]
            if byte <= _SPACE or byte == _GT or byte == _SLASH or (byte == _EQUALS and position > first):
                break
            if shift < np.uint64(64):
                packed |= np.uint64(byte | 32 if 65 <= byte <= 90 else byte) << shift
                shift += np.uint64(8)
            position += 1
        ahead = position
        while ahead < n and page[ahead] <= _SPACE:
            ahead += 1
        start = end = position
        if ahead < n and page[ahead] == _EQUALS:
            ahead += 1
            while ahead < n and page[ahead] <= _SPACE:
                ahead += 1
            if ahead < n and (page[ahead] == 34 or page[ahead] == 39):
                start = ahead + 1
                position = _skip_to(page, start, page[ahead])
                end = position - 1 if page[position - 1] == page[ahead] and position > start else position
            else:
                start = position = ahead
                while position < n and page[position] > _SPACE and page[position] != _GT:
                    position += 1
                end = position
        if packed == _CLASS or packed == _ID or packed == _ROLE or packed == _ITEMPROP or packed == _STYLE:
            marks[row, 0] |= _scan_value(page, start, end, steps, class_bits)
            if packed == _CLASS:
                for at in range(start, min(end, start + _CLASS_HASH_BYTES)):
                    marks[row, 1] = (marks[row, 1] ^ np.uint64(page[at])) * _STEP
        elif packed == _HREF:
            tokens[row, HAS_TARGET] = end > start
        elif packed == _HIDDEN:
            tokens[row, IS_HIDDEN] = 1
        elif packed == _ARIA_HIDDEN:
            tokens[row, IS_HIDDEN] = end - start == 4
    return position, closes_itself


@compile_loop()
def _fill_tokens(
    page: NDArray[np.uint8], position: int, tag_keys: NDArray[np.uint64], tag_ids: NDArray[np.int32],
    class_steps: NDArray[np.int16], class_bits: NDArray[np.uint64], tokens: NDArray[np.int32],
    marks: NDArray[np.uint64], count: int, unclosed: NDArray[np.bool_], no_section_end: NDArray[np.bool_],
) -> tuple[int, int]:  # fmt: skip
    """Read tokens from `position` on into the rows from `count` on; return both where the page or the table ends."""
    n = page.size
    while position < n:
        if count == tokens.shape[0]:
            break
        following = page[position + 1] if position + 1 < n else np.uint8(0)
        is_tag = page[position] == _LT
        if is_tag and following == _BANG:
            position = _skip_declaration(page, position, no_section_end)
            continue
        if is_tag and following == 63:
            position = _skip_to(page, position, _GT)
            continue
        is_closing = is_tag and following == _SLASH and position + 2 < n
        name = position + 2 if is_closing else position + 1
        is_named = is_tag and name < n and 97 <= page[name] | 32 <= 122
        if is_closing and not is_named:
            position = _skip_to(page, position, _GT)
            continue
        tokens[count, KIND] = TEXT
        tokens[count, FIRST] = position
        if not is_named:
            position += 1
            while position < n and page[position] != _LT:
                position += 1
            tokens[count, LAST] = position
            count += 1
            continue
        key = _SEED
        position = name
        while position < n and page[position] > _SPACE and page[position] != _GT and page[position] != _SLASH:
            byte = page[position]
            key = (key ^ np.uint64(byte | 32 if 65 <= byte <= 90 else byte)) * _STEP
            position += 1
        length = position - name
        slot = find_slot(tag_keys, key ^ (key >> _FOLD))
        tag = tag_ids[slot] if slot >= 0 else 0
        tokens[count, KIND] = CLOSING if is_closing else OPENING
        tokens[count, TAG_OF] = tag
        tokens[count, IS_HIDDEN] = 0
        tokens[count, HAS_TARGET] = 0
        marks[count, 0] = 0
        marks[count, 1] = _SEED
        position, closes_itself = _read_attributes(page, position, tokens, marks, count, class_steps, class_bits)
        if tag < FIRST_UNSHOWN:
            count += tag != 0 or (not is_closing and length <= _SHORT_NAME)
            continue
        is_drawing = tag == _SVG or tag == _MATH
        if is_closing or (is_drawing and closes_itself):
            continue
        end = -1 if unclosed[tag] else _find_end_tag(page, position, name, length)
        unclosed[tag] = end < 0
        if end >= 0:
            position = end
        elif not (is_drawing or tag == _TITLE or tag == _TEXTAREA):
            position = n
    return position, count


@compile_loop()
def _copy_tokens(
    tokens: NDArray[np.int32], marks: NDArray[np.uint64], to_tokens: NDArray[np.int32], to_marks: NDArray[np.uint64]
) -> None:
    # a slice assigned takes seconds to compile
    for row in range(tokens.shape[0]):
        for column in range(TOKEN_COLUMNS):
            to_tokens[row, column] = tokens[row, column]
        to_marks[row, 0] = marks[row, 0]
        to_marks[row, 1] = marks[row, 1]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def read_tokens(page: NDArray[np.uint8], vocabulary: Any) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    """Cut a page into runs of text and tags.

    Args:
        page: UTF-8 bytes.
        vocabulary: `html_vocabulary.Vocabulary`.

    Returns:
        the tokens, (n, TOKEN_COLUMNS) int32, and for each the bits of CLASS_WORDS and a hash of its class, (n, 2).
    """
    tokens = np.empty((1024, TOKEN_COLUMNS), np.int32)
    marks = np.empty((1024, 2), np.uint64)
    unclosed = np.zeros(_TAG_COUNT, np.bool_)
    no_section_end = np.zeros(1, np.bool_)
    position = count = ZERO
    while True:
        position, count = _fill_tokens(
            page, position, vocabulary.tag_keys, vocabulary.tag_ids, vocabulary.class_steps, vocabulary.class_bits,
            tokens, marks, count, unclosed, no_section_end,
        )  # fmt: skip
        if position >= page.size:
            return tokens[:count], marks[:count]
        more_tokens = np.empty((2 * count, TOKEN_COLUMNS), np.int32)
        more_marks = np.empty((2 * count, 2), np.uint64)
        _copy_tokens(tokens, marks, more_tokens, more_marks)
        tokens, marks = more_tokens, more_marks
