"""Finds all 64-bit hashes that differ in few bits: every pair, a spanning forest of them, or the nearest of each.

A pair within the radius agrees, but for a few bits, on at least one of several bands of bits (multi-index hashing;
Norouzi, Punjani and Fleet 2012, "Fast Search in Hamming Space with Multi-Index Hashing", section 3). Bands need not be
equally wide nor equally strict: if the numbers of bits that they may differ in, one more for each, add up to more than
the radius, no pair is missed (Qin et al. 2018, "GPH: Similarity Search in Hamming Space", section 3). Which bands, is
chosen by what looking up and comparing cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BITS = 64

#: What a search holds at once beside the hashes, if nobody says otherwise.
MEMORY_BYTES = 2**30

# nanoseconds on one core, near enough: to look at a bucket, and to compare a hash in it
_LOOKUP_COST = 6.0
_COMPARE_COST = 0.5
_WIDEST_BAND = 22
_MOST_MASKS = 1 << 16
# what a joined hash takes on both sides of a join, laid by bucket and named
_JOINED_BYTES = 64
_PAIR_BYTES = 24
_SAMPLED_ROWS = 1 << 16


class NearPairs(NamedTuple):
    """Pairs of near hashes by their rows, and the bits in which they differ."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    bits: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bands:
    """Into which runs of bits hashes are cut, and in how many bits of each two hashes may differ.

    Attributes:
        widths: bits of each band; a band of no bits is all hashes in one bucket.
        radii: bits of each that may differ.
    """

    widths: tuple[int, ...]
    radii: tuple[int, ...]

    @property
    def shifts(self) -> tuple[int, ...]:
        """The first bit of each band."""
        return tuple(sum(self.widths[:number]) for number in range(len(self.widths)))

    def list_masks(self) -> list[NDArray[np.int64]]:
        """Return for each band the patterns of bits by which the keys of a pair may differ, fewest bits first."""
        return [_list_masks(width, radius) for width, radius in zip(self.widths, self.radii, strict=True)]


@lru_cache(maxsize=64)
def _list_masks(width: int, radius: int) -> NDArray[np.int64]:
    chosen = (places for bits in range(radius + 1) for places in combinations(range(width), bits))
    return np.array([sum(1 << place for place in places) for places in chosen], dtype=np.int64)


def plan_bands(stored: int, queries: int, radius: int, *, is_bulk: bool) -> Bands:
    """Return the bands with which a search costs least, for hashes whose bits are evenly drawn.

    Args:
        stored: hashes looked among.
        queries: hashes looked for.
        radius: bits that a pair may differ in, 0 to 31.
        is_bulk: whether whole buckets are compared with whole buckets, or each query looks its buckets up.

    Raises:
        ConfigurationError: the radius is none.
    """
    if not 0 <= radius < BITS // 2:
        raise ConfigurationError(f"A radius of {radius} bits: it must be in [0, 31], as half of 64 bits is chance.")
    # what is chosen depends on the order of magnitude alone
    return _plan_bands(stored.bit_length(), queries.bit_length(), radius, is_bulk)


@lru_cache(maxsize=256)
def _plan_bands(stored_bits: int, queries_bits: int, radius: int, is_bulk: bool) -> Bands:
    stored, queries = float(1 << stored_bits), float(1 << queries_bits)
    offers = []
    for width in range(1, _WIDEST_BAND + 1):
        for slack in range(min(width, radius) + 1):
            masks = sum(math.comb(width, bits) for bits in range(slack + 1))
            if masks > min(_MOST_MASKS, 1 << (width - 1)):
                break
            lookups = masks * (min(queries, 1 << width) if is_bulk else queries)
            compared = masks * queries * stored / (1 << width)
            offers.append((width, slack, lookups * _LOOKUP_COST + compared * _COMPARE_COST))
    # least[b][k]: bands of b bits in all, whose radii and number add up to k
    need = radius + 1
    least: list[list[tuple[float, tuple[tuple[int, int], ...]]]] = [
        [(0.0 if k == 0 else math.inf, ()) for k in range(need + 1)] for _ in range(BITS + 1)
    ]
    for bits in range(1, BITS + 1):
        for k in range(1, need + 1):
            best = least[bits - 1][k]
            for width, slack, cost in offers:
                if width > bits:
                    break
                rest = least[bits - width][max(0, k - slack - 1)]
                if rest[0] + cost < best[0]:
                    best = (rest[0] + cost, (*rest[1], (width, slack)))
            least[bits][k] = best
    cost, bands = least[BITS][need]
    if cost >= queries * stored * _COMPARE_COST:
        return Bands((0,), (0,))
    return Bands(tuple(width for width, _ in bands), tuple(slack for _, slack in bands))


