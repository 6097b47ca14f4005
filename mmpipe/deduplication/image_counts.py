"""Counts what pairs of a dump share (caption, URL, picture) and ranks their similarity, out of core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mmpipe.deduplication.key_partitions import KeyPartitions, count_partitions
from mmpipe.tables.image_counts import IMAGE_COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mmpipe.deduplication.pair_files import Scratch

#: Texts that are counted by a 64-bit key, 0 for none, and the number of the document a URL stands in.
_KEYS = ("caption", "image_url", "phash", "doc_id")
_RECORD = np.dtype([("key", "<u8"), ("document", "<u8"), ("row", "<i8")])
# bytes of a record while its file is sorted: as read, the order, as sorted, and the counts
_SORTING_BYTES = 3 * _RECORD.itemsize + 24
# bytes of a similarity while those of a stretch are ranked
_RANKING_BYTES = 48
#: Similarities that are ranked at once at least: each such pass reads all.
_LEAST_RANKED = 1 << 16
#: Rows that are hashed and laid at once.
_BATCH_ROWS = 1 << 18
#: Equal stretches of [-1, 1] by which similarities are told apart before they are sorted.
_STRETCHES = 1 << 16


@dataclass(frozen=True, slots=True)
class DumpCounts:
    """What was counted over a dump, one value per pair in the order they were given; arrays that may lie in files.

    Attributes:
        caption_pairs: pairs with the same caption.
        image_url_pairs: pairs with the same picture's URL.
        image_url_documents: documents that these stand in.
        phash_pairs: pairs with the same hash; 0 for those without one.
        ranks: share of the measured pairs with a greater similarity; NaN for those without one.
    """

    caption_pairs: NDArray[np.int64]
    image_url_pairs: NDArray[np.int64]
    image_url_documents: NDArray[np.int64]
    phash_pairs: NDArray[np.int64]
    ranks: NDArray[np.float64]

    def read(self, first: int, pair_ids: pl.Series) -> pl.DataFrame:
        """Return rows of `tables.image_counts.IMAGE_COUNTS`.

        Args:
            first: place of the first pair among all.
            pair_ids: ids of the pairs from there on.
        """
        rows = slice(first, first + pair_ids.len())
        hashes = pl.Series(np.array(self.phash_pairs[rows], np.float64))
        counts = {
            "pair_id": pair_ids,
            "caption_pairs": np.array(self.caption_pairs[rows], np.float64),
            "image_url_pairs": np.array(self.image_url_pairs[rows], np.float64),
            "image_url_documents": np.array(self.image_url_documents[rows], np.float64),
            "phash_pairs": hashes.set(hashes == 0, None),
            "clip_similarity_rank": pl.Series(np.array(self.ranks[rows])).fill_nan(None),
        }
        return IMAGE_COUNTS.conform(pl.DataFrame(counts, schema=IMAGE_COUNTS.schema))


def count_pairs(batches: Iterable[pl.DataFrame], rows: int, scratch: Scratch) -> DumpCounts:
    """Count what the pairs of a dump share, within the scratch's memory whatever their number.

    Captions are the same if they are, letter by letter, with runs of white space as one space and none at the ends, as
    COYO-700M has them; capitals tell them apart. URLs are compared as they are resolved, hashes as they are written.
    Compared are 64-bit hashes: two different ones of 10⁸ are taken for one with a probability of about 0.0003. Pairs
    as similar as each other have one rank, so that a limit keeps all of them or none.

    Args:
        batches: `doc_id`, `caption`, `image_url`, `phash` and `clip_similarity`, each pair once; no count depends on
            their order and cut.
        rows: of all batches together.
        scratch: where arrays and records lie that do not fit, 90 bytes a pair at most; it must stay while the counts
            are read.
    """
    keys = {name: scratch.make_array(name, rows, np.uint64) for name in _KEYS}
    similarities = scratch.make_array("similarity", rows, np.float64)
    first = 0
    for batch in batches:
        own = slice(first, first + batch.height)
        for name, hashed in _hash_texts(batch).items():
            keys[name][own] = hashed
        similarity = batch.get_column("clip_similarity").cast(pl.Float64)
        similarities[own] = similarity.fill_null(float("nan")).to_numpy()
        first += batch.height
    captions, _ = _count_shared(keys["caption"], None, scratch)
    urls, documents = _count_shared(keys["image_url"], keys["doc_id"], scratch)
    hashes, _ = _count_shared(keys["phash"], None, scratch)
    return DumpCounts(captions, urls, documents, hashes, _rank(similarities, scratch))


def _hash_texts(batch: pl.DataFrame) -> dict[str, NDArray[np.uint64]]:
    caption = pl.col("caption").str.replace_all(r"\s+", " ").str.strip_chars(" ")
    texts = {name: pl.col(name) for name in _KEYS} | {"caption": caption}
    # no text has the key 0, which stands for none
    keys = [
        pl.when(text.is_not_null()).then(pl.max_horizontal(text.hash(seed=1), pl.lit(1, pl.UInt64))).fill_null(0)
        for text in texts.values()
    ]
    hashed = batch.select(key.alias(name) for name, key in zip(texts, keys, strict=True))
    return {name: hashed.get_column(name).to_numpy() for name in texts}


def _count_shared(
    keys: NDArray[np.uint64], documents: NDArray[np.uint64] | None, scratch: Scratch
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each row how many have its key, and in how many documents; 0 where the key is 0."""
    pairs = scratch.make_array("pairs", keys.size, np.int64)
    within = scratch.make_array("documents", keys.size if documents is not None else 0, np.int64)
    partitions = count_partitions(keys.size, _SORTING_BYTES, scratch.memory_bytes)
    with KeyPartitions(scratch.name_file("shared"), "keys", _RECORD, partitions) as laid:
        for first in range(0, keys.size, _BATCH_ROWS):
            own = keys[first : first + _BATCH_ROWS]
            records = np.zeros(own.size, _RECORD)
            records["key"] = own
            records["row"] = np.arange(first, first + own.size)
            if documents is not None:
                records["document"] = documents[first : first + _BATCH_ROWS]
            laid.append(records[own != 0])
        for part in laid.read_sorted("document"):
            starts = _find_starts(part["key"])
            lengths = np.diff(np.append(starts, part.size))
            pairs[part["row"]] = np.repeat(lengths, lengths)
            if documents is not None:
                is_first = np.zeros(part.size, np.int64)
                is_first[_find_starts(part["key"], part["document"])] = 1
                distinct = np.add.reduceat(is_first, starts) if starts.size else starts
                within[part["row"]] = np.repeat(distinct, lengths)
    return pairs, within


