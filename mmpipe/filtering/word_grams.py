"""Counts repeated word n-grams in compiled loops; only where the shorter n-gram repeats is the longer one looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)

_MIX = np.uint64(0xBF58476D1CE4E5B9)


def count_gram_chars(
    words: NDArray[np.int32], lengths: NDArray[np.int32], start: NDArray[np.int64], longest: int = DUPLICATE_N[-1]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the characters in repeated n-grams of each text.

    Args:
        words: number of each word; two n-grams are equal if their words' numbers are.
        lengths: characters of each word.
        start: where each text starts in `words`; one more than there are texts.
        longest: longest n-gram looked at; columns beyond it stay 0.

    Returns:
        For n in `TOP_N`, one column each: length of the most frequent n-gram (words joined by one space; the first met
        of equally frequent ones) times its count, which may be 1; 0 if the text has fewer words.
        For n in `DUPLICATE_N`: length of the n-grams (without spaces) that were met before, scanning from left to
        right and going on after each repeat.

        Both as datatrove 0.10, `gopher_repetition_filter.py` (Gopher, arXiv 2112.11446, Table A1).
    """
    texts = start.size - 1
    top = np.zeros((texts, len(TOP_N)), np.int64)
    duplicate = np.zeros((texts, len(DUPLICATE_N)), np.int64)
    _count_texts(words, lengths, start, longest, top, duplicate)
    return top, duplicate


@numba.njit(cache=True, nogil=True)
def _count_texts(
    words: NDArray[np.int32],
    lengths: NDArray[np.int32],
    start: NDArray[np.int64],
    longest: int,
    top: NDArray[np.int64],
    duplicate: NDArray[np.int64],
) -> None:
    most = 0
    for text in range(start.size - 1):
        most = max(most, start[text + 1] - start[text])
    grams = np.empty(most, np.int32)  # number of the n-gram that starts at each word, -1 past the last
    positions = np.empty(most, np.int32)  # where an n-gram starts that may repeat
    counts = np.empty(most, np.int32)  # of each distinct n-gram
    firsts = np.empty(most, np.int32)
    keys = np.empty(most, np.int64)
    char_start = np.empty(most + 1, np.int64)
    numbers = 1
    for word in words:
        numbers = max(numbers, word + 1)
    for text in range(start.size - 1):
        own = words[start[text] : start[text + 1]]
        char_start[0] = 0
        for index in range(own.size):
            char_start[index + 1] = char_start[index] + lengths[start[text] + index]
            grams[index] = own[index]
            positions[index] = index
        candidates = own.size
        for n in range(2, min(longest, own.size) + 1):
            distinct = _number_grams(own, numbers, n, grams, positions[:candidates], counts, firsts, keys)
            if n <= 4:
                best, best_count = _find_top(distinct, counts, firsts)
                top[text, n - 2] = (char_start[best + n] - char_start[best] + n - 1) * best_count
            else:
                duplicate[text, n - 5] = _add_duplicates(grams, positions, candidates, firsts, counts, char_start, n)
            candidates = _keep_repeated(grams, positions, candidates, counts)
            if n >= 4 and candidates == 0:
                break


@numba.njit(cache=True, nogil=True)
def _number_grams(
    own: NDArray[np.int32],
    numbers: int,
    n: int,
    grams: NDArray[np.int32],
    positions: NDArray[np.int32],
    counts: NDArray[np.int32],
    firsts: NDArray[np.int32],
    keys: NDArray[np.int64],
) -> int:
    """Number the n-grams that start at these positions, from the numbers of the shorter ones; return how many differ.

    An n-gram is its first n - 1 words and the last, a number each: both together are its key, so that no two share one.
    """
    size = 16
    while size < 2 * positions.size:
        size *= 2
    slots = np.full(size, -1, np.int32)
    distinct = 0
    for index in positions:
        if index + n > own.size:
            grams[index] = -1
            continue
        key = np.int64(grams[index]) * numbers + own[index + n - 1]
        slot = _find_slot(np.uint64(key), size)
        while slots[slot] >= 0 and keys[slots[slot]] != key:
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = distinct
            keys[distinct], counts[distinct], firsts[distinct] = key, 0, index
            distinct += 1
        counts[slots[slot]] += 1
        grams[index] = slots[slot]
    return distinct


@numba.njit(cache=True, nogil=True)
def _find_top(distinct: int, counts: NDArray[np.int32], firsts: NDArray[np.int32]) -> tuple[int, int]:
    """Return where the most frequent n-gram is met first, and how often; n-grams that cannot repeat are met once."""
    best, best_count = 0, 1
    for number in range(distinct):
        if counts[number] > best_count:
            best, best_count = firsts[number], counts[number]
    return best, best_count


@numba.njit(cache=True, nogil=True)
def _keep_repeated(
    grams: NDArray[np.int32], positions: NDArray[np.int32], candidates: int, counts: NDArray[np.int32]
) -> int:
    kept = 0
    for candidate in range(candidates):
        index = positions[candidate]
        if grams[index] >= 0 and counts[grams[index]] > 1:
            positions[kept] = index
            kept += 1
    return kept


@numba.njit(cache=True, nogil=True)
def _add_duplicates(
    grams: NDArray[np.int32],
    positions: NDArray[np.int32],
    candidates: int,
    firsts: NDArray[np.int32],
    counts: NDArray[np.int32],
    char_start: NDArray[np.int64],
    n: int,
) -> int:
    """Scan from left to right: an n-gram met before counts and is jumped over, so that none inside it is met."""
    repeated = 0
    free = 0
    for candidate in range(candidates):
        index = positions[candidate]
        if index < free or grams[index] < 0 or counts[grams[index]] < 2:
            continue
        if firsts[grams[index]] < 0:  # met
            repeated += char_start[index + n] - char_start[index]
            free = index + n
        else:
            firsts[grams[index]] = -1
    return repeated


@numba.njit(cache=True, nogil=True)
def _find_slot(value: np.uint64, size: int) -> int:
    value = (value ^ (value >> np.uint64(31))) * _MIX
    return np.int64((value ^ (value >> np.uint64(29))) & np.uint64(size - 1))  # type: ignore[return-value]
