"""Keeps what a dump's documents are compared by, sorted, so that later dumps need not read them again."""

# ruff: noqa: S608 - queries are made of paths of our own and of quoted names

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import xxhash

from mmpipe.deduplication.bands import refuse_other_settings, unpack_band_keys
from mmpipe.deduplication.external_sort import copy_query, quote_path, stream_rows
from mmpipe.deduplication.pair_files import Scratch, cut_evenly
from mmpipe.errors import SchemaError, ShardError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mmpipe.deduplication.minhash import MinHashSettings

_log = logging.getLogger(__name__)

DEFAULT_MEMORY_BYTES = 1 << 30

_META, _DOCUMENTS, _EXACT = "index.json", "documents.parquet", "exact.bin"
_VERSION = 1
# bytes held while one key is read, sorted and written
_SORTING_BYTES = 64


class BrokenIndex(ShardError):
    """An index whose files are not what was written; build it again from text_signatures, nothing else is lost."""


@dataclass(frozen=True, slots=True)
class DuplicateIndex:
    """One dump's index: a folder of documents in the order of their ids and, per band, keys in their order.

    A document's number is its place in the order of ids, so the index depends on the documents alone. Files:
    `documents.parquet` (`doc_id`, `dump`, and the columns documents are ranked by), `exact.bin` (128-bit hashes of
    whole texts, sorted, with numbers) and `band-NNN.bin` (band keys, sorted, with numbers; documents without a word
    have none). A number takes 4 bytes below 2^32 documents and 8 from there on.
    """

    folder: Path
    rows: int
    signed_rows: int
    bands: int
    rank_columns: tuple[str, ...]
    fingerprint: str

    @property
    def nbytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.folder.iterdir())

    def scan_documents(self) -> pl.LazyFrame:
        """Return the documents in the order of their numbers."""
        return pl.scan_parquet(self.folder / _DOCUMENTS)

    def open_band(self, band: int) -> SortedKeys:
        """Return the keys of one band."""
        return SortedKeys(self.folder / _name_band(band), self.signed_rows, 1, _number_type(self.rows))

    def open_exact(self) -> SortedKeys:
        """Return the upper halves of the exact hashes as keys, the lower halves beside them."""
        return SortedKeys(self.folder / _EXACT, self.rows, 2, _number_type(self.rows))


@dataclass(frozen=True, slots=True)
class SortedKeys:
    """A file of (columns, rows) uint64, sorted by the first column, and then the number of each row."""

    file: Path
    rows: int
    columns: int
    number_type: np.dtype[Any]

    def find_range(self, low: int, high: int) -> tuple[int, int]:
        """Return where keys of at least `low` begin and where those of at least `high` do."""
        if not self.rows:
            return 0, 0
        keys = np.memmap(self.file, dtype=np.uint64, mode="r", shape=self.rows)
        begin = int(np.searchsorted(keys, np.uint64(low)))
        return begin, self.rows if high >= 2**64 else int(np.searchsorted(keys, np.uint64(high)))

    def read(self, begin: int, end: int) -> tuple[list[NDArray[np.uint64]], NDArray[np.int64]]:
        """Return the columns and the numbers of some rows."""
        # read, not mapped: mapped pages would count for the memory of this process until the system takes them
        columns = [
            np.fromfile(self.file, dtype=np.uint64, count=end - begin, offset=8 * (column * self.rows + begin))
            for column in range(self.columns)
        ]
        offset = 8 * self.columns * self.rows + self.number_type.itemsize * begin
        numbers = np.fromfile(self.file, dtype=self.number_type, count=end - begin, offset=offset)
        return columns, numbers.astype(np.int64)


