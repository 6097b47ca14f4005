"""Finds near-duplicate pairs: candidates from the bands, held to their exact similarity."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from mmpipe.deduplication.bands import DEFAULT_HUBS, find_candidates
from mmpipe.deduplication.pair_files import SortedCodes, cut_evenly, list_neighbours
from mmpipe.deduplication.ranked_documents import BLOCK_ROWS
from mmpipe.deduplication.survivors import METHODS, Survivors, choose_survivors
from mmpipe.deduplication.verification import Texts, measure_similarities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmpipe.deduplication.minhash import MinHashSettings
    from mmpipe.deduplication.pair_files import Neighbours, PairLog, Scratch
    from mmpipe.deduplication.ranked_documents import RankedDocuments

#: The most documents of one bucket that each of its other documents is compared with, so that ten thousand pages of
#: one template, too unlike to go and too alike to part, cost 256 comparisons each and not ten thousand.
MOST_HUBS = 256

# two texts of 5,000 characters, their code points and their shingles
_PAIR_BYTES = 1 << 17
_MOST_PAIRS = 16_384


def find_near_duplicates(
    ranked: RankedDocuments,
    log: PairLog,
    texts: Texts,
    settings: MinHashSettings,
    scratch: Scratch,
    *,
    hubs: int = DEFAULT_HUBS,
) -> tuple[Survivors, Neighbours, bool]:
    """Append to `log` the near-duplicate pairs that candidates and verification give, and say who stays.

    Only documents that stay so far are searched. Where a bucket was too large to pair all of it, the search is made
    again among those that stay then, with twice the hubs each time: clusters have gone by then, and what is left in a
    bucket is mostly few. It ends when every two documents that stay and share a band key have been compared, or, with
    True as the third value, when more than MOST_HUBS documents of one bucket stay and not all of their pairs were.

    Args:
        ranked: the documents; of each text only the best one is compared. `is_settled` is changed in place.
        log: pairs known already, from other methods or earlier searches.
        texts: where the texts of candidates come from.
        settings: shingle and limit.
        scratch: memory, workers, and where arrays lie.
        hubs: to begin with; see `bands.DEFAULT_HUBS`.
    """
    compared = SortedCodes(scratch, scratch.memory_bytes // 8)
    searched = scratch.make_array("searched.bool", ranked.count, np.bool_)
    while True:
        neighbours = list_neighbours(log, ranked.count, scratch)
        survivors = choose_survivors(neighbours, ranked.groups, ranked.is_published, scratch)
        if not _mark_open(searched, survivors, ranked):
            return survivors, neighbours, False
        candidates, is_cut = find_candidates(
            ranked.indexes, ranked.nodes, searched, ranked.is_settled, scratch, hubs=hubs
        )
        news = _verify(candidates, compared, log, ranked, texts, settings, scratch, keep_compared=is_cut)
        if not is_cut:
            ranked.is_settled[:] = searched
        elif not news and hubs >= MOST_HUBS:
            return survivors, neighbours, True
        else:
            hubs = min(2 * hubs, MOST_HUBS)


def _mark_open(searched: NDArray[np.bool_], survivors: Survivors, ranked: RankedDocuments) -> bool:
    """Mark in `searched` the texts that stay, and return whether one of them has not been compared with the others."""
    searched[:] = False
    is_open = False
    for begin, end in cut_evenly(ranked.count, BLOCK_ROWS):
        kept = begin + np.flatnonzero(survivors.keepers[begin:end] == np.arange(begin, end))
        # a copy may stay where the best document of its text went for its address
        kept = ranked.groups[kept]
        searched[kept] = True
        is_open |= not bool(ranked.is_settled[kept].all())
    return is_open


def _verify(
    candidates: SortedCodes,
    compared: SortedCodes,
    log: PairLog,
    ranked: RankedDocuments,
    texts: Texts,
    settings: MinHashSettings,
    scratch: Scratch,
    *,
    keep_compared: bool,
) -> int:
    """Compare the candidates that have not been compared, append those alike to the log; return how many there were."""
    count = ranked.count
    limit = settings.verify_jaccard
    batch_pairs = max(64, min(_MOST_PAIRS, scratch.memory_bytes // scratch.workers // _PAIR_BYTES))

    def measure(batch: tuple[NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.float64]:
        needed, places = np.unique(np.concatenate(batch), return_inverse=True)
        left, right = np.split(places.astype(np.int64), 2)
        return measure_similarities(ranked.ids.gather(needed), left, right, texts, settings.shingling)

    news = 0
    with ThreadPoolExecutor(scratch.workers) as pool:
        for low, high in candidates.cut_ranges(count * count, scratch.memory_bytes // 4):
            codes = candidates.read_within(low, high)
            codes = np.setdiff1d(codes, compared.read_within(low, high), assume_unique=True)
            better, worse = (codes // np.uint64(count)).astype(np.int64), (codes % np.uint64(count)).astype(np.int64)
            batches = [(better[b:e], worse[b:e]) for b, e in cut_evenly(len(codes), batch_pairs)]
            for batch, similarities in zip(batches, pool.map(measure, batches), strict=True):
                is_near = similarities >= limit if limit is not None else np.ones(len(similarities), dtype=np.bool_)
                log.append(batch[0][is_near], batch[1][is_near], similarities[is_near], METHODS.index("minhash"))
            if keep_compared:
                compared.add(codes)
            news += len(codes)
    return news
