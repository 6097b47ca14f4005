"""Cuts texts into words at Unicode's word boundaries in compiled loops, and numbers and counts them: UAX #29."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from mmpipe.filtering.unicode_classes import (
    CLASS_MASK,
    DOUBLE_QUOTE,
    EXTEND,
    EXTEND_NUM_LET,
    HEBREW,
    IS_LETTER,
    IS_WORD,
    JOINER,
    KATAKANA,
    LETTER,
    MID_LETTER,
    MID_NUM,
    MID_NUM_LET,
    NUMERIC,
    OTHER,
    PICTURE,
    REGIONAL,
    SINGLE_QUOTE,
    SPACE,
    describe_characters,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Columns of `CutTexts.counts`.
WORD_COUNTS = ("words", "non_symbol_words", "non_symbol_chars", "alphabetic_words", "distinct_stop_words")

#: Whether a character of the second class joins a word whose last is of the first (WB3c, 5, 8 to 10, 13 to 16).
JOINS = np.zeros((16, 16), np.bool_)
#: Whether a character of the second class joins if one of the third follows (WB6, 7, 7b, 7c, 11, 12).
BRIDGES = np.zeros((16, 16, 16), np.bool_)
#: Classes whose marks are one word if they repeat.
RUNS = np.zeros(16, np.bool_)

_LETTERS = (LETTER, HEBREW)
JOINS[np.ix_((*_LETTERS, NUMERIC), (*_LETTERS, NUMERIC))] = True
JOINS[KATAKANA, KATAKANA] = JOINS[REGIONAL, REGIONAL] = JOINS[JOINER, PICTURE] = True
JOINS[(*_LETTERS, NUMERIC, KATAKANA, EXTEND_NUM_LET), EXTEND_NUM_LET] = True
JOINS[EXTEND_NUM_LET, (*_LETTERS, NUMERIC, KATAKANA)] = True
BRIDGES[np.ix_(_LETTERS, (MID_LETTER, MID_NUM_LET, SINGLE_QUOTE), _LETTERS)] = True
BRIDGES[NUMERIC, (MID_NUM, MID_NUM_LET, SINGLE_QUOTE), NUMERIC] = True
BRIDGES[HEBREW, DOUBLE_QUOTE, HEBREW] = True
RUNS[[OTHER, PICTURE, MID_LETTER, MID_NUM, MID_NUM_LET, SINGLE_QUOTE, DOUBLE_QUOTE]] = True

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True, slots=True)
class CutTexts:
    """The words of some texts: those of text i are `words[start[i]:start[i + 1]]`.

    Attributes:
        start: one more than there are texts.
        words: number of each word; equal words of one text have one number, counted from 0 as they are met.
        lengths: characters of each word.
        counts: columns `WORD_COUNTS` of the module that cut them, one row per text.
    """

    start: NDArray[np.int64]
    words: NDArray[np.int32]
    lengths: NDArray[np.int32]
    counts: NDArray[np.int64]


def cut_words(characters: NDArray[np.uint32], text_start: NDArray[np.int64], stop_words: Sequence[str]) -> CutTexts:
    """Return the words of texts.

    Words are the segments between the default word boundaries of Unicode Standard Annex #29 that are no white space,
    with three tailorings: a colon joins no letters (as in CLDR's root locale), a run of one and the same mark is one
    word (`...`, `-----`), and zero width space is white space. So an ideograph or Hiragana character is a word of its
    own, a Katakana run is one word, and in Thai, Lao, Khmer and Burmese each letter with its marks is one.

    Args:
        characters: code points of all texts, one after the other.
        text_start: where each text starts in it; one more than there are texts.
        stop_words: words whose distinct presence is counted, at most 32.
    """
    codes = [np.array([ord(character) for character in word], np.uint32) for word in stop_words]
    stop_start = np.zeros(len(codes) + 1, np.int64)
    np.cumsum([code.size for code in codes], out=stop_start[1:])
    stops = np.concatenate([np.zeros(0, np.uint32), *codes])
    counts = np.zeros((text_start.size - 1, len(WORD_COUNTS)), np.int64)
    # as many words as characters at worst; what is not written is not memory
    words = np.empty(characters.size, np.int32)
    lengths = np.empty(characters.size, np.int32)
    start = np.zeros(text_start.size, np.int64)
    _cut_texts(characters, text_start, describe_characters(), stops, stop_start, words, lengths, start, counts)
    return CutTexts(start, words[: start[-1]], lengths[: start[-1]], counts)


@numba.njit(cache=True, nogil=True)
def _cut_texts(
    characters: NDArray[np.uint32],
    text_start: NDArray[np.int64],
    table: NDArray[np.uint16],
    stops: NDArray[np.uint32],
    stop_start: NDArray[np.int64],
    words: NDArray[np.int32],
    lengths: NDArray[np.int32],
    start: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    longest = 0
    for text in range(text_start.size - 1):
        longest = max(longest, text_start[text + 1] - text_start[text])
    begins = np.empty(longest, np.int64)
    hashes = np.empty(longest, np.uint64)
    firsts = np.empty(longest, np.int64)
    for text in range(text_start.size - 1):
        at = start[text]
        found = _cut_text(
            characters, text_start[text], text_start[text + 1], table, begins, lengths[at:], hashes, counts[text]
        )
        start[text + 1] = at + found
        distinct = _number_words(characters, begins[:found], lengths[at:], hashes, words[at:], firsts)
        seen = np.uint32(0)
        for first in firsts[:distinct]:
            seen |= _find_stop_word(characters, begins[first], lengths[at + first], stops, stop_start)
        while seen:
            counts[text, 4] += seen & np.uint32(1)
            seen >>= np.uint32(1)


@numba.njit(cache=True, nogil=True)
def _cut_text(
    characters: NDArray[np.uint32],
    at: int,
    stop: int,
    table: NDArray[np.uint16],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    count: NDArray[np.int64],
) -> int:
    """Write begin, length and hash of each word and count them by kind; return how many there are."""
    found = 0
    while at < stop:
        seen = table[characters[at]]
        kind = seen & CLASS_MASK
        if kind == SPACE:
            at += 1
            continue
        end = at + 1
        value = np.uint64(characters[at])
        is_whole = False
        if kind == LETTER:  # most words are letters alone
            while end < stop:
                flags = table[characters[end]]
                if flags & CLASS_MASK != LETTER:
                    is_whole = flags & CLASS_MASK <= SPACE
                    break
                seen |= flags
                value = value * _FACTOR + np.uint64(characters[end])
                end += 1
        if not is_whole and end < stop:
            inner = end
            end = find_end(characters, table, at, stop)
            for position in range(inner, end):
                seen |= table[characters[position]]
                value = value * _FACTOR + np.uint64(characters[position])
        begins[found], lengths[found], hashes[found] = at, end - at, value
        found += 1
        count[0] += 1
        if seen & IS_WORD:
            count[1] += 1
            count[2] += end - at
            count[3] += seen & IS_LETTER != 0
        at = end
    return found


@numba.njit(cache=True, nogil=True)
def _number_words(
    characters: NDArray[np.uint32],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    words: NDArray[np.int32],
    firsts: NDArray[np.int64],
) -> int:
    """Write the number of each word, and where each distinct one is met first; return how many are distinct."""
    size = 16
    while size < 2 * begins.size:
        size *= 2
    slots = np.full(size, -1, np.int32)
    distinct = 0
    for index in range(begins.size):
        value, length = hashes[index], lengths[index]
        slot = _find_slot(value, size)
        while slots[slot] >= 0:
            first = firsts[slots[slot]]
            if (
                hashes[first] == value
                and lengths[first] == length
                and _is_same(characters, begins[first], characters, begins[index], length)
            ):
                break
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = distinct
            firsts[distinct] = index
            distinct += 1
        words[index] = slots[slot]
    return distinct


@numba.njit(cache=True, nogil=True)
def _find_stop_word(
    characters: NDArray[np.uint32], begin: int, length: int, stops: NDArray[np.uint32], stop_start: NDArray[np.int64]
) -> np.uint32:
    """Return the bit of the stop word that this is, 0 if none."""
    for number in range(stop_start.size - 1):
        if stop_start[number + 1] - stop_start[number] == length and _is_same(
            stops, stop_start[number], characters, begin, length
        ):
            return np.uint32(1) << np.uint32(number)
    return np.uint32(0)


@numba.njit(cache=True, nogil=True)
def find_end(characters: NDArray[np.uint32], table: NDArray[np.uint16], start: int, stop: int) -> int:
    """Return where the word that starts here ends."""
    first = characters[start]
    flags = table[first]
    last = flags & CLASS_MASK
    # only marks and symbols run: letters without a class of their own are words one by one
    is_run = flags & IS_WORD == 0 and RUNS[last]
    at = start + 1
    while at < stop:
        kind = table[characters[at]] & CLASS_MASK
        if JOINS[last, kind]:
            last = kind if kind != REGIONAL else np.uint16(OTHER)  # WB15, 16: a flag is two
            at += 1
        elif kind == EXTEND or kind == JOINER:  # WB4  # noqa: PLR1714, SIM109 - a tuple is slower when compiled
            at += 1
            is_run = False
            last = kind if last == JOINER else last
            if kind == JOINER and at < stop and table[characters[at]] & CLASS_MASK == PICTURE:  # WB3c
                last = np.uint16(PICTURE)
                at += 1
        elif is_run and characters[at] == first:
            at += 1
        else:
            after = skip_extend(characters, table, at + 1, stop)
            follower = table[characters[after]] & CLASS_MASK if after < stop else np.uint16(SPACE)
            if BRIDGES[last, kind, follower]:
                last = follower
                at = after + 1
            elif last == HEBREW and kind == SINGLE_QUOTE:  # WB7a
                return after
            else:
                return at
    return at


@numba.njit(cache=True, nogil=True)
def skip_extend(characters: NDArray[np.uint32], table: NDArray[np.uint16], at: int, stop: int) -> int:
    """Return where the marks that extend a character (rule WB4) end."""
    while at < stop:
        kind = table[characters[at]] & CLASS_MASK
        if not (kind == EXTEND or kind == JOINER):  # noqa: PLR1714, SIM109
            break
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def _find_slot(value: np.uint64, size: int) -> int:
    value = (value ^ (value >> np.uint64(31))) * _MIX
    return np.int64((value ^ (value >> np.uint64(29))) & np.uint64(size - 1))  # type: ignore[return-value]


@numba.njit(cache=True, nogil=True)
def _is_same(values: NDArray[np.uint32], first: int, others: NDArray[np.uint32], second: int, length: int) -> bool:
    for offset in range(length):  # noqa: SIM110
        if values[first + offset] != others[second + offset]:
            return False
    return True
