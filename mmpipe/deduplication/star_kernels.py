"""The compiled decision which pairs stay: best first, each against those that stay, by hashes and by embeddings.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.hamming_kernels import LEAST_INDEXED, fill_buckets, scan_nearest, search_nearest
from mmpipe.light_imports import start_numba

start_numba()

#: What tied a pair to the one kept for it, as numbers; `STAYS` is of a pair that is kept.
PHASH, ORIENTATION, BORDER, EMBEDDING, STAYS = 0, 1, 2, 3, 255

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
# hashes scanned before they are indexed, by the root of how many there are: what scanning costs is what indexing costs
_SCANNED_PER_ROOT = 14.0
# single precision cannot tell nearer ones apart; what is this near the limit is decided in double precision
_ROUNDING = 1e-5
_TOLERANCE = 1e-6


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find_slot(value: np.uint64, stored: NDArray[np.uint64], slots: NDArray[np.int32]) -> int:
    """Return the slot of a hash table in which a hash stands or would stand. Slots are a power of two in number."""
    last = len(slots) - 1
    slot = int((value * _SPREAD) >> np.uint64(20)) & last
    while slots[slot] >= 0 and stored[slots[slot]] != value:
        slot = (slot + 1) & last
    return slot


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _multiply(one: NDArray[np.float32], other: NDArray[np.float32]) -> np.float32:
    total = np.float32(0)
    for place in range(len(one)):
        total += one[place] * other[place]
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _multiply_exactly(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    total = 0.0
    for place in range(len(one)):
        total += np.float64(one[place]) * np.float64(other[place])
    return total


class HashIndex(NamedTuple):
    """The distinct hashes of rows that stay, as they were stored: scanned, and once they are many, laid by bands.

    Attributes:
        shifts: of the bands; none: everything is scanned.
        widths: of the bands.
        masks: of the bands.
        mask_ends: (bands + 1,) where each band's masks begin.
        starts: (bands, 2**widest + 1) where buckets begin.
        laid: (bands, most hashes) by bucket.
        places: (bands, most hashes) where each was stored.
        stored: (most hashes,)
        rows: (most hashes,) whose each is.
        columns: (most hashes,) which of its row's variants it is.
        slots: (a power of two above the most hashes,) hash table of places in `stored`; -1: none.
    """

    shifts: NDArray[np.int64]
    widths: NDArray[np.int64]
    masks: NDArray[np.int64]
    mask_ends: NDArray[np.int64]
    starts: NDArray[np.int64]
    laid: NDArray[np.uint64]
    places: NDArray[np.int32]
    stored: NDArray[np.uint64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int32]
    slots: NDArray[np.int32]


class Cells(NamedTuple):
    """Embeddings of rows, and those of rows that stay by the cell they are compared in.

    Attributes:
        cells: (n,) cell of each row; -1: it is not compared. A cell lies within a group.
        starts: (cells + 1,) where each begins in `rows`.
        counts: (cells,) rows that stay; zeros at first.
        rows: (rows compared,) those that stay, by cell.
        vectors: (vectors, dimensions) of length 1.
        vector_rows: (n,) which of them is a row's.
    """

    cells: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    vector_rows: NDArray[np.int64]


class Stars(NamedTuple):
    """What was decided of each row.

    Attributes:
        keepers: (n,) the row kept for it; itself if it stays.
        methods: (n,) how it was found to be near, or STAYS.
        bits: (n,) distance of hashes; -1 where it was not by hash.
        similarities: (n,) cosine; -2 where it was not by embedding.
    """

    keepers: NDArray[np.int64]
    methods: NDArray[np.uint8]
    bits: NDArray[np.int64]
    similarities: NDArray[np.float64]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find_near_hash(
    variants: NDArray[np.uint64], border: int, radius: int, index: HashIndex, indexed: int, count: int
) -> tuple[int, int, int]:
    """Return (place, column, bits) of the stored hash that a row may go for, and by which variant; place -1: none."""
    found, by, distance = -1, 0, radius + 1
    for column in range(len(variants)):
        value = variants[column]
        # a turned picture is asked for only where the upright one is near to none, and a trimmed one after that
        if found >= 0 and (column == 1 or column == border):  # noqa: PLR1714 - compiled code compares numbers
            break
        if column > 0 and value == variants[0]:
            continue
        near, place = radius + 1, -1
        exact = index.slots[_find_slot(value, index.stored, index.slots)]
        if exact >= 0:
            near, place = 0, int(exact)
        else:
            if indexed:
                near, place = search_nearest(
                    value, index.starts, index.laid, index.places, index.shifts, index.widths, index.masks,
                    index.mask_ends, near, place,
                )  # fmt: skip
            near, place = scan_nearest(value, index.stored, indexed, count, near, place)
        if place >= 0 and (near < distance or (near == distance and place < found)):
            found, by, distance = place, column, near
    return found, by, distance


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find_near_embedding(row: int, cells: Cells, least_similarity: float) -> tuple[int, float]:
    """Return (row, cosine) of the nearest row that stays in a row's cell; -1: none is near enough."""
    cell = cells.cells[row]
    vector = cells.vectors[cells.vector_rows[row]]
    best, nearest = -1, np.float32(-2)
    for place in range(cells.starts[cell], cells.starts[cell] + cells.counts[cell]):
        product = _multiply(vector, cells.vectors[cells.vector_rows[cells.rows[place]]])
        if product > nearest:
            best, nearest = int(cells.rows[place]), product
    if best < 0 or nearest < least_similarity - _ROUNDING:
        return -1, -2.0
    similarity = _multiply_exactly(vector, cells.vectors[cells.vector_rows[best]])
    return (best, min(1.0, similarity)) if similarity >= least_similarity - _TOLERANCE else (-1, -2.0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _store(variants: NDArray[np.uint64], border: int, row: int, index: HashIndex, count: int) -> int:
    """Store a row's hash, and that without border, unless an equal one is stored; return how many are stored."""
    for column in (0, border):
        if column < 0:
            continue
        slot = _find_slot(variants[column], index.stored, index.slots)
        if index.slots[slot] < 0:
            index.stored[count], index.rows[count], index.columns[count] = variants[column], row, column
            index.slots[slot] = count
            count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def choose_stars(  # noqa: C901 - one row's decision, from evidence to place
    variants: NDArray[np.uint64],
    border: int,
    has_hash: NDArray[np.bool_],
    is_published: NDArray[np.bool_],
    group_starts: NDArray[np.int64],
    radius: int,
    index: HashIndex,
    cells: Cells,
    least_similarity: float,
    stars: Stars,
) -> None:
    """Decide all rows of each group, best first: one that is near a kept row goes for the nearest, any other stays.

    Args:
        variants: (n, v) hashes: of the picture as it is, then turned, then, in column `border`, without its border.
        border: that column, or -1.
        has_hash: (n,) rows to be compared by hash.
        is_published: (n,) rows that stay whatever they are near to.
        group_starts: (groups + 1,) rows are compared within a group, in which they stand best first.
        radius: bits that two hashes may differ in.
        index: with room for the hashes of the largest group; empty, and left so.
        cells: embeddings.
        least_similarity: cosine from which two rows are near.
        stars: written.
    """
    for group in range(len(group_starts) - 1):
        count, indexed = 0, 0
        for row in range(group_starts[group], group_starts[group + 1]):
            stars.keepers[row], stars.methods[row], stars.bits[row], stars.similarities[row] = row, STAYS, -1, -2.0
            if has_hash[row] and not is_published[row]:
                place, column, bits = _find_near_hash(variants[row], border, radius, index, indexed, count)
                if place >= 0:
                    is_trimmed = column == border or index.columns[place] != 0
                    method = BORDER if is_trimmed else (PHASH if column == 0 else ORIENTATION)
                    stars.keepers[row], stars.methods[row], stars.bits[row] = index.rows[place], method, bits
            if stars.methods[row] == STAYS and cells.cells[row] >= 0 and not is_published[row]:
                near, similarity = _find_near_embedding(row, cells, least_similarity)
                if near >= 0:
                    stars.keepers[row], stars.methods[row], stars.similarities[row] = near, EMBEDDING, similarity
            if stars.methods[row] != STAYS:
                continue
            if cells.cells[row] >= 0:
                cell = cells.cells[row]
                cells.rows[cells.starts[cell] + cells.counts[cell]] = row
                cells.counts[cell] += 1
            if has_hash[row]:
                count = _store(variants[row], border, row, index, count)
                if count - indexed > max(LEAST_INDEXED, int(_SCANNED_PER_ROOT * np.sqrt(count))):
                    indexed = _lay_bands(index, count)
        # the table is emptied from the end, so that no hash is cut off from its slot before its turn
        for place in range(count - 1, -1, -1):
            index.slots[_find_slot(index.stored[place], index.stored, index.slots)] = -1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lay_bands(index: HashIndex, count: int) -> int:
    """Lay the stored hashes by bands, if there are any, and return how many need not be scanned."""
    for band in range(len(index.shifts)):
        starts = index.starts[band, : (1 << index.widths[band]) + 1]
        fill_buckets(
            index.stored, count, index.shifts[band], index.widths[band], starts, index.laid[band], index.places[band]
        )
    return count if len(index.shifts) else 0
