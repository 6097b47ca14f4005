"""Measures how alike two documents are: exact Jaccard similarity of their shingles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.shingles import Shingling, shingle_texts
from mmpipe.errors import InvariantBroken

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Where the texts of documents come from: a function from ids to texts (it may read them from disk), or a frame of
#: `doc_id` and `text`.
Texts = Callable[[list[str]], dict[str, str]] | pl.DataFrame

# pairs whose texts are in memory at once: at most twice as many documents
_BATCH_PAIRS = 16_384


def measure_similarities(
    doc_ids: pl.Series, left: NDArray[np.int64], right: NDArray[np.int64], texts: Texts, shingling: Shingling | int
) -> NDArray[np.float64]:
    """Return the exact Jaccard similarity of each pair, 0 to 1.

    Pairs are best sorted by `left`: the texts of a batch of pairs are read once, and sorted pairs share them.

    Args:
        doc_ids: ids that the indices of the pairs point to.
        left: index of one document of each pair.
        right: index of the other.
        texts: where the texts come from.
        shingling: `MinHashSettings.shingling`; a number stands for our own shingles of so many words.

    Raises:
        InvariantBroken: a text is missing.
    """
    from mmpipe.deduplication.minhash_kernels import measure_jaccard

    read = _read_from(texts) if isinstance(texts, pl.DataFrame) else texts
    similarities = [np.empty(0, dtype=np.float64)]
    for begin in range(0, len(left), _BATCH_PAIRS):
        ends = np.concatenate([left[begin : begin + _BATCH_PAIRS], right[begin : begin + _BATCH_PAIRS]])
        needed, places = np.unique(ends, return_inverse=True)
        ids = doc_ids.gather(needed).to_list()
        found = read(ids)
        missing = [doc_id for doc_id in ids if doc_id not in found]
        if missing:
            raise InvariantBroken(
                f"text_duplicates: {len(missing)} of {len(ids)} documents to compare have no text, first {missing[0]}. "
                f"The signatures are older than filtered_text or deduped_corpus: make them again."
            )
        shingles, starts = shingle_texts([found[doc_id] for doc_id in ids], shingling)
        one, other = np.split(places.astype(np.int64), 2)
        similarities.append(measure_jaccard(shingles, starts, one, other))
    return np.concatenate(similarities)


def bound_similarities(
    shingle_counts: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the highest Jaccard similarity that each pair can have: the smaller set's size by the larger's.

    No text is read: a pair whose bound is below the limit need not be measured (Arasu et al., VLDB 2006, §4.1, call
    it size filtering). Two sets without a shingle have the bound 1, as they have the similarity 1.

    Args:
        shingle_counts: `text_signatures.shingle_count` of the documents that the pairs point to.
        left: index of one document of each pair.
        right: index of the other.
    """
    one, other = shingle_counts[left], shingle_counts[right]
    larger = np.maximum(one, other)
    return np.where(larger > 0, np.minimum(one, other) / np.maximum(larger, 1), 1.0)


def _read_from(frame: pl.DataFrame) -> Callable[[list[str]], dict[str, str]]:
    def read(ids: list[str]) -> dict[str, str]:
        return dict(frame.filter(pl.col("doc_id").is_in(ids)).select("doc_id", "text").iter_rows())

    return read