def build_index(
    folder: Path,
    signatures: pl.LazyFrame,
    settings: MinHashSettings,
    *,
    rank_columns: tuple[str, ...] = ("text_chars", "date"),
    fingerprint: str = "",
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    workers: int = 1,
) -> DuplicateIndex:
    """Build the index of one dump; it appears when it is whole. The same documents give the same bytes.

    Signatures are read once, in any order. Beside `memory_bytes`, 8 bytes per document lie in memory-mapped files.

    Args:
        folder: to make; replaced if it is there.
        signatures: TEXT_SIGNATURES of one dump, and more columns to rank by if wanted.
        settings: those the signatures were made with.
        rank_columns: columns that documents are ranked by (`survivors.KeepPolicy.columns`).
        fingerprint: of what it is built from; see `open_or_build_index`.
        memory_bytes: held at once, about.
        workers: threads; the index does not depend on them.

    Raises:
        SchemaError: signatures of other settings, a column that is missing, or an id that comes twice.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    missing = [column for column in rank_columns if column not in signatures.collect_schema()]
    if missing:
        raise SchemaError(
            f"text_signatures have no column {missing[0]!r}, by which the keep policy ranks documents. Join it to them "
            f"before the index is built, or leave it out of the policy."
        )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        scratch = Scratch(Path(place), memory_bytes, workers)
        target = Path(place) / "index"
        target.mkdir()
        arrivals = _Arrivals(scratch, settings, rank_columns)
        batch_rows = max(256, memory_bytes // (24 * settings.bands + 2048))
        arrivals.take(signatures.limit(0).collect())
        for batch in signatures.collect_batches(chunk_size=batch_rows, maintain_order=False):
            arrivals.take(batch)
        numbers = arrivals.write_documents(target / _DOCUMENTS)
        arrivals.write_keys(target, numbers)
        meta = {
            "version": _VERSION,
            "rows": arrivals.rows,
            "signed_rows": arrivals.signed_rows,
            "rank_columns": list(rank_columns),
            "fingerprint": fingerprint,
            "settings": settings.describe_signature(),
            "signature_digest": settings.signature_digest,
            "files": {file.name: [file.stat().st_size, _digest_file(file)] for file in sorted(target.iterdir())},
        }
        (target / _META).write_text(json.dumps(meta, indent=1, sort_keys=True, default=str))
        if folder.exists():
            shutil.rmtree(folder)
        target.replace(folder)
    return open_index(folder, settings, is_checked=False)


def open_index(folder: Path, settings: MinHashSettings, *, is_checked: bool = True) -> DuplicateIndex:
    """Return an index that was built.

    Args:
        folder: of the index.
        settings: of the search.
        is_checked: whether to read all its files and compare their digests.

    Raises:
        SchemaError: it was built with other settings; both are named.
        BrokenIndex: a file is missing, cut or changed; it is named.
    """
    try:
        meta = json.loads((folder / _META).read_text())
    except (OSError, ValueError) as error:
        raise BrokenIndex(
            f"Duplicate index {folder}: {_META} cannot be read ({error}). Build the index again."
        ) from error
    if meta.get("version") != _VERSION or meta["signature_digest"] != settings.signature_digest:
        built, asked = (_list_settings(of) for of in (meta.get("settings", {}), settings.describe_signature()))
        raise SchemaError(
            f"Duplicate index {folder} was built with {built}, and this search asks for {asked}: their band keys never "
            f"match. Build the index again, or search with its settings."
        )
    for name, (size, digest) in meta["files"].items():
        file = folder / name
        found = file.stat().st_size if file.is_file() else -1
        if found != size or (is_checked and _digest_file(file) != digest):
            problem = (
                "is missing" if found < 0 else f"has {found} bytes, not {size}" if found != size else "has changed"
            )
            raise BrokenIndex(
                f"Duplicate index {folder}: {name} {problem}. Build the index again from text_signatures."
            )
    return DuplicateIndex(
        folder,
        meta["rows"],
        meta["signed_rows"],
        settings.bands,
        tuple(meta["rank_columns"]),
        meta["fingerprint"],
    )


def open_or_build_index(
    folder: Path,
    read_signatures: Callable[[], pl.LazyFrame],
    settings: MinHashSettings,
    *,
    fingerprint: str,
    rank_columns: tuple[str, ...] = ("text_chars", "date"),
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    workers: int = 1,
) -> DuplicateIndex:
    """Return the index in the folder, built anew where there is none, it is broken, or made from something else.

    Args:
        folder: of the index.
        read_signatures: gives the dump's signatures; called only to build.
        settings: of the search. An index of other settings is refused, never replaced in silence.
        fingerprint: of the signatures (`require_manifest().fingerprint`).
        rank_columns: as in `build_index`.
        memory_bytes: as in `build_index`.
        workers: as in `build_index`.

    Raises:
        SchemaError: an index of the same fingerprint was built with other settings.
    """
    if (folder / _META).exists():
        try:
            index = open_index(folder, settings)
        except BrokenIndex as error:
            _log.warning("%s It is built again.", error)
        else:
            if index.fingerprint == fingerprint and set(rank_columns) <= set(index.rank_columns):
                return index
    return build_index(
        folder,
        read_signatures(),
        settings,
        rank_columns=rank_columns,
        fingerprint=fingerprint,
        memory_bytes=memory_bytes,
        workers=workers,
    )


class _KeyBlocks:
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


class _Arrivals:
    """Documents as they come: rows to sort by id, hashes and band keys to sort by themselves."""

    def __init__(self, scratch: Scratch, settings: MinHashSettings, rank_columns: tuple[str, ...]) -> None:
        self._scratch = scratch
        self._settings = settings
        self._rank_columns = rank_columns
        self._rows: list[Path] = []
        self._hashes = _KeyBlocks(scratch, 2)
        self._keys = _KeyBlocks(scratch, settings.bands)
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
        number_type = _number_type(self.rows)
        self._hashes.write_sorted((0, 1), numbers, folder / _EXACT, number_type)
        with ThreadPoolExecutor(self._scratch.workers) as pool:
            tasks = [
                pool.submit(self._keys.write_sorted, (band,), numbers, folder / _name_band(band), number_type)
                for band in range(self._settings.bands)
            ]
            for task in tasks:
                task.result()


def _name_band(band: int) -> str:
    return f"band-{band:03d}.bin"


def _number_type(rows: int) -> np.dtype[Any]:
    return np.dtype(np.uint32 if rows < 2**32 else np.uint64)


def _digest_file(file: Path) -> str:
    digest = xxhash.xxh3_128()
    with file.open("rb") as opened:
        while block := opened.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _list_settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(settings.items()))
