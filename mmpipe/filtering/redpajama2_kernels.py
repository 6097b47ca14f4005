"""Counts what RedPajama-V2 asks of a text's words and their n-grams, in compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from mmpipe.filtering.ngram_kernels import find_first

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)


def count_grams(
    words: NDArray[np.uint32], start: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return counts of each text's words.

    Args:
        words: numbers of the words of all texts, one after the other.
        start: where each text starts; one more than there are texts.
        lengths: characters of each word by its number.

    Returns:
        Per text: number of distinct words; for n in `TOP_N`, characters of all occurrences of the most frequent n-gram,
        the first met of equals, 0 if it occurs once; for n in `DUPLICATE_N`, characters of the words that any n-gram
        covers which occurs more than once. And the entropy of the words, in nats.
    """
    counts = np.zeros((start.size - 1, 1 + len(TOP_N) + len(DUPLICATE_N)), np.int64)
    entropy = np.zeros(start.size - 1)
    _count(words, start, lengths, counts, entropy)
    return counts, entropy


@numba.njit(cache=True, nogil=True)
def _count(
    words: NDArray[np.uint32],
    start: NDArray[np.int64],
    lengths: NDArray[np.int64],
    counts: NDArray[np.int64],
    entropy: NDArray[np.float64],
) -> None:
    for text in range(start.size - 1):
        own = words[start[text] : start[text + 1]]
        counts[text, 0], entropy[text] = _measure_words(own)
        for n in range(2, 5):
            counts[text, n - 1] = _measure_top(own, n, lengths)
        for n in range(5, 11):
            counts[text, n - 1] = _measure_covered(own, n, lengths)


@numba.njit(cache=True, nogil=True)
def _tally(first: NDArray[np.int32]) -> NDArray[np.int32]:
    counts = np.zeros(first.size, np.int32)
    for place in first:
        counts[place] += 1
    return counts


@numba.njit(cache=True, nogil=True)
def _measure_words(own: NDArray[np.uint32]) -> tuple[int, float]:
    distinct, entropy = 0, 0.0
    for count in _tally(find_first(own, 1)):
        if count:
            share = count / own.size
            entropy -= share * np.log(share)
            distinct += 1
    return distinct, entropy


@numba.njit(cache=True, nogil=True)
def _measure_top(own: NDArray[np.uint32], n: int, lengths: NDArray[np.int64]) -> int:
    counts = _tally(find_first(own, n))
    if counts.size == 0:
        return 0
    best = np.argmax(counts)  # the first met of equally frequent ones
    if counts[best] < 2:
        return 0
    chars = 0
    for word in own[best : best + n]:
        chars += lengths[word]
    return chars * counts[best]  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def _measure_covered(own: NDArray[np.uint32], n: int, lengths: NDArray[np.int64]) -> int:
    first = find_first(own, n)
    counts = _tally(first)
    chars, covered = 0, 0  # words before `covered` have been counted or are not covered
    for index in range(first.size):
        if counts[first[index]] > 1:
            for place in range(max(index, covered), index + n):
                chars += lengths[own[place]]
            covered = index + n
    return chars


@numba.njit(cache=True, nogil=True)
def total_rows(table: NDArray[np.int64], numbers: NDArray[np.int64], start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each part the sum of its members' rows; the members of part i are `numbers[start[i]:start[i + 1]]`."""
    totals = np.zeros((start.size - 1, table.shape[1]), np.int64)
    for part in range(start.size - 1):
        for number in numbers[start[part] : start[part + 1]]:
            for column in range(table.shape[1]):
                totals[part, column] += table[number, column]
    return totals
