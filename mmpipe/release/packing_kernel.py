"""Lays items into sequences by best fit in compiled loops: a tree over the room that sequences have left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def find_room(tree: NDArray[np.bool_], leaves: int, length: int) -> int:
    """Return the least set leaf at or right of `length`, -1 if there is none.

    Args:
        tree: (2 * leaves,) node 1 is the root, the children of i are 2i and 2i + 1; set where a leaf below it is.
        leaves: a power of two.
        length: leaf to begin with, 0 to below leaves.
    """
    node = leaves + length
    if not tree[node]:
        # up until a set node lies to the right, then down along the leftmost set nodes
        while node > 1 and (node % 2 == 1 or not tree[node + 1]):
            node //= 2
        if node <= 1:
            return -1
        node += 1
        while node < leaves:
            node = 2 * node if tree[2 * node] else 2 * node + 1
    return node - leaves


@numba.njit(cache=True, nogil=True)
def set_leaf(tree: NDArray[np.bool_], leaves: int, leaf: int) -> None:
    """Set a leaf and all above it."""
    node = leaves + leaf
    while node >= 1 and not tree[node]:
        tree[node] = True
        node //= 2


@numba.njit(cache=True, nogil=True)
def clear_leaf(tree: NDArray[np.bool_], leaves: int, leaf: int) -> None:
    """Clear a leaf, and what is above it as far as nothing else is set below."""
    node = leaves + leaf
    tree[node] = False
    while node > 1 and not tree[node ^ 1]:
        node //= 2
        tree[node] = False


@numba.njit(cache=True, nogil=True)
def place_items(lengths: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """Return the sequence of each item, by best fit in the order given; see `packing.pack_best_fit`.

    Args:
        lengths: (n,) each 1 to `capacity`.
        capacity: room of a sequence.
    """
    leaves = 1
    while leaves <= capacity:
        leaves *= 2
    tree = np.zeros(2 * leaves, np.bool_)
    # the sequences with so much room, last first
    head = np.full(capacity + 1, -1, np.int64)
    follower = np.empty(lengths.size, np.int64)
    bins = np.empty(lengths.size, np.int64)
    count = 0
    for item in range(lengths.size):
        room = find_room(tree, leaves, lengths[item])
        if room < 0:
            room, chosen = capacity, count
            count += 1
        else:
            chosen = head[room]
            head[room] = follower[chosen]
            if head[room] < 0:
                clear_leaf(tree, leaves, room)
        bins[item] = chosen
        room -= lengths[item]
        if room > 0:
            follower[chosen] = head[room]
            head[room] = chosen
            set_leaf(tree, leaves, room)
    return bins
