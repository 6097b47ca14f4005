"""Builds and walks an Aho–Corasick automaton over bytes in compiled loops (Aho and Corasick 1975)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPACE = np.uint8(32)
#: Punctuation that MetaCLIP sets apart by spaces (arXiv 2309.16671).
_PADDED = np.zeros(256, np.bool_)
_PADDED[np.frombuffer(b",.;:?!`", np.uint8)] = True
#: Tab, line feed, vertical tab, form feed and carriage return count as a space.
_WHITE = np.zeros(256, np.bool_)
_WHITE[np.frombuffer(b" \t\n\v\f\r", np.uint8)] = True


@numba.njit(cache=True, nogil=True)
def build_trie(
    data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32]]:
    """Return `first_child`, `labels` and `entries` of the trie of distinct sorted patterns, nodes breadth first.

    The children of node u are `first_child[u]` to `first_child[u + 1]`, sorted by label, the byte that leads there.

    Args:
        data: bytes of the patterns, one after the other, sorted; none empty.
        offsets: where each starts; one more than there are patterns.
    """
    patterns = offsets.size - 1
    most = data.size + 2
    first_child = np.zeros(most, np.int32)
    labels = np.zeros(most, np.uint8)
    entries = np.full(most, -1, np.int32)
    low, high = np.zeros(most, np.int32), np.zeros(most, np.int32)
    high[0] = patterns
    nodes, level_end, depth, node = 1, 1, 0, 0
    while node < nodes:
        if node == level_end:
            depth += 1
            level_end = nodes
        first_child[node] = nodes
        at, end = low[node], high[node]
        if at < end and offsets[at + 1] - offsets[at] == depth:
            entries[node] = at
            at += 1
        while at < end:
            label = data[offsets[at] + depth]
            labels[nodes] = label
            low[nodes] = at
            while at < end and data[offsets[at] + depth] == label:
                at += 1
            high[nodes] = at
            nodes += 1
        node += 1
    first_child[nodes] = nodes
    return first_child[: nodes + 1].copy(), labels[:nodes].copy(), entries[:nodes].copy()


@numba.njit(cache=True, nogil=True)
def _find_child(first_child: NDArray[np.int32], labels: NDArray[np.uint8], node: int, label: int) -> int:
    low, high = first_child[node], first_child[node + 1]
    while low < high:
        middle = (low + high) >> 1
        if labels[middle] < label:
            low = middle + 1
        else:
            high = middle
    return low if low < first_child[node + 1] and labels[low] == label else -1


@numba.njit(cache=True, nogil=True)
def link_trie(
    first_child: NDArray[np.int32], labels: NDArray[np.uint8], entries: NDArray[np.int32], patterns: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return `fails` and `shorter`.

    `fails` (of each node) is the node of its longest other suffix in the trie; `entries` is filled in place with the
    longest pattern that ends at each node. `shorter` (of each pattern) is the next shorter one that
    ends with it, or -1.
    """
    fails, shorter = np.zeros(labels.size, np.int32), np.full(patterns, -1, np.int32)
    for node in range(labels.size):
        for child in range(first_child[node], first_child[node + 1]):
            if node > 0:
                back = fails[node]
                while True:
                    found = _find_child(first_child, labels, back, labels[child])
                    if found >= 0 or back == 0:
                        break
                    back = fails[back]
                fails[child] = max(found, 0)
            # a shorter suffix stands nearer the root, so its own longest pattern is known
            ending = entries[fails[child]]
            if entries[child] < 0:
                entries[child] = ending
            else:
                shorter[entries[child]] = ending
    return fails, shorter


@numba.njit(cache=True, nogil=True)
def lay_out_nodes(
    first_child: NDArray[np.int32], labels: NDArray[np.uint8], entries: NDArray[np.int32], fails: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32]]:
    """Return the automaton depth first, the largest child first, so that most steps go to the next row in memory.

    `nodes` has a row per node and one more: its first edge, where it fails to, the longest pattern that ends there or
    -1, and the label that leads to the next row, or -1. Edges of node u are `nodes[u, 0]` to `nodes[u + 1, 0]`, sorted
    by `edge_labels`; they lead to `edge_targets`.
    """
    count = labels.size
    sizes = np.ones(count, np.int32)
    for node in range(count - 1, -1, -1):
        for child in range(first_child[node], first_child[node + 1]):
            sizes[node] += sizes[child]
    place, origin = np.zeros(count, np.int32), np.zeros(count, np.int32)
    for node in range(count):
        origin[place[node]] = node
        begin, end = first_child[node], first_child[node + 1]
        if begin == end:
            continue
        largest = begin + np.argmax(sizes[begin:end])
        place[largest] = place[node] + 1
        at = place[largest] + sizes[largest]
        for child in range(begin, end):
            if child != largest:
                place[child] = at
                at += sizes[child]
    nodes = np.full((count + 1, 4), -1, np.int32)
    edge_labels, edge_targets = np.zeros(count, np.uint8), np.zeros(count, np.int32)
    edge = 0
    for at in range(count):
        node = origin[at]
        nodes[at, 0], nodes[at, 1], nodes[at, 2] = edge, place[fails[node]], entries[node]
        for child in range(first_child[node], first_child[node + 1]):
            edge_labels[edge], edge_targets[edge] = labels[child], place[child]
            edge += 1
            if place[child] == at + 1:
                nodes[at, 3] = labels[child]
    nodes[count, 0] = edge
    return nodes, edge_labels, edge_targets


