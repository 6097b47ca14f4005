"""Writes the files of a duplicate index: documents in the order of their ids, hashes and band keys in their own."""

# ruff: noqa: S608 - queries are made of paths of our own and of quoted names

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mmpipe.deduplication.external_sort import copy_query, quote_path, stream_rows
from mmpipe.deduplication.pair_files import cut_evenly
from mmpipe.errors import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.minhash import MinHashSettings
    from mmpipe.deduplication.pair_files import Scratch

DOCUMENTS_FILE, EXACT_FILE = "documents.parquet", "exact.bin"
# bytes held while one key is read, sorted and written
_SORTING_BYTES = 64


def unpack_band_keys(column: pl.Series, bands: int) -> NDArray[np.uint64]:
    """Return (rows, bands) uint64 from a column of band keys; every row must have some.

    Raises:
        SchemaError: a row has another number of keys.
    """
    if (column.bin.size() != bands * 8).any():
        raise SchemaError(
            f"text_signatures.band_keys: rows do not hold {bands} keys of 8 bytes; they were made with other settings. "
            f"Make the signatures again with the recipe in use."
        )
    return np.frombuffer(b"".join(column.to_list()), dtype="<u8").reshape(-1, bands).astype(np.uint64, copy=False)


def refuse_other_settings(signatures: pl.DataFrame, settings: MinHashSettings) -> None:
    """Raise SchemaError if a signature was made with other settings."""
    others = signatures.filter(pl.col("signature_settings") != settings.signature_digest)
    if others.height:
        raise SchemaError(
            f"text_signatures: {others.height} of {signatures.height} rows (first {others.item(0, 'doc_id')}, dump "
            f"{others.item(0, 'dump')}) were signed with other MinHash settings than this recipe's, so that duplicates "
            f"would be missed. Materialize text_signatures of that dump again."
        )


