"""Finds the pairs worth comparing: documents that share a band key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.errors import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.minhash import MinHashSettings

# signatures read at once: 450 band keys are 3.6 KB, so about 230 MB
_BATCH_ROWS = 65_536

#: Each document is compared with at most this many best documents of each of its buckets, so that a bucket of n
#: documents costs n times this and not n squared. Buckets up to this size lose nothing.
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


def stack_band_keys(signatures: pl.DataFrame, bands: int, scratch: Path | None = None) -> NDArray[np.uint64]:
    """Return (bands, rows) uint64: the keys of one band side by side, as the search reads them.

    Args:
        signatures: rows with `band_keys`, in the order wanted.
        bands: keys per row.
        scratch: a file to lay the keys in instead of memory; the caller removes it.
    """
    shape = (bands, signatures.height)
    if scratch is None or not signatures.height:
        stacked: NDArray[np.uint64] = np.empty(shape, dtype=np.uint64)
    else:
        stacked = np.memmap(scratch, dtype=np.uint64, mode="w+", shape=shape)
    for begin in range(0, signatures.height, _BATCH_ROWS):
        column = signatures.get_column("band_keys").slice(begin, _BATCH_ROWS)
        stacked[:, begin : begin + column.len()] = unpack_band_keys(column, bands).T
    return stacked


def find_candidates(
    keys: NDArray[np.uint64],
    documents: NDArray[np.int64],
    is_published: NDArray[np.bool_],
    *,
    hubs: int = DEFAULT_HUBS,
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Return the distinct pairs of documents that share a band key, as (better, worse) indices, sorted.

    The third value says whether a bucket held more documents than all could be paired. One band is in memory at a
    time: about 40 bytes per document, beside the pairs found so far. The result depends on the documents and their
    order of preference alone. Bands are independent, so on a cluster each may be a task.

    Args:
        keys: (bands, all documents), best first; see `stack_band_keys`.
        documents: which documents to search among, ascending.
        is_published: (all documents,) published by an earlier dump; two such documents are never paired.
        hubs: see DEFAULT_HUBS.
    """
    from mmpipe.deduplication.cluster_kernels import pair_buckets

    count = np.uint64(max(1, len(documents)))
    pairs = np.empty(0, dtype=np.uint64)
    is_cut = False
    for all_keys in np.asarray(keys):
        band = all_keys[documents]
        order = np.argsort(band, kind="stable")
        found, is_band_cut = pair_buckets(band, order, is_published[documents], hubs)
        is_cut |= is_band_cut
        pairs = _merge_sorted(pairs, np.unique(found))
    return documents[(pairs // count).astype(np.int64)], documents[(pairs % count).astype(np.int64)], is_cut


def _merge_sorted(known: NDArray[np.uint64], found: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the union of two sorted arrays of distinct values; cheap where `found` holds little that is new."""
    places = np.searchsorted(known, found)
    is_known = np.zeros(len(found), dtype=np.bool_)
    inside = places < len(known)
    is_known[inside] = known[places[inside]] == found[inside]
    return known if is_known.all() else np.insert(known, places[~is_known], found[~is_known])


def select_touching(earlier: pl.LazyFrame, current: pl.DataFrame, settings: MinHashSettings) -> pl.DataFrame:
    """Return the signatures of earlier dumps that share a band key or an exact hash with the current one.

    Earlier signatures are streamed; only those that touch stay in memory. Rows signed with other settings are taken
    along, for the caller to refuse.

    Args:
        earlier: signatures of documents published by earlier dumps.
        current: the current dump's signatures.
        settings: those of both.
    """
    exact_hashes = current.get_column("exact_hash").unique().implode()
    signed = current.filter(pl.col("band_keys").bin.size() > 0)
    sorted_keys = stack_band_keys(signed, settings.bands)
    sorted_keys.sort(axis=1)
    touching = [earlier.limit(0).collect()]
    for batch in earlier.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False):
        is_touching = (
            batch.select(
                (pl.col("signature_settings") != settings.signature_digest) | pl.col("exact_hash").is_in(exact_hashes)
            )
            .to_series()
            .to_numpy()
            .copy()
        )
        undecided = np.flatnonzero(~is_touching & (batch.get_column("band_keys").bin.size() > 0).to_numpy())
        keys = unpack_band_keys(batch.get_column("band_keys").gather(undecided), settings.bands)
        for band, known in enumerate(sorted_keys if signed.height else ()):
            wanted = keys[:, band]
            shares = known[np.minimum(np.searchsorted(known, wanted), len(known) - 1)] == wanted
            is_touching[undecided[shares]] = True
            undecided, keys = (undecided[~shares], keys[~shares]) if shares.any() else (undecided, keys)
        touching.append(batch.filter(pl.Series(is_touching)))
    return pl.concat(touching)
