"""Finds flagged words and phrases in texts: one trie for all languages, walked in a compiled loop."""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mmpipe.filtering.unspaced import UNSPACED_LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: How a match may stand in the text: anywhere; after what is no word character; between two such.
ANYWHERE, AT_START, BETWEEN = 0, 1, 2
#: Korean writes spaces between words and endings onto them.
_ENDINGS_FOLLOW = frozenset(("ko",))
#: Code points from here on are no letters.
_LAST_PLANE = 0x40000


def find_boundary(language: str) -> int:
    """Return how a flagged word must stand in a text of the language."""
    if language in UNSPACED_LANGUAGES:
        return ANYWHERE
    return AT_START if language in _ENDINGS_FOLLOW else BETWEEN


@lru_cache(maxsize=1)
def mark_word_characters() -> NDArray[np.uint8]:
    """Return for every code point whether it is a letter, mark, digit or underscore: 1 or 0.

    Marks count, so that an Indic vowel sign or an Arabic vowel does not end a word, as it does for Python's `re`.
    """
    marks = np.zeros(sys.maxunicode + 1, np.uint8)
    marks[:_LAST_PLANE] = [unicodedata.category(chr(code))[0] in "LMN" for code in range(_LAST_PLANE)]
    marks[ord("_")] = 1
    return marks


@dataclass(frozen=True, slots=True)
class Trie:
    """Entries of several languages as one trie.

    Attributes:
        symbols: for every code point its number in the trie, 0 if no entry holds it.
        children: node and symbol to the next node, 0 for none; node 0 is no node.
        entry: for each node the entry that ends there, counted from 1 within all languages; 0 for none.
        roots: language to its root.
        size: entries.
    """

    symbols: NDArray[np.uint16]
    children: NDArray[np.int32]
    entry: NDArray[np.int32]
    roots: Mapping[str, int]
    size: int


def build_trie(lists: Mapping[str, Sequence[str]]) -> Trie:
    """Return the trie of some lists of entries, each as it is looked for.

    Args:
        lists: language to its entries; empty ones are left out.
    """
    characters = sorted({character for entries in lists.values() for entry in entries for character in entry})
    symbols = np.zeros(sys.maxunicode + 1, np.uint16)
    symbols[[ord(character) for character in characters]] = np.arange(1, len(characters) + 1)
    nodes: list[dict[int, int]] = [{}]
    ends: dict[int, int] = {}
    roots: dict[str, int] = {}
    for language, entries in lists.items():
        roots[language] = len(nodes)
        nodes.append({})
        for entry in entries:
            node = roots[language]
            for character in entry:
                symbol = int(symbols[ord(character)])
                if symbol not in nodes[node]:
                    nodes[node][symbol] = len(nodes)
                    nodes.append({})
                node = nodes[node][symbol]
            if entry:
                ends.setdefault(node, len(ends) + 1)
    children = np.zeros((len(nodes), len(characters) + 1), np.int32)
    for node, following in enumerate(nodes):
        for symbol, child in following.items():
            children[node, symbol] = child
    entry_of = np.zeros(len(nodes), np.int32)
    entry_of[list(ends)] = list(ends.values())
    return Trie(symbols, children, entry_of, roots, len(ends))
