"""Measures FineWeb's signals of lines: how they end, how long they are, how often they repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from mmpipe.filtering.text_batch import TextBatch

#: FineWeb (Penedo et al. 2024, arXiv 2406.17557), §3.6.
_SHORT_LINE_CHARS = 30

#: What a line may end in, as FineWeb was released (datatrove 0.2, `fineweb_quality_filter.py`).
_RELEASE_MARKS = frozenset(".'\"!?")


def measure_fineweb(batch: TextBatch) -> pl.DataFrame:
    """Return FineWeb's signals of a batch, counted in its dialect."""
    from mmpipe.filtering import unicode_signals

    measures: Mapping[str, Callable[[TextBatch], pl.DataFrame]] = {
        "datatrove_0_10": _measure_datatrove,
        "dclm": _measure_datatrove,  # DCLM has no such signals of its own
        "fineweb_release": _measure_release,
        "unicode": unicode_signals.measure_fineweb,
    }
    return measures[batch.dialect](batch)


def _measure_datatrove(batch: TextBatch) -> pl.DataFrame:
    """Measure as datatrove 0.10, `fineweb_quality_filter.py`: of lines that hold more than white space."""
    from mmpipe.filtering.characters import encode_characters
    from mmpipe.filtering.gopher_columns import divide
    from mmpipe.filtering.gopher_signals import read_words
    from mmpipe.filtering.line_repeats import PART_COUNTS, count_parts

    words = np.diff(read_words(batch.texts).start)
    characters, start = encode_characters(batch.texts)
    counts = count_parts(characters, start, most_short_chars=_SHORT_LINE_CHARS, is_space_an_end=True)
    of = dict(zip(PART_COUNTS, counts.T, strict=True))
    columns = {
        "nonblank_line_count": of["newline_lines"].astype(np.float64),
        "terminal_line_ratio": divide(of["terminal_lines"], of["newline_lines"]),
        "short_line_ratio": divide(of["short_lines"], of["newline_lines"]),
        "repeated_line_char_ratio": divide(of["repeated_newline_line_chars"], np.diff(start) - of["newlines"]),
        "newline_to_word_ratio": divide(of["newlines"], words),
    }
    return pl.DataFrame(columns).fill_nan(None)


def _measure_release(batch: TextBatch) -> pl.DataFrame:
    """Measure as datatrove 0.2: of all lines, blank ones too, except that no blank line repeats another."""
    from mmpipe.filtering.fineweb_release import split_words

    words = np.array([len(words) for words in split_words(batch)], np.int64)
    return measure_lines(batch.texts, words, _RELEASE_MARKS, are_blank_lines_counted=True)


def measure_lines(
    texts: Sequence[str], words: NDArray[np.int64], marks: Collection[str], *, are_blank_lines_counted: bool
) -> pl.DataFrame:
    """Return FineWeb's signals, one row per text.

    Args:
        texts: texts whose lines end in newlines.
        words: words of each text.
        marks: characters that end a line properly.
        are_blank_lines_counted: whether lines of nothing but white space count among the lines.
    """
    rows = [_count_lines(text, marks, are_blank_lines_counted) for text in texts]
    full, lines, terminal, short, repeated, newlines, chars = np.array(rows, np.float64).reshape(-1, 7).T
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = {
            "nonblank_line_count": full,
            "terminal_line_ratio": terminal / lines,
            "short_line_ratio": short / lines,
            "repeated_line_char_ratio": repeated / chars,
            "newline_to_word_ratio": newlines / words,
        }
    frame = pl.DataFrame(columns)
    # newlines without any word are a ratio of infinity
    return frame.with_columns(pl.when(pl.all().is_finite()).then(pl.all()))


def _count_lines(
    text: str, marks: Collection[str], are_blank_lines_counted: bool
) -> tuple[int, int, int, int, int, int, int]:
    """Count what the signals of a text are made of.

    Returns:
        Lines with more than white space, lines counted, terminal and short ones of these, characters of repeated full
        lines, newlines, characters that are no newline.
    """
    lines = text.split("\n")
    full = [line for line in lines if line and not line.isspace()]
    counted = lines if are_blank_lines_counted else full
    terminal = sum(line[-1:] in marks for line in counted)
    short = sum(len(line) <= _SHORT_LINE_CHARS for line in counted)
    distinct = set(full)
    repeated = 0 if len(distinct) == len(full) else sum(map(len, full)) - sum(map(len, distinct))
    newlines = len(lines) - 1
    return len(full), len(counted), terminal, short, repeated, newlines, len(text) - newlines
