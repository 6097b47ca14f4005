"""Measures documents: one row of signals per extracted page, all from one pass over its words."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.url_signals import measure_urls
from mmpipe.tables.text import TEXT_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.filtering.tokens import WordDictionary

#: Characters of text that are measured at a time: the words of a batch are a few times as many bytes.
_BATCH_CHARACTERS = 16_000_000

_PARAGRAPH_BREAK = re.compile(r"\n{2,}")
_BULLETS = ("•", "-")
_ELLIPSES = ("...", "…")


def measure_text(frame: pl.DataFrame, recipe: Recipe, cache_folder: str | Path = "") -> pl.DataFrame:
    """Return the signals of extracted pages.

    Args:
        frame: EXTRACTED_TEXT rows.
        recipe: its `text.dialect` says how words and repeats are counted, its `url` which lists URLs are held against;
            no limit of it is read.
        cache_folder: where unpacked block lists are kept; empty for the user's cache folder.

    Returns:
        TEXT_SIGNALS rows, one per row and in their order. Rows without text have null text signals; every row with a
        URL has URL signals. A text without any word has `word_count` 0 and null where a share of nothing is asked for.
    """
    texts = frame.get_column("text").to_list()
    present = [index for index, text in enumerate(texts) if text is not None]
    columns = [measure_words_and_lines([texts[index] for index in batch]) for batch in _cut_batches(texts, present)]
    measured = pl.concat([_EMPTY, *columns]).with_columns(row=pl.Series(present, dtype=pl.UInt32))
    signals = (
        frame.select("doc_id", "extraction_status", "language", "language_score")
        .with_row_index("row")
        .join(measured, on="row", how="left", maintain_order="left")
    )
    return TEXT_SIGNALS.conform(
        pl.concat([signals, measure_urls(frame.get_column("url"), recipe.url, cache_folder)], how="horizontal").select(
            TEXT_SIGNALS.column_names
        )
    )


def measure_words_and_lines(texts: Sequence[str]) -> pl.DataFrame:
    """Return Gopher's quality and repetition signals, one row per text, in the dialect of datatrove 0.10.

    Definitions: datatrove 0.10, `gopher_quality_filter.py` and `gopher_repetition_filter.py`; limits and names: Gopher
    (arXiv 2112.11446), Appendix A.1.1 and Table A1. Repeats shorter than their n-gram, and texts shorter than n words,
    measure 0.
    """
    from mmpipe.filtering.repetition import DUPLICATE_N, TOP_N, count_repeated_chars, count_words

    batch = _share_dictionary().read(texts)
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


_EMPTY = pl.DataFrame(
    schema={column.name: pl.Float64 for column in TEXT_SIGNALS.columns if column.parents == ("extracted_text.text",)}
)


@lru_cache(maxsize=1)
def _share_dictionary() -> WordDictionary:
    """Return this process's dictionary: the chunks of earlier shards need not be split again."""
    from mmpipe.filtering.tokens import WordDictionary

    return WordDictionary()


def _cut_batches(texts: Sequence[str | None], present: Sequence[int]) -> list[list[int]]:
    batches: list[list[int]] = []
    room = 0
    for index in present:
        size = len(texts[index] or "")
        if not batches or size > room:
            batches.append([])
            room = _BATCH_CHARACTERS
        batches[-1].append(index)
        room -= size
    return batches


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
