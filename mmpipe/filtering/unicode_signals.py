"""Measures the families of signals in the dialect `unicode`: one compiled pass over a text serves all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.characters import cut_passes, encode_characters
from mmpipe.filtering.gopher_columns import compose_gopher, divide
from mmpipe.filtering.last_batch import LastBatch
from mmpipe.filtering.line_counts import LineCounts, count_lines, join_counts
from mmpipe.filtering.tokens import STOP_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mmpipe.filtering.text_batch import TextBatch

#: The correction step that removes C4's lines; where a recipe has it, it has seen what condemns a page.
_C4_LINES_STEP = "c4_lines"


@dataclass(frozen=True, slots=True)
class TextCounts:
    """What is counted of some texts, one row per text.

    Attributes:
        words: columns `unicode_words.WORD_COUNTS`.
        top: columns `word_grams.TOP_N`; 0 if n-grams were not counted.
        duplicate: columns `word_grams.DUPLICATE_N`, likewise.
        lines: what `count_lines` returns.
        chars: characters.
    """

    words: NDArray[np.int64]
    top: NDArray[np.int64]
    duplicate: NDArray[np.int64]
    lines: LineCounts
    chars: NDArray[np.int64]


def count_texts(texts: Sequence[str], *, with_grams: bool = True) -> TextCounts:
    """Return what the signals are made of: words, n-grams, lines, marks and sentences of each text.

    Words are those of `unicode_words.cut_words`. An n-gram repeats if its words do, one by one.
    """
    from mmpipe.filtering.unicode_words import WORD_COUNTS, cut_words
    from mmpipe.filtering.word_grams import DUPLICATE_N, TOP_N, count_gram_chars

    words = np.empty((len(texts), len(WORD_COUNTS)), np.int64)
    top = np.zeros((len(texts), len(TOP_N)), np.int64)
    duplicate = np.zeros((len(texts), len(DUPLICATE_N)), np.int64)
    lines: list[LineCounts] = []
    chars = np.fromiter(map(len, texts), np.int64, len(texts))
    for part in cut_passes(chars):
        characters, start = encode_characters(texts[part])
        cut = cut_words(characters, start, STOP_WORDS)
        words[part] = cut.counts
        if with_grams:
            top[part], duplicate[part] = count_gram_chars(cut.words, cut.lengths, cut.start)
        lines.append(count_lines(characters, start))
    return TextCounts(words, top, duplicate, join_counts(lines), chars)


_count_once = LastBatch(count_texts)
_count_without_grams = LastBatch(partial(count_texts, with_grams=False))


def measure_gopher(batch: TextBatch) -> pl.DataFrame:
    """Return Gopher's signals of a batch."""
    counts = _count_once(batch.texts)
    return compose_gopher(counts.words, counts.top, counts.duplicate, counts.lines, counts.chars)


def measure_c4(batch: TextBatch) -> pl.DataFrame:
    """Return C4's signals of a batch: as the text is measured, after `c4_lines` where the recipe has that step."""
    counts = _count_once.recall(batch.texts) or _count_without_grams(batch.texts)
    lorem_ipsum, curly_bracket = counts.lines["lorem_ipsum_lines"], counts.lines["curly_bracket_lines"]
    steps = [item.step for item in batch.recipe.corrections.steps]
    if _C4_LINES_STEP in steps:  # it tags what it met before other checks took the line
        step = steps.index(_C4_LINES_STEP)
        found = [Counter(item["correction"] for item in made if item["step"] == step) for made in batch.corrections]
        lorem_ipsum = np.array([tags["c4_lorem_ipsum"] for tags in found], np.int64)
        curly_bracket = np.array([tags["c4_curly_bracket"] for tags in found], np.int64)
    columns = {
        "sentence_count": counts.lines["sentences"],
        "lorem_ipsum_count": lorem_ipsum,
        "curly_bracket_count": curly_bracket,
        "long_line_count": counts.lines["long_lines"],
        "page_char_count": np.fromiter(map(len, batch.extracted), np.int64, len(batch.extracted)),
    }
    return pl.DataFrame(columns).cast(pl.Float64)


def measure_fineweb(batch: TextBatch) -> pl.DataFrame:
    """Return FineWeb's signals of a batch, of lines that hold more than white space."""
    counts = _count_once.recall(batch.texts) or _count_without_grams(batch.texts)
    lines, newlines = counts.lines["newline_lines"], counts.lines["newlines"]
    columns = {
        "nonblank_line_count": lines.astype(np.float64),
        "terminal_line_ratio": divide(counts.lines["terminal_lines"], lines),
        "short_line_ratio": divide(counts.lines["short_lines"], lines),
        "repeated_line_char_ratio": divide(counts.lines["repeated_newline_line_chars"], counts.chars - newlines),
        "newline_to_word_ratio": divide(newlines, counts.words[:, 0]),
    }
    return pl.DataFrame(columns).fill_nan(None)
