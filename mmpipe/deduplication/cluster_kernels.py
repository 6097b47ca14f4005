"""The compiled inner loops over graphs of documents: bucket to pairs, pairs to components, neighbours to survivors.

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
def join_components(parents: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
    """Join the trees of both ends of every pair, in place (union-find with path halving)."""
    for pair in range(len(left)):
        one = _find_root(parents, left[pair])
        other = _find_root(parents, right[pair])
        # the smaller root always wins, so a component's root is its smallest node whatever the order of the pairs
        if one < other:
            parents[other] = one
        else:
            parents[one] = other


@numba.njit(cache=True, nogil=True)
def flatten_components(parents: NDArray[np.int64]) -> None:
    """Let every node point to its component's root, in place."""
    for node in range(len(parents)):
        # a parent is never larger than its child, so the parent's root is known already
        parents[node] = parents[parents[node]]


@numba.njit(cache=True, nogil=True)
def sort_ties(keys: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
    """Sort `numbers` within every run of equal `keys`, in place."""
    begin = 0
    while begin < len(keys):
        end = begin + 1
        while end < len(keys) and keys[end] == keys[begin]:
            end += 1
        if end > begin + 1:
            numbers[begin:end].sort()
        begin = end


@numba.njit(cache=True, nogil=True)
def pair_buckets(  # noqa: C901 - one loop over a bucket
    keys: NDArray[np.uint64], nodes: NDArray[np.int64], is_settled: NDArray[np.bool_], hubs: int, count: int
) -> tuple[NDArray[np.uint64], bool]:
    """Return the pairs of one band, each as `better * count + worse`, and whether a bucket had too many for all.

    Args:
        keys: (documents,) sorted band keys.
        nodes: (documents,) the documents they belong to, 0 the best of all; sorted here within every bucket.
        is_settled: (count,) of two such documents it is known that they are no pair.
        hubs: each document is paired with at most this many best of its bucket, settled and not, apart.
        count: documents of the whole search.
    """
    pairs = np.empty(1024, dtype=np.uint64)
    filled = 0
    is_cut = False
    settled_hubs = np.empty(hubs, dtype=np.int64)
    open_hubs = np.empty(hubs, dtype=np.int64)
    begin = 0
    while begin < len(keys):
        end = begin + 1
        while end < len(keys) and keys[end] == keys[begin]:
            end += 1
        if end > begin + 1:
            nodes[begin:end].sort()
            settled_seen = open_seen = 0
            for place in range(begin, end):
                node = nodes[place]
                settled = is_settled[node]
                reached = min(open_seen, hubs)
                if not settled:
                    reached += min(settled_seen, hubs)
                    is_cut |= settled_seen > hubs
                is_cut |= open_seen > hubs
                if filled + reached > len(pairs):
                    grown = np.empty(2 * (filled + reached), dtype=np.uint64)
                    grown[:filled] = pairs[:filled]
                    pairs = grown
                for hub in range(min(open_seen, hubs)):
                    pairs[filled] = np.uint64(open_hubs[hub]) * np.uint64(count) + np.uint64(node)
                    filled += 1
                if settled:
                    if settled_seen < hubs:
                        settled_hubs[settled_seen] = node
                    settled_seen += 1
                else:
                    for hub in range(min(settled_seen, hubs)):
                        pairs[filled] = np.uint64(settled_hubs[hub]) * np.uint64(count) + np.uint64(node)
                        filled += 1
                    if open_seen < hubs:
                        open_hubs[open_seen] = node
                    open_seen += 1
        begin = end
    return pairs[:filled].copy(), is_cut


@numba.njit(cache=True, nogil=True)
def fill_neighbours(
    ends: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    similarities: NDArray[np.float64],
    methods: NDArray[np.uint8],
    neighbours: NDArray[np.int64],
    neighbour_similarities: NDArray[np.float64],
    neighbour_methods: NDArray[np.uint8],
) -> None:
    """Write each pair into the rows of both its documents; `ends` (a row's next free place) move along, in place."""
    for pair in range(len(left)):
        for node, other in ((left[pair], right[pair]), (right[pair], left[pair])):
            place = ends[node]
            neighbours[place] = other
            neighbour_similarities[place] = similarities[pair]
            neighbour_methods[place] = methods[pair]
            ends[node] = place + 1


@numba.njit(cache=True, nogil=True)
def _is_nearer(method: int, similarity: float, keeper: int, than: tuple[int, float, int]) -> bool:
    if method != than[0]:
        return method < than[0]
    if similarity != than[1]:
        return similarity > than[1]
    return keeper < than[2]


@numba.njit(cache=True, nogil=True)
def choose_keepers(  # noqa: C901, PLR0912 - one decision per document
    starts: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    neighbour_similarities: NDArray[np.float64],
    neighbour_methods: NDArray[np.uint8],
    groups: NDArray[np.int64],
    is_published: NDArray[np.bool_],
    of_document: int,
    exact: int,
    keepers: NDArray[np.int64],
    nearest: NDArray[np.float64],
    methods: NDArray[np.uint8],
    group_keepers: NDArray[np.int64],
    group_similarities: NDArray[np.float64],
    group_methods: NDArray[np.uint8],
) -> None:
    """Decide the documents best first; see `survivors.choose_survivors`.

    Args:
        starts: (documents + 1,) first place of each document's row in the three arrays of neighbours.
        neighbours: both directions of every pair.
        neighbour_similarities: of them.
        neighbour_methods: of them; the smaller code takes precedence.
        groups: (documents,) best document with the same text; rows of text pairs stand there.
        is_published: (documents,) documents that stay whatever they are like.
        of_document: code of the pairs that hold of one document and not of all with its text.
        exact: code of equal texts.
        keepers: (documents,) written: the document kept for each, its own if it stays.
        nearest: (documents,) written: similarity to it.
        methods: (documents,) written: how it was found; 255 for a document that stays.
        group_keepers: (documents,) room to work in: who is kept of a text, or, as -2 - node, for it.
        group_similarities: (documents,) room to work in.
        group_methods: (documents,) room to work in.
    """
    for node in range(len(groups)):
        group_keepers[node] = -1
    for node in range(len(groups)):
        group = groups[node]
        best = (255, -1.0, -1)
        if not is_published[node]:
            for place in range(starts[node], starts[node + 1]):
                other = neighbours[place]
                if neighbour_methods[place] == of_document and other < node and keepers[other] == other:
                    method, similarity = int(neighbour_methods[place]), neighbour_similarities[place]
                    if _is_nearer(method, similarity, other, best):
                        best = (method, similarity, other)
            if group_keepers[group] >= 0:
                if _is_nearer(exact, 1.0, group_keepers[group], best):
                    best = (exact, 1.0, group_keepers[group])
            elif group_keepers[group] == -1:
                near = (255, -1.0, -1)
                for place in range(starts[group], starts[group + 1]):
                    kept = group_keepers[groups[neighbours[place]]]
                    if neighbour_methods[place] != of_document and kept >= 0:
                        method, similarity = int(neighbour_methods[place]), neighbour_similarities[place]
                        if _is_nearer(method, similarity, kept, near):
                            near = (method, similarity, kept)
                if near[2] >= 0:
                    # what removes a text removes its copies, too: their rows need not be read again
                    group_keepers[group] = -2 - near[2]
                    group_similarities[group] = near[1]
                    group_methods[group] = near[0]
            if group_keepers[group] <= -2:
                kept = -2 - group_keepers[group]
                method, similarity = int(group_methods[group]), group_similarities[group]
                if _is_nearer(method, similarity, kept, best):
                    best = (method, similarity, kept)
        if best[2] >= 0:
            keepers[node] = best[2]
            nearest[node] = best[1]
            methods[node] = best[0]
        else:
            keepers[node] = node
            nearest[node] = 1.0
            methods[node] = 255
            if group_keepers[group] < 0:
                group_keepers[group] = node


@numba.njit(cache=True, nogil=True)
def find_farthest(
    source: int,
    starts: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    groups: NDArray[np.int64],
    distances: NDArray[np.int32],
    queue: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Return the node farthest from `source` (the smallest of them), its distance and how many nodes were reached.

    Args:
        source: a node whose own text stands for it (`groups[source] == source`).
        starts: rows of `neighbours`.
        neighbours: both directions of every pair; copies of one text count as one node.
        groups: best document with the same text.
        distances: (documents,) all -1; -1 again for the nodes reached once they are taken back from `queue`.
        queue: (documents,) the nodes reached, nearest first.
    """
    distances[source] = 0
    queue[0] = source
    reached = 1
    begin = 0
    while begin < reached:
        node = queue[begin]
        for place in range(starts[node], starts[node + 1]):
            other = groups[neighbours[place]]
            if distances[other] < 0:
                distances[other] = distances[node] + 1
                queue[reached] = other
                reached += 1
        begin += 1
    farthest = queue[reached - 1]
    for place in range(reached):
        if distances[queue[place]] == distances[farthest]:
            farthest = min(farthest, queue[place])
    distance = distances[farthest]
    for place in range(reached):
        distances[queue[place]] = -1
    return farthest, distance, reached


@numba.njit(cache=True, nogil=True)
def measure_diameters(
    roots: NDArray[np.int64],
    starts: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    groups: NDArray[np.int64],
    most_exact: int,
    distances: NDArray[np.int32],
    queue: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the least and the most that the diameter of each component can be; see `clusters.measure_diameters`."""
    least = np.zeros(len(roots), dtype=np.int64)
    most = np.zeros(len(roots), dtype=np.int64)
    for component in range(len(roots)):
        end, radius, reached = find_farthest(roots[component], starts, neighbours, groups, distances, queue)
        if reached <= most_exact:
            members = queue[:reached].copy()
            for member in members:
                _, distance, _ = find_farthest(member, starts, neighbours, groups, distances, queue)
                least[component] = max(least[component], distance)
            most[component] = least[component]
        else:
            _, sweep, _ = find_farthest(end, starts, neighbours, groups, distances, queue)
            least[component] = sweep
            most[component] = max(sweep, 2 * radius)
    return least, most
