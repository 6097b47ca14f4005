"""Splits white-space chunks into words exactly as spaCy's blank English tokenizer does, mostly without asking it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mmpipe.filtering.characters import SpanDictionary
from mmpipe.light_imports import replace_modules, start_numba

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Longer chunks count as one word. spaCy peels affixes one by one and rescans the rest, so that a run of n brackets
#: costs n²: seconds at 4,000 characters, hours at a million.
LONGEST_CHUNK = 1_000

_POSSESSIVES = frozenset(("'s", "'S", "’s", "’S"))


class ChunkSplitter:
    """Splits chunks into words; remembers the shapes it has seen, and past `most_shapes` starts anew.

    spaCy's tokenizer never joins across white space, and its expressions ask of most characters only whether they are
    a lower-case letter, an upper-case letter, a digit or a certain mark. So two chunks of one shape (`word,` and
    `then,`) are cut at the same places, however long their runs of letters or digits are, unless a special case
    (`don't`, `Mr.`) is met; both are checked here, and whatever is in doubt goes to spaCy by itself: among other
    chunks, spaCy may cut a row of emoticons otherwise.
    """

    def __init__(self, most_shapes: int = 50_000) -> None:
        start_numba()
        self._most_shapes = most_shapes
        self._spacy = load_spacy()
        self._longest_case = max(map(len, self._spacy.special_cases))
        self._shapes: SpanDictionary
        self._cuts: NDArray[np.int16]
        self._forget()

    def split(
        self, known: SpanDictionary, first: int, special_cases: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the lengths of the words of all chunks, one chunk after the other, and how many words each has.

        Args:
            known: chunks without white space, of which the first are spaCy's special cases.
            first: the first chunk that is split.
            special_cases: how many chunks are special cases.
        """
        from mmpipe.filtering import chunk_kernels
        from mmpipe.filtering.unicode_classes import describe_characters

        if self._shapes.count > self._most_shapes:
            self._forget()
        start = known.start[first:]
        chunks = start.size - 1
        kinds = np.empty(chunks, np.int32)
        begins, lengths = np.empty(chunks, np.int64), np.empty(chunks, np.int64)
        shapes = np.empty(start[-1] - start[0] + 1, np.uint32)
        chunk_kernels.find_shapes(
            known.characters, start, describe_characters(), LONGEST_CHUNK, shapes, begins, lengths, kinds
        )
        shaped = np.flatnonzero(kinds == 0)
        kinds[shaped] = self._shapes.number(shapes, begins[shaped], lengths[shaped])
        self._learn()
        rows = np.zeros((chunks, chunk_kernels.MOST_WORDS), np.int64)
        words = np.empty(chunks, np.int32)
        chunk_kernels.cut_by_shape(
            known.characters, start, kinds, self._cuts, LONGEST_CHUNK, special_cases, self._longest_case, *known.index,
            rows, words,
        )  # fmt: skip
        doubtful = np.flatnonzero(words == 0)
        asked = self._spacy.split_each(known.read(first + doubtful))
        sure = rows[np.arange(chunk_kernels.MOST_WORDS) < words[:, None]]
        words[doubtful] = [len(split) for split in asked]
        is_asked = np.zeros(chunks, np.bool_)
        is_asked[doubtful] = True
        is_asked = np.repeat(is_asked, words)
        word_lengths = np.empty(is_asked.size, np.int64)
        word_lengths[~is_asked] = sure
        word_lengths[is_asked] = list(map(len, chain.from_iterable(asked)))
        return word_lengths, words

    def _forget(self) -> None:
        self._shapes = SpanDictionary()
        self._cuts = np.zeros((0, 0), np.int16)

    def _learn(self) -> None:
        """Find the cuts of the shapes not met before."""
        from mmpipe.filtering.chunk_kernels import MOST_WORDS

        new = self._shapes.read(range(len(self._cuts), self._shapes.count))
        cuts = np.zeros((self._shapes.count, MOST_WORDS), np.int16)
        cuts[: len(self._cuts)] = self._cuts.reshape(-1, MOST_WORDS)
        for row, shape, words in zip(cuts[len(self._cuts) :], new, self._spacy.split_each(new), strict=True):
            ends = list(accumulate(map(len, words)))
            if len(ends) <= MOST_WORDS and self._decides(shape, ends):
                row[: len(ends)] = ends
        self._cuts = cuts

    def _decides(self, shape: str, ends: Sequence[int]) -> bool:
        """Return whether a shape was cut as a shape and not as the special case that it, or a part of it, is."""
        words = [shape[begin:end] for begin, end in pairwise((0, *ends))]
        # spaCy looks for special cases in what is left after each affix and among the pieces between infixes: all of
        # these run from one cut to another
        spans = (words[first:last] for first in range(len(words)) for last in range(first + 1, len(words) + 1))
        return not any("".join(span) in self._spacy.special_cases and not _is_affix(span) for span in spans)


def _is_affix(words: list[str]) -> bool:
    """Return whether a special case is one mark or `'s`, which spaCy cuts off in any case."""
    return len(words) == 1 and (len(words[0]) == 1 or words[0] in _POSSESSIVES)


@dataclass(frozen=True, slots=True)
class Spacy:
    """spaCy's blank English tokenizer.

    Attributes:
        split_each: words of each chunk, one call a chunk: what it says does not depend on the others.
        special_cases: words of each special case that is a chunk.
    """

    split_each: Callable[[Sequence[str]], list[list[str]]]
    special_cases: dict[str, list[str]]


@lru_cache(maxsize=1)
def load_spacy() -> Spacy:
    """Return this process's tokenizer."""
    with replace_modules(_list_unused()):
        import spacy
        from spacy.attrs import ORTH

    language: Any = spacy.blank("en")
    tokenizer = language.tokenizer
    special_cases = {
        text: [piece[ORTH] for piece in pieces] for text, pieces in tokenizer.rules.items() if text.split() == [text]
    }
    # what a new word looks like is not asked for, and takes longer to find than the words themselves
    language.vocab.lex_attr_getters = {}

    def split_each(chunks: Sequence[str]) -> list[list[str]]:
        with language.memory_zone():  # else spaCy's vocabulary keeps every string it ever saw
            return [[token.text for token in tokenizer(chunk)] for chunk in chunks]

    return Spacy(split_each, special_cases)


def _list_unused() -> dict[str, ModuleType | None]:
    """Return what spaCy is imported without: no tokenizer needs it.

    PyTorch, for layers, is 500 MB a process; the command line, with web clients and templates, a third of a second.
    """
    command_line = ModuleType("spacy.cli.info")
    # all that spaCy itself takes from there
    command_line.__dict__["info"] = None
    unused: dict[str, ModuleType | None] = {"torch": None}
    if "spacy" not in sys.modules:
        unused |= {"spacy.cli": ModuleType("spacy.cli"), "spacy.cli.info": command_line}
    return unused
