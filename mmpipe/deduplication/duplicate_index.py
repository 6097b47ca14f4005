"""Keeps what a dump's documents are compared by, sorted, so that later dumps need not read them again."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import xxhash

from mmpipe.deduplication.duplicate_index_writing import (
    DOCUMENTS_FILE,
    EXACT_FILE,
    Arrivals,
    choose_number_type,
    name_band,
)
from mmpipe.deduplication.pair_files import Scratch
from mmpipe.errors import SchemaError, ShardError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mmpipe.deduplication.minhash import MinHashSettings

_log = logging.getLogger(__name__)

DEFAULT_MEMORY_BYTES = 1 << 30

_META = "index.json"
_VERSION = 1


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
        return pl.scan_parquet(self.folder / DOCUMENTS_FILE)

    def open_band(self, band: int) -> SortedKeys:
        """Return the keys of one band."""
        return SortedKeys(self.folder / name_band(band), self.signed_rows, 1, choose_number_type(self.rows))

    def open_exact(self) -> SortedKeys:
        """Return the upper halves of the exact hashes as keys, the lower halves beside them."""
        return SortedKeys(self.folder / EXACT_FILE, self.rows, 2, choose_number_type(self.rows))


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
        arrivals = Arrivals(scratch, settings, rank_columns)
        batch_rows = max(256, memory_bytes // (24 * settings.bands + 2048))
        arrivals.take(signatures.limit(0).collect())
        for batch in signatures.collect_batches(chunk_size=batch_rows, maintain_order=False):
            arrivals.take(batch)
        numbers = arrivals.write_documents(target / DOCUMENTS_FILE)
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
    meta = _read_meta(folder)
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
            # what was made from something else is replaced, whatever its settings
            if _read_meta(folder).get("fingerprint") == fingerprint:
                index = open_index(folder, settings)
                if set(rank_columns) <= set(index.rank_columns):
                    return index
        except BrokenIndex as error:
            _log.warning("%s It is built again.", error)
    return build_index(
        folder,
        read_signatures(),
        settings,
        rank_columns=rank_columns,
        fingerprint=fingerprint,
        memory_bytes=memory_bytes,
        workers=workers,
    )


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((folder / _META).read_text())
    except (OSError, ValueError) as error:
        raise BrokenIndex(
            f"Duplicate index {folder}: {_META} cannot be read ({error}). Build the index again."
        ) from error
    return meta


def _digest_file(file: Path) -> str:
    digest = xxhash.xxh3_128()
    with file.open("rb") as opened:
        while block := opened.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _list_settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(settings.items()))
