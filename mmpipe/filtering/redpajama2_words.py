"""Cuts texts into lines, chunks and words as RedPajama-V2 does, and says of each distinct one what its signals need."""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mmpipe.filtering.word_numbers import Cut, Numbering

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# togethercomputer/RedPajama-Data, app/src/core/quality_signals: natural_language.py and lines.py; core/document.py
_RAW_WORD = re.compile(r"\w+|[^\w\s]+")
_LETTER = re.compile(r"[a-zA-Z]")
_SYMBOLS = ("#", "...", "…")
_ELLIPSES = ("...", "…")
_TERMINAL = (".", "!", "?", "”")
_BULLETS = ("•", "‣", "▶", "◀", "◦", "■", "□", "▪", "▫", "–")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

#: Columns of what is worked out once per distinct chunk; the last three say how a line starts and ends.
WORD, RAW_WORDS, NO_LETTER, CAPITALS, SYMBOLS, BRACKETS, UPPER, ENDS_SENTENCE, ENDS_ELLIPSIS, IS_BULLET = range(10)
#: Columns of what is worked out once per distinct word.
LENGTH, NUMERIC, IS_JAVASCRIPT, ENDS_LOREM, STARTS_IPSUM = range(5)

#: Distinct chunks past which the dictionary starts anew, so that memory stays bounded: 500 bytes each.
_MOST_CHUNKS = 500_000


@dataclass(frozen=True, slots=True)
class CutPages:
    """The lines, chunks and words of some texts.

    Attributes:
        lines: where the lines of each text start; one more than there are texts.
        chunks: what stands between white space, line by line.
        words: chunks without punctuation, lower-cased and decomposed, line by line; some chunks leave none.
        line_chars: characters of each line with its newline.
        chunk_table: what is known of each distinct chunk.
        word_table: what is known of each distinct word.
    """

    lines: NDArray[np.int64]
    chunks: Cut
    words: Cut
    line_chars: NDArray[np.int64]
    chunk_table: NDArray[np.int64]
    word_table: NDArray[np.int64]

    def total(self, of_lines: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum per text of one value per line."""
        return Cut(of_lines, self.lines).total(of_lines)

    def average(self, of_lines: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean per text of one value per line; NaN for a text without lines."""
        count = np.diff(self.lines)
        sums = np.bincount(np.repeat(np.arange(count.size), count), weights=of_lines, minlength=count.size)
        return divide(sums, count)

    def first(self, column: int) -> NDArray[np.int64]:
        """Return what is known of each line's first chunk; 0 for a line without any."""
        return self._pick(self.chunks.start[:-1], column)

    def last(self, column: int) -> NDArray[np.int64]:
        """Return what is known of each line's last chunk; 0 for a line without any."""
        return self._pick(self.chunks.start[1:] - 1, column)

    def _pick(self, places: NDArray[np.int64], column: int) -> NDArray[np.int64]:
        values = np.zeros(places.size, np.int64)
        has_chunks = np.diff(self.chunks.start) > 0
        values[has_chunks] = self.chunk_table[self.chunks.numbers[places[has_chunks]], column]
        return values

    def list_text_words(self) -> Cut:
        """Return the words text by text."""
        return Cut(self.words.numbers, self.words.start[self.lines])

    def list_text_chunks(self) -> Cut:
        """Return the chunks text by text."""
        return Cut(self.chunks.numbers, self.chunks.start[self.lines])


class PageDictionary:
    """Cuts texts; grows with the distinct chunks and words it has seen."""

    def __init__(self) -> None:
        self._chunks = Numbering()
        self._words = Numbering()

    def __len__(self) -> int:
        return len(self._chunks)

    def read(self, texts: Sequence[str]) -> CutPages:
        """Return the lines, chunks and words of the texts."""
        own_lines = [text.split("\n") for text in texts]
        for own in own_lines:
            if not own[-1]:  # a newline at the end ends a line and starts none
                own.pop()
        lines = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(own) for own in own_lines], out=lines[1:])
        chunks = self._chunks.cut([line.split() for own in own_lines for line in own])
        line_chars = np.array([len(line) + 1 for own in own_lines for line in own], np.int64)
        ends_open = np.array([bool(text) and text[-1] != "\n" for text in texts], np.bool_)
        line_chars[lines[1:][ends_open] - 1] -= 1
        chunk_table = self._chunks.describe("chunk", self._describe_chunks, width=10)
        words = Cut(chunk_table[chunks.numbers, WORD], chunks.start)
        words = words.select(words.numbers >= 0)
        word_table = self._words.describe("word", _describe_words, width=5)
        return CutPages(lines, chunks, words, line_chars, chunk_table, word_table)

    def count_raw_words(self, chunks: Cut, entries: frozenset[str]) -> NDArray[np.int64]:
        """Return how many raw words of each text are among the entries, as written."""
        work_out = partial(_count_raw, entries=entries)
        return chunks.total(self._chunks.look_up(("raw", entries), chunks.numbers, work_out))

    def count_entries(self, words: Cut, entries: frozenset[str]) -> NDArray[np.int64]:
        """Return how many times each text's words, or runs of them joined by single spaces, are among the entries."""
        work_out = partial(_mark, entries=entries)
        counts = words.total(self._words.look_up(("listed", entries), words.numbers, work_out))
        phrases = [[self._words.find(word) for word in entry.split(" ")] for entry in entries if " " in entry]
        known = [np.array(phrase, np.int64) for phrase in phrases if None not in phrase]
        if not known:
            return counts
        starts = np.flatnonzero(np.isin(words.numbers, [phrase[0] for phrase in known]))
        owners = words.owners
        for phrase in known:
            places = starts[starts + phrase.size <= words.numbers.size]
            for offset, number in enumerate(phrase):
                places = places[words.numbers[places + offset] == number]
            is_inside = owners[places] == owners[places + phrase.size - 1]
            counts += np.bincount(owners[places[is_inside]], minlength=counts.size)
        return counts

    def _describe_chunks(self, chunks: Sequence[str]) -> NDArray[np.int64]:
        words = [unicodedata.normalize("NFD", chunk.translate(_NO_PUNCTUATION).lower()) for chunk in chunks]
        rows = np.array([_describe_chunk(chunk) for chunk in chunks], np.int64)
        has_word = np.array([bool(word) for word in words], np.bool_)
        rows[has_word, WORD] = self._words.number(filter(None, words), int(has_word.sum()))
        return rows


