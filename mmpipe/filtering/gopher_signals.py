"""Measures Gopher's quality and repetition signals, in the dialect of datatrove 0.10, from one pass over the words."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.tables.text_signals import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mmpipe.filtering.text_batch import TextBatch
    from mmpipe.filtering.tokens import WordDictionary

_PARAGRAPH_BREAK = re.compile(r"\n{2,}")
_BULLETS = ("•", "-")
_ELLIPSES = ("...", "…")


def measure_gopher(batch: TextBatch) -> pl.DataFrame:
    """Return Gopher's signals of a batch, counted in its dialect."""
    return measure_words_and_lines(batch.texts)


def measure_words_and_lines(texts: Sequence[str]) -> pl.DataFrame:
    """Return Gopher's quality and repetition signals, one row per text, in the dialect of datatrove 0.10.

    Definitions: datatrove 0.10, `gopher_quality_filter.py` and `gopher_repetition_filter.py`; limits and names: Gopher
    (arXiv 2112.11446), Appendix A.1.1 and Table A1. Repeats shorter than their n-gram, and texts shorter than n words,
    measure 0.
    """
    from mmpipe.filtering.repetition import DUPLICATE_N, TOP_N, count_repeated_chars, count_words

    batch = share_dictionary().read(texts)
    words, non_symbol_words, non_symbol_chars, alphabetic, stop_words = count_words(batch).T
    top, duplicate = count_repeated_chars(batch)
    chars = np.array([len(text) for text in texts], np.int64)
    marks = np.array([_count_marks(text) for text in texts], np.int64).reshape(-1, 5)
    hashes, ellipses, lines, bullet_lines, ellipsis_lines = marks.T
    repeats = np.array([_count_repeats(text) for text in texts], np.int64).reshape(-1, 6)
    paragraphs, repeated_paragraphs, paragraph_chars, spans, repeated_spans, span_chars = repeats.T
    columns = {
        "word_count": non_symbol_words.astype(np.float64),
        "mean_word_length": _divide(non_symbol_chars, non_symbol_words),
        "hash_to_word_ratio": _divide(hashes, words),
        "ellipsis_to_word_ratio": _divide(ellipses, words),
        "bullet_line_ratio": _divide(bullet_lines, lines),
        "ellipsis_line_ratio": _divide(ellipsis_lines, lines),
        "alphabetic_word_ratio": _divide(alphabetic, words),
        "stop_word_count": stop_words.astype(np.float64),
        "duplicate_paragraph_ratio": _divide(repeated_paragraphs, paragraphs),
        "duplicate_paragraph_char_ratio": _divide(paragraph_chars, chars),
        "duplicate_line_ratio": _divide(repeated_spans, spans),
        "duplicate_line_char_ratio": _divide(span_chars, chars),
        **{f"top_{n}_gram_char_ratio": _divide(top[:, i], chars) for i, n in enumerate(TOP_N)},
        **{f"duplicate_{n}_gram_char_ratio": _divide(duplicate[:, i], chars) for i, n in enumerate(DUPLICATE_N)},
    }
    return pl.DataFrame(columns, schema=_EMPTY.schema).fill_nan(None)


_EMPTY = pl.DataFrame(schema={column.name: column.dtype for column in FAMILIES["gopher"]})


@lru_cache(maxsize=1)
def share_dictionary() -> WordDictionary:
    """Return this process's dictionary: the chunks of earlier shards need not be split again."""
    from mmpipe.filtering.tokens import WordDictionary

    return WordDictionary()


def _count_marks(text: str) -> tuple[int, int, int, int, int]:
    """Return: #, ellipses, lines, lines that start with a bullet, lines that end in an ellipsis."""
    lines = text.splitlines()
    ellipses = sum(map(text.count, _ELLIPSES))
    bullet_lines = sum(line.lstrip().startswith(_BULLETS) for line in lines) if _may_hold(text, _BULLETS) else 0
    ellipsis_lines = sum(line.rstrip().endswith(_ELLIPSES) for line in lines) if ellipses else 0
    return text.count("#"), ellipses, len(lines), bullet_lines, ellipsis_lines


def _may_hold(text: str, marks: tuple[str, ...]) -> bool:
    return any(mark in text for mark in marks)


def _count_repeats(text: str) -> tuple[int, int, int, int, int, int]:
    """Return number, repeats and characters in repeats: of paragraphs, then of lines.

    Lines are the unstripped text cut at runs of newlines, so that a newline at each end makes two empty lines, of which
    one repeats the other: datatrove's own count.
    """
    return (*_count_duplicates(cut_paragraphs(text)), *_count_duplicates(cut_lines(text)))


def cut_paragraphs(text: str) -> list[str]:
    """Return the stripped text cut at two or more newlines; nothing of an empty text."""
    if not text:
        return []
    body = text.strip()
    return _PARAGRAPH_BREAK.split(body) if "\n\n\n" in body else body.split("\n\n")


def cut_lines(text: str) -> list[str]:
    """Return the unstripped text cut at one or more newlines; nothing of an empty text."""
    if not text:
        return []
    lines = text.split("\n")
    # runs of newlines leave empty strings inside; only those at the ends are lines
    return [lines[0], *filter(None, lines[1:-1]), lines[-1]] if len(lines) > 1 else lines


def _count_duplicates(parts: list[str]) -> tuple[int, int, int]:
    distinct = set(parts)
    if len(distinct) == len(parts):
        return len(parts), 0, 0
    return len(parts), len(parts) - len(distinct), sum(map(len, parts)) - sum(map(len, distinct))


def _divide(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share, NaN where there is no whole."""
    share = np.full(part.size, np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
