"""Counts words and their n-grams in compiled loops: the part of the text signals that Python is too slow for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmpipe.filtering.tokens import WordBatch

TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)

#: Columns of `count_words`.
WORD_COUNTS = ("words", "non_symbol_words", "non_symbol_chars", "alphabetic_words", "distinct_stop_words")

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


def count_words(batch: WordBatch) -> NDArray[np.int64]:
    """Return the counts named in `WORD_COUNTS`, one row per text."""
    table = batch.table
    counts = np.zeros((batch.start.size - 1, len(WORD_COUNTS)), np.int64)
    _count_words(batch.words, batch.start, table.start, table.is_word, table.is_alphabetic, table.stop_word, counts)
    return counts


def count_repeated_chars(batch: WordBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the characters in repeated n-grams of each text.

    Returns:
        For n in `TOP_N`, one column each: length of the most frequent n-gram (words joined by one space; the first met
        of equally frequent ones) times its count, which may be 1; 0 if the text has fewer words.
        For n in `DUPLICATE_N`: length of the n-grams (words joined without space) that were met before, scanning from
        left to right and going on after each repeat.

        Both as datatrove 0.10, `gopher_repetition_filter.py` (Gopher, arXiv 2112.11446, Table A1).
    """
    table = batch.table
    texts = batch.start.size - 1
    top = np.zeros((texts, len(TOP_N)), np.int64)
    duplicate = np.zeros((texts, len(DUPLICATE_N)), np.int64)
    hashes, powers = _hash_words(table.start, table.characters)
    _count_texts(batch.words, batch.start, table.start, table.characters, hashes, powers, top, duplicate)
    return top, duplicate


@numba.njit(cache=True, nogil=True)
def _count_words(
    words: NDArray[np.int32],
    start: NDArray[np.int64],
    word_start: NDArray[np.int64],
    is_word: NDArray[np.uint8],
    is_alphabetic: NDArray[np.uint8],
    stop_word: NDArray[np.uint8],
    counts: NDArray[np.int64],
) -> None:
    for text in range(start.size - 1):
        seen = np.uint8(0)
        for word in words[start[text] : start[text + 1]]:
            if is_word[word]:
                counts[text, 1] += 1
                counts[text, 2] += word_start[word + 1] - word_start[word]
            counts[text, 3] += is_alphabetic[word]
            seen |= stop_word[word]
        counts[text, 0] = start[text + 1] - start[text]
        while seen:
            counts[text, 4] += seen & 1
            seen >>= 1


@numba.njit(cache=True, nogil=True)
def _hash_words(
    word_start: NDArray[np.int64], characters: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return hash(word) and BASE^length, so that the hash of joined words follows from those of the words."""
    hashes = np.empty(word_start.size - 1, np.uint64)
    powers = np.empty(word_start.size - 1, np.uint64)
    for word in range(hashes.size):
        value, power = np.uint64(0), np.uint64(1)
        for character in characters[word_start[word] : word_start[word + 1]]:
            value = value * _BASE + np.uint64(character) + np.uint64(1)
            power *= _BASE
        hashes[word] = value
        powers[word] = power
    return hashes, powers


@numba.njit(cache=True, nogil=True)
def _count_texts(
    words: NDArray[np.int32],
    start: NDArray[np.int64],
    word_start: NDArray[np.int64],
    characters: NDArray[np.uint32],
    hashes: NDArray[np.uint64],
    powers: NDArray[np.uint64],
    top: NDArray[np.int64],
    duplicate: NDArray[np.int64],
) -> None:
    for text in range(start.size - 1):
        own = words[start[text] : start[text + 1]]
        char_start, text_chars = _join(own, word_start, characters)
        grams = hashes[own]
        size = 16
        while size < 2 * own.size:
            size *= 2
        slots = np.empty(size, np.int32)
        slot_hashes = np.empty(size, np.uint64)
        for n in range(2, min(10, own.size) + 1):
            # the hash of n words follows from that of the first n - 1
            for index in range(own.size - n + 1):
                last = own[index + n - 1]
                grams[index] = grams[index] * powers[last] + hashes[last]
            slots[:] = -1
            if n <= 4:
                top[text, n - 2] = _find_top(own, grams, n, char_start, slots, slot_hashes)
            else:
                duplicate[text, n - 5] = _find_duplicate(grams, n, char_start, text_chars, slots, slot_hashes)


@numba.njit(cache=True, nogil=True)
def _join(
    own: NDArray[np.int32], word_start: NDArray[np.int64], characters: NDArray[np.uint32]
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return where each word starts in the text without spaces, and the characters of that text."""
    char_start = np.zeros(own.size + 1, np.int64)
    for index in range(own.size):
        char_start[index + 1] = char_start[index] + word_start[own[index] + 1] - word_start[own[index]]
    text_chars = np.empty(char_start[own.size], np.uint32)
    for index in range(own.size):
        text_chars[char_start[index] : char_start[index + 1]] = characters[
            word_start[own[index]] : word_start[own[index] + 1]
        ]
    return char_start, text_chars


@numba.njit(cache=True, nogil=True)
def _find_top(
    own: NDArray[np.int32],
    grams: NDArray[np.uint64],
    n: int,
    char_start: NDArray[np.int64],
    slots: NDArray[np.int32],
    slot_hashes: NDArray[np.uint64],
) -> int:
    counts = np.zeros(own.size - n + 1, np.int64)
    for index in range(counts.size):
        value = grams[index]
        slot = _find_slot(value, slots.size)
        # words joined by a space are equal only if the words are, for no word holds white space
        while slots[slot] >= 0 and not (slot_hashes[slot] == value and _is_same(own, slots[slot], index, n)):
            slot = (slot + 1) & (slots.size - 1)
        if slots[slot] < 0:
            slots[slot] = index
            slot_hashes[slot] = value
        counts[slots[slot]] += 1
    best = np.argmax(counts)  # the first met of equally frequent ones
    length: int = char_start[best + n] - char_start[best] + n - 1
    return length * counts[best]  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def _find_duplicate(
    grams: NDArray[np.uint64],
    n: int,
    char_start: NDArray[np.int64],
    text_chars: NDArray[np.uint32],
    slots: NDArray[np.int32],
    slot_hashes: NDArray[np.uint64],
) -> int:
    repeated = 0
    index = 0
    while index <= char_start.size - 1 - n:
        value = grams[index]
        length = char_start[index + n] - char_start[index]
        slot = _find_slot(value, slots.size)
        # joined without space, `ab c` equals `a bc`: compare characters, not words
        while slots[slot] >= 0 and not (
            slot_hashes[slot] == value
            and char_start[slots[slot] + n] - char_start[slots[slot]] == length
            and _is_same(text_chars, char_start[slots[slot]], char_start[index], length)
        ):
            slot = (slot + 1) & (slots.size - 1)
        if slots[slot] >= 0:
            repeated += length
            index += n
        else:
            slots[slot] = index
            slot_hashes[slot] = value
            index += 1
    return repeated


@numba.njit(cache=True, nogil=True)
def _find_slot(value: np.uint64, size: int) -> int:
    value = (value ^ (value >> np.uint64(31))) * _MIX
    return np.int64((value ^ (value >> np.uint64(29))) & np.uint64(size - 1))  # type: ignore[return-value]


@numba.njit(cache=True, nogil=True)
def _is_same(values: NDArray[Any], first: int, second: int, length: int) -> bool:
    for offset in range(length):  # noqa: SIM110
        if values[first + offset] != values[second + offset]:
            return False
    return True
