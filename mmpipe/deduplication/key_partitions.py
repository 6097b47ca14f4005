"""Lays records into scratch files by their key, so that equal keys can be brought together without memory for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

#: Files that are open at once at most, below what systems allow a process.
MOST_PARTITIONS = 512


def count_partitions(records: int, bytes_per_record: int, memory_bytes: int) -> int:
    """Return into how many partitions to cut, so that one of them can be sorted within the memory.

    Never more than MOST_PARTITIONS: beyond so many times the memory, a partition takes more than is given.

    Args:
        records: in all.
        bytes_per_record: while one partition is sorted, all copies counted.
        memory_bytes: for one partition.
    """
    return min(MOST_PARTITIONS, max(1, -(-records * bytes_per_record // max(1, memory_bytes))))


class KeyPartitions:
    """Scratch files of records, cut by the highest bits of their key; a context that removes them at its end.

    Args:
        folder: where the files lie; made if it is not there.
        name: how their names begin.
        record: a structured type with a field `key` (uint64, spread evenly) and any others.
        partitions: how many files.
    """

    def __init__(self, folder: Path, name: str, record: np.dtype[Any], partitions: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._record = record
        self._paths = [folder / f"{name}-{number:04d}.bin" for number in range(partitions)]

    def __enter__(self) -> Self:
        self._files = [path.open("wb") for path in self._paths]
        return self

    def __exit__(self, *_: object) -> None:
        for file, path in zip(self._files, self._paths, strict=True):
            file.close()
            path.unlink(missing_ok=True)

    def append(self, records: NDArray[Any]) -> None:
        """Lay records into the file of their key."""
        count = len(self._files)
        # key * count >> 64, of the highest 32 bits: even cuts of the range of keys
        owners = ((records["key"] >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)
        order = np.argsort(owners, kind="stable")
        bounds = np.searchsorted(owners[order], np.arange(count + 1, dtype=np.uint64))
        ordered = records[order]
        for number in np.flatnonzero(np.diff(bounds)):
            ordered[bounds[number] : bounds[number + 1]].tofile(self._files[number])

    def read_sorted(self, *fields: str) -> Iterator[NDArray[Any]]:
        """Yield each file's records sorted by the key and then by some fields (default: by all, in their order).

        Keys of a file are below those of the next.
        """
        for file, path in zip(self._files, self._paths, strict=True):
            file.flush()
            records = np.fromfile(path, dtype=self._record)
            names = ("key", *fields) if fields else self._record.names or ()
            yield records[np.lexsort([records[name] for name in reversed(names)])]
