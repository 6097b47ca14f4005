"""Says how n-grams of evaluation items lie in memory: sorted hashes, the words they stand for, and who holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Grams(NamedTuple):
    """N-grams that are found by the hash of their first words. N-gram i has the words from `words[i]` on.

    Attributes:
        hashes: (grams,) sorted.
        words: (grams,) number of the first word in the index.
        lengths: (grams,) words of each; as many as are hashed, or more.
        posting_start: (grams + 1,) first of the items that hold it.
        postings: items, end to end.
        field: bits by which most words of a document are passed over.
        buckets: (2^b + 1,) first n-gram by the upper b bits of its hash.
    """

    hashes: NDArray[np.uint64]
    words: NDArray[np.int64]
    lengths: NDArray[np.int32]
    posting_start: NDArray[np.int64]
    postings: NDArray[np.int64]
    field: NDArray[np.uint64]
    buckets: NDArray[np.int64]
