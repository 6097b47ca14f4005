"""The compiled inner loops of a search for 64-bit hashes that differ in few bits: buckets, pairs, nearest hashes.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached.

A *band* is a run of bits (`shifts`, `widths`); hashes that agree on it but for `radii` of its bits are candidates. Its
*masks* are all patterns of at most so many bits: a bucket's neighbours are those whose key differs by one of them.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from mmpipe.light_imports import start_numba

start_numba()

_ONE = np.uint64(1)
# hashes compared at once before anyone asks which of them is near
_BLOCK = 64
#: Hashes that are scanned rather than indexed, at least: what so many cost, looking up costs too.
LEAST_INDEXED = 4096


@intrinsic
def _emit_population_count(_context: Any, _value: Any) -> Any:

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), emit


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def count_bits(value: np.uint64) -> int:
    """Return how many bits of a 64-bit number are set: the processor's own instruction, also eight at a time."""
    return int(np.int64(_emit_population_count(value)))  # type: ignore[call-arg]  # numba gives the context


@numba.njit(cache=True, nogil=True, error_model="numpy")
def permute_bits(values: NDArray[np.uint64], places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the values with bit `places[k]` moved to bit k. Distances stay what they were."""
    moved = np.zeros_like(values)
    for row in range(len(values)):
        value, result = values[row], np.uint64(0)
        for bit in range(64):
            result |= ((value >> np.uint64(places[bit])) & _ONE) << np.uint64(bit)
        moved[row] = result
    return moved


@numba.njit(cache=True, nogil=True, error_model="numpy")
def count_set_bits(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return for each of the 64 bits in how many values it is set."""
    counts = np.zeros(64, dtype=np.int64)
    for value in values:
        for bit in range(64):
            counts[bit] += np.int64((value >> np.uint64(bit)) & _ONE)
    return counts


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _cut_key(value: np.uint64, shift: int, width: int) -> int:
    return int((value >> np.uint64(shift)) & ((_ONE << np.uint64(width)) - _ONE))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fill_buckets(
    values: NDArray[np.uint64],
    count: int,
    shift: int,
    width: int,
    starts: NDArray[np.int64],
    laid: NDArray[np.uint64],
    places: NDArray[np.int32],
) -> None:
    """Lay the first `count` values by their key in a band; within a bucket they keep their order.

    Args:
        values: hashes.
        count: how many of them.
        shift: first bit of the band.
        width: its bits.
        starts: (2**width + 1,) written: where each bucket begins.
        laid: (count,) written: the values by bucket.
        places: (count,) written: where each stood.
    """
    starts[:] = 0
    for row in range(count):
        starts[_cut_key(values[row], shift, width) + 1] += 1
    for key in range(1 << width):
        starts[key + 1] += starts[key]
    for row in range(count):
        key = _cut_key(values[row], shift, width)
        laid[starts[key]] = values[row]
        places[starts[key]] = row
        starts[key] += 1
    for key in range(1 << width, 0, -1):
        starts[key] = starts[key - 1]
    starts[0] = 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find_root(parents: NDArray[np.int64], member: int) -> int:
    while parents[member] != member:
        parents[member] = parents[parents[member]]
        member = parents[member]
    return member


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _join_roots(parents: NDArray[np.int64], one: int, other: int) -> bool:
    """Join two trees and return whether they were two."""
    one, other = _find_root(parents, one), _find_root(parents, other)
    if one != other:
        parents[max(one, other)] = min(one, other)
    return one != other


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _is_known(
    difference: np.uint64, shifts: NDArray[np.int64], widths: NDArray[np.int64], radii: NDArray[np.int64], band: int
) -> bool:
    """Return whether a band before this one finds the pair too."""
    is_known = False
    for earlier in range(band):
        part = np.uint64(_cut_key(difference, shifts[earlier], widths[earlier]))
        is_known |= count_bits(part) <= radii[earlier]
    return is_known


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _is_near_any(value: np.uint64, others: NDArray[np.uint64], begin: int, end: int, most: int) -> bool:
    """Return whether one of a run of hashes is near. No early end: so the loop compares several at a time."""
    near = 0
    for place in range(begin, end):
        near |= int(count_bits(value ^ others[place]) <= most)
    return near != 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def join_buckets(  # noqa: C901, PLR0912 - one loop within another, and the ways out of them
    one_starts: NDArray[np.int64],
    one_laid: NDArray[np.uint64],
    other_starts: NDArray[np.int64],
    other_laid: NDArray[np.uint64],
    masks: NDArray[np.int64],
    is_self: bool,
    radius: int,
    shifts: NDArray[np.int64],
    widths: NDArray[np.int64],
    radii: NDArray[np.int64],
    band: int,
    one_rows: NDArray[np.int64],
    other_rows: NDArray[np.int64],
    parents: NDArray[np.int64],
    position: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    bits: NDArray[np.int64],
) -> int:
    """Write near pairs of one band until there are no more or the space for them may not suffice; return how many.

    Pairs that an earlier band finds are left out. Where `parents` is not empty, so are pairs that others connect
    already: what is written is a spanning forest.

    Args:
        one_starts: where each bucket of the first side begins.
        one_laid: its hashes, by bucket.
        other_starts: as `one_starts`, of the second side; the same arrays where one side is joined with itself.
        other_laid: as `one_laid`.
        masks: of the band.
        is_self: whether the two sides are one.
        radius: bits that a pair may differ in.
        shifts: of all bands.
        widths: of all bands.
        radii: of all bands.
        band: which of them this is.
        one_rows: by what a hash of the first side is called, by bucket.
        other_rows: of the second side.
        parents: union-find over what they are called, or empty.
        position: (3,) bucket, mask and row to begin with; changed to where to go on. Bucket 2**width: all is done.
        left: written; must be longer than the largest bucket of the second side.
        right: written.
        bits: written.
    """
    found = 0
    buckets = len(one_starts) - 1
    for bucket in range(position[0], buckets):
        one_begin, one_end = one_starts[bucket], one_starts[bucket + 1]
        first_mask = position[1]
        position[1] = 0
        if one_begin == one_end:
            position[2] = 0
            continue
        for number in range(first_mask, len(masks)):
            neighbour = bucket ^ masks[number]
            first_row = position[2]
            position[2] = 0
            if is_self and neighbour < bucket:
                continue
            other_begin, other_end = other_starts[neighbour], other_starts[neighbour + 1]
            if other_begin == other_end:
                continue
            is_same = is_self and neighbour == bucket
            for row in range(one_begin + first_row, one_end):
                if found + other_end - other_begin > len(left):
                    position[0], position[1], position[2] = bucket, number, row - one_begin
                    return found
                value = one_laid[row]
                begin = row + 1 if is_same else other_begin
                if not _is_near_any(value, other_laid, begin, other_end, radius):
                    continue
                for place in range(begin, other_end):
                    difference = value ^ other_laid[place]
                    distance = count_bits(difference)
                    if distance > radius:
                        continue
                    if len(parents):
                        if not _join_roots(parents, one_rows[row], other_rows[place]):
                            continue
                    elif _is_known(difference, shifts, widths, radii, band):
                        continue
                    left[found], right[found], bits[found] = one_rows[row], other_rows[place], distance
                    found += 1
    position[0] = buckets
    return found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def scan_nearest(
    value: np.uint64, stored: NDArray[np.uint64], begin: int, end: int, distance: int, place: int
) -> tuple[int, int]:
    """Return (distance, place) of the first nearest of a run of hashes, if it is nearer than what is given."""
    for start in range(begin, end, _BLOCK):
        stop = min(start + _BLOCK, end)
        if not _is_near_any(value, stored, start, stop, distance - 1):
            continue
        for row in range(start, stop):
            bits = count_bits(value ^ stored[row])
            if bits < distance:
                distance, place = bits, row
    return distance, place


@numba.njit(cache=True, nogil=True, error_model="numpy")
def search_nearest(
    value: np.uint64,
    starts: NDArray[np.int64],
    laid: NDArray[np.uint64],
    places: NDArray[np.int32],
    shifts: NDArray[np.int64],
    widths: NDArray[np.int64],
    masks: NDArray[np.int64],
    mask_ends: NDArray[np.int64],
    distance: int,
    place: int,
) -> tuple[int, int]:
    """Return (distance, place) of the nearest indexed hash below a distance; of equally near ones the first stored.

    Args:
        value: the hash.
        starts: (bands, 2**widest + 1): where buckets begin.
        laid: (bands, hashes) by bucket.
        places: (bands, hashes) where each was stored.
        shifts: of the bands.
        widths: of the bands.
        masks: of all bands, one band after the other.
        mask_ends: (bands + 1,) where each band's masks begin.
        distance: what a hash must be below; the index finds all that are within its radius.
        place: what stands at that distance.
    """
    for band in range(len(shifts)):
        key = _cut_key(value, shifts[band], widths[band])
        of_band = laid[band]
        for number in range(mask_ends[band], mask_ends[band + 1]):
            bucket = key ^ masks[number]
            begin, end = starts[band, bucket], starts[band, bucket + 1]
            if begin == end or not _is_near_any(value, of_band, begin, end, distance):
                continue
            for row in range(begin, end):
                bits = count_bits(value ^ of_band[row])
                if bits < distance or (bits == distance and places[band, row] < place):
                    distance, place = bits, int(places[band, row])
    return distance, place


@numba.njit(cache=True, nogil=True, error_model="numpy")
def find_nearest(
    values: NDArray[np.uint64],
    stored: NDArray[np.uint64],
    radius: int,
    starts: NDArray[np.int64],
    laid: NDArray[np.uint64],
    places: NDArray[np.int32],
    shifts: NDArray[np.int64],
    widths: NDArray[np.int64],
    masks: NDArray[np.int64],
    mask_ends: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each value the place of the nearest stored hash within the radius (-1: none) and its distance."""
    found = np.full(len(values), -1, dtype=np.int64)
    distances = np.full(len(values), -1, dtype=np.int64)
    for row in range(len(values)):
        if len(shifts):
            # a place below zero: what stands at a distance just out of reach gives way to nobody
            distance, place = search_nearest(
                values[row], starts, laid, places, shifts, widths, masks, mask_ends, radius + 1, -1
            )
        else:
            distance, place = scan_nearest(values[row], stored, 0, len(stored), radius + 1, -1)
        if place >= 0:
            found[row], distances[row] = place, distance
    return found, distances
