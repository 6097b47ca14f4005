"""Keeps the ids of documents on disk and gives those of some documents back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mmpipe.deduplication.pair_files import Scratch


class StoredIds:
    """The ids and dumps of documents, by place, in memory-mapped files; only what is asked for is read."""

    def __init__(self, documents: Iterable[pl.DataFrame], count: int, scratch: Scratch) -> None:
        """Write `doc_id` and `dump` of `count` documents, in the order in which they come.

        Args:
            documents: frames of both columns.
            count: rows of all frames.
            scratch: for the ids and 12 bytes per document.
        """
        self._ends = scratch.make_array("id_ends.i64", count + 1, np.int64)
        self._dumps = scratch.make_array("dumps.u32", count, np.uint32)
        self._names: list[str] = []
        file = scratch.name_file("ids.bin")
        begin = 0
        with file.open("wb") as out:
            for batch in documents:
                ids = batch.get_column("doc_id")
                out.write("".join(ids.to_list()).encode())
                ends = self._ends[begin] + np.cumsum(ids.str.len_bytes().to_numpy().astype(np.int64))
                self._ends[begin + 1 : begin + 1 + len(ids)] = ends
                dumps = batch.get_column("dump")
                self._names += [name for name in dumps.unique().sort().to_list() if name not in self._names]
                codes = dumps.replace_strict(self._names, range(len(self._names)), return_dtype=pl.UInt32)
                self._dumps[begin : begin + len(ids)] = codes.to_numpy()
                begin += len(ids)
        self._bytes = np.asarray(np.memmap(file, np.uint8, "r")) if self._ends[-1] else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self._dumps)

    def gather(self, places: NDArray[np.int64]) -> pl.Series:
        """Return the ids of some documents."""
        import pyarrow as pa

        starts, ends = self._ends[places], self._ends[places + 1]
        offsets = np.zeros(len(places) + 1, dtype=np.int64)
        np.cumsum(ends - starts, out=offsets[1:])
        taken = self._bytes[np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)]
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(taken)]
        strings = pa.Array.from_buffers(pa.large_string(), len(places), buffers)
        return pl.Series("doc_id", strings, dtype=pl.String)

    def gather_dumps(self, places: NDArray[np.int64]) -> pl.Series:
        """Return the dumps of some documents."""
        return pl.Series("dump", self._names, dtype=pl.String).gather(self._dumps[places])
