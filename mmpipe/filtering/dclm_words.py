"""Cuts texts into words in DCLM's three ways, and numbers and counts them, in one compiled pass over the characters."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

import numba
import numpy as np

from mmpipe.filtering.tokens import STOP_WORDS
from mmpipe.filtering.unicode_classes import (
    CLASS_MASK,
    EXTEND_NUM_LET,
    IS_LETTER,
    IS_SPACE,
    IS_WORD,
    KATAKANA,
    LETTER,
    MID_LETTER,
    NUMERIC,
    OTHER,
    SPACE,
    describe_characters,
)
from mmpipe.filtering.unicode_words import CutTexts, find_end, skip_extend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Columns of `CutTexts.counts`: white-space words, their characters, those with a letter, those that are a stop word
#: in any case, distinct stop words among them; fastText's words that begin with a letter or digit.
WORD_COUNTS = ("words", "word_chars", "alphabetic_words", "stop_words", "distinct_stop_words", "fasttext_words")

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)

#: After these, a mark does not join what stands before it (rules WB3a, WB3b).
_NEWLINES = "\n\r\v\f\x85\u2028\u2029"
#: Where fastText cuts (`Dictionary::readWord`).
_FASTTEXT_SPACES = " \n\r\t\v\f\0"
_IS_NEWLINE = 1 << 14
_IS_FASTTEXT_SPACE = 1 << 15

#: Characters that uniseg's tables (0.10, Unicode 15) class otherwise than the `unicode` dialect, as half-open ranges.
_UNISEG = {
    MID_LETTER: ((0x3A, 0x3B),),
    EXTEND_NUM_LET: ((0x202F, 0x2030),),
    LETTER: (
        (0x2C2, 0x2C6), (0x2D2, 0x2D8), (0x2DE, 0x2E0), (0x2E5, 0x2EC), (0x2ED, 0x2EE), (0x2EF, 0x300),
        (0x55A, 0x55D), (0x55E, 0x55F), (0x70F, 0x710), (0x24B6, 0x24EA), (0xA708, 0xA717), (0xA720, 0xA722),
        (0xA789, 0xA78B), (0xAB5B, 0xAB5C), (0x1F130, 0x1F14A), (0x1F150, 0x1F16A), (0x1F170, 0x1F18A),
    ),
    NUMERIC: (
        (0x600, 0x606), (0x6DD, 0x6DE), (0x890, 0x892), (0x8E2, 0x8E3), (0x19DA, 0x19DB), (0x110BD, 0x110BE),
        (0x110CD, 0x110CE),
    ),
    KATAKANA: ((0x32D0, 0x32FF), (0x3300, 0x3358)),
    OTHER: ((0x200B, 0x200C), (0xFE10, 0xFE11), (0xFE14, 0xFE15)),
}  # fmt: skip


def cut_dclm_words(texts: Sequence[str]) -> CutTexts:
    """Return the words of texts as DCLM cuts them.

    DCLM (Li et al. 2024, arXiv 2406.11794), `core_utils.py`, `split_words`, and `content_filters.py`: words whose
    repeats count are uniseg's (Unicode Standard Annex #29) that begin with a letter or digit; a page's length is in
    fastText's words that begin with one; everything else is counted in white-space words.
    """
    characters, text_start = _join(texts)
    # as many words as characters at worst; what is not written is not memory
    words = np.empty(characters.size, np.int32)
    lengths = np.empty(characters.size, np.int32)
    start = np.zeros(text_start.size, np.int64)
    _cut_texts(characters, text_start, _describe_characters(), words, lengths, start)
    return CutTexts(start, words[: start[-1]], lengths[: start[-1]], _count(characters, text_start))


def count_spaced_words(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the counts named in `WORD_COUNTS`, one row per text."""
    return _count(*_join(texts))


