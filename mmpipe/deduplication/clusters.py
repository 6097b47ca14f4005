"""Joins pairs into clusters: the connected components of a graph of documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def find_clusters(count: int, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of `count` documents the smallest index in its connected component.

    The answer depends on which pairs there are, not on their order or direction. Memory is one integer per document
    beside the pairs, so it can be fed piece by piece: components of components are components.
    """
    from mmpipe.deduplication.cluster_kernels import label_components

    return label_components(count, np.asarray(left, dtype=np.int64), np.asarray(right, dtype=np.int64))
