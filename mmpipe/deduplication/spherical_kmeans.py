"""Groups unit vectors by direction: k-means on the sphere, the same whatever the order of rows, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# products of a block of vectors with all centroids: 128 MB; a function of their number alone, so that sums are
# always taken in the same order
_BLOCK_PRODUCTS = 1 << 25
_LARGEST_BLOCK = 1 << 16
_GOLDEN = 0x9E3779B97F4A7C15


def hash_numbers(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Return for each number 64 bits that look drawn at random, by number and seed alone (SplitMix64's finalizer)."""
    mixed = numbers.astype(np.uint64) + np.uint64((seed + 1) * _GOLDEN % (1 << 64))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def train_centroids(
    vectors: NDArray[np.float32],
    keys: NDArray[np.int64],
    clusters: int,
    *,
    sample_per_cluster: int,
    iterations: int,
    seed: int,
) -> NDArray[np.float32]:
    """Return (clusters, dimensions) unit vectors (Dhillon and Modha 2001: Lloyd's iterations with cosine similarity).

    The sample and the first centroids are those vectors whose key has the smallest hash. A cluster that loses all its
    vectors keeps its centroid.

    Args:
        vectors: (n, dimensions) of length 1, in the order of their keys; may be memory-mapped.
        keys: (n,) what names each; ascending.
        clusters: how many, at most n.
        sample_per_cluster: vectors to learn from, for each cluster (faiss takes 256).
        iterations: at most; it ends before when nothing moves.
        seed: of the hash.
    """
    hashes = hash_numbers(keys, seed)
    order = np.lexsort((keys, hashes))
    centroids = np.array(vectors[np.sort(order[:clusters])])
    sample = np.sort(order[: clusters * sample_per_cluster])
    labels = np.full(len(sample), -1, dtype=np.int64)
    for _ in range(iterations):
        sums = np.zeros(centroids.shape, dtype=np.float64)
        has_moved = False
        for begin, end in _cut_blocks(len(sample), clusters):
            block = np.array(vectors[sample[begin:end]])
            found, _ = _assign(block, centroids)
            has_moved |= not np.array_equal(found, labels[begin:end])
            labels[begin:end] = found
            _add_by_label(sums, block, found)
        if not has_moved:
            break
        lengths = np.sqrt((sums**2).sum(axis=1))
        is_used = lengths > 0
        centroids[is_used] = (sums[is_used] / lengths[is_used, None]).astype(np.float32)
    return centroids


def assign_all(
    vectors: NDArray[np.float32], centroids: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each vector its nearest centroid (the first of equally near ones) and its cosine similarity to it."""
    labels = np.empty(len(vectors), dtype=np.int64)
    similarities = np.empty(len(vectors), dtype=np.float32)
    for begin, end in _cut_blocks(len(vectors), len(centroids)):
        labels[begin:end], similarities[begin:end] = _assign(np.array(vectors[begin:end]), centroids)
    return labels, similarities


def _cut_blocks(count: int, clusters: int) -> Iterator[tuple[int, int]]:
    rows = min(_LARGEST_BLOCK, max(1, _BLOCK_PRODUCTS // clusters))
    for begin in range(0, count, rows):
        yield begin, min(begin + rows, count)


def _assign(
    block: NDArray[np.float32], centroids: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    products = block @ centroids.T
    labels = products.argmax(axis=1)
    return labels, products[np.arange(len(block)), labels]


def _add_by_label(sums: NDArray[np.float64], block: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    order = np.argsort(labels, kind="stable")
    present, begins = np.unique(labels[order], return_index=True)
    sums[present] += np.add.reduceat(block[order].astype(np.float64), begins, axis=0)
