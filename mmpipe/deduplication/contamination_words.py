"""The compiled reading of words, for documents and evaluation items alike: where each is, and a hash of it.

Imported only where it is used, because numba takes a second to import.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.normalization import CONTINUES, LAST_HAN_EXTENSION, STANDS_ALONE, TABLE_SIZE, VANISHES

FOLD_MASK = np.uint32(0x00FFFFFF)
_HAN_EXTENSION_ENTRY = np.uint32(STANDS_ALONE << 24)

# odd 64-bit multipliers: the two of MurmurHash3's finalizer, and the golden ratio for chaining characters
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_CHAIN = np.uint64(0x9E3779B97F4A7C15)
_WORD_SEED = np.uint64(0xCBF29CE484222325)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mix64(value: np.uint64) -> np.uint64:
    """Return a value whose every bit depends on every bit of the one given (MurmurHash3's finalizer)."""
    value ^= value >> np.uint64(33)
    value *= _MIX_1
    value ^= value >> np.uint64(33)
    value *= _MIX_2
    return value ^ (value >> np.uint64(33))


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def look_up(code: np.uint32, table: NDArray[np.uint32]) -> np.uint32:
    """Return what a code point is taken for: an action and a folded code point, as in the table."""
    if code < TABLE_SIZE:
        return np.uint32(table[code])
    if code <= LAST_HAN_EXTENSION:
        return np.uint32(_HAN_EXTENSION_ENTRY | (code & FOLD_MASK))
    return np.uint32(0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def read_words(
    codes: NDArray[np.uint32],
    table: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    hashes: NDArray[np.uint64],
) -> int:
    """Write where each word begins and ends, and its hash (room for one per character); return how many there are."""
    count = 0
    current = _WORD_SEED
    is_open = False
    for at in range(len(codes)):
        entry = look_up(codes[at], table)
        action = entry >> np.uint32(24)
        if action == VANISHES:
            continue
        folded = np.uint64(entry & FOLD_MASK)
        if action == CONTINUES:
            if not is_open:
                starts[count] = at
                is_open = True
                current = _WORD_SEED
            current = current * _CHAIN + folded
            ends[count] = at + 1
            continue
        if is_open:
            hashes[count] = mix64(current)
            count += 1
            is_open = False
        if action == STANDS_ALONE:
            starts[count] = at
            ends[count] = at + 1
            hashes[count] = mix64(_WORD_SEED * _CHAIN + folded)
            count += 1
    if is_open:
        hashes[count] = mix64(current)
        count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def find_longest(offsets: NDArray[np.int64]) -> int:
    """Return the code points of the longest text, at least 1."""
    longest = 1
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    return longest