def _find_starts(*values: NDArray[Any]) -> NDArray[np.int64]:
    """Return where runs of equal values start; runs of equal values in all of several arrays."""
    changes = np.ones(values[0].size, np.bool_)
    if changes.size:
        changes[1:] = np.any([own[1:] != own[:-1] for own in values], axis=0)
    return np.flatnonzero(changes)


def _rank(similarities: NDArray[np.float64], scratch: Scratch) -> NDArray[np.float64]:
    """Return for each similarity the share of all that are greater; NaN where there is none.

    Stretches of neighbouring similarities are sorted at a time, as many as fit in the memory.
    """
    ranks = scratch.make_array("ranks", similarities.size, np.float64)
    counts = np.zeros(_STRETCHES, np.int64)
    for first in range(0, similarities.size, _BATCH_ROWS):
        places = _find_stretches(similarities[first : first + _BATCH_ROWS])
        counts += np.bincount(places[places >= 0], minlength=_STRETCHES)
    measured = int(counts.sum())
    above = np.cumsum(counts[::-1])[::-1] - counts  # in stretches of greater similarity
    groups = np.cumsum(counts) // max(_LEAST_RANKED, scratch.memory_bytes // _RANKING_BYTES)
    ranks[:] = np.nan
    for group in np.unique(groups[counts > 0]):
        chosen = np.flatnonzero(groups == group)
        rows = _find_rows(similarities, chosen[0], chosen[-1])
        values = similarities[rows]
        greater = values.size - np.searchsorted(np.sort(values), values, side="right")
        ranks[rows] = (above[chosen[-1]] + greater) / measured
    return ranks


def _find_stretches(similarities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of each similarity's stretch, -1 for NaN."""
    scaled = np.clip(np.nan_to_num(similarities, nan=0.0), -1, 1) * (_STRETCHES / 2) + _STRETCHES / 2
    places = np.minimum(scaled.astype(np.int64), _STRETCHES - 1)
    places[np.isnan(similarities)] = -1
    return places


def _find_rows(similarities: NDArray[np.float64], lowest: int, highest: int) -> NDArray[np.int64]:
    """Return the rows whose similarity lies in a range of stretches."""
    found = [np.zeros(0, np.int64)]
    for first in range(0, similarities.size, _BATCH_ROWS):
        places = _find_stretches(similarities[first : first + _BATCH_ROWS])
        found.append(first + np.flatnonzero((places >= lowest) & (places <= highest)))
    return np.concatenate(found)
