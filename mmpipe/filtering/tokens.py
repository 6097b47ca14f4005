"""Turns texts into word numbers: every distinct white-space chunk is split once, every distinct word described once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from mmpipe.filtering.chunks import ChunkSplitter
from mmpipe.filtering.punctuation import list_punctuation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Gopher's stop words (arXiv 2112.11446, Appendix A.1.1), case-sensitive as in datatrove 0.10.
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


@dataclass(frozen=True, slots=True)
class WordTable:
    """What the kernels need to know of each distinct word, by its number.

    Attributes:
        start: where its characters start in `characters`; one more than there are words.
        characters: code points of all words, one after the other.
        is_word: 1 if it has a character that is not punctuation.
        is_alphabetic: 1 if it has a letter.
        stop_word: bit of the stop word it is, 0 if none.
    """

    start: NDArray[np.int64]
    characters: NDArray[np.uint32]
    is_word: NDArray[np.uint8]
    is_alphabetic: NDArray[np.uint8]
    stop_word: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class WordBatch:
    """The words of a batch of texts: those of text i are `words[start[i]:start[i + 1]]`, numbers into `table`."""

    words: NDArray[np.int32]
    start: NDArray[np.int64]
    table: WordTable


class WordDictionary:
    """Numbers the words of texts, in the dialect of datatrove 0.10 (spaCy's blank English tokenizer).

    It grows with what it has seen; past `most_chunks` distinct chunks it starts anew, so that memory stays bounded. The
    numbers mean nothing outside one batch.
    """

    def __init__(self, most_chunks: int = 1_000_000) -> None:
        self._most_chunks = most_chunks
        self._splitter = ChunkSplitter()
        self._punctuation = list_punctuation()
        self._chunk_numbers: defaultdict[str, int] = _number_as_met()
        self._word_numbers: defaultdict[str, int] = _number_as_met()
        self._words: NDArray[np.int32] = np.zeros(0, np.int32)
        self._word_start: NDArray[np.int64] = np.zeros(1, np.int64)
        self._table = _describe_none()

    def read(self, texts: Sequence[str]) -> WordBatch:
        """Return the words of the texts."""
        if len(self._chunk_numbers) > self._most_chunks:
            self._forget()
        known = len(self._chunk_numbers)
        pieces = [text.split() for text in texts]
        count = sum(map(len, pieces))
        # a missing chunk takes the next number, so that the loop over millions of chunks stays in C
        numbers = np.fromiter(map(self._chunk_numbers.__getitem__, chain.from_iterable(pieces)), np.int64, count)
        if len(self._chunk_numbers) > known:
            self._learn(list(self._chunk_numbers)[known:])
        chunk_start = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(piece) for piece in pieces], out=chunk_start[1:])
        return self._expand(numbers, chunk_start)

    def _expand(self, chunks: NDArray[np.int64], chunk_start: NDArray[np.int64]) -> WordBatch:
        """Replace each chunk by its words."""
        lengths = np.diff(self._word_start)[chunks]
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        first = np.repeat(self._word_start[chunks] - ends[:-1], lengths)
        words = self._words[first + np.arange(ends[-1])]
        return WordBatch(words, ends[chunk_start], self._table)

    def _learn(self, chunks: Sequence[str]) -> None:
        """Split new chunks, number their words, and describe the words not met before."""
        known = len(self._word_numbers)
        split = self._splitter.split(chunks)
        count = sum(map(len, split))
        words = np.fromiter(map(self._word_numbers.__getitem__, chain.from_iterable(split)), np.int32, count)
        ends = np.cumsum([len(piece) for piece in split]) + self._words.size
        self._words = np.concatenate([self._words, words])
        self._word_start = np.concatenate([self._word_start, ends])
        new = list(self._word_numbers)[known:]
        if new:
            self._describe(new)

    def _describe(self, words: Sequence[str]) -> None:
        table = self._table
        stop_bits = {word: 1 << bit for bit, word in enumerate(STOP_WORDS)}
        # a word of letters only is the common case: no letter is punctuation
        is_alphabetic = [word.isalpha() or any(map(str.isalpha, word)) for word in words]
        is_word = [word.isalpha() or not self._punctuation.issuperset(word) for word in words]
        ends = np.cumsum([len(word) for word in words]) + table.characters.size
        self._table = WordTable(
            start=np.concatenate([table.start, ends]),
            characters=np.concatenate(
                [table.characters, np.frombuffer("".join(words).encode("utf-32-le"), dtype=np.uint32)]
            ),
            is_word=np.concatenate([table.is_word, np.array(is_word, np.uint8)]),
            is_alphabetic=np.concatenate([table.is_alphabetic, np.array(is_alphabetic, np.uint8)]),
            stop_word=np.concatenate([table.stop_word, np.array([stop_bits.get(w, 0) for w in words], np.uint8)]),
        )

    def _forget(self) -> None:
        self._chunk_numbers = _number_as_met()
        self._word_numbers = _number_as_met()
        self._words = np.zeros(0, np.int32)
        self._word_start = np.zeros(1, np.int64)
        self._table = _describe_none()


def _describe_none() -> WordTable:
    none = np.zeros(0, np.uint8)
    return WordTable(np.zeros(1, np.int64), np.zeros(0, np.uint32), none, none, none)


def _number_as_met() -> defaultdict[str, int]:
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    return numbers
