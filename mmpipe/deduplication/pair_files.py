"""Holds more pairs of documents than memory does: sorted codes to merge, a log to append to, rows of neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb
    from numpy.typing import DTypeLike, NDArray

#: One pair in the log: the better document, the worse one, how alike, and the code of the method that says so.
PAIR = np.dtype([("better", "<i8"), ("worse", "<i8"), ("similarity", "<f8"), ("method", "u1")])

# bytes held while one code is sorted, told from its neighbour and copied
_SORTING_BYTES = 40
# below this DuckDB cannot sort even what fits
_LEAST_SORTER_BYTES = 64 << 20
_LEAST_FILE_BYTES = 1 << 16


@dataclass(slots=True)
class Scratch:
    """A folder for what does not fit in memory, and how much memory may be used beside it; the caller removes it.

    Attributes:
        folder: where arrays lie as memory-mapped files, which the system may write out at any time.
        memory_bytes: for what is held in memory at once, by all workers together.
        workers: threads; they change nothing but the time.
    """

    folder: Path
    memory_bytes: int
    workers: int = 1
    _made: int = 0
    _sorter: duckdb.DuckDBPyConnection | None = None

    @property
    def sorter(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB that holds to the memory and the workers and lays on disk what does not fit."""
        if self._sorter is None:
            import duckdb

            self._sorter = duckdb.connect(
                config={
                    "memory_limit": f"{max(_LEAST_SORTER_BYTES, self.memory_bytes // 2) >> 20}MiB",
                    "threads": self.workers,
                    "temp_directory": str(self.name_file("spill")),
                    "preserve_insertion_order": True,
                }
            )
        return self._sorter

    def name_file(self, name: str) -> Path:
        """Return a path that no other call gets."""
        self._made += 1
        return self.folder / f"{self._made:06d}-{name}"

    def make_array(self, name: str, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of zeros in a file of its own, unless it is tiny; no page lies on disk until written."""
        if np.prod(shape) * np.dtype(dtype).itemsize < _LEAST_FILE_BYTES:
            return np.zeros(shape, dtype=dtype)
        return np.asarray(np.memmap(self.name_file(name), dtype=dtype, mode="w+", shape=shape))


class SortedCodes:
    """A set of 64-bit codes that grows by sorted runs; what exceeds the memory given lies in files."""

    def __init__(self, scratch: Scratch, memory_bytes: int) -> None:
        """Start empty; `memory_bytes` is what may be held before a run is laid in a file."""
        self._scratch = scratch
        self._most = max(1024, memory_bytes // 24)
        self._held = np.empty(0, dtype=np.uint64)
        self._files: list[NDArray[np.uint64]] = []

    def add(self, codes: NDArray[np.uint64]) -> None:
        """Take sorted distinct codes in."""
        self._held = _merge_sorted(self._held, codes)
        if len(self._held) > self._most:
            laid = self._scratch.make_array("codes.u64", len(self._held), np.uint64)
            laid[:] = self._held
            self._files.append(laid)
            self._held = np.empty(0, dtype=np.uint64)

    def take(self, other: SortedCodes) -> None:
        """Take in all codes of another set, which is not to be used afterwards."""
        self._files += other._files
        self.add(other._held)

    def count_within(self, low: int, high: int) -> int:
        """Return how many codes, runs counted apart, are at least `low` and below `high`."""
        return sum(end - begin for _, begin, end in self._find(low, high))

    def read_within(self, low: int, high: int) -> NDArray[np.uint64]:
        """Return the sorted distinct codes of at least `low` and below `high`."""
        parts = [np.array(run[begin:end]) for run, begin, end in self._find(low, high)]
        return parts[0] if len(parts) == 1 else np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))

    def cut_ranges(self, most: int, memory_bytes: int) -> list[tuple[int, int]]:
        """Return ranges that cover codes below `most`, each small enough to be read within `memory_bytes`."""
        ranges, waiting = [], [(0, most)]
        while waiting:
            low, high = waiting.pop()
            if high - low > 1 and self.count_within(low, high) * _SORTING_BYTES > memory_bytes:
                middle = (low + high) // 2
                waiting += [(middle, high), (low, middle)]
            else:
                ranges.append((low, high))
        return ranges

    def _find(self, low: int, high: int) -> Iterator[tuple[NDArray[np.uint64], int, int]]:
        for run in [*self._files, self._held]:
            begin, end = (int(np.searchsorted(run, np.uint64(limit))) for limit in (low, high))
            if end > begin:
                yield run, begin, end


class PairLog:
    """Pairs of documents by their place in the order of preference, appended in blocks."""

    def __init__(self, scratch: Scratch) -> None:
        """Start an empty file."""
        self._file = scratch.name_file("pairs.bin")
        self._file.touch()
        self._block = max(4096, scratch.memory_bytes // (8 * PAIR.itemsize))
        self.pairs = 0
        self.methods: set[int] = set()

    def append(
        self, better: NDArray[np.int64], worse: NDArray[np.int64], similarities: NDArray[np.float64], method: int
    ) -> None:
        """Write pairs of one method at the end."""
        rows = np.empty(len(better), dtype=PAIR)
        rows["better"], rows["worse"] = better, worse
        rows["similarity"], rows["method"] = similarities, method
        with self._file.open("ab") as out:
            rows.tofile(out)
        self.pairs += len(rows)
        if len(rows):
            self.methods.add(method)

    def read_blocks(self) -> Iterator[NDArray[Any]]:
        """Yield all pairs, some at a time, as records of type PAIR."""
        for begin in range(0, self.pairs, self._block):
            count = min(self._block, self.pairs - begin)
            yield np.fromfile(self._file, dtype=PAIR, count=count, offset=begin * PAIR.itemsize)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Both directions of all pairs, a row for every document: (documents + 1,) starts of rows, and three columns."""

    starts: NDArray[np.int64]
    others: NDArray[np.int64]
    similarities: NDArray[np.float64]
    methods: NDArray[np.uint8]


def list_neighbours(
    log: PairLog, documents: int, scratch: Scratch, *, groups: NDArray[np.int64] | None = None
) -> Neighbours:
    """Return the rows of neighbours of all pairs in the log, in memory-mapped files.

    Args:
        log: of pairs.
        documents: how many there are.
        scratch: where they lie; 8 bytes per document and 34 per pair.
        groups: of each document, the one that stands for it; the rows then lie there. Default: each for itself.
    """
    from mmpipe.deduplication.cluster_kernels import fill_neighbours

    starts = scratch.make_array("starts.i64", documents + 1, np.int64)
    others = scratch.make_array("neighbours.i64", 2 * log.pairs, np.int64)
    similarities = scratch.make_array("similarities.f64", 2 * log.pairs, np.float64)
    methods = scratch.make_array("methods.u8", 2 * log.pairs, np.uint8)
    for block in log.read_blocks():
        for side in ("better", "worse"):
            nodes = block[side] if groups is None else groups[block[side]]
            np.add.at(starts, nodes + 1, 1)
    np.cumsum(starts, out=starts)
    ends = scratch.make_array("ends.i64", documents, np.int64)
    ends[:] = starts[:-1]
    for block in log.read_blocks():
        better, worse = (block[side] if groups is None else groups[block[side]] for side in ("better", "worse"))
        fill_neighbours(
            ends,
            np.ascontiguousarray(better),
            np.ascontiguousarray(worse),
            np.ascontiguousarray(block["similarity"]),
            np.ascontiguousarray(block["method"]),
            others,
            similarities,
            methods,
        )
    return Neighbours(starts, others, similarities, methods)


def cut_evenly(total: int, most: int) -> list[tuple[int, int]]:
    """Return consecutive ranges that cover `total`, each of at most `most`."""
    edges = [*range(0, total, max(1, most)), total]
    return list(pairwise(edges))


def _merge_sorted(known: NDArray[np.uint64], found: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the union of two sorted arrays of distinct values; cheap where `found` holds little that is new."""
    places = np.searchsorted(known, found)
    is_known = np.zeros(len(found), dtype=np.bool_)
    inside = places < len(known)
    is_known[inside] = known[places[inside]] == found[inside]
    return known if is_known.all() else np.insert(known, places[~is_known], found[~is_known])