def divide(
    part: NDArray[np.int64] | NDArray[np.float64], whole: NDArray[np.int64], nothing: float = np.nan
) -> NDArray[np.float64]:
    """Return the share; `nothing` where there is no whole."""
    share = np.full(part.size, nothing)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _describe_chunk(chunk: str) -> tuple[int, ...]:
    if chunk.isascii() and chunk.isalpha():  # most chunks
        upper = 0 if chunk.islower() else sum(map(str.isupper, chunk))
        return (-1, 1, 0, int(upper == len(chunk)), 0, 0, upper, 0, 0, 0)
    raw = _RAW_WORD.findall(chunk)
    return (
        -1,
        len(raw),
        sum(_LETTER.search(word) is None for word in raw),
        sum(map(str.isupper, raw)),
        sum(map(chunk.count, _SYMBOLS)),
        chunk.count("{") + chunk.count("}"),
        sum(map(str.isupper, chunk)),
        chunk.endswith(_TERMINAL),
        chunk.endswith(_ELLIPSES),
        chunk.startswith(_BULLETS),
    )


def _describe_words(words: Sequence[str]) -> NDArray[np.int64]:
    rows = [
        (
            len(word),
            0 if word.isascii() and word.isalpha() else sum(map(str.isnumeric, word)),
            word == "javascript",
            word.endswith("lorem"),
            word.startswith("ipsum"),
        )
        for word in words
    ]
    return np.array(rows, np.int64)


def _count_raw(chunks: Sequence[str], entries: frozenset[str]) -> NDArray[np.int64]:
    return np.array([sum(map(entries.__contains__, _RAW_WORD.findall(chunk))) for chunk in chunks], np.int64)


def _mark(words: Sequence[str], entries: frozenset[str]) -> NDArray[np.int64]:
    return np.fromiter(map(entries.__contains__, words), np.int64, len(words))


_dictionaries: list[PageDictionary] = []


def share_dictionary() -> PageDictionary:
    """Return this process's dictionary: the chunks of earlier shards need not be looked at again."""
    if not _dictionaries or len(_dictionaries[0]) > _MOST_CHUNKS:
        _dictionaries[:] = [PageDictionary()]
    return _dictionaries[0]