def _join(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the code points of all texts, one after the other, and where each text starts in them."""
    characters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    return characters, np.array(list(accumulate(map(len, texts), initial=0)), np.int64)


def _count(characters: NDArray[np.uint32], text_start: NDArray[np.int64]) -> NDArray[np.int64]:
    codes = [np.array([ord(character) for character in word], np.uint32) for word in STOP_WORDS]
    stop_start = np.array(list(accumulate((code.size for code in codes), initial=0)), np.int64)
    counts = np.zeros((text_start.size - 1, len(WORD_COUNTS)), np.int64)
    _count_spaced(characters, text_start, _describe_characters(), np.concatenate(codes), stop_start, counts)
    return counts


@lru_cache(maxsize=1)
def _describe_characters() -> NDArray[np.uint16]:
    table = describe_characters().copy()
    for kind, ranges in _UNISEG.items():
        for first, stop in ranges:
            table[first:stop] = (table[first:stop] & ~np.uint16(CLASS_MASK)) | kind
    table &= np.uint16(~(_IS_NEWLINE | _IS_FASTTEXT_SPACE) & 0xFFFF)
    table[[ord(character) for character in _NEWLINES]] |= np.uint16(_IS_NEWLINE)
    table[[ord(character) for character in _FASTTEXT_SPACES]] |= np.uint16(_IS_FASTTEXT_SPACE)
    return table


@numba.njit(cache=True, nogil=True)
def _count_spaced(
    characters: NDArray[np.uint32],
    text_start: NDArray[np.int64],
    table: NDArray[np.uint16],
    stops: NDArray[np.uint32],
    stop_start: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    for text in range(text_start.size - 1):
        at, stop = text_start[text], text_start[text + 1]
        counts[text, 5] = _count_fasttext(characters, table, at, stop)
        stop_bits = np.uint32(0)
        while at < stop:
            begin, seen = at, np.uint16(0)
            while at < stop and not table[characters[at]] & IS_SPACE:
                seen |= table[characters[at]]
                at += 1
            if at > begin:
                counts[text, 0] += 1
                counts[text, 1] += at - begin
            if seen & IS_LETTER:
                counts[text, 2] += 1
                bit = _find_stop_word(characters, begin, at, stops, stop_start)
                counts[text, 3] += bit > 0
                stop_bits |= bit
            at += 1
        while stop_bits:
            counts[text, 4] += stop_bits & np.uint32(1)
            stop_bits >>= np.uint32(1)


@numba.njit(cache=True, nogil=True)
def _count_fasttext(characters: NDArray[np.uint32], table: NDArray[np.uint16], start: int, stop: int) -> int:
    words = 0
    is_fresh = True
    for at in range(start, stop):
        flags = table[characters[at]]
        is_space = flags & _IS_FASTTEXT_SPACE != 0
        words += is_fresh and not is_space and flags & IS_WORD != 0
        is_fresh = is_space
    return words


@numba.njit(cache=True, nogil=True)
def _find_stop_word(
    characters: NDArray[np.uint32], begin: int, end: int, stops: NDArray[np.uint32], stop_start: NDArray[np.int64]
) -> np.uint32:
    """Return the bit of the stop word that stands here in any case, 0 if there is none."""
    for number in range(stop_start.size - 1):
        first = stop_start[number]
        if stop_start[number + 1] - first != end - begin:
            continue
        offset = 0
        while offset < end - begin and _lower(characters[begin + offset]) == stops[first + offset]:
            offset += 1
        if offset == end - begin:
            return np.uint32(1) << np.uint32(number)
    return np.uint32(0)


@numba.njit(cache=True, nogil=True)
def _lower(code: np.uint32) -> np.uint32:
    return code + np.uint32(32) if 65 <= code <= 90 else code  # A to Z: no other letter becomes one of these words'


@numba.njit(cache=True, nogil=True)
def _cut_texts(
    characters: NDArray[np.uint32],
    text_start: NDArray[np.int64],
    table: NDArray[np.uint16],
    words: NDArray[np.int32],
    lengths: NDArray[np.int32],
    start: NDArray[np.int64],
) -> None:
    longest = 0
    for text in range(text_start.size - 1):
        longest = max(longest, text_start[text + 1] - text_start[text])
    begins = np.empty(longest, np.int64)
    hashes = np.empty(longest, np.uint64)
    firsts = np.empty(longest, np.int64)
    slots = np.empty(16, np.int32)
    total = 0
    for text in range(text_start.size - 1):
        own = _find_words(characters, table, text_start[text], text_start[text + 1], begins, hashes, lengths[total:])
        size = 16
        while size < 2 * own:
            size *= 2
        if size > slots.size:
            slots = np.empty(size, np.int32)
        _number_words(characters, begins[:own], hashes, lengths[total:], firsts, slots[:size], words[total:])
        total += own
        start[text + 1] = total


@numba.njit(cache=True, nogil=True)
def _find_words(
    characters: NDArray[np.uint32],
    table: NDArray[np.uint16],
    at: int,
    stop: int,
    begins: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int32],
) -> int:
    """Write where the words of one text begin, their hashes and lengths; return how many there are."""
    own = 0
    while at < stop:
        flags = table[characters[at]]
        end = at + 1
        if flags & CLASS_MASK == SPACE:
            if not flags & _IS_NEWLINE:
                end = skip_extend(characters, table, end, stop)  # WB4
            at = end
            continue
        if flags & CLASS_MASK == LETTER:  # most words are letters alone
            while end < stop and table[characters[end]] & CLASS_MASK == LETTER:
                end += 1
        if end < stop and table[characters[end]] & CLASS_MASK != SPACE:
            end = find_end(characters, table, at, stop)
        if flags & IS_WORD:
            value = np.uint64(0)
            for position in range(at, end):
                value = value * _FACTOR + np.uint64(characters[position])
            begins[own], hashes[own], lengths[own] = at, value, end - at
            own += 1
        at = end
    return own


@numba.njit(cache=True, nogil=True)
def _number_words(
    characters: NDArray[np.uint32],
    begins: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int32],
    firsts: NDArray[np.int64],
    slots: NDArray[np.int32],
    words: NDArray[np.int32],
) -> None:
    slots[:] = -1
    distinct = 0
    for index in range(begins.size):
        slot = _find_slot(hashes[index], slots.size)
        while slots[slot] >= 0:
            first = firsts[slots[slot]]
            if hashes[first] == hashes[index] and _is_same(
                characters, begins[first], begins[index], lengths[first], lengths[index]
            ):
                break
            slot = (slot + 1) & (slots.size - 1)
        if slots[slot] < 0:
            slots[slot] = distinct
            firsts[distinct] = index
            distinct += 1
        words[index] = slots[slot]


@numba.njit(cache=True, nogil=True)
def _find_slot(value: np.uint64, size: int) -> int:
    value = (value ^ (value >> np.uint64(31))) * _MIX
    return np.int64((value ^ (value >> np.uint64(29))) & np.uint64(size - 1))  # type: ignore[return-value]


@numba.njit(cache=True, nogil=True)
def _is_same(characters: NDArray[np.uint32], first: int, second: int, first_length: int, second_length: int) -> bool:
    if first_length != second_length:
        return False
    for offset in range(first_length):  # noqa: SIM110
        if characters[first + offset] != characters[second + offset]:
            return False
    return True
