"""The compiled inner loops over graphs of documents: bucket to pairs, pairs to components, pairs to survivors.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def _find_root(parents: NDArray[np.int64], node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@numba.njit(cache=True, nogil=True)
def label_components(count: int, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the smallest node of each node's connected component (union-find with path halving)."""
    parents = np.arange(count)
    for pair in range(len(left)):
        one = _find_root(parents, left[pair])
        other = _find_root(parents, right[pair])
        # the smaller root always wins, so a component's root is its smallest node whatever the order of the pairs
        if one < other:
            parents[other] = one
        else:
            parents[one] = other
    for node in range(count):
        parents[node] = _find_root(parents, node)
    return parents


@numba.njit(cache=True, nogil=True)
def pair_buckets(
    keys: NDArray[np.uint64], order: NDArray[np.int64], is_published: NDArray[np.bool_], hubs: int
) -> tuple[NDArray[np.uint64], bool]:
    """Return the pairs of one band, each as `better * documents + worse`, and whether a bucket had too many for all.

    Args:
        keys: (documents,) band key of each document; documents stand best first.
        order: argsort of `keys`, changed in place; it need not be stable, which makes it several times faster.
        is_published: documents that may not be removed; two of them are never paired.
        hubs: each document is paired with at most this many best of its bucket, published and not, apart.
    """
    documents = np.uint64(len(keys))
    pairs = np.empty(1024, dtype=np.uint64)
    filled = 0
    is_cut = False
    begin = 0
    while begin < len(order):
        end = begin + 1
        while end < len(order) and keys[order[end]] == keys[order[begin]]:
            end += 1
        if end > begin + 1:
            order[begin:end].sort()  # inside a bucket, too, documents stand best first
        middle = begin
        while middle < end and is_published[order[middle]]:
            middle += 1
        is_cut |= middle < end and (middle - begin > hubs or end - middle - 1 > hubs)
        for worse in range(max(middle, begin + 1), end):
            for better in range(begin, worse):
                if better >= middle + hubs:
                    break
                if begin + hubs <= better < middle:
                    continue
                if filled == len(pairs):
                    grown = np.empty(2 * filled, dtype=np.uint64)
                    grown[:filled] = pairs
                    pairs = grown
                pairs[filled] = np.uint64(order[better]) * documents + np.uint64(order[worse])
                filled += 1
        begin = end
    return pairs[:filled].copy(), is_cut


@numba.njit(cache=True, nogil=True)
def choose_keepers(
    count: int, better: NDArray[np.int64], worse: NDArray[np.int64], similarities: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each document the one kept for it (itself, if it is kept) and their similarity.

    Args:
        count: documents, best first.
        better: the better document of each pair; pairs are sorted by `worse`, then `better`.
        worse: the worse one.
        similarities: of each pair.
    """
    keepers = np.arange(count)
    nearest = np.ones(count, dtype=np.float64)
    pair = 0
    while pair < len(worse):
        document = worse[pair]
        found = -1
        best = -1.0
        while pair < len(worse) and worse[pair] == document:
            candidate = better[pair]
            if keepers[candidate] == candidate and similarities[pair] > best:
                found = candidate
                best = similarities[pair]
            pair += 1
        if found >= 0:
            keepers[document] = found
            nearest[document] = best
    return keepers, nearest
