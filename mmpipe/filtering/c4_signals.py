"""Measures what C4 drops pages for: sentences, lorem ipsum, curly brackets, on the lines that C4 keeps."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.tables.corrections import Edit, apply_edits, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from mmpipe.filtering.text_batch import TextBatch

#: The correction step that removes lines; where a recipe has it, it has seen what condemns a page.
LINES_STEP = "c4_lines"

#: Edits of that step which are made after C4 has counted sentences.
_AFTER_COUNTING = "c4_text_space"
_BLANK_LINE = "c4_blank_line"

#: mC4 (Xue et al. 2021, arXiv 2010.11934), §3.1: a page has three lines of 200 characters or more.
_LONG_LINE_CHARS = 200


def measure_c4(batch: TextBatch) -> pl.DataFrame:
    """Return C4's signals of a batch, its sentences counted in its dialect.

    C4 (Raffel et al. 2020, JMLR 21:140), §2.2; TensorFlow Datasets, `text/c4_utils.py`, `clean_page`. If the recipe has
    the step `c4_lines`, sentences are those of the lines it keeps, and lorem ipsum and curly brackets are what it found
    in lines that had not gone yet; else all lines of the text count.
    """
    if batch.dialect == "unicode":
        from mmpipe.filtering import unicode_signals

        return unicode_signals.measure_c4(batch)
    names = [item.step for item in batch.recipe.corrections.steps]
    if LINES_STEP in names:
        step = names.index(LINES_STEP)
        lines = [
            _read_kept_lines(text, entries, step)
            for text, entries in zip(batch.extracted, batch.corrections, strict=True)
        ]
        found = [
            Counter(item["correction"] for item in entries if item["step"] == step) for entries in batch.corrections
        ]
        blank = np.array([counts[_BLANK_LINE] for counts in found], np.float64)
        lorem_ipsum = [float(counts["c4_lorem_ipsum"]) for counts in found]
        curly_bracket = [float(counts["c4_curly_bracket"]) for counts in found]
    else:
        lines = [text.splitlines() for text in batch.texts]
        blank = np.zeros(len(lines))
        lorem_ipsum = [_count_lines_with("lorem ipsum", text.lower()) for text in batch.texts]
        curly_bracket = [_count_lines_with("{", text) for text in batch.texts]
    columns = {
        "sentence_count": _count_sentences(lines, batch.dialect) + blank,
        "lorem_ipsum_count": lorem_ipsum,
        "curly_bracket_count": curly_bracket,
        "long_line_count": [float(_count_long_lines(text)) for text in batch.texts],
        "page_char_count": [float(len(text)) for text in batch.extracted],
    }
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64))


def _count_sentences(lines: Sequence[Sequence[str]], dialect: str) -> NDArray[np.float64]:
    """Return the sentences in the lines of each text; a sentence ends with its line."""
    per_line = find_sentence_counter(dialect)([line for of_text in lines for line in of_text])
    sums = np.concatenate([np.zeros(1), np.cumsum(per_line)])
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(of_text) for of_text in lines], dtype=np.int64)])
    return np.diff(sums[starts])


def find_sentence_counter(dialect: str) -> Callable[[Sequence[str]], NDArray[np.int64]]:
    """Return what counts the sentences of each line in a dialect: lines in, one count each out."""
    counters: Mapping[str, Callable[[Sequence[str]], NDArray[np.int64]]] = {
        "datatrove_0_10": _count_spacy_sentences,
        "dclm": _count_spacy_sentences,  # DCLM has no count of its own
    }
    return counters[dialect]


def _count_spacy_sentences(lines: Sequence[str]) -> NDArray[np.int64]:
    from mmpipe.filtering.gopher_signals import share_dictionary
    from mmpipe.filtering.spacy_sentences import count_sentences

    return count_sentences(lines, share_dictionary())


def _read_kept_lines(text: str, entries: Sequence[Mapping[str, Any]], step: int) -> list[str]:
    """Return the lines that the step kept, as they were when C4 counted their sentences."""
    made = [
        Edit(item["correction"], item["start"], item["end"], item["replacement"])
        for item in entries
        if item["step"] == step and item["correction"] != _AFTER_COUNTING
    ]
    left = apply_edits(replay(text, entries, before_step=step), made)
    return left.split("\n") if left else []


def _count_lines_with(phrase: str, text: str) -> float:
    return float(sum(phrase in line for line in text.splitlines())) if phrase in text else 0.0


def _count_long_lines(text: str) -> int:
    return sum(len(line) >= _LONG_LINE_CHARS for line in text.split("\n")) if len(text) >= _LONG_LINE_CHARS else 0
