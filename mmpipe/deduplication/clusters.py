"""Joins pairs into clusters: the connected components of a graph of documents, and how far apart their ends are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from mmpipe.deduplication.pair_files import cut_evenly

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mmpipe.deduplication.pair_files import Neighbours, PairLog, Scratch

#: The diameter of a cluster of at most this many distinct texts is measured from every one of them.
MOST_EXACT_DIAMETER = 256


def find_clusters(count: int, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of `count` documents the smallest index in its connected component.

    The answer depends on which pairs there are, not on their order or direction.
    """
    parents = np.arange(count)
    join_pairs(parents, [(np.asarray(left, dtype=np.int64), np.asarray(right, dtype=np.int64))])
    return parents


def join_pairs(parents: NDArray[np.int64], blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> None:
    """Turn `parents`, at first each document's own index, into the smallest index of its connected component.

    Union-find (Tarjan, "Efficiency of a Good But Not Linear Set Union Algorithm", JACM 22(2), 1975, with path
    halving). Memory is one integer per document, which may be a memory-mapped file, and one block of pairs.

    Args:
        parents: (documents,) changed in place.
        blocks: of pairs, in any order and any cut: the answer is the same.
    """
    from mmpipe.deduplication.cluster_kernels import flatten_components, join_components

    for left, right in blocks:
        join_components(parents, left, right)
    flatten_components(parents)


def measure_diameters(
    roots: NDArray[np.int64],
    neighbours: Neighbours,
    groups: NDArray[np.int64],
    scratch: Scratch,
    *,
    most_exact: int = MOST_EXACT_DIAMETER,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each cluster the least and the most that its diameter can be: the pairs on the longest shortest path.

    The two are equal for clusters of at most `most_exact` distinct texts. For larger ones the first comes of a double
    sweep (Magnien, Latapy and Habib, "Fast Computation of Empirically Tight Bounds for the Diameter of Massive
    Graphs", ACM JEA 13, 2009, §3) and the second is twice the distance from the best document to the farthest.

    Args:
        roots: the best document of each cluster.
        neighbours: rows of distinct texts, at the best document of each (`pair_files.list_neighbours`).
        groups: (documents,) best document with the same text; copies of a text count as one.
        scratch: for 12 bytes per document.
        most_exact: see above.
    """
    from mmpipe.deduplication import cluster_kernels

    distances = scratch.make_array("distances.i32", len(groups), np.int32)
    distances[:] = -1
    queue = scratch.make_array("queue.i64", len(groups), np.int64)
    return cluster_kernels.measure_diameters(
        roots, neighbours.starts, neighbours.others, groups, most_exact, distances, queue
    )


def label_documents(
    groups: NDArray[np.int64],
    keepers: NDArray[np.int64],
    log: PairLog,
    kind: Literal["components", "stars"],
    scratch: Scratch,
) -> NDArray[np.int64]:
    """Return for each document its cluster: the best document in it.

    Args:
        groups: (documents,) best document with the same text.
        keepers: (documents,) the document kept for each.
        log: all pairs.
        kind: `components`: whatever pairs connect. `stars`: a kept document and those it is kept for, all of them as
            like it as the limit asks; a component may be long and thin, with ends that have nothing in common.
        scratch: for 8 bytes per document.
    """
    if kind == "stars":
        return keepers
    labels: NDArray[np.int64] = scratch.make_array("labels.i64", len(groups), np.int64)
    for begin, end in cut_evenly(len(groups), 1 << 20):
        labels[begin:end] = groups[begin:end]
    join_pairs(
        labels,
        ((np.ascontiguousarray(block["better"]), np.ascontiguousarray(block["worse"])) for block in log.read_blocks()),
    )
    return labels
