"""The index of a published dump: fingerprints by key; a later dump reads its texts only where the two match."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
import xxhash

from mmpipe.deduplication.substring_fingerprints import WORKING_BYTES, FingerprintFiles, make_fingerprints
from mmpipe.deduplication.substring_store import batch_documents, digest_documents, map_values, read_units
from mmpipe.errors import ConfigurationError, DatasetNotReady, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from mmpipe.deduplication.substring_settings import SubstringSettings
    from mmpipe.deduplication.substring_store import Units
    from mmpipe.deduplication.verification import Texts

#: Raise it with what makes old indexes stale.
_REVISION = 1

_KEYS, _PLACES, _DOCUMENTS, _HEADER = "keys.u64", "places.u64", "documents.parquet", "index.json"

# documents of an earlier dump whose texts are in memory at once
_BATCH_DOCUMENTS = 1024


@dataclass(frozen=True, slots=True)
class SubstringIndex:
    """What `write_substring_index` made of a published corpus.

    Attributes:
        folder: where it is.
        keys: of its fingerprints, sorted; mapped from disk.
        places: of each, as `substring_kernels.select_fingerprints` packs them; mapped from disk.
        documents: `doc_id`, `rank`, `units`, `digest` (64-bit xxh3 of the units), in the order of the places.
    """

    folder: Path
    keys: NDArray[np.uint64]
    places: NDArray[np.uint64]
    documents: pl.DataFrame

    @classmethod
    def open(cls, folder: Path, settings: SubstringSettings) -> Self:
        """Return the index in a folder, once its files are seen to be what was written.

        Raises:
            DatasetNotReady: it is missing or damaged.
            ConfigurationError: it was made with other parameters.
        """
        if not (folder / _HEADER).is_file():
            raise DatasetNotReady(f"No substring index at {folder}: write it from the texts of that dump.")
        header = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
        ours = {"revision": _REVISION, **settings.describe_index()}
        if header["made_with"] != ours:
            raise ConfigurationError(
                f"The substring index at {folder} was made with {header['made_with']}, this search needs {ours}: the "
                f"two cannot be compared. Write the index of that dump again."
            )
        for name, digest in header["files"].items():
            path = folder / name
            if not path.is_file() or _digest_file(path) != digest:
                raise DatasetNotReady(
                    f"{path} is not what was written there: remove that folder and write the index of the dump again; "
                    f"the dump itself is not touched."
                )
        keys, places = (map_values(folder / name, np.uint64) for name in (_KEYS, _PLACES))
        return cls(folder, keys, places, pl.read_parquet(folder / _DOCUMENTS))

    def list_starts(self) -> NDArray[np.int64]:
        """Return the place of each document, and of the end: (documents + 1,)."""
        return np.concatenate([[0], np.cumsum(self.documents.get_column("units").to_numpy())]).astype(np.int64)


def write_substring_index(
    documents: pl.LazyFrame | Iterable[pl.DataFrame],
    settings: SubstringSettings,
    folder: Path,
    *,
    memory_bytes: int = 1 << 28,
    workers: int = 1,
) -> None:
    """Write the index of a published corpus, whole or not at all. It depends on the texts and their order.

    On disk it takes 16 bytes per fingerprint, of which there is about one per quarter of `least_length` units: with
    100 bytes, 0.62 bytes per byte of text. The text itself is not stored.

    Args:
        documents: `doc_id`, `rank` and `text` (or tokens), as for `find_repeats`: the texts that were published.
        settings: as for `find_repeats`.
        folder: a new folder; scratch files stand beside it.
        memory_bytes: bound of the fingerprints in memory.
        workers: threads.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    made.mkdir()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="fingerprints-", dir=made) as scratch,
            ThreadPoolExecutor(workers) as pool,
        ):
            files = FingerprintFiles(Path(scratch), memory_bytes // WORKING_BYTES)
            frames, total = [], 0
            for batch in batch_documents(documents, memory_bytes // 16):
                units = read_units(batch, settings)
                for found in make_fingerprints(units, total, settings, pool, workers):
                    files.add(found)
                total += len(units.units)
                frames.append(_describe(batch, units))
            with (made / _KEYS).open("wb") as keys, (made / _PLACES).open("wb") as places:
                for keyed in files.list_ranges():
                    found = keyed.read()
                    # by place among equal keys, so that the bytes do not tell how the texts came in batches
                    found = found[np.lexsort((found[:, 1], found[:, 0]))]
                    keys.write(found[:, 0].tobytes())
                    places.write(found[:, 1].tobytes())
        pl.concat([_empty_documents(), *frames]).write_parquet(made / _DOCUMENTS)
        header = {
            "made_with": {"revision": _REVISION, **settings.describe_index()},
            "files": {name: _digest_file(made / name) for name in (_KEYS, _PLACES, _DOCUMENTS)},
        }
        (made / _HEADER).write_text(json.dumps(header), encoding="utf-8")
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _empty_documents() -> pl.DataFrame:
    return pl.DataFrame(schema={"doc_id": pl.String, "rank": pl.Float64, "units": pl.Int64, "digest": pl.UInt64})


def _describe(batch: pl.DataFrame, units: Units) -> pl.DataFrame:
    return batch.select(pl.col("doc_id").cast(pl.String), pl.col("rank").cast(pl.Float64)).with_columns(
        units=pl.Series(units.lengths, dtype=pl.Int64),
        digest=pl.Series(digest_documents(units), dtype=pl.UInt64),
    )


def _digest_file(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_matched(
    index: SubstringIndex,
    documents: NDArray[np.int64],
    texts: Texts | Callable[[list[str]], pl.DataFrame],
    settings: SubstringSettings,
) -> Iterable[tuple[pl.DataFrame, Units]]:
    """Yield the documents of an index that matched, some at a time, with their units.

    Raises:
        SchemaError: a text is missing, or is not the one that was indexed.
    """
    for begin in range(0, len(documents), _BATCH_DOCUMENTS):
        known = index.documents[documents[begin : begin + _BATCH_DOCUMENTS]]
        ids = known.get_column("doc_id").to_list()
        found: Any = texts.filter(pl.col("doc_id").is_in(ids)) if isinstance(texts, pl.DataFrame) else texts(ids)
        if isinstance(found, dict):
            found = pl.DataFrame({"doc_id": list(found), "text": list(found.values())})
        batch = known.join(found.drop("rank", strict=False), on="doc_id", how="inner", maintain_order="left")
        units = read_units(batch, settings) if batch.height == known.height else None
        if units is None or digest_documents(units) != known.get_column("digest").to_list():
            raise SchemaError(
                f"{index.folder}: the texts of documents {ids[0]} to {ids[-1]} are missing or not those that were "
                f"indexed. Write the index of that dump again."
            )
        yield batch, units
