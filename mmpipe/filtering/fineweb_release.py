"""Measures Gopher, C4 and FineWeb as datatrove 0.2 did, which FineWeb was released with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

    from mmpipe.filtering.text_batch import TextBatch


def measure_gopher(batch: TextBatch) -> pl.DataFrame:
    """Return Gopher's signals as datatrove 0.2, `gopher_quality_filter.py` and `gopher_repetition_filter.py`.

    Unlike 0.10: words are NLTK's, every occurrence of a stop word counts, and lines that may repeat are those of
    str.splitlines, blank ones too.
    """
    from mmpipe.filtering.characters import encode_characters
    from mmpipe.filtering.gopher_columns import compose_gopher
    from mmpipe.filtering.line_counts import count_lines
    from mmpipe.filtering.nltk_words import number_words
    from mmpipe.filtering.repetition import WORD_COUNTS, count_repeated_chars, count_words

    words = number_words(split_words(batch))
    counts = count_words(words)
    is_stop_word = words.table.stop_word[words.words] > 0
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_stop_word)])
    counts[:, WORD_COUNTS.index("distinct_stop_words")] = np.diff(before[words.start])
    characters, start = encode_characters(batch.texts)
    lines = count_lines(characters, start)
    repeats = np.array([_count_repeats(text.splitlines()) for text in batch.texts], np.int64).reshape(-1, 3)
    lines["spans"], lines["repeated_spans"], lines["repeated_span_chars"] = repeats.T
    return compose_gopher(counts, *count_repeated_chars(words), lines, np.diff(start))


def split_words(batch: TextBatch) -> list[list[str]]:
    """Return the words of each text."""
    from mmpipe.filtering.nltk_words import load_nltk_words

    tokenizer = load_nltk_words(batch.recipe.text.sentence_model)
    return [tokenizer.split(text) for text in batch.texts]


def count_sentences(lines: Sequence[str], batch: TextBatch) -> NDArray[np.int64]:
    """Return the number of sentences of each line."""
    from mmpipe.filtering.nltk_words import load_nltk_words

    return load_nltk_words(batch.recipe.text.sentence_model).count_sentences(lines)


def _count_repeats(lines: list[str]) -> tuple[int, int, int]:
    """Return number, repeats and characters in repeats."""
    distinct = set(lines)
    repeated_chars = 0 if len(distinct) == len(lines) else sum(map(len, lines)) - sum(map(len, distinct))
    return len(lines), len(lines) - len(distinct), repeated_chars
