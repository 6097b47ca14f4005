"""Counts what repeated word n-grams cover when every occurrence counts, in compiled loops, as DCLM does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)

_MIX = np.uint64(0xBF58476D1CE4E5B9)


def count_covered_chars(
    words: NDArray[np.int32], lengths: NDArray[np.int32], start: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the characters in repeated n-grams of each text; white space between words never counts.

    Args:
        words: number of each word; two words of one text are equal if their numbers are.
        lengths: characters of each word.
        start: where each text starts in `words`; one more than there are texts.

    Returns:
        For n in `TOP_N`, one column each: length of the most frequent n-gram times its count, of equally frequent ones
        the longest; 0 if none occurs twice.
        For n in `DUPLICATE_N`: length of all words that stand in an n-gram which occurs twice or more, each once.

        DCLM (Li et al. 2024, arXiv 2406.11794), `content_filters.py`, `repetition_filter`.
    """
    texts = start.size - 1
    top = np.zeros((texts, len(TOP_N)), np.int64)
    covered = np.zeros((texts, len(DUPLICATE_N)), np.int64)
    _count_texts(words, lengths, start, top, covered)
    return top, covered


@numba.njit(cache=True, nogil=True)
def _count_texts(
    words: NDArray[np.int32],
    lengths: NDArray[np.int32],
    start: NDArray[np.int64],
    top: NDArray[np.int64],
    covered: NDArray[np.int64],
) -> None:
    most = 0
    for text in range(start.size - 1):
        most = max(most, start[text + 1] - start[text])
    grams = np.empty(most, np.int32)  # number of the n-gram that starts at each word, -1 if it occurs once
    positions = np.empty(most, np.int32)  # where n-grams start that may repeat
    counts = np.empty(most, np.int32)
    keys = np.empty(most, np.int64)
    char_start = np.zeros(most + 1, np.int64)
    slots = np.empty(16, np.int32)
    for text in range(start.size - 1):
        own = words[start[text] : start[text + 1]]
        for index in range(own.size):
            char_start[index + 1] = char_start[index] + lengths[start[text] + index]
            grams[index] = own[index]
            positions[index] = index
        candidates = own.size
        for n in range(2, 11):
            candidates = _keep_candidates(grams, positions, keys, candidates, own.size - n)
            if not candidates:
                break
            size = 16
            while size < 2 * candidates:
                size *= 2
            if size > slots.size:
                slots = np.empty(size, np.int32)
            _number_grams(grams, positions, keys, counts, slots[:size], candidates)
            if n <= 4:
                top[text, n - 2] = _find_top(grams, positions, counts, char_start, candidates, n)
            else:
                covered[text, n - 5] = _cover(grams, positions, char_start, candidates, n)


@numba.njit(cache=True, nogil=True)
def _keep_candidates(
    grams: NDArray[np.int32], positions: NDArray[np.int32], keys: NDArray[np.int64], candidates: int, last: int
) -> int:
    """Keep the starts, up to `last`, of n-grams that may repeat; return how many.

    An n-gram repeats only if both its (n - 1)-grams do, and the numbers of these two name it exactly.
    """
    kept = 0
    for candidate in range(candidates):
        index = positions[candidate]
        if index <= last and grams[index] >= 0 and grams[index + 1] >= 0:
            keys[kept] = np.int64(grams[index]) << 32 | np.int64(grams[index + 1])
            positions[kept] = index
            kept += 1
        else:
            grams[index] = -1
    return kept


@numba.njit(cache=True, nogil=True)
def _number_grams(
    grams: NDArray[np.int32],
    positions: NDArray[np.int32],
    keys: NDArray[np.int64],
    counts: NDArray[np.int32],
    slots: NDArray[np.int32],
    candidates: int,
) -> None:
    """Give each candidate the number of its first occurrence, -1 if it has only one, and count them by that number."""
    slots[:] = -1
    for candidate in range(candidates):
        key = keys[candidate]
        slot = _find_slot(np.uint64(key), slots.size)
        while slots[slot] >= 0 and keys[slots[slot]] != key:
            slot = (slot + 1) & (slots.size - 1)
        if slots[slot] < 0:
            slots[slot] = candidate
            counts[candidate] = 0
        counts[slots[slot]] += 1
        grams[positions[candidate]] = slots[slot]
    for candidate in range(candidates):
        if counts[grams[positions[candidate]]] < 2:
            grams[positions[candidate]] = -1


@numba.njit(cache=True, nogil=True)
def _find_top(
    grams: NDArray[np.int32],
    positions: NDArray[np.int32],
    counts: NDArray[np.int32],
    char_start: NDArray[np.int64],
    candidates: int,
    n: int,
) -> int:
    best_count, best_length = 0, 0
    for candidate in range(candidates):
        index = positions[candidate]
        if grams[index] < 0:
            continue
        count, length = counts[grams[index]], char_start[index + n] - char_start[index]
        if count > best_count or (count == best_count and length > best_length):
            best_count, best_length = count, length
    return best_count * best_length


@numba.njit(cache=True, nogil=True)
def _cover(
    grams: NDArray[np.int32],
    positions: NDArray[np.int32],
    char_start: NDArray[np.int64],
    candidates: int,
    n: int,
) -> int:
    chars, at = 0, 0
    for candidate in range(candidates):
        index = positions[candidate]
        if grams[index] >= 0:
            chars += char_start[index + n] - char_start[max(at, index)]
            at = index + n
    return chars


@numba.njit(cache=True, nogil=True)
def _find_slot(value: np.uint64, size: int) -> int:
    value = (value ^ (value >> np.uint64(31))) * _MIX
    return np.int64((value ^ (value >> np.uint64(29))) & np.uint64(size - 1))  # type: ignore[return-value]