class KeyBlocks:
    """Keys as they come, one (columns, documents) block per batch, to be sorted a column at a time."""

    def __init__(self, scratch: Scratch, columns: int) -> None:
        self._scratch = scratch
        self._columns = columns
        self._keys, self._arrivals = scratch.name_file("keys.bin"), scratch.name_file("arrivals.i64")
        self._blocks: list[int] = []
        self.rows = 0

    def append(self, keys: NDArray[np.uint64], arrivals: NDArray[np.int64]) -> None:
        """Lay (documents, columns) keys aside, and the arrivals that they belong to."""
        with self._keys.open("ab") as out:
            np.ascontiguousarray(keys.T).tofile(out)
        with self._arrivals.open("ab") as out:
            arrivals.tofile(out)
        self._blocks.append(len(keys))
        self.rows += len(keys)

    def write_sorted(
        self, columns: tuple[int, ...], numbers: NDArray[np.int64], file: Path, number_type: np.dtype[Any]
    ) -> None:
        """Write some columns, sorted by the first, with the number of each row; see `SortedKeys`."""
        from mmpipe.deduplication.cluster_kernels import sort_ties

        most = self._scratch.memory_bytes // self._scratch.workers // _SORTING_BYTES
        passes = len(cut_evenly(self.rows, most))
        begin = 0
        with file.open("wb") as out:
            for number in range(passes):
                # keys are hashes, so equal ranges of them hold about as many
                low, high = (2**64 * edge // passes for edge in (number, number + 1))
                keys, of_documents = self._read_range(columns, numbers, low, high)
                if len(columns) == 1:
                    order = np.argsort(keys[0])
                    keys, of_documents = [keys[0][order]], of_documents[order]
                    sort_ties(keys[0], of_documents)
                else:
                    order = np.lexsort((of_documents, *reversed(keys)))
                    keys, of_documents = [column[order] for column in keys], of_documents[order]
                for place, column in enumerate(keys):
                    out.seek(8 * (place * self.rows + begin))
                    out.write(column.data)
                out.seek(8 * len(columns) * self.rows + number_type.itemsize * begin)
                out.write(of_documents.astype(number_type).data)
                begin += len(of_documents)

    def _read_range(
        self, columns: tuple[int, ...], numbers: NDArray[np.int64], low: int, high: int
    ) -> tuple[list[NDArray[np.uint64]], NDArray[np.int64]]:
        keys: list[list[NDArray[np.uint64]]] = [[] for _ in columns]
        arrivals = []
        begin = 0
        for rows in self._blocks:
            block = [
                np.fromfile(self._keys, np.uint64, rows, offset=8 * (self._columns * begin + column * rows))
                for column in columns
            ]
            inside = np.fromfile(self._arrivals, np.int64, rows, offset=8 * begin)
            if high - low < 2**64:
                is_inside = (block[0] >= np.uint64(low)) & (block[0] <= np.uint64(high - 1))
                block, inside = [column[is_inside] for column in block], inside[is_inside]
            for column, part in zip(keys, block, strict=True):
                column.append(part)
            arrivals.append(inside)
            begin += rows
        return [np.concatenate(column) for column in keys], numbers[np.concatenate(arrivals)]


class Arrivals:
    """Documents as they come: rows to sort by id, hashes and band keys to sort by themselves."""

    def __init__(self, scratch: Scratch, settings: MinHashSettings, rank_columns: tuple[str, ...]) -> None:
        self._scratch = scratch
        self._settings = settings
        self._rank_columns = rank_columns
        self._rows: list[Path] = []
        self._hashes = KeyBlocks(scratch, 2)
        self._keys = KeyBlocks(scratch, settings.bands)
        self.rows = 0

    @property
    def signed_rows(self) -> int:
        """Documents with band keys."""
        return self._keys.rows

    def take(self, batch: pl.DataFrame) -> None:
        """Lay one batch of signatures aside."""
        refuse_other_settings(batch, self._settings)
        arrivals = np.arange(self.rows, self.rows + batch.height)
        is_signed = batch.get_column("band_keys").bin.size() > 0
        keys = unpack_band_keys(batch.get_column("band_keys").filter(is_signed), self._settings.bands)
        self._keys.append(keys, arrivals[is_signed.to_numpy()])
        hashes = np.frombuffer(bytes.fromhex("".join(batch.get_column("exact_hash").to_list())), dtype=">u8")
        self._hashes.append(hashes.reshape(-1, 2).astype(np.uint64), arrivals)
        rows = batch.select("doc_id", "dump", *self._rank_columns, arrival=pl.Series(arrivals, dtype=pl.Int64))
        # no number is better than any
        rows = rows.with_columns(pl.selectors.float().fill_nan(None))
        self._rows.append(self._scratch.name_file("rows.parquet"))
        rows.write_parquet(self._rows[-1], compression="lz4")
        self.rows += batch.height

    def write_documents(self, file: Path) -> NDArray[np.int64]:
        """Write the documents in the order of their ids; return (rows,) the number of each arrival."""
        numbers: NDArray[np.int64] = self._scratch.make_array("numbers.i64", self.rows, np.int64)
        ordered = self._scratch.name_file("ordered.parquet")
        files = ", ".join(map(quote_path, self._rows))
        copy_query(self._scratch, f"SELECT * FROM read_parquet([{files}]) ORDER BY doc_id", ordered)
        begin, last = 0, None
        for batch in stream_rows(pl.scan_parquet(ordered).select("doc_id", "arrival"), self._scratch):
            ids = batch.get_column("doc_id")
            repeated = ids.filter(ids == ids.shift(1, fill_value=last))
            if len(repeated):
                raise SchemaError(
                    f"text_signatures: doc_id {repeated[0]} comes twice. Each document has one signature."
                )
            last = ids[-1]
            numbers[batch.get_column("arrival").to_numpy()] = np.arange(begin, begin + batch.height)
            begin += batch.height
        pl.scan_parquet(ordered).drop("arrival").sink_parquet(file, maintain_order=True)
        return numbers

    def write_keys(self, folder: Path, numbers: NDArray[np.int64]) -> None:
        """Write hashes and band keys, each sorted."""
        number_type = choose_number_type(self.rows)
        self._hashes.write_sorted((0, 1), numbers, folder / EXACT_FILE, number_type)
        with ThreadPoolExecutor(self._scratch.workers) as pool:
            tasks = [
                pool.submit(self._keys.write_sorted, (band,), numbers, folder / name_band(band), number_type)
                for band in range(self._settings.bands)
            ]
            for task in tasks:
                task.result()


def name_band(band: int) -> str:
    """Return the name of a band's file."""
    return f"band-{band:03d}.bin"


def choose_number_type(rows: int) -> np.dtype[Any]:
    """Return the type that numbers of documents are stored in."""
    return np.dtype(np.uint32 if rows < 2**32 else np.uint64)
