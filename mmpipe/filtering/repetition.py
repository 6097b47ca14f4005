"""Counts words and their n-grams in compiled loops: the part of the text signals that Python is too slow for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from mmpipe.filtering.word_grams import DUPLICATE_N, TOP_N, count_gram_chars

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmpipe.filtering.tokens import WordBatch

#: Columns of `count_words`.
WORD_COUNTS = ("words", "non_symbol_words", "non_symbol_chars", "alphabetic_words", "distinct_stop_words")

#: Characters by which n-grams that cannot repeat are told; few n-grams of five words are shorter.
_PREFIX = 14

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
    lengths = np.diff(table.start).astype(np.int32)[batch.words]
    # words joined by a space are equal only if the words are, for no word holds white space
    top, _ = count_gram_chars(batch.words, lengths, batch.start, longest=TOP_N[-1])
    duplicate = np.zeros((batch.start.size - 1, len(DUPLICATE_N)), np.int64)
    _count_texts(batch.words, batch.start, table.start, table.characters, duplicate)
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
def _count_texts(
    words: NDArray[np.int32],
    start: NDArray[np.int64],
    word_start: NDArray[np.int64],
    characters: NDArray[np.uint32],
    duplicate: NDArray[np.int64],
) -> None:
    powers = np.ones(1, np.uint64)
    for text in range(start.size - 1):
        own = words[start[text] : start[text + 1]]
        if own.size <= DUPLICATE_N[0]:
            continue  # a single n-gram at most
        char_start, text_chars = _join(own, word_start, characters)
        if text_chars.size >= powers.size:
            powers = _list_powers(2 * text_chars.size)
        hashes = np.zeros(text_chars.size + 1, np.uint64)  # of all characters before each
        for index in range(text_chars.size):
            hashes[index + 1] = hashes[index] * _BASE + np.uint64(text_chars[index]) + np.uint64(1)
        may_repeat = _find_repeated_starts(char_start, hashes, powers)
        for n in range(DUPLICATE_N[0], min(DUPLICATE_N[-1], own.size) + 1):
            duplicate[text, n - DUPLICATE_N[0]] = _find_duplicate(n, char_start, text_chars, hashes, powers, may_repeat)


@numba.njit(cache=True, nogil=True)
def _list_powers(most: int) -> NDArray[np.uint64]:
    powers = np.ones(most + 1, np.uint64)
    for index in range(most):
        powers[index + 1] = powers[index] * _BASE
    return powers


@numba.njit(cache=True, nogil=True)
def _find_repeated_starts(
    char_start: NDArray[np.int64], hashes: NDArray[np.uint64], powers: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Return whether the `_PREFIX` characters from each word on, or what is left of them, begin at another word too.

    Two n-grams of that many characters or more can be equal only if they do: the others need not be looked up.
    """
    words = char_start.size - 1
    may_repeat = np.ones(words, np.bool_)
    size = 16
    while size < 2 * words:
        size *= 2
    firsts = np.full(size, -1, np.int32)
    values = np.empty(size, np.uint64)
    for word in range(words):
        begin = char_start[word]
        end = begin + _PREFIX
        if end > char_start[words]:
            break
        value = hashes[end] - hashes[begin] * powers[_PREFIX]
        slot = _find_slot(value, size)
        while firsts[slot] >= 0 and values[slot] != value:
            slot = (slot + 1) & (size - 1)
        if firsts[slot] < 0:
            firsts[slot], values[slot] = word, value
            may_repeat[word] = False
        else:
            may_repeat[firsts[slot]] = True
    return may_repeat


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
def _find_duplicate(
    n: int,
    char_start: NDArray[np.int64],
    text_chars: NDArray[np.uint32],
    hashes: NDArray[np.uint64],
    powers: NDArray[np.uint64],
    may_repeat: NDArray[np.bool_],
) -> int:
    grams = char_start.size - n
    looked_up = 0
    for index in range(grams):
        looked_up += may_repeat[index] or char_start[index + n] - char_start[index] < _PREFIX
    size = 16
    while size < 2 * looked_up:
        size *= 2
    slots = np.full(size, -1, np.int32)
    slot_hashes = np.empty(size, np.uint64)
    repeated = 0
    index = 0
    while index < grams:
        begin, end = char_start[index], char_start[index + n]
        length = end - begin
        if not may_repeat[index] and length >= _PREFIX:
            index += 1
            continue
        value = hashes[end] - hashes[begin] * powers[length]
        slot = _find_slot(value, size)
        # joined without space, `ab c` equals `a bc`: compare characters, not words
        while slots[slot] >= 0 and not (
            slot_hashes[slot] == value
            and char_start[slots[slot] + n] - char_start[slots[slot]] == length
            and _is_same(text_chars, char_start[slots[slot]], begin, length)
        ):
            slot = (slot + 1) & (size - 1)
        if slots[slot] >= 0:
            repeated += length
            index += n
        else:
            slots[slot], slot_hashes[slot] = index, value
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
