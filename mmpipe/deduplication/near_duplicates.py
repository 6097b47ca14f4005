"""Finds near-duplicate pairs: candidates from the bands, held to their exact similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmpipe.deduplication.bands import DEFAULT_HUBS, find_candidates
from mmpipe.deduplication.survivors import choose_survivors
from mmpipe.deduplication.verification import Texts, measure_similarities

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

    from mmpipe.deduplication.minhash import MinHashSettings


#: The most documents of one bucket that each of its other documents is compared with, so that ten thousand pages of
#: one template, too unlike to go and too alike to part, cost 256 comparisons each and not ten thousand.
MOST_HUBS = 256


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Near-duplicate pairs of documents, by rank, with their similarity."""

    better: NDArray[np.int64]
    worse: NDArray[np.int64]
    similarities: NDArray[np.float64]


def find_near_duplicates(
    keys: Sequence[NDArray[np.uint64]],
    compared: pl.DataFrame,
    texts: Texts,
    settings: MinHashSettings,
    *,
    hubs: int = DEFAULT_HUBS,
) -> NearDuplicates:
    """Return all near-duplicate pairs that candidates and verification give.

    Where a bucket was too large to pair all of it, the search is made again among the documents that stay, with twice
    the hubs each time: clusters have gone by then, and what is left in a bucket is mostly few. A pair that shares a
    band key is missed only where more than MOST_HUBS documents of one bucket stay.

    Args:
        keys: band keys; see `bands.find_candidates`.
        compared: the documents to search among, best first: `rank` (the number the answer uses), `column` (in
            `keys`), `doc_id`, `is_published`.
        texts: where the texts of candidates come from.
        settings: shingle and limit.
        hubs: to begin with; see `bands.DEFAULT_HUBS`.
    """
    columns = compared.get_column("column").to_numpy()
    is_published = compared.get_column("is_published").to_numpy()
    searched = np.arange(compared.height)
    known = np.empty(0, dtype=np.uint64)
    found = NearDuplicates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
    is_settled = False
    while not is_settled:
        better, worse, is_cut = find_candidates(keys, columns[searched], is_published[searched], hubs=hubs)
        better, worse = searched[better], searched[worse]
        codes = better.astype(np.uint64) * np.uint64(compared.height) + worse.astype(np.uint64)
        is_new = ~np.isin(codes, known)
        found = _verify(found, better[is_new], worse[is_new], compared.get_column("doc_id"), texts, settings)
        known = np.union1d(known, codes)
        keepers, _ = choose_survivors(compared.height, found.better, found.worse, found.similarities)
        searched = np.flatnonzero(keepers == np.arange(compared.height))
        is_settled = not is_cut or (hubs >= MOST_HUBS and not is_new.any())
        hubs = min(2 * hubs, MOST_HUBS)
    ranks = compared.get_column("rank").to_numpy()
    return NearDuplicates(ranks[found.better], ranks[found.worse], found.similarities)


def _verify(
    found: NearDuplicates,
    better: NDArray[np.int64],
    worse: NDArray[np.int64],
    doc_ids: pl.Series,
    texts: Texts,
    settings: MinHashSettings,
) -> NearDuplicates:
    similarities = measure_similarities(doc_ids, better, worse, texts, settings.shingle_words)
    limit = settings.verify_jaccard
    is_near = similarities >= limit if limit is not None else np.ones(len(similarities), dtype=np.bool_)
    return NearDuplicates(
        np.concatenate([found.better, better[is_near]]),
        np.concatenate([found.worse, worse[is_near]]),
        np.concatenate([found.similarities, similarities[is_near]]),
    )
