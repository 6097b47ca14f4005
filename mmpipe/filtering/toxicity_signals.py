"""Measures how many flagged words a text holds, by the list of its language."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.flagged_words import ANYWHERE, Trie, build_trie, find_boundary, mark_word_characters
from mmpipe.filtering.word_lists import read_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmpipe.filtering.list_references import ListReference
    from mmpipe.filtering.text_batch import TextBatch

#: Entries of LDNOOBW that C4 does not look for (TensorFlow Datasets, text/c4_utils.py, badword allow-list).
NOT_FLAGGED = {"ja": frozenset(("sm", "グロ", "女の子")), "zh": frozenset(("性",))}


def measure_toxicity(batch: TextBatch) -> pl.DataFrame:
    """Return the toxicity signals of a batch.

    Entries of the recipe's `words.flagged` for the document's language are looked for in the case-folded text: between
    characters that are no letter, mark, digit or underscore; in languages written without spaces anywhere; in Korean
    at the start of a word. An occurrence is the longest entry at its place, and occurrences do not overlap. The ratio
    is taken to runs of word characters, in languages written without spaces to word characters. A text whose language
    has no list is not measured.

    Source: C4 (Raffel et al. 2020, JMLR 21:140), §2.2, and TensorFlow Datasets, text/c4_utils.py, whose boundaries are
    Python's (a combining mark ends a word) and which wants Korean words to stand alone.
    """
    from mmpipe.filtering.flagged_kernels import count_flagged

    trie = _open_trie(tuple(sorted(batch.recipe.words.flagged.items())))
    languages = [language or "" for language in batch.languages]
    texts = [text.casefold() if own in trie.roots else "" for text, own in zip(batch.texts, languages, strict=True)]
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(text) for text in texts], dtype=np.int64)])
    roots = np.array([trie.roots.get(language, 0) for language in languages], np.int64)
    boundaries = np.array([find_boundary(language) for language in languages], np.int64)
    counts = count_flagged(
        codes,
        start,
        roots,
        boundaries,
        mark_word_characters(),
        trie.symbols,
        trie.children,
        trie.entry,
        np.full(trie.size + 1, -1, np.int64),
    ).astype(np.float64)
    counts[roots == 0] = np.nan
    occurrences, distinct, words, characters = counts.T
    whole = np.where(boundaries == ANYWHERE, characters, words)
    ratio: NDArray[np.float64] = np.full(len(texts), np.nan)
    np.divide(occurrences, whole, out=ratio, where=whole > 0)
    columns = {"toxic_word_count": occurrences, "toxic_word_ratio": ratio, "distinct_toxic_word_count": distinct}
    return pl.DataFrame(columns).fill_nan(None)


@lru_cache(maxsize=4)
def _open_trie(lists: tuple[tuple[str, tuple[ListReference, ...]], ...]) -> Trie:
    entries = {
        language: sorted({word.casefold() for word in read_words(references) - NOT_FLAGGED.get(language, frozenset())})
        for language, references in lists
    }
    return build_trie(entries)
