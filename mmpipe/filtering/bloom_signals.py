"""Measures BLOOM's signals: stripped words, repeated characters and words, special, stop and flagged words."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.unspaced import UNSPACED_LANGUAGES, cut_unspaced
from mmpipe.filtering.word_lists import find_flagged_words, find_stop_words
from mmpipe.filtering.word_numbers import Cut, Numbering
from mmpipe.tables.special_characters import (
    collect_special_characters,
    list_special_characters,
    mark_special_characters,
)
from mmpipe.tables.text_signals import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mmpipe.filtering.text_batch import TextBatch

# BigScience data-preparation, 01b_oscar_cleaning_and_filtering/parameters_filtering.py
_CHARACTER_N = {"zh": 3}
_DEFAULT_CHARACTER_N = 10
_WORD_N = {"ur": 7}
_DEFAULT_WORD_N = 5
#: Languages whose pairs of words are looked up in lists too: `words_augmentation_group_sizes` [2], and what else is
#: written without spaces, whose words are characters here.
_PAIRED = UNSPACED_LANGUAGES | {"vi"}

#: Distinct pieces past which the dictionary starts anew, so that memory stays bounded: 200 bytes each.
_MOST_PIECES = 500_000

# BLOOM's normalisation deletes these and reads an object replacement character as a space
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]+")
_OBJECT = "\ufffc"


def measure_bloom(batch: TextBatch) -> pl.DataFrame:
    """Return BLOOM's signals of a batch.

    Definitions: ROOTS (Laurençon et al. 2023, arXiv 2303.03915), §3 and Appendix C; BigScience data-preparation,
    01b_oscar_cleaning_and_filtering/filtering.py. Control characters are deleted and runs of white space are one space,
    as BLOOM's own modification leaves a text. Words are what stands between white space, stripped of special
    characters; in languages written without spaces, where BLOOM asks a SentencePiece model, they are characters with
    their marks. Shares of words are null in a text without words, and where there is no list for the language.
    """
    languages = [language or "" for language in batch.languages]
    chunks = [cut_chunks(text) for text in batch.texts]
    texts = [" ".join(own) for own in chunks]
    values = np.full((len(texts), len(_COLUMNS)), np.nan)
    values[:, 1], values[:, 3] = _measure_characters(texts, languages).T
    is_unspaced = np.array([language in UNSPACED_LANGUAGES for language in languages], np.bool_)
    for mode in (False, True):
        rows = np.flatnonzero(is_unspaced == mode)
        if rows.size:
            pieces = [cut_unspaced(texts[row]) if mode else chunks[row] for row in rows]
            measured = _measure_words(pieces, [languages[row] for row in rows], mode, batch)
            for column, of in zip((0, 2, 4, 5), measured.T, strict=True):
                values[rows, column] = of
    return pl.DataFrame(values, schema=dict.fromkeys(_COLUMNS, pl.Float64), orient="row").fill_nan(None)


_COLUMNS = tuple(column.name for column in FAMILIES["bloom"])


def cut_chunks(text: str) -> list[str]:
    """Return what stands between white space in the text as BLOOM normalises it.

    Joined by single spaces, these are the text that its characters are counted in.
    """
    if _OBJECT in text:
        text = text.replace(_OBJECT, " ")
    return _CONTROLS.sub("", text).split()


def _measure_characters(texts: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
    """Return per text the share of the most repeated character n-grams and that of special characters."""
    from mmpipe.filtering.ngram_kernels import count_marked, count_top_repeats

    start = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(text) for text in texts], dtype=np.int64)])
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    n = np.array([_CHARACTER_N.get(language, _DEFAULT_CHARACTER_N) for language in languages], np.int64)
    grams, repeated = count_top_repeats(codes, start, n).T
    special = count_marked(codes, start, mark_special_characters())
    lengths = np.diff(start)
    shares = np.zeros((len(texts), 2))  # a text without n-grams repeats nothing: 0, as in BLOOM
    np.divide(repeated, grams, out=shares[:, 0], where=grams > 0)
    np.divide(special, lengths, out=shares[:, 1], where=lengths > 0)
    return shares


def _measure_words(
    chunks: Sequence[Sequence[str]], languages: Sequence[str], is_unspaced: bool, batch: TextBatch
) -> NDArray[np.float64]:
    """Return per text: words, share of repeated n-grams, share of stop words, share of flagged words."""
    from mmpipe.filtering.ngram_kernels import count_repeats

    words = _share_words(is_unspaced)
    pieces, counted = words.read(chunks)
    n = np.array([_WORD_N.get(language, _DEFAULT_WORD_N) for language in languages], np.int64)
    grams, repeated = count_repeats(pieces.numbers.astype(np.uint32), pieces.start, n).T
    values = np.zeros((len(chunks), 4))
    values[:, 0] = counted
    np.divide(repeated, grams, out=values[:, 1], where=grams > 0)
    lengths = np.diff(pieces.start)
    settings = batch.recipe.words
    for column, find in ((2, find_stop_words), (3, find_flagged_words)):
        lists = {language: find(language, settings) for language in set(languages)}
        listed = words.count_listed(pieces, languages, lists)
        share = np.full(len(chunks), np.nan)
        np.divide(listed, lengths, out=share, where=lengths > 0)
        values[:, column] = np.minimum(share, 1.0)  # pairs may count twice; BLOOM cuts at 1 as well
    return values


class _Words:
    """The words of texts, stripped of special characters and lower-cased, by number."""

    def __init__(self, is_unspaced: bool) -> None:
        self._is_unspaced = is_unspaced
        self._pieces = Numbering()
        self._words = Numbering()

    def __len__(self) -> int:
        return len(self._pieces)

    def read(self, pieces: Sequence[Sequence[str]]) -> tuple[Cut, NDArray[np.int64]]:
        """Return the words of each text, and how many pieces are words as written, before they are lower-cased."""
        cut = self._pieces.cut(pieces)
        found = self._pieces.describe("words", self._find_words, width=2)[cut.numbers]
        words = Cut(found[:, 0], cut.start)
        return words.select(found[:, 0] >= 0), words.total(found[:, 1])

    def _find_words(self, pieces: Sequence[str]) -> NDArray[np.int64]:
        stripped = [_strip(piece.lower()) for piece in pieces]
        rows = np.full((len(pieces), 2), -1, np.int64)
        has_word = np.array([bool(word) for word in stripped], np.bool_)
        rows[has_word, 0] = self._words.number(filter(None, stripped), int(has_word.sum()))
        rows[:, 1] = [bool(_strip(piece)) for piece in pieces]
        return rows

    def count_listed(
        self, words: Cut, languages: Sequence[str], lists: dict[str, frozenset[str] | None]
    ) -> NDArray[np.float64]:
        """Return how many words of each text, and pairs of words where they count, are on its language's list.

        NaN where the language has no list.
        """
        counts = np.full(len(languages), np.nan)
        for language, entries in lists.items():
            if entries is None:
                continue
            rows = np.array([row for row, own in enumerate(languages) if own == language], np.int64)
            own = words.take(rows)
            counts[rows] = own.total(
                self._words.look_up(("listed", entries), own.numbers, partial(_mark, entries=entries))
            )
            if language in _PAIRED:
                pairs = (own.numbers[:-1] << 32) | own.numbers[1:]
                owners = own.owners
                hits = np.isin(pairs, self._find_pairs(entries)) & (owners[:-1] == owners[1:])
                counts[rows] += np.bincount(owners[:-1][hits], minlength=rows.size)
        return counts

    def _find_pairs(self, entries: frozenset[str]) -> NDArray[np.int64]:
        """Return the listed pairs whose words have been met, one number each."""
        parts = (cut_unspaced(entry) if self._is_unspaced else entry.split() for entry in entries)
        met = ([self._words.find(part) for part in own] for own in parts if len(own) == 2)
        return np.array([(pair[0] << 32) | pair[1] for pair in met if None not in pair], np.int64)  # type: ignore[operator]


def _strip(word: str) -> str:
    special = collect_special_characters()
    # `str.strip` looks through all the characters to strip for every word; most words have none at either end
    if word and (word[0] in special or word[-1] in special):
        return word.strip(list_special_characters())
    return word


def _mark(words: Sequence[str], entries: frozenset[str]) -> NDArray[np.int64]:
    return np.fromiter(map(entries.__contains__, words), np.int64, len(words))


_dictionaries: dict[bool, _Words] = {}


def _share_words(is_unspaced: bool) -> _Words:
    """Return this process's dictionary: the pieces of earlier shards need not be looked at again."""
    if len(_dictionaries.get(is_unspaced, ())) > _MOST_PIECES:
        del _dictionaries[is_unspaced]
    return _dictionaries.setdefault(is_unspaced, _Words(is_unspaced))