def order_bits(values: NDArray[np.uint64], bands: Bands) -> NDArray[np.int64]:
    """Return which bit goes where, so that bands share out the bits that tell hashes apart.

    Hashes of pictures have bits that are nearly always alike; a band of such bits would have one bucket.
    """
    from mmpipe.deduplication.hamming_kernels import count_set_bits

    sample = values[:: max(1, len(values) // _SAMPLED_ROWS)]
    share = count_set_bits(np.ascontiguousarray(sample)) / max(1, len(sample))
    evenness = np.minimum(share, 1 - share)
    taken: list[list[int]] = [[] for _ in bands.widths]
    spare: list[int] = []
    for bit in sorted(range(BITS), key=lambda place: (-evenness[place], place)):
        open_bands = [number for number, width in enumerate(bands.widths) if len(taken[number]) < width]
        if open_bands:
            taken[min(open_bands, key=lambda number: len(taken[number]) / bands.widths[number])].append(bit)
        else:
            spare.append(bit)
    return np.array([*(bit for band in taken for bit in band), *spare], dtype=np.int64)


def find_near_pairs(
    hashes: NDArray[np.uint64],
    radius: int,
    others: NDArray[np.uint64] | None = None,
    *,
    spanning: bool = False,
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[NearPairs]:
    """Yield all pairs of hashes that differ in at most `radius` bits, each once, in parts; no pair is missed.

    Equal hashes are brought together first: each copy makes one pair, with the first row that has its hash, and only
    that first row is compared with other hashes. So a million copies make a million pairs.

    Args:
        hashes: (n,) in any order. What is found depends on the rows, not on how they are cut.
        radius: bits, 0 to 31.
        others: (m,) if given, pairs are of a row of `hashes` (left) and a row of these (right), the first with its
            hash on either side; pairs within one side are not made.
        spanning: only pairs that connect what no other pair connects: at most n - 1, with the same connected
            components. Which of several such pairs is not said.
        memory_bytes: for what is laid out and found at once. Beside it: 32 bytes per hash.

    Raises:
        ConfigurationError: the radius is none, or a spanning forest of two sides is asked for.
    """
    bands_count = plan_bands(len(hashes), len(hashes), radius, is_bulk=True)  # refuses a bad radius before any work
    if spanning and others is not None:
        raise ConfigurationError("A spanning forest is of one set of hashes, not of two.")
    values, firsts, copies = collapse_hashes(hashes)
    if others is None:
        if len(copies.left):
            yield copies
        bands, other_values, other_firsts = bands_count, values, firsts
    else:
        other_values, other_firsts, _ = collapse_hashes(others)
        bands = plan_bands(len(other_values), len(values), radius, is_bulk=True)
    parents = np.arange(len(hashes) if spanning else 0)
    order = order_bits(values if others is None else other_values, bands)
    rows = max(1024, memory_bytes // 2 // _JOINED_BYTES)
    for begin in range(0, len(values), rows):
        for other_begin in range(begin if others is None else 0, len(other_values), rows):
            is_self = others is None and begin == other_begin
            for pairs in _join_parts(
                values[begin : begin + rows],
                other_values[other_begin : other_begin + rows],
                firsts[begin : begin + rows],
                other_firsts[other_begin : other_begin + rows],
                is_self,
                radius,
                bands,
                order,
                parents,
                memory_bytes // 2,
            ):
                # which row is left is said by the rows, not by the bits
                yield pairs if others is not None else _put_smaller_first(pairs)


def _put_smaller_first(pairs: NearPairs) -> NearPairs:
    return NearPairs(np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right), pairs.bits)


def collapse_hashes(
    hashes: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NearPairs]:
    """Return the distinct hashes, the first row of each, and a pair of every other row with the first of its hash."""
    hashes = np.ascontiguousarray(hashes, dtype=np.uint64)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    is_first = np.ones(len(ordered), dtype=np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    firsts = order[is_first]
    leaders = firsts[np.cumsum(is_first) - 1] if len(ordered) else firsts
    copies = NearPairs(leaders[~is_first], order[~is_first], np.zeros(int((~is_first).sum()), dtype=np.int64))
    return ordered[is_first], firsts, copies


def _join_parts(
    one: NDArray[np.uint64],
    other: NDArray[np.uint64],
    one_names: NDArray[np.int64],
    other_names: NDArray[np.int64],
    is_self: bool,
    radius: int,
    bands: Bands,
    order: NDArray[np.int64],
    parents: NDArray[np.int64],
    pair_bytes: int,
) -> Iterator[NearPairs]:
    from mmpipe.deduplication.hamming_kernels import join_buckets, permute_bits

    one = permute_bits(one, order)
    other = one if is_self else permute_bits(other, order)
    shifts, widths, radii = (np.array(part, dtype=np.int64) for part in (bands.shifts, bands.widths, bands.radii))
    for band, masks in enumerate(bands.list_masks()):
        one_side = _lay_side(one, one_names, int(shifts[band]), int(widths[band]))
        other_side = one_side if is_self else _lay_side(other, other_names, int(shifts[band]), int(widths[band]))
        largest = int(np.diff(other_side[0]).max(initial=0))
        space = max(1 << 12, largest, min(1 << 22, pair_bytes // _PAIR_BYTES))
        left, right, bits = (np.empty(space, dtype=np.int64) for _ in range(3))
        position = np.zeros(3, dtype=np.int64)
        while position[0] < len(one_side[0]) - 1:
            found = join_buckets(
                one_side[0], one_side[1], other_side[0], other_side[1], masks, is_self, radius, shifts, widths, radii,
                band, one_side[2], other_side[2], parents, position, left, right, bits,
            )  # fmt: skip
            if found:
                yield NearPairs(left[:found].copy(), right[:found].copy(), bits[:found].copy())


def _lay_side(
    values: NDArray[np.uint64], names: NDArray[np.int64], shift: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    from mmpipe.deduplication.hamming_kernels import fill_buckets

    starts = np.empty((1 << width) + 1, dtype=np.int64)
    laid, places = np.empty_like(values), np.empty(len(values), dtype=np.int32)
    fill_buckets(values, len(values), shift, width, starts, laid, places)
    return starts, laid, names[places]


def find_nearest_hashes(
    hashes: NDArray[np.uint64], others: NDArray[np.uint64], radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each hash the row of the nearest other within the radius (-1: none), and the bits between (-1: none).

    Of equally near ones the one of smaller value, then the first row, so that the order of `others` says nothing else.

    Args:
        hashes: (n,)
        others: (m,) what is looked among; memory is 16 bytes times bands (about 5) for each of them.
        radius: bits, 0 to 31.
    """
    from mmpipe.deduplication.hamming_kernels import fill_buckets, find_nearest, permute_bits

    bands = plan_bands(len(others), max(1, len(hashes)), radius, is_bulk=False)
    values, firsts, _ = collapse_hashes(others)
    order = order_bits(values, bands)
    stored = permute_bits(values, order)
    is_scanned = bands.widths == (0,)
    tables = 0 if is_scanned else len(bands.widths)
    starts = np.zeros((tables, (1 << max(bands.widths)) + 1), dtype=np.int64)
    laid = np.empty((tables, len(stored)), dtype=np.uint64)
    places = np.empty((tables, len(stored)), dtype=np.int32)
    for band in range(tables):
        width = bands.widths[band]
        fill_buckets(
            stored, len(stored), bands.shifts[band], width, starts[band, : (1 << width) + 1], laid[band], places[band]
        )
    masks, mask_ends = join_masks(bands)
    found, bits = find_nearest(
        permute_bits(np.ascontiguousarray(hashes, dtype=np.uint64), order), stored, radius, starts, laid, places,
        np.array(bands.shifts[:tables], dtype=np.int64), np.array(bands.widths[:tables], dtype=np.int64),
        masks, mask_ends,
    )  # fmt: skip
    rows = np.where(found >= 0, firsts[found], -1) if len(firsts) else found
    return rows, bits


def join_masks(bands: Bands) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the masks of all bands, one band after the other, and (bands + 1,) where each begins."""
    masks = bands.list_masks()
    return np.concatenate(masks), np.cumsum([0, *(len(of_band) for of_band in masks)]).astype(np.int64)
