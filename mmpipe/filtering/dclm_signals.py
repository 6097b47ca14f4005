"""Measures Gopher's signals as DCLM counts them, and the two that are DCLM's own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.tables.text_signals import FAMILIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmpipe.filtering.text_batch import TextBatch

_BULLETS = ("●", "•", "*", "-")
_ELLIPSES = ("...", ". . .", "…")


def measure_gopher(batch: TextBatch) -> pl.DataFrame:
    """Return Gopher's quality and repetition signals, one row per text, in DCLM's dialect.

    Definitions: DCLM (Li et al. 2024, arXiv 2406.11794), `content_filters.py` and `core_utils.py`. What differs from
    datatrove: `word_count` is in fastText's words that begin with a letter or digit; mean length, symbols, letters and
    stop words are of white-space words, stop words in any case; lines and paragraphs (between two newlines) are
    stripped, empty ones dropped; every occurrence of what is repeated counts, and a text of one segment repeats
    nothing; n-grams are of Unicode words that begin with a letter or digit, their share is of those words' characters,
    the longest of equally frequent ones is taken, and none that occurs once. Null where a share of nothing is asked.
    """
    from mmpipe.filtering.covered_grams import DUPLICATE_N, TOP_N, count_covered_chars
    from mmpipe.filtering.dclm_words import cut_dclm_words

    texts = batch.texts
    cut = cut_dclm_words(texts)
    words, word_chars, alphabetic, _, stop_words, fasttext_words = cut.counts.T
    top, covered = count_covered_chars(cut.words, cut.lengths, cut.start)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(cut.lengths, dtype=np.int64)])
    chars = np.diff(ends[cut.start])
    marks = np.array([(text.count("#"), sum(map(text.count, _ELLIPSES))) for text in texts], np.int64).reshape(-1, 2)
    lines = np.array([_count_segments(text, "\n") for text in texts], np.float64).reshape(-1, 5)
    paragraphs = np.array([_count_segments(text, "\n\n") for text in texts], np.float64).reshape(-1, 5)
    columns = {
        "word_count": fasttext_words.astype(np.float64),
        "mean_word_length": _divide(word_chars, words),
        "hash_to_word_ratio": _divide(marks[:, 0], words),
        "ellipsis_to_word_ratio": _divide(marks[:, 1], words),
        "bullet_line_ratio": _divide(lines[:, 3], lines[:, 0]),
        "ellipsis_line_ratio": _divide(lines[:, 4], lines[:, 0]),
        "alphabetic_word_ratio": _divide(alphabetic, words),
        "stop_word_count": stop_words.astype(np.float64),
        "duplicate_paragraph_ratio": paragraphs[:, 1],
        "duplicate_paragraph_char_ratio": paragraphs[:, 2],
        "duplicate_line_ratio": lines[:, 1],
        "duplicate_line_char_ratio": lines[:, 2],
        # a text of fewer words than n has no n-gram and passes, one without words too
        **{f"top_{n}_gram_char_ratio": _divide(top[:, i], chars, 0.0) for i, n in enumerate(TOP_N)},
        **{f"duplicate_{n}_gram_char_ratio": _divide(covered[:, i], chars, 0.0) for i, n in enumerate(DUPLICATE_N)},
    }
    return pl.DataFrame(columns, schema=_schema("gopher")).fill_nan(None)


def measure_dclm(batch: TextBatch) -> pl.DataFrame:
    """Return what DCLM counts beyond Gopher's own quantities.

    DCLM, `content_filters.py`, `symbol_ratio_filter` and `stop_word_filter`: symbols are summed over the marks, stop
    words over their occurrences.
    """
    from mmpipe.filtering.dclm_words import count_spaced_words

    words, _, _, stop_words, _, _ = count_spaced_words(batch.texts).T
    symbols = np.array([sum(map(text.count, ("#", *_ELLIPSES))) for text in batch.texts], np.int64)
    columns = {"symbol_to_word_ratio": _divide(symbols, words), "stop_word_occurrences": stop_words.astype(np.float64)}
    return pl.DataFrame(columns, schema=_schema("dclm")).fill_nan(None)


def _count_segments(text: str, end: str) -> tuple[float, float, float, int, int]:
    """Return of lines or paragraphs: how many, share repeated, share of characters in these, bullets, ellipses."""
    segments = [segment for piece in text.split(end) if (segment := piece.strip())]
    if not segments:
        return 0, np.nan, np.nan, 0, 0
    bullets = sum(segment.startswith(_BULLETS) for segment in segments)
    ellipses = sum(segment.endswith(_ELLIPSES) for segment in segments)
    if len(set(segments)) == len(segments):
        return len(segments), 0, 0, bullets, ellipses
    repeated = {segment: count for segment, count in Counter(segments).items() if count > 1}
    share = sum(repeated.values()) / len(segments)
    chars = sum(len(segment) * count for segment, count in repeated.items()) / sum(map(len, segments))
    return len(segments), share, chars, bullets, ellipses


def _divide(part: NDArray[np.generic], whole: NDArray[np.generic], empty: float = np.nan) -> NDArray[np.float64]:
    """Return the share, `empty` where there is no whole."""
    share = np.full(part.size, empty)
    np.divide(part, whole, out=share, where=whole > 0)  # type: ignore[operator]
    return share


def _schema(family: str) -> pl.Schema:
    return pl.Schema({column.name: column.dtype for column in FAMILIES[family]})
