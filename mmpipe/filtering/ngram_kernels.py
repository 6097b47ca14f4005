"""Counts n-grams of numbers (characters or words) in compiled loops, for the signals of BLOOM and RedPajama-V2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


@numba.njit(cache=True, nogil=True)
def _is_same(values: NDArray[np.uint32], first: int, second: int, n: int) -> bool:
    for offset in range(n):  # noqa: SIM110
        if values[first + offset] != values[second + offset]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _choose_size(count: int) -> int:
    size = 16
    while size < 2 * count:
        size *= 2
    return size


@numba.njit(cache=True, nogil=True)
def find_first(values: NDArray[np.uint32], n: int) -> NDArray[np.int32]:
    """Return for each n-gram the place where an equal one stands first; nothing if there are fewer than n values."""
    count = max(values.size - n + 1, 0)
    first = np.empty(count, np.int32)
    if count == 0:
        return first
    size = _choose_size(count)
    slots = np.full(size, -1, np.int32)
    tags = np.empty(size, np.uint32)  # a second part of the hash: most strangers are told apart without their values
    power, rolling = np.uint64(1), np.uint64(0)
    for index in range(n):
        rolling = rolling * _BASE + np.uint64(values[index]) + np.uint64(1)
        power *= _BASE
    for index in range(count):
        if index:
            gone, come = np.uint64(values[index - 1]), np.uint64(values[index + n - 1])
            rolling = rolling * _BASE + come + np.uint64(1) - (gone + np.uint64(1)) * power
        mixed = (rolling ^ (rolling >> np.uint64(31))) * _MIX
        mixed ^= mixed >> np.uint64(29)
        tag = np.uint32(mixed >> np.uint64(32))
        slot = np.int64(mixed & np.uint64(size - 1))
        while slots[slot] >= 0:
            if tags[slot] == tag and _is_same(values, slots[slot], index, n):
                break
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = index
            tags[slot] = tag
        first[index] = slots[slot]
    return first


@numba.njit(cache=True, nogil=True)
def count_repeats(values: NDArray[np.uint32], start: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each text the number of its n-grams, and of those that occur more than once.

    Args:
        values: numbers of all texts, one after the other.
        start: where each text starts; one more than there are texts.
        n: length of the n-grams, per text.
    """
    counted = np.zeros((start.size - 1, 2), np.int64)
    for text in range(start.size - 1):
        first = find_first(values[start[text] : start[text + 1]], n[text])
        counts = np.zeros(first.size, np.int32)
        for place in first:
            counts[place] += 1
        counted[text, 0] = first.size
        for count in counts:
            if count > 1:
                counted[text, 1] += count
    return counted


@numba.njit(cache=True, nogil=True)
def count_top_repeats(values: NDArray[np.uint32], start: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each text the number of its n-grams, and how many of them are the most repeated ones.

    These are the k most frequent n-grams, k the root of the number of distinct ones, or the number of those that occur
    more than once if it is less. Arguments as for `count_repeats`.
    """
    counted = np.zeros((start.size - 1, 2), np.int64)
    for text in range(start.size - 1):
        first = find_first(values[start[text] : start[text + 1]], n[text])
        counts = np.zeros(first.size, np.int32)
        for place in first:
            counts[place] += 1
        distinct, repeated = 0, 0
        for count in counts:
            if count > 0:
                distinct += 1
            if count > 1:
                repeated += 1
        frequent = np.empty(repeated, np.int32)
        at = 0
        for count in counts:
            if count > 1:
                frequent[at] = count
                at += 1
        k = min(int(np.sqrt(distinct)), repeated)
        if k < repeated:
            frequent.sort()
        counted[text, 0] = first.size
        counted[text, 1] = frequent[repeated - k :].sum()
    return counted


@numba.njit(cache=True, nogil=True)
def count_marked(values: NDArray[np.uint32], start: NDArray[np.int64], marks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return for each text how many of its values are marked; `marks` holds 1 or 0 for every value."""
    counts = np.zeros(start.size - 1, np.int64)
    for text in range(start.size - 1):
        for value in values[start[text] : start[text + 1]]:
            counts[text] += marks[value]
    return counts
