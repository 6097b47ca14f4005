"""Finds text that repeats text of the same length or more anywhere in a corpus, exactly, and cuts it out.

What Lee et al. (arXiv 2107.06499, §4.1, ExactSubstr) and RefinedWeb (arXiv 2306.01116, §3.3 and G.3) do with a suffix
array of the whole corpus. A *window* is `least_length` units (bytes, or tokens) of one document; it repeats if equal
units stand anywhere else, in the same document or another. Found is what a suffix array finds: a unit is covered if
and only if a window that repeats covers it.

**How.** Of each window one fingerprint is chosen, the least hash of the pieces of about half its length in it
(winnowing; Schleimer, Wilkerson and Aiken, SIGMOD 2003): equal windows have equal fingerprints at equal places, so no
repeat is missed, and there is one fingerprint for about a quarter of `least_length` units. Fingerprints are brought
together by key in scratch files, and the units around those that share a key are compared one by one, so nothing rests
on a hash. Each window belongs to one fingerprint, and within a group windows are looked up in a table rather than
compared pair by pair: the work is linear in the windows, whether a paragraph stands in 2 documents or in 100,000.

**Which occurrence stays.** Documents are ordered by corpus (earlier dumps first), rank and id. Of windows that are
equal the first in that order is *the first*. Under `keep: first, overlaps: keep` a unit is removed if and only if a
window that is not the first covers it and none that repeats and is the first does. Therefore

* every window that repeats stands whole in what remains, at least where its first is: no text is lost;
* every removed span equals, unit by unit, a span that remains (`kept_doc_id`, `kept_start`); where one source ends
  and another goes on, as in text of a short period, the next span begins;
* a second occurrence stays only where it overlaps the first of something else, by less than a window at each end. That
  is not rare: where a notice of fewer than two windows stands behind a number that is found elsewhere too, "7 All
  rights ..." is a repeat of its own, whose first keeps most of the notice.

Under `overlaps: cut` a unit is removed if a window that is not the first covers it, whatever else does. Then

* every removed unit equals one that remains, to which `kept_doc_id` and `kept_start` lead, perhaps in several steps,
  each to an earlier place in the order: no unit is lost, and of the notice one occurrence stays;
* a repeat across the border of two others may stand whole nowhere: "7 " stays here and "All rights ..." there.

What stands on both sides of a cut becomes neighbours, so text that remains may hold new repeats across cuts; those are
not looked for. Under `keep: none` every window that repeats goes.

**Bounds.** Memory is `memory_bytes`, about 250 bytes per document, the spans that are found, and the group of one
fingerprint if that is larger (n equal characters in a row are one of n, of about 250 bytes each). Scratch files take a
byte per byte of text, or 25 per token, and 16 bytes per fingerprint. The text of groups is read through a mapped file
in no order, so that a corpus larger than the page cache wants a fast disk. Places reach to 2^48 units.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.substring_fingerprints import (
    WORKING_BYTES,
    FingerprintFiles,
    Fingerprints,
    KeyRange,
    make_fingerprints,
)
from mmpipe.deduplication.substring_index import SubstringIndex, read_matched
from mmpipe.deduplication.substring_spans import RunFiles, describe_spans
from mmpipe.deduplication.substring_store import DocumentOrder, UnitStore, batch_documents, map_values, read_units
from mmpipe.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.substring_settings import SubstringSettings
    from mmpipe.deduplication.verification import Texts


def find_repeats(
    documents: pl.LazyFrame | Iterable[pl.DataFrame],
    settings: SubstringSettings,
    *,
    scratch: Path,
    earlier: Sequence[tuple[SubstringIndex, Texts | Callable[[list[str]], pl.DataFrame]]] = (),
    memory_bytes: int = 1 << 28,
    workers: int = 1,
) -> pl.DataFrame:
    """Return SPANS: what is to be cut from the documents, sorted by `doc_id` and `start`.

    The result does not depend on the order of the documents, on how they come in frames, on memory or workers.

    Args:
        documents: `doc_id`, `rank` (0 = best; equal ranks are ordered by id) and `text`; for tokens that are given,
            `token_ids`, `token_starts` and `token_ends` (lists; characters), and no text.
        settings: what a repeat is, and which occurrence stays.
        scratch: an empty folder for files of this call; the caller removes it.
        earlier: indexes of dumps that were published before, first to last, and where to read their texts, or frames
            of their tokens. What they hold is never cut, and comes before everything of `documents`.
        memory_bytes: see the module.
        workers: threads that fingerprint and compare.

    Raises:
        SchemaError: a document has no text, no rank, or the id of another.
    """
    store = UnitStore(scratch, settings)
    most = max(1, memory_bytes // WORKING_BYTES // workers)
    files = FingerprintFiles(scratch, most)
    with ThreadPoolExecutor(workers) as pool:
        for batch in batch_documents(documents, memory_bytes // 16):
            units = read_units(batch, settings)
            for found in make_fingerprints(units, store.total, settings, pool, workers):
                files.add(found)
            store.add(batch, units, sequence=len(earlier))
        current = store.total
        for sequence, (index, texts) in enumerate(earlier):
            _add_earlier(store, files, index, texts, settings, sequence, scratch, most)
        order = DocumentOrder(store.list_documents())
        if order.doc_ids.head(order.current_documents(len(earlier))).is_duplicated().any():
            raise SchemaError("Documents to search for repeats share an id: every document needs its own.")
        runs = RunFiles(scratch, memory_bytes // 64)

        def match(keyed: KeyRange) -> NDArray[np.int64]:
            return _match_range(keyed, store, order, current, settings, memory_bytes // workers)

        for found_runs in pool.map(match, files.list_ranges()):
            runs.add(found_runs)
    return describe_spans(runs, store, order, settings)


def _add_earlier(
    store: UnitStore,
    files: FingerprintFiles,
    index: SubstringIndex,
    texts: Texts | Callable[[list[str]], pl.DataFrame],
    settings: SubstringSettings,
    sequence: int,
    scratch: Path,
    most: int,
) -> None:
    """Add the documents of an index that share a fingerprint with what is there, and those fingerprints.

    At most `most` fingerprints of the index are in memory at once.
    """
    starts = index.list_starts()
    is_wanted = np.zeros(len(starts) - 1, dtype=np.bool_)
    path = scratch / f"matched-{sequence}.scratch"
    with path.open("wb") as matched:
        for keyed in files.list_ranges():
            within = keyed.slice_sorted(index.keys)
            known = np.unique(keyed.read()[:, 0])
            for begin in range(within.start, within.stop, most):
                part = slice(begin, min(begin + most, within.stop))
                keys = index.keys[part]
                is_known = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
                found = np.stack([keys[is_known], index.places[part][is_known]], axis=1)
                is_wanted[_find_owners(found, starts)] = True
                matched.write(found.data)
    wanted = np.flatnonzero(is_wanted)
    lengths = np.diff(starts)[wanted]
    moves = np.zeros(len(starts) - 1, dtype=np.int64)
    moves[wanted] = store.total + np.cumsum(lengths) - lengths - starts[wanted]
    for batch, units in read_matched(index, wanted, texts, settings):
        store.add(batch, units, sequence)
    stored = map_values(path, np.uint64).reshape(-1, 2)
    for begin in range(0, len(stored), most):
        found = np.array(stored[begin : begin + most])
        found[:, 1] += moves[_find_owners(found, starts)].astype(np.uint64) << np.uint64(16)
        files.add(found)


def _find_owners(found: Fingerprints, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    places = (found[:, 1] >> np.uint64(16)).astype(np.int64)
    return np.searchsorted(starts[:-1], places, side="right") - 1


def _match_range(
    keyed: KeyRange,
    store: UnitStore,
    order: DocumentOrder,
    current: int,
    settings: SubstringSettings,
    memory_bytes: int,
) -> NDArray[np.int64]:
    from mmpipe.deduplication.substring_match_kernels import match_windows

    found = keyed.read()
    keys = np.ascontiguousarray(found[:, 0])
    by_key = np.argsort(keys)
    keys = keys[by_key]
    is_next_same = keys[1:] == keys[:-1]
    is_shared = np.zeros(len(keys), dtype=np.bool_)
    is_shared[1:] |= is_next_same
    is_shared[:-1] |= is_next_same
    keys, places = keys[is_shared], found[by_key[is_shared], 1]
    del found, by_key, is_shared, is_next_same
    moves = order.find_moves((places >> np.uint64(16)).astype(np.int64))
    units = store.map_units()
    most = max(1, memory_bytes // 128)
    return match_windows(keys, places, moves, units, current, settings.width, settings.gap, most)
