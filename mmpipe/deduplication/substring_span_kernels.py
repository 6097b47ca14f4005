"""The compiled loops around exact substrings: texts to words, runs of repeated windows to spans, places to characters.

Imported only where it is used, because numba takes a second to import.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

#: What a code point is for the splitting into words.
IN_WORD, WHITE, ALONE = 0, 1, 2

#: The upper two bits of a byte say whether a character goes on in it; so do those of the flags beside tokens.
GOES_ON = 0x80
_UPPER = 0xC0

_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_CHAIN = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def split_words(
    codes: NDArray[np.uint32], offsets: NDArray[np.int64], kinds: NDArray[np.uint8]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the 64-bit hash of each word, its first and its last character + 1, and (documents,) words of each.

    Args:
        codes: code points of all documents, end to end.
        offsets: (documents + 1,) first code point of each.
        kinds: what each code point is; those beyond the table are in a word.
    """
    words = np.empty(len(codes), dtype=np.uint64)
    begins = np.empty(len(codes), dtype=np.int64)
    ends = np.empty(len(codes), dtype=np.int64)
    counts = np.zeros(len(offsets) - 1, dtype=np.int64)
    filled = 0
    for document in range(len(offsets) - 1):
        first, last = offsets[document], offsets[document + 1]
        before = filled
        index = first
        while index < last:
            code = codes[index]
            kind = kinds[code] if code < len(kinds) else IN_WORD
            begin = index
            index += 1
            if kind == WHITE:
                continue
            value = (_CHAIN ^ np.uint64(code)) * _MIX_1
            value ^= value >> np.uint64(32)
            while kind == IN_WORD and index < last:
                code = codes[index]
                if code < len(kinds) and kinds[code] != IN_WORD:
                    break
                value = (value ^ np.uint64(code)) * _MIX_1
                value ^= value >> np.uint64(32)
                index += 1
            value *= _MIX_2
            words[filled] = value ^ (value >> np.uint64(33))
            begins[filled] = begin - first
            ends[filled] = index - first
            filled += 1
        counts[document] = filled - before
    return words[:filled].copy(), begins[:filled].copy(), ends[:filled].copy(), counts


@numba.njit(cache=True, nogil=True, error_model="numpy")
def join_runs(records: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join runs that go on where the one before ends, with the windows that follow its own. In place; sorted input."""
    count = 0
    for index in range(len(records)):
        if count:
            begin, windows, source = records[count - 1]
            if records[index, 0] == begin + windows and records[index, 2] == source + windows:
                records[count - 1, 1] += records[index, 1]
                continue
        records[count] = records[index]
        count += 1
    return records[:count]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def thin_runs(runs: NDArray[np.int64], length: int, state: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the fewest runs, in order, that hold every whole character that all of them hold.

    In text of a short period, such as a line of dashes, every window is a run of its own; one in `length` will do.

    Args:
        runs: (runs, 3) first window, windows, first window of what they repeat; sorted, of windows of their own.
        length: units of a window.
        state: (2, 3) zeros at first, then what the call before left: the last run returned, and one that may follow
            it. The second is to be returned when all runs have been given.
    """
    thinned = np.empty((len(runs) + 1, 3), dtype=np.int64)
    count = 0
    for index in range(len(runs)):
        begin = runs[index, 0]
        # the character that the end of a run cuts in two must lie whole in the next: it has four units at most
        if state[1, 1] and begin > state[0, 0] + state[0, 1] - 1 + length - 3:
            state[0] = state[1]
            state[1, 1] = 0
            thinned[count] = state[0]
            count += 1
        if state[0, 1] and begin <= state[0, 0] + state[0, 1] - 1 + length - 3:
            state[1] = runs[index]
        else:
            state[0] = runs[index]
            thinned[count] = runs[index]
            count += 1
    return thinned[:count].copy()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit_characters(joined: NDArray[np.uint8], left: int, right: int) -> tuple[int, int]:
    """Return the whole characters from `left` to `right`; nothing is left if the first is not below the second."""
    while left < right and joined[left] & _UPPER == GOES_ON:
        left += 1
    while right > left and right < len(joined) and joined[right] & _UPPER == GOES_ON:
        right -= 1
    return left, right


@numba.njit(cache=True, nogil=True, error_model="numpy")
def cut_runs(
    runs: NDArray[np.int64], stays: NDArray[np.int64], joined: NDArray[np.uint8], length: int
) -> NDArray[np.int64]:
    """Return (spans, 3): first place, place after the last, and where the same text stays (in the order of documents).

    A span holds whole characters, none of which an occurrence that stays touches. Spans are disjoint and sorted.

    Args:
        runs: (runs, 3) first window, windows, first window of what they repeat; sorted.
        stays: (runs, 3) runs of windows that stay; sorted.
        joined: what `GOES_ON` is read from.
        length: units of a window.
    """
    spans = np.empty((max(16, len(runs)), 3), dtype=np.int64)
    count = 0
    done = 0
    passed = 0
    for run in range(len(runs)):
        begin = runs[run, 0]
        end = begin + runs[run, 1] - 1 + length
        cursor = max(begin, done)
        while passed < len(stays) and stays[passed, 0] + stays[passed, 1] - 1 + length <= cursor:
            passed += 1
        guard = passed
        while cursor < end:
            stop = min(end, stays[guard, 0]) if guard < len(stays) else end
            left, right = _fit_characters(joined, cursor, stop)
            if left < right:
                if count == len(spans):
                    spans = np.concatenate((spans, np.empty_like(spans)))
                spans[count] = left, right, runs[run, 2] + left - begin
                count += 1
                done = right
            if guard == len(stays):
                break
            cursor = max(cursor, stays[guard, 0] + stays[guard, 1] - 1 + length)
            guard += 1
    return spans[:count].copy()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def count_characters(
    units: NDArray[Any], starts: NDArray[np.int64], places: NDArray[np.int64], documents: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each place how many characters of its document begin before it.

    Args:
        units: bytes of UTF-8.
        starts: (documents + 1,) first byte of each document.
        places: sorted.
        documents: of each place, its document.
    """
    counted = np.empty(len(places), dtype=np.int64)
    document, at, characters = -1, 0, 0
    for index in range(len(places)):
        if documents[index] != document:
            document = documents[index]
            at, characters = starts[document], 0
        while at < places[index]:
            characters += units[at] & _UPPER != GOES_ON
            at += 1
        counted[index] = characters
    return counted
