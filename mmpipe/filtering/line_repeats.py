"""Counts lines and paragraphs that repeat, and how lines end and how long they are, in compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from mmpipe.filtering.unicode_classes import ENDS_SENTENCE, IS_SPACE, describe_characters

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Columns of `count_parts`. `spans` are the text cut at runs of newlines (an end that is a newline gives an empty one),
#: `newline_lines` the text cut at each newline, blank ones left out.
PART_COUNTS = (
    "paragraphs", "repeated_paragraphs", "repeated_paragraph_chars",
    "spans", "repeated_spans", "repeated_span_chars",
    "newlines", "newline_lines", "terminal_lines", "short_lines", "long_lines", "repeated_newline_line_chars",
)  # fmt: skip
(
    _PARAGRAPHS, _PARAGRAPH_REPEATS, _PARAGRAPH_CHARS, _SPANS, _SPAN_REPEATS, _SPAN_CHARS,
    _NEWLINES, _NEWLINE_LINES, _TERMINAL, _SHORT, _LONG, _LINE_CHARS,
) = range(len(PART_COUNTS))  # fmt: skip

_NEWLINE = ord("\n")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


def count_parts(
    characters: NDArray[np.uint32],
    text_start: NDArray[np.int64],
    *,
    most_short_chars: int = 30,
    least_long: int = 200,
    is_space_an_end: bool = False,
) -> NDArray[np.int64]:
    """Return the counts named in `PART_COUNTS`, one row per text.

    What repeats is the second and every later occurrence. A line is terminal if its last character is a sentence
    terminal of Unicode.

    Args:
        characters: code points of all texts, one after the other.
        text_start: where each text starts in it; one more than there are texts.
        most_short_chars: most characters of a short line (FineWeb, arXiv 2406.17557, §3.6).
        least_long: fewest characters of a long line (mC4, arXiv 2010.11934, §3.1).
        is_space_an_end: whether a line that ends in white space has that as its last character, as in datatrove.
    """
    counts = np.zeros((text_start.size - 1, len(PART_COUNTS)), np.int64)
    _count_texts(characters, text_start, describe_characters(), most_short_chars, least_long, is_space_an_end, counts)
    return counts


@numba.njit(cache=True, nogil=True)
def _count_texts(
    characters: NDArray[np.uint32],
    text_start: NDArray[np.int64],
    table: NDArray[np.uint16],
    most_short_chars: int,
    least_long: int,
    is_space_an_end: bool,
    counts: NDArray[np.int64],
) -> None:
    longest = 0
    for text in range(text_start.size - 1):
        longest = max(longest, text_start[text + 1] - text_start[text])
    begins = np.empty(longest + 1, np.int64)
    lengths = np.empty(longest + 1, np.int64)
    hashes = np.empty(longest + 1, np.uint64)
    blank = np.empty(longest + 1, np.bool_)
    for text in range(text_start.size - 1):
        start, stop = text_start[text], text_start[text + 1]
        if start == stop:
            continue
        row = counts[text]
        found = _cut_at_newlines(characters, start, stop, table, begins, lengths, hashes, blank)
        row[_NEWLINES] = found - 1
        for line in range(found):
            row[_SPANS] += lengths[line] > 0 or line == 0 or line == found - 1
            row[_LONG] += lengths[line] >= least_long
            if not blank[line]:
                row[_NEWLINE_LINES] += 1
                row[_SHORT] += lengths[line] <= most_short_chars
                row[_TERMINAL] += _is_terminal(characters, begins[line] + lengths[line] - 1, table, is_space_an_end)
        repeats, repeated_chars, blank_chars = _count_repeats(characters, begins, lengths, hashes, blank, found)
        has_empty_ends = found > 1 and lengths[0] == 0 and lengths[found - 1] == 0
        row[_SPAN_REPEATS], row[_SPAN_CHARS] = repeats + has_empty_ends, repeated_chars
        row[_LINE_CHARS] = repeated_chars - blank_chars
        found = _join_paragraphs(characters, start, stop, table, begins, lengths, hashes, found)
        row[_PARAGRAPHS] = found
        if found > 1:
            repeats, repeated_chars, _ = _count_repeats(characters, begins, lengths, hashes, blank, found)
            row[_PARAGRAPH_REPEATS], row[_PARAGRAPH_CHARS] = repeats, repeated_chars


@numba.njit(cache=True, nogil=True)
def _is_terminal(characters: NDArray[np.uint32], last: int, table: NDArray[np.uint16], is_space_an_end: bool) -> bool:
    while not is_space_an_end and table[characters[last]] & IS_SPACE:
        last -= 1
    return bool(table[characters[last]] & ENDS_SENTENCE)


@numba.njit(cache=True, nogil=True)
def _cut_at_newlines(
    characters: NDArray[np.uint32],
    start: int,
    stop: int,
    table: NDArray[np.uint16],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    blank: NDArray[np.bool_],
) -> int:
    """Write begin, length, hash and whether it is only white space of each line; return how many there are."""
    line = 0
    at = start
    while at <= stop:
        begin = at
        value = np.uint64(0)
        spaces = np.uint16(IS_SPACE)
        while at < stop and characters[at] != _NEWLINE:
            value = value * _FACTOR + np.uint64(characters[at])
            spaces &= table[characters[at]]
            at += 1
        begins[line], lengths[line], hashes[line], blank[line] = begin, at - begin, value, spaces != 0
        line += 1
        at += 1
    return line


@numba.njit(cache=True, nogil=True)
def _join_paragraphs(
    characters: NDArray[np.uint32],
    start: int,
    stop: int,
    table: NDArray[np.uint16],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    found: int,
) -> int:
    """Replace lines by paragraphs: what empty lines part in the text without outer white space; return their number."""
    while start < stop and table[characters[start]] & IS_SPACE:
        start += 1
    while start < stop and table[characters[stop - 1]] & IS_SPACE:
        stop -= 1
    part = 0
    begin = end = np.int64(-1)
    value = np.uint64(0)
    for line in range(found):
        line_begin, line_end, line_hash = begins[line], begins[line] + lengths[line], hashes[line]
        if line_begin < start or line_end > stop:
            line_begin, line_end = max(line_begin, start), min(line_end, stop)
            if line_begin >= line_end:
                continue
            line_hash = _hash(characters, line_begin, line_end)
        if line_begin < line_end:
            begin = line_begin if begin < 0 else begin
            end = line_end
            value = (value ^ line_hash) * _MIX + np.uint64(1)
        elif begin >= 0:
            begins[part], lengths[part], hashes[part] = begin, end - begin, value
            part += 1
            begin, value = np.int64(-1), np.uint64(0)
    if begin >= 0:
        begins[part], lengths[part], hashes[part] = begin, end - begin, value
        part += 1
    return max(part, 1)  # a blank text is one empty paragraph


@numba.njit(cache=True, nogil=True)
def _hash(characters: NDArray[np.uint32], start: int, stop: int) -> np.uint64:
    value = np.uint64(0)
    for character in characters[start:stop]:
        value = value * _FACTOR + np.uint64(character)
    return value


@numba.njit(cache=True, nogil=True)
def _count_repeats(
    characters: NDArray[np.uint32],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    blank: NDArray[np.bool_],
    found: int,
) -> tuple[int, int, int]:
    """Return the parts that repeat an earlier one, their characters, and those of blank parts; empty parts aside."""
    size = 16
    while size < 2 * found:
        size *= 2
    slots = np.full(size, -1, np.int32)
    repeats = repeated_chars = blank_chars = 0
    for part in range(found):
        if lengths[part] == 0:
            continue
        value = hashes[part] ^ (hashes[part] >> np.uint64(31))
        value *= _MIX
        slot = np.int64((value ^ (value >> np.uint64(29))) & np.uint64(size - 1))
        while slots[slot] >= 0 and not _is_same(characters, begins, lengths, hashes, slots[slot], part):
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = part
        else:
            repeats += 1
            repeated_chars += lengths[part]
            blank_chars += lengths[part] * blank[part]
    return repeats, repeated_chars, blank_chars


@numba.njit(cache=True, nogil=True)
def _is_same(
    characters: NDArray[np.uint32],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    first: int,
    second: int,
) -> bool:
    if hashes[first] != hashes[second] or lengths[first] != lengths[second]:
        return False
    for offset in range(lengths[first]):
        if characters[begins[first] + offset] != characters[begins[second] + offset]:
            return False
    return True
