"""Finds the pairs worth comparing: documents that share a band key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from mmpipe.deduplication.pair_files import SortedCodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mmpipe.deduplication.duplicate_index import DuplicateIndex, SortedKeys
    from mmpipe.deduplication.pair_files import Scratch

#: Each document is paired with at most this many best documents of each of its buckets in one search, so that a
#: bucket of n documents costs n times this and not n squared.
DEFAULT_HUBS = 4

# bytes held per key of a range, beside the pairs
_KEY_BYTES = 96


def find_candidates(
    indexes: Sequence[DuplicateIndex],
    nodes: Sequence[NDArray[np.int64]],
    is_searched: NDArray[np.bool_],
    is_settled: NDArray[np.bool_],
    scratch: Scratch,
    *,
    hubs: int = DEFAULT_HUBS,
) -> tuple[SortedCodes, bool]:
    """Return the distinct pairs of documents that share a band key, each as `better * documents + worse`.

    The second value says whether a bucket held more documents than all could be paired. Each band and range of keys
    is a task of its own, with one share of the memory; the result depends neither on the ranges nor on the workers.

    Args:
        indexes: of the dumps to search.
        nodes: for each of them, by document number, the document's place in the order of preference, plus one; 0 for
            documents that take no part.
        is_searched: (documents,) whether a document is looked at, by place.
        is_settled: (documents,) two such documents are never paired, by place.
        scratch: memory and workers.
        hubs: see DEFAULT_HUBS.
    """
    from mmpipe.deduplication.cluster_kernels import pair_buckets

    count = len(is_searched)
    share = max(1, scratch.memory_bytes // scratch.workers // 2)
    bands = indexes[0].bands if indexes else 0
    per_worker = -(-bands // scratch.workers)

    def search(first: int) -> tuple[SortedCodes, bool]:
        codes = SortedCodes(scratch, share)
        is_cut = False
        for band in range(first, min(first + per_worker, bands)):
            opened = [index.open_band(band) for index in indexes]
            # a document of a bucket gives at most two pairs per hub, held twice while they grow
            for keys, found in read_ranges(opened, nodes, share, _KEY_BYTES + 32 * hubs):
                taken = is_searched[found]
                pairs, is_range_cut = pair_buckets(keys[0][taken], found[taken], is_settled, hubs, count)
                is_cut |= is_range_cut
                codes.add(np.unique(pairs))
        return codes, is_cut

    with ThreadPoolExecutor(scratch.workers) as pool:
        parts = list(pool.map(search, range(0, bands, max(1, per_worker))))
    together = SortedCodes(scratch, scratch.memory_bytes // 2)
    for codes, _ in parts:
        together.take(codes)
    return together, any(is_cut for _, is_cut in parts)


def read_ranges(
    opened: Sequence[SortedKeys], nodes: Sequence[NDArray[np.int64]], memory_bytes: int, row_bytes: int
) -> Iterator[tuple[list[NDArray[np.uint64]], NDArray[np.int64]]]:
    """Yield the keys of several indexes together, a range of them at a time, sorted, with the documents' places.

    Rows of documents that take no part are left out. All rows of one key come in one range.

    Args:
        opened: the same band, or the exact hashes, of every index.
        nodes: as in `find_candidates`.
        memory_bytes: for one range.
        row_bytes: that one row costs the reader.
    """
    total = sum(keys.rows for keys in opened)
    ranges = max(1, -(-total * row_bytes // memory_bytes))
    for number in range(ranges):
        # keys are hashes, so equal ranges of them hold about as many
        low, high = (2**64 * edge // ranges for edge in (number, number + 1))
        columns: list[list[NDArray[np.uint64]]] = []
        found = []
        for keys, places in zip(opened, nodes, strict=True):
            begin, end = keys.find_range(low, high)
            if end > begin:
                read, numbers = keys.read(begin, end)
                of_rows = places[numbers]
                takes_part = of_rows > 0
                columns.append([column[takes_part] for column in read])
                found.append(of_rows[takes_part] - 1)
        if not found:
            continue
        if len(found) == 1:
            yield columns[0], found[0]
            continue
        joined = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
        order = np.argsort(joined[0])
        yield [column[order] for column in joined], np.concatenate(found)[order]


def mark_touched(
    earlier: DuplicateIndex, current: DuplicateIndex, touched: NDArray[np.bool_], scratch: Scratch
) -> None:
    """Set `touched` for the documents of an earlier dump that share a band key or an exact hash with the current one.

    Both are sorted, so each is read once, in step (a merge join); no document is.

    Args:
        earlier: index of an earlier dump.
        current: index of this one.
        touched: (documents of the earlier one,) by number, changed in place.
        scratch: memory and workers.
    """
    share = max(1, scratch.memory_bytes // scratch.workers)

    def join(pair: tuple[SortedKeys, SortedKeys]) -> None:
        old, new = pair
        ranges = max(1, -(-(old.rows + new.rows) * _KEY_BYTES // share))
        for number in range(ranges):
            low, high = (2**64 * edge // ranges for edge in (number, number + 1))
            [known, *_], _ = new.read(*new.find_range(low, high))
            [keys, *_], numbers = old.read(*old.find_range(low, high))
            if len(known) and len(keys):
                is_shared = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
                touched[numbers[is_shared]] = True

    pairs = [(earlier.open_band(band), current.open_band(band)) for band in range(current.bands)]
    with ThreadPoolExecutor(scratch.workers) as pool:
        # several threads may set the same mark, always to the same value
        list(pool.map(join, [(earlier.open_exact(), current.open_exact()), *pairs]))
