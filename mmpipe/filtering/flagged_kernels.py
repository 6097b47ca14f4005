"""Walks texts along a trie of flagged words in a compiled loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Columns of what is counted per text: occurrences, distinct entries, words, word characters.
COUNTS = ("occurrences", "distinct", "words", "word_characters")


@numba.njit(cache=True, nogil=True)
def count_flagged(
    codes: NDArray[np.uint32],
    start: NDArray[np.int64],
    roots: NDArray[np.int64],
    boundaries: NDArray[np.int64],
    is_word: NDArray[np.uint8],
    symbols: NDArray[np.uint16],
    children: NDArray[np.int32],
    entry: NDArray[np.int32],
    seen: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the counts named in `COUNTS`, one row per text.

    From left to right, the longest entry that stands at a place counts, and what it covers is not looked at again.

    Args:
        codes: code points of all texts, one after the other.
        start: where each text starts; one more than there are texts.
        roots: root of the trie for each text; 0 if its language has none, and nothing is counted.
        boundaries: 0 if an entry may stand anywhere, 1 if not behind a word character, 2 if not before one either.
        is_word: 1 for every code point that is a word character.
        symbols: the trie's; see `flagged_words.Trie`.
        children: the trie's.
        entry: the trie's.
        seen: one number per entry and one more, all below 0: the text an entry was last met in.
    """
    counts = np.zeros((start.size - 1, 4), np.int64)
    for text in range(start.size - 1):
        if roots[text] == 0:
            continue
        end, skip_to, before = start[text + 1], start[text], False
        for at in range(start[text], end):
            inside = is_word[codes[at]] == 1
            if inside:
                counts[text, 3] += 1
                if not before:
                    counts[text, 2] += 1
            if at >= skip_to and not (before and boundaries[text] > 0):
                stop, found = _walk(codes, at, end, roots[text], boundaries[text], is_word, symbols, children, entry)
                if found:
                    counts[text, 0] += 1
                    if seen[found] != text:
                        seen[found] = text
                        counts[text, 1] += 1
                    skip_to = stop
            before = inside
    return counts


@numba.njit(cache=True, nogil=True)
def _walk(
    codes: NDArray[np.uint32],
    at: int,
    end: int,
    root: int,
    boundary: int,
    is_word: NDArray[np.uint8],
    symbols: NDArray[np.uint16],
    children: NDArray[np.int32],
    entry: NDArray[np.int32],
) -> tuple[int, int]:
    """Return where the longest entry from a place on ends, and which it is; 0 if there is none."""
    node, stop, found = root, at, 0
    for place in range(at, end):
        symbol = symbols[codes[place]]
        node = children[node, symbol] if symbol else 0
        if node == 0:
            break
        if entry[node] and (boundary < 2 or place + 1 == end or is_word[codes[place + 1]] == 0):
            stop, found = place + 1, entry[node]
    return stop, found