@numba.njit(cache=True, nogil=True)
def _follow(
    nodes: NDArray[np.int32], edge_labels: NDArray[np.uint8], edge_targets: NDArray[np.int32], node: int, label: int
) -> int:
    if nodes[node, 3] == label:
        return node + 1
    low, high = nodes[node, 0], nodes[node + 1, 0]
    end = high
    while low < high:
        middle = (low + high) >> 1
        if edge_labels[middle] < label:
            low = middle + 1
        else:
            high = middle
    return edge_targets[low] if low < end and edge_labels[low] == label else 0


@numba.njit(cache=True, nogil=True)
def _prepare(text: NDArray[np.uint8], joins_spaces: bool, prepared: NDArray[np.uint8]) -> int:
    """Write a text with a space at both ends and around punctuation to `prepared`; return how many bytes it has now."""
    prepared[0] = _SPACE
    end = 1
    for byte in text:
        is_padded = _PADDED[byte]
        if (is_padded or _WHITE[byte]) and not (joins_spaces and prepared[end - 1] == _SPACE):
            prepared[end] = _SPACE
            end += 1
        if not _WHITE[byte]:
            prepared[end] = byte
            end += 1
        if is_padded:
            prepared[end] = _SPACE
            end += 1
    if not (joins_spaces and prepared[end - 1] == _SPACE):
        prepared[end] = _SPACE
        end += 1
    return end


@numba.njit(cache=True, nogil=True)
def _walk(
    prepared: NDArray[np.uint8],
    nodes: NDArray[np.int32],
    edge_labels: NDArray[np.uint8],
    edge_targets: NDArray[np.int32],
    root: NDArray[np.int32],
    after_space: NDArray[np.int32],
    shorter: NDArray[np.int32],
    text: int,
    seen: NDArray[np.int32],
    found: NDArray[np.int32],
) -> int:
    """Write the distinct patterns in a text to `found`; return how many. `seen` has the text each was last met in."""
    state, count = 0, 0
    space = root[_SPACE]
    for byte in prepared:
        step = 0
        while state > 0:
            step = after_space[byte] if state == space else _follow(nodes, edge_labels, edge_targets, state, byte)
            if step > 0:
                break
            state = nodes[state, 1]
        state = step if state > 0 else root[byte]
        pattern = nodes[state, 2]
        while pattern >= 0:
            if seen[pattern] != text:
                seen[pattern] = text
                found[count] = pattern
                count += 1
            pattern = shorter[pattern]
    return count


@numba.njit(cache=True, nogil=True)
def match_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    nodes: NDArray[np.int32],
    edge_labels: NDArray[np.uint8],
    edge_targets: NDArray[np.int32],
    shorter: NDArray[np.int32],
    joins_spaces: bool,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return text and pattern of each match, in order of texts; a pattern counts once in a text.

    A text is read with a space at both ends and around punctuation.

    Args:
        data: bytes of the texts, one after the other.
        offsets: where each starts; one more than there are texts.
        nodes: the automaton's, as `edge_labels` and `edge_targets`; see `lay_out_nodes`.
        edge_labels: see there.
        edge_targets: see there.
        shorter: see `link_trie`.
        joins_spaces: whether several spaces are one.
    """
    # the root and the space that begins most patterns have many edges: a table each
    root, after_space = np.zeros(256, np.int32), np.zeros(256, np.int32)
    for label in range(256):
        root[label] = _follow(nodes, edge_labels, edge_targets, 0, label)
    for label in range(256):
        after_space[label] = _follow(nodes, edge_labels, edge_targets, root[_SPACE], label)
    longest = 0
    for text in range(offsets.size - 1):
        longest = max(longest, offsets[text + 1] - offsets[text])
    prepared = np.empty(3 * longest + 2, np.uint8)
    seen = np.full(shorter.size, -1, np.int32)
    matched = np.empty(shorter.size, np.int32)
    rows, found = np.empty(1024, np.int32), np.empty(1024, np.int32)
    total = 0
    for text in range(offsets.size - 1):
        end = _prepare(data[offsets[text] : offsets[text + 1]], joins_spaces, prepared)
        count = _walk(prepared[:end], nodes, edge_labels, edge_targets, root, after_space, shorter, text, seen, matched)
        while total + count > rows.size:
            rows = np.concatenate((rows, np.empty(rows.size, np.int32)))
            found = np.concatenate((found, np.empty(found.size, np.int32)))
        rows[total : total + count] = text
        found[total : total + count] = matched[:count]
        total += count
    return rows[:total].copy(), found[:total].copy()
