"""Makes Gopher's columns of signals from counts; every dialect counts in its own way and ends here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmpipe.filtering.line_counts import LineCounts


def compose_gopher(
    words: NDArray[np.int64],
    top: NDArray[np.int64],
    duplicate: NDArray[np.int64],
    lines: LineCounts,
    chars: NDArray[np.int64],
) -> pl.DataFrame:
    """Return the columns of the family `gopher` from counts, one row per text.

    Args:
        words: columns `repetition.WORD_COUNTS`.
        top: characters in the most frequent n-gram, columns `word_grams.TOP_N`.
        duplicate: characters in repeated n-grams, columns `word_grams.DUPLICATE_N`.
        lines: counts of lines, paragraphs and marks.
        chars: characters.
    """
    from mmpipe.filtering.word_grams import DUPLICATE_N, TOP_N

    all_words, non_symbol_words, non_symbol_chars, alphabetic, stop_words = words.T
    columns = {
        "word_count": non_symbol_words.astype(np.float64),
        "mean_word_length": divide(non_symbol_chars, non_symbol_words),
        "hash_to_word_ratio": divide(lines["hashes"], all_words),
        "ellipsis_to_word_ratio": divide(lines["ellipses"], all_words),
        "bullet_line_ratio": divide(lines["bullet_lines"], lines["lines"]),
        "ellipsis_line_ratio": divide(lines["ellipsis_lines"], lines["lines"]),
        "alphabetic_word_ratio": divide(alphabetic, all_words),
        "stop_word_count": stop_words.astype(np.float64),
        "duplicate_paragraph_ratio": divide(lines["repeated_paragraphs"], lines["paragraphs"]),
        "duplicate_paragraph_char_ratio": divide(lines["repeated_paragraph_chars"], chars),
        "duplicate_line_ratio": divide(lines["repeated_spans"], lines["spans"]),
        "duplicate_line_char_ratio": divide(lines["repeated_span_chars"], chars),
        **{f"top_{n}_gram_char_ratio": divide(top[:, i], chars) for i, n in enumerate(TOP_N)},
        **{f"duplicate_{n}_gram_char_ratio": divide(duplicate[:, i], chars) for i, n in enumerate(DUPLICATE_N)},
    }
    return pl.DataFrame(columns).fill_nan(None)


def divide(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share, NaN where there is no whole."""
    share = np.full(part.size, np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
