"""The compiled loops that choose the fingerprints of exact substrings (winnowing).

Imported only where it is used, because numba takes a second to import. A *window* is `least_length` units; its
*fingerprint* is the least hash among the pieces of `width` units in it, the last of them where several are least, so
that equal windows have equal fingerprints at equal places (winnowing: Schleimer, Wilkerson and Aiken, SIGMOD 2003).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(33)
ONE = np.uint64(1)
_LARGEST = np.uint64(0xFFFFFFFFFFFFFFFF)

#: A fingerprint packs the place of its first window, and two bytes: how far it stands behind that window's start, and
# how many windows in a row have it, less one
PLACE_SHIFT = np.uint64(16)
BACK_SHIFT = np.uint64(8)
BYTE = np.uint64(0xFF)

# hashes at a time
_BLOCK = 8192


@numba.njit(cache=True, nogil=True, error_model="numpy")
def spread_hash(value: np.uint64) -> np.uint64:
    """Return a hash of which every bit depends on many of the value's."""
    # one multiplication: a second costs more than it helps, since what is called equal has been compared
    spread = (value ^ (value >> _HALF)) * _MIX
    return spread ^ (spread >> _HALF)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def raise_base(exponent: int) -> np.uint64:
    """Return what a unit counts `exponent` units later in a rolling hash."""
    power = ONE
    for _ in range(exponent):
        power *= BASE
    return power


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hash_units(units: NDArray[Any], begin: int, end: int) -> np.uint64:
    """Return the rolling hash of some units."""
    rolling = np.uint64(0)
    for index in range(begin, end):
        rolling = rolling * BASE + (np.uint64(units[index]) + ONE)
    return rolling


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _skip_higher(hashes: NDArray[np.uint64], index: int, stop: int, least: np.uint64) -> int:
    while index < stop and hashes[index] > least:
        index += 1
    return index


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find_least(hashes: NDArray[np.uint64], last: int, gap: int) -> int:
    """Return where the least of the `gap` hashes up to `last` is, the last of them if several are."""
    least = hashes[last]
    for index in range(last - gap + 1, last):
        least = min(least, hashes[index])
    while hashes[last] != least:
        last -= 1
    return last


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _append_fingerprint(found: NDArray[np.uint64], count: int, key: np.uint64, place: int, back: int, more: int) -> Any:
    if count == len(found):
        found = np.concatenate((found, np.empty_like(found)))
    # spread again, since least hashes are small and would crowd into the first partitions
    found[count, 0] = spread_hash(key ^ BASE)
    found[count, 1] = (np.uint64(place) << PLACE_SHIFT) | (np.uint64(back) << BACK_SHIFT) | np.uint64(more)
    return found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def select_fingerprints(
    units: NDArray[Any], starts: NDArray[np.int64], origin: int, width: int, gap: int, mask: np.uint64
) -> NDArray[np.uint64]:
    """Return (fingerprints, 2): the key of each, and its place with the windows it stands for.

    Every window of `width + gap - 1` units belongs to exactly one fingerprint.

    Args:
        units: units of some documents, end to end.
        starts: (documents + 1,) first unit of each.
        origin: place of `units[0]` in the corpus.
        width: units that are hashed.
        gap: hashes of which the least is taken.
        mask: bits of the hash that count.
    """
    found = np.empty((1024 + 3 * len(units) // (gap + 1), 2), dtype=np.uint64)
    count = 0
    oldest_factor = raise_base(width - 1)
    hashes = np.empty(_BLOCK + gap, dtype=np.uint64)
    for document in range(len(starts) - 1):
        begin = starts[document]
        hashed = starts[document + 1] - begin - width + 1
        if hashed < gap:
            continue
        rolling = hash_units(units, begin, begin + width - 1)
        least, least_at, since = _LARGEST, 0, 0
        for block in range(0, hashed, _BLOCK):
            # in front of the hashes of this block stand the last of the one before
            end = min(block + _BLOCK, hashed)
            base = block - gap
            hashes[:gap] = hashes[_BLOCK : _BLOCK + gap]
            for index in range(block, end):
                rolling = rolling * BASE + (np.uint64(units[begin + index + width - 1]) + ONE)
                hashes[index - base] = spread_hash(rolling) & mask
                rolling -= (np.uint64(units[begin + index]) + ONE) * oldest_factor
            index = block
            while index < end:
                stop = min(end, least_at + gap)
                index = _skip_higher(hashes, index - base, stop - base, least) + base
                if index == end:
                    break
                # a hash as low, or the lowest has left the window
                new_at = index if index < stop else _find_least(hashes, index - base, gap) + base
                new = hashes[new_at - base]
                window = index - gap + 1
                if window > 0:
                    place = origin + begin + since
                    found = _append_fingerprint(found, count, least, place, least_at - since, window - since - 1)
                    count += 1
                    since = window
                least, least_at = new, new_at
                index += 1
        place = origin + begin + since
        found = _append_fingerprint(found, count, least, place, least_at - since, hashed - gap - since)
        count += 1
    return found[:count].copy()
