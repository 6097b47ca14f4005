"""Counts the entries of word lists in captions, with word boundaries by script, in compiled loops."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.characters import encode_characters
from mmpipe.filtering.flagged_words import (
    ANYWHERE,
    AT_START,
    BETWEEN,
    Trie,
    build_trie,
    find_boundary,
    mark_word_characters,
)
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_lists import find_list
from mmpipe.filtering.toxicity_signals import NOT_FLAGGED
from mmpipe.filtering.word_lists import read_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

#: Marks of direction, joiners and soft hyphens: they are not seen, and part letters of a word that is to be hidden.
_UNSEEN = re.compile(
    "[" + "".join(chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) == "Cf") + "]"
)
#: Thai, Lao, Tibetan, Burmese, Khmer, Han and kana: written without spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U000323af]"
)
_HANGUL = re.compile(r"[\uac00-\ud7a3]")
_ENGLISH = "en"


def count_flagged_words(
    texts: Sequence[str], lists: Mapping[str, Sequence[ListReference]], languages: Sequence[str | None]
) -> pl.Series:
    """Return how often flagged words and phrases occur in each caption.

    Looked for are the lists of the caption's language and of English, which captions of every language mix in; where
    the language is unknown, all lists, of which the one that finds most counts. An occurrence is the longest entry at
    its place and stands between characters that are no letter, mark, digit or underscore; anywhere in languages
    written without spaces; at the start of a word in Korean. Compared are compatibility forms without case and without
    characters that are not seen, so that neither full-width letters nor a soft hyphen hide a word.

    Args:
        texts: captions.
        lists: language to lists; empty for the packaged ones.
        languages: language of each caption; None if it was not told.

    Source: C4 (Raffel et al. 2020, JMLR 21:140), §2.2, for the words; COYO-700M, model card, for captions.
    """
    trie = _open_flagged(_key(lists) or _list_packaged())
    folded = [fold(text) for text in texts]
    unknown = [language is None for language in languages]
    own = [language or "" for language in languages]
    counts = _count(folded, own, trie, {})
    if _ENGLISH in trie.roots:
        also = ["" if language == _ENGLISH else _ENGLISH for language in own]
        counts += _count(folded, also, trie, {})
    if any(unknown):
        for language in trie.roots:
            asked = [language if is_unknown else "" for is_unknown in unknown]
            counts = np.maximum(counts, _count(folded, asked, trie, {}))
    return pl.Series(counts, dtype=pl.Float64)


def count_political_words(texts: Sequence[str], lists: tuple[ListReference, ...]) -> pl.Series:
    """Return how often words and phrases of political opinion occur in each caption; null without lists.

    A heuristic: a lexicon sees neither irony nor quotation, and knows few languages. Entries of any language may stand
    in one list; how an entry must stand follows from its script, as in `count_flagged_words`.

    CogVLM (Wang et al. 2023, arXiv 2311.03079) removes politically biased captions and publishes neither list nor way.
    """
    if not lists:
        return pl.Series([None] * len(texts), dtype=pl.Float64)
    trie = _open_by_script(lists)
    folded = [fold(text) for text in texts]
    counts = np.zeros(len(texts), np.int64)
    for name, boundary in _SCRIPTS.items():
        if name in trie.roots:
            counts += _count(folded, [name] * len(texts), trie, {name: boundary})
    return pl.Series(counts, dtype=pl.Float64)


def fold(text: str) -> str:
    """Return a text as it is compared: compatibility forms, no case, nothing unseen, one kind of apostrophe."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold().replace("\u2019", "'")


def _count(folded: Sequence[str], keys: Sequence[str], trie: Trie, boundaries: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the occurrences of each text's list, which its key names; 0 where there is no such list."""
    from mmpipe.filtering.flagged_kernels import count_flagged

    codes, start = encode_characters(
        [text if key in trie.roots else "" for text, key in zip(folded, keys, strict=True)]
    )
    counts = count_flagged(
        codes,
        start,
        np.array([trie.roots.get(key, 0) for key in keys], np.int64),
        np.array([boundaries.get(key, find_boundary(key)) for key in keys], np.int64),
        mark_word_characters(),
        trie.symbols,
        trie.children,
        trie.entry,
        np.full(trie.size + 1, -1, np.int64),
    )
    occurrences: NDArray[np.int64] = counts[:, 0].copy()
    return occurrences


def _key(lists: Mapping[str, Sequence[ListReference]]) -> tuple[tuple[str, tuple[ListReference, ...]], ...]:
    return tuple((language, tuple(references)) for language, references in sorted(lists.items()))


@lru_cache(maxsize=1)
def _list_packaged() -> tuple[tuple[str, tuple[ListReference, ...]], ...]:
    folder = resources.files("mmpipe") / "recipes" / "lists"
    names = sorted(entry.name.removesuffix(".txt") for entry in folder.iterdir() if entry.name.endswith(".txt"))
    packaged = (name for name in names if name.startswith("flagged-words-"))
    return tuple((name.rpartition("-")[2], (find_list(ListReference(list=name), None),)) for name in packaged)


@lru_cache(maxsize=4)
def _open_flagged(lists: tuple[tuple[str, tuple[ListReference, ...]], ...]) -> Trie:
    return build_trie(
        {
            language: _fold_all(read_words(references) - NOT_FLAGGED.get(language, frozenset()))
            for language, references in lists
        }
    )


#: Kinds of entries by script, and how they must stand.
_SCRIPTS = {"spaced": BETWEEN, "hangul": AT_START, "unspaced": ANYWHERE}


@lru_cache(maxsize=4)
def _open_by_script(lists: tuple[ListReference, ...]) -> Trie:
    entries: dict[str, list[str]] = {}
    for entry in _fold_all(read_words(lists)):
        kind = "unspaced" if _UNSPACED.search(entry) else "hangul" if _HANGUL.search(entry) else "spaced"
        entries.setdefault(kind, []).append(entry)
    return build_trie(entries)


def _fold_all(entries: Iterable[str]) -> list[str]:
    return sorted({folded for entry in entries if (folded := fold(entry))})
