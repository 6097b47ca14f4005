"""Counts printed lines, what they start and end with, marks and sentences of texts in compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from mmpipe.filtering.unicode_classes import (
    CLOSES,
    ENDS_LINE,
    ENDS_SENTENCE,
    ENDS_WIDE_SENTENCE,
    IS_LOWER,
    IS_NOTABLE,
    IS_SPACE,
    IS_WORD,
    describe_characters,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Columns of `count_marks`; `lines` are those of str.splitlines.
MARK_COUNTS = (
    "hashes", "ellipses", "lines", "bullet_lines", "ellipsis_lines",
    "sentences", "lorem_ipsum_lines", "curly_bracket_lines",
)  # fmt: skip
_HASHES, _ELLIPSES, _LINES, _BULLETS, _ELLIPSIS_LINES, _SENTENCES, _LOREM, _CURLY = range(len(MARK_COUNTS))

_NEWLINE, _RETURN, _HASH, _DOT, _ELLIPSIS, _DASH, _BULLET, _OPEN_CURLY = map(ord, "\n\r#.…-•{")
_LOREM_IPSUM = np.array([ord(character) for character in "lorem ipsum"], np.uint32)


def count_marks(characters: NDArray[np.uint32], text_start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts named in `MARK_COUNTS`, one row per text.

    Sentences are counted line by line: one ends at a sentence terminal, with the terminals and closing marks behind it,
    that white space or the line's end follows (nothing need follow the terminals of Chinese and Japanese); a full stop
    before a lower-case word ends none (UAX #29, SB8); each holds a letter or a number.

    Args:
        characters: code points of all texts, one after the other.
        text_start: where each text starts in it; one more than there are texts.
    """
    counts = np.zeros((text_start.size - 1, len(MARK_COUNTS)), np.int64)
    _count_texts(characters, text_start, describe_characters(), counts)
    return counts


@numba.njit(cache=True, nogil=True)
def _count_texts(
    characters: NDArray[np.uint32], text_start: NDArray[np.int64], table: NDArray[np.uint16], counts: NDArray[np.int64]
) -> None:
    for text in range(text_start.size - 1):
        if text_start[text] < text_start[text + 1]:
            _count_text(characters, text_start[text], text_start[text + 1], table, counts[text])


@numba.njit(cache=True, nogil=True)
def _count_text(
    characters: NDArray[np.uint32], start: int, stop: int, table: NDArray[np.uint16], row: NDArray[np.int64]
) -> None:
    at = begin = sentence = start
    has_lorem, has_curly = False, False
    while at <= stop:
        kind = table[characters[at]] if at < stop else np.uint16(IS_NOTABLE | ENDS_LINE)
        if not kind & IS_NOTABLE:
            at += 1
        elif kind & ENDS_LINE:
            if begin < stop:  # the last line end of a text starts no line
                _count_line(characters, begin, at, table, row)
                row[_SENTENCES] += _has_word(characters, sentence, at, table)
                row[_LOREM] += has_lorem
                row[_CURLY] += has_curly
            has_lorem, has_curly = False, False
            if at + 1 < stop and characters[at] == _RETURN and characters[at + 1] == _NEWLINE:
                at += 1
            at += 1
            begin = sentence = at
        else:
            has_curly |= characters[at] == _OPEN_CURLY
            has_lorem |= _is_lorem_ipsum(characters, at - 4, start, stop)
            at = _count_mark(characters, at, stop, row)
            if kind & ENDS_SENTENCE and _ends_sentence(characters, at - 1, stop, table):
                row[_SENTENCES] += _has_word(characters, sentence, at, table)
                sentence = at


@numba.njit(cache=True, nogil=True)
def _count_mark(characters: NDArray[np.uint32], at: int, stop: int, row: NDArray[np.int64]) -> int:
    """Count a hash sign or an ellipsis; return the next place to look at."""
    code = characters[at]
    row[_HASHES] += code == _HASH
    row[_ELLIPSES] += code == _ELLIPSIS
    at += 1
    if code == _DOT:
        begin = at - 1
        while at < stop and characters[at] == _DOT:
            at += 1
        row[_ELLIPSES] += (at - begin) // 3
    return at


@numba.njit(cache=True, nogil=True)
def _count_line(
    characters: NDArray[np.uint32], begin: int, end: int, table: NDArray[np.uint16], row: NDArray[np.int64]
) -> None:
    row[_LINES] += 1
    while begin < end and table[characters[end - 1]] & IS_SPACE:
        end -= 1
    while begin < end and table[characters[begin]] & IS_SPACE:
        begin += 1
    if begin == end:
        return
    row[_BULLETS] += characters[begin] == _BULLET or characters[begin] == _DASH
    last = characters[end - 1]
    has_dots = end - begin >= 3 and last == _DOT and characters[end - 2] == _DOT and characters[end - 3] == _DOT
    row[_ELLIPSIS_LINES] += has_dots or last == _ELLIPSIS


@numba.njit(cache=True, nogil=True)
def _has_word(characters: NDArray[np.uint32], begin: int, end: int, table: NDArray[np.uint16]) -> bool:
    while begin < end:
        end -= 1
        if table[characters[end]] & IS_WORD:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _is_lorem_ipsum(characters: NDArray[np.uint32], at: int, start: int, stop: int) -> bool:
    if at < start or at + _LOREM_IPSUM.size > stop:
        return False
    for offset in range(_LOREM_IPSUM.size):
        code = characters[at + offset]
        if 65 <= code <= 90:  # A to Z
            code += np.uint32(32)
        if code != _LOREM_IPSUM[offset]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _ends_sentence(characters: NDArray[np.uint32], at: int, stop: int, table: NDArray[np.uint16]) -> bool:
    if table[characters[at]] & ENDS_WIDE_SENTENCE:
        return True
    is_dot = characters[at] == _DOT
    at += 1
    while at < stop and table[characters[at]] & (CLOSES | ENDS_SENTENCE):
        is_dot &= not table[characters[at]] & ENDS_SENTENCE or characters[at] == _DOT
        at += 1
    if at == stop or table[characters[at]] & ENDS_LINE:
        return True
    if not table[characters[at]] & IS_SPACE:
        return False
    while at < stop and table[characters[at]] & IS_SPACE and not table[characters[at]] & ENDS_LINE:
        at += 1
    return not (is_dot and at < stop and table[characters[at]] & IS_LOWER)
