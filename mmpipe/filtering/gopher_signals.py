"""Measures Gopher's quality and repetition signals in the recipe's dialect: what differs is what a word is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.last_batch import LastBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mmpipe.filtering.text_batch import TextBatch
    from mmpipe.filtering.tokens import WordBatch


def measure_gopher(batch: TextBatch) -> pl.DataFrame:
    """Return Gopher's signals of a batch, counted in its dialect."""
    from mmpipe.filtering import dclm_signals, fineweb_release, unicode_signals

    measures: Mapping[str, Callable[[TextBatch], pl.DataFrame]] = {
        "datatrove_0_10": _measure_datatrove,
        "dclm": dclm_signals.measure_gopher,
        "fineweb_release": fineweb_release.measure_gopher,
        "unicode": unicode_signals.measure_gopher,
    }
    return measures[batch.dialect](batch)


def _measure_datatrove(batch: TextBatch) -> pl.DataFrame:
    return measure_words_and_lines(batch.texts)


def measure_words_and_lines(texts: Sequence[str]) -> pl.DataFrame:
    """Return Gopher's quality and repetition signals, one row per text, in the dialect of datatrove 0.10.

    Definitions: datatrove 0.10, `gopher_quality_filter.py` and `gopher_repetition_filter.py`; limits and names: Gopher
    (arXiv 2112.11446), Appendix A.1.1 and Table A1. Repeats shorter than their n-gram, and texts shorter than n words,
    measure 0.
    """
    from mmpipe.filtering.characters import cut_passes, encode_characters
    from mmpipe.filtering.gopher_columns import compose_gopher
    from mmpipe.filtering.line_counts import count_lines, join_counts
    from mmpipe.filtering.repetition import count_repeated_chars, count_words

    batch = read_words(texts)
    chars = np.fromiter(map(len, texts), np.int64, len(texts))
    lines = join_counts([count_lines(*encode_characters(texts[part])) for part in cut_passes(chars)])
    top, duplicate = count_repeated_chars(batch)
    return compose_gopher(count_words(batch), top, duplicate, lines, chars)


def _read_words(texts: Sequence[str]) -> WordBatch:
    from mmpipe.filtering.tokens import share_dictionary

    return share_dictionary().read(texts)


#: Words of texts in the dialect of datatrove 0.10.
read_words = LastBatch(_read_words)
