"""Finds the pairs worth comparing: documents that share a band key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.minhash import MinHashSettings

# signatures read at once: 450 band keys are 3.6 KB, so about 230 MB
_BATCH_ROWS = 65_536

#: Each document is paired with at most this many best documents of each of its buckets in one search, so that a
#: bucket of n documents costs n times this and not n squared.
DEFAULT_HUBS = 16


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


def stack_band_keys(
    batches: Iterable[pl.DataFrame], bands: int, rows: int, file: Path | None = None
) -> tuple[NDArray[np.uint64], pl.DataFrame]:
    """Return (bands, rows) uint64, the keys of one band side by side as the search reads them, and who is where.

    The second value has `doc_id` and `column`: the documents in the order in which they came.

    Args:
        batches: `doc_id` and `band_keys` of documents with keys; only one batch is in memory at a time.
        bands: keys per document.
        rows: documents in all batches.
        file: where to lay the keys, instead of memory; the caller removes it.

    Raises:
        SchemaError: a row has another number of keys.
    """
    keys = _allocate((bands, rows), file)
    doc_ids = [pl.DataFrame(schema={"doc_id": pl.String})]
    begin = 0
    for batch in batches:
        keys[:, begin : begin + batch.height] = unpack_band_keys(batch.get_column("band_keys"), bands).T
        begin += batch.height
        doc_ids.append(batch.select("doc_id"))
    return keys, pl.concat(doc_ids).with_row_index("column")


def stream_signed(signatures: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield the rows that have band keys, some at a time, in any order."""
    signed = signatures.filter(pl.col("band_keys").bin.size() > 0)
    yield from signed.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False)


def _allocate(shape: tuple[int, int], file: Path | None) -> NDArray[np.uint64]:
    if file is None or not all(shape):
        return np.empty(shape, dtype=np.uint64)
    return np.memmap(file, dtype=np.uint64, mode="w+", shape=shape)


def find_candidates(
    keys: Sequence[NDArray[np.uint64]],
    columns: NDArray[np.int64],
    is_published: NDArray[np.bool_],
    *,
    hubs: int = DEFAULT_HUBS,
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Return the distinct pairs of documents that share a band key, as sorted (better, worse) places in `columns`.

    The third value says whether a bucket held more documents than all could be paired. One band is in memory at a
    time: about 40 bytes per document, beside the pairs found so far. The result depends on the documents and their
    order of preference alone. Bands are independent, so on a cluster each may be a task.

    Args:
        keys: one or several (bands, documents); see `stack_band_keys`.
        columns: the documents to search among, best first, by their column in `keys` (counted through all of them).
        is_published: for each of them, whether an earlier dump published it; two such documents are never paired.
        hubs: see DEFAULT_HUBS.
    """
    from mmpipe.deduplication.cluster_kernels import pair_buckets

    count = np.uint64(max(1, len(columns)))
    pairs = np.empty(0, dtype=np.uint64)
    is_cut = False
    for parts in zip(*keys, strict=True):
        band = np.concatenate(parts)[columns]
        found, is_band_cut = pair_buckets(band, np.argsort(band), is_published, hubs)
        is_cut |= is_band_cut
        pairs = _merge_sorted(pairs, np.unique(found))
    return (pairs // count).astype(np.int64), (pairs % count).astype(np.int64), is_cut


def _merge_sorted(known: NDArray[np.uint64], found: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the union of two sorted arrays of distinct values; cheap where `found` holds little that is new."""
    places = np.searchsorted(known, found)
    is_known = np.zeros(len(found), dtype=np.bool_)
    inside = places < len(known)
    is_known[inside] = known[places[inside]] == found[inside]
    return known if is_known.all() else np.insert(known, places[~is_known], found[~is_known])


def select_touching(
    earlier: pl.LazyFrame,
    keys: NDArray[np.uint64],
    exact_hashes: pl.Series,
    settings: MinHashSettings,
    file: Path | None = None,
) -> pl.DataFrame:
    """Return the signatures of earlier dumps that share a band key or an exact hash with the current one.

    Earlier signatures are streamed; only those that touch stay in memory. Rows signed with other settings are taken
    along, for the caller to refuse.

    Args:
        earlier: signatures of documents published by earlier dumps.
        keys: (bands, documents) of the current dump.
        exact_hashes: of the current dump.
        settings: those of both.
        file: where to lay a sorted copy of the keys, instead of memory; the caller removes it.
    """
    known_keys = _allocate((keys.shape[0], keys.shape[1]), file)
    for band, unsorted in enumerate(keys):
        known_keys[band] = np.sort(np.asarray(unsorted))
    is_other = pl.col("signature_settings") != settings.signature_digest
    is_exact = pl.col("exact_hash").is_in(exact_hashes.unique().implode())
    touching = [earlier.limit(0).collect()]
    for batch in earlier.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False):
        is_touching = batch.select(is_other | is_exact).to_series().to_numpy().copy()
        undecided = np.flatnonzero(~is_touching & (batch.get_column("band_keys").bin.size() > 0).to_numpy())
        undecided_keys = unpack_band_keys(batch.get_column("band_keys").gather(undecided), settings.bands)
        for band, known in enumerate(known_keys if keys.shape[1] else ()):
            wanted = undecided_keys[:, band]
            shares = known[np.minimum(np.searchsorted(known, wanted), len(known) - 1)] == wanted
            if shares.any():
                is_touching[undecided[shares]] = True
                undecided, undecided_keys = undecided[~shares], undecided_keys[~shares]
        touching.append(batch.filter(pl.Series(is_touching)))
    return pl.concat(touching)
