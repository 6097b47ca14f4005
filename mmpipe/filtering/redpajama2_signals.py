"""Measures the quality signals that RedPajama-V2 published, under their published names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering import redpajama2_words as known
from mmpipe.filtering.redpajama2_words import CutPages, PageDictionary, divide, share_dictionary
from mmpipe.filtering.word_lists import find_flagged_words, find_stop_words
from mmpipe.tables.text_signals import FAMILIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmpipe.filtering.text_batch import TextBatch
    from mmpipe.filtering.word_numbers import Cut

_SENTENCE = re.compile(r"\b[^.!?]+[.!?]*")
_COLUMNS = tuple(column.name for column in FAMILIES["redpajama2"])


def measure_redpajama2(batch: TextBatch) -> pl.DataFrame:
    """Return RedPajama-V2's signals of a batch.

    Definitions: togethercomputer/RedPajama-Data, app/src/core/quality_signals and core/document.py (Weber et al. 2024,
    arXiv 2411.12372). Words are what stands between white space in the text without ASCII punctuation, lower-cased and
    decomposed (NFD); raw words are runs of word characters or of signs. Line signals are means over the lines, which
    for marks of 0 and 1 is what the published Gopher example computes; `rps_lines_javascript_counts` is a sum. Values
    are not rounded to 8 digits. Stop words are those of `find_stop_words`, where the authors took stopwords-json.

    Not here: what needs the authors' own models (`rps_doc_ml_*`, the importance weights), what other columns hold
    (`ccnet_language_score`, `ccnet_perplexity`, the domain's UT1 categories), and counts before CCNet's removal of
    repeated lines (`ccnet_original_*`), as the corpus here was never without.
    """
    from mmpipe.filtering.redpajama2_kernels import total_rows

    dictionary = share_dictionary()
    pages = dictionary.read(batch.texts)
    by_line = total_rows(pages.chunk_table, pages.chunks.numbers, pages.chunks.start)
    words_by_line = total_rows(pages.word_table, pages.words.numbers, pages.words.start)
    text_chars = np.array([len(text) for text in batch.texts], np.int64)
    raw_words = pages.total(by_line[:, known.RAW_WORDS])
    stop_words, flagged_words = _count_listed(dictionary, pages, batch)
    words = pages.list_text_words()
    no_words = np.where(np.isnan(stop_words), np.nan, 0.0)  # as published: 0 where punctuation is all there is
    columns = {
        "ccnet_length": text_chars,
        "ccnet_nlines": np.diff(pages.lines),
        "rps_doc_num_sentences": np.array([sum(1 for _ in _SENTENCE.finditer(text)) for text in batch.texts], np.int64),
        "rps_doc_symbol_to_word_ratio": divide(pages.total(by_line[:, known.SYMBOLS]), raw_words),
        "rps_doc_frac_no_alph_words": divide(pages.total(by_line[:, known.NO_LETTER]), raw_words),
        "rps_doc_frac_all_caps_words": divide(pages.total(by_line[:, known.CAPITALS]), raw_words),
        "rps_doc_curly_bracket": divide(pages.total(by_line[:, known.BRACKETS]), text_chars, nothing=0.0),
        "rps_doc_stop_word_fraction": np.where(np.diff(words.start) > 0, divide(stop_words, raw_words), no_words),
        "rps_doc_ldnoobw_words": flagged_words,
        "rps_lines_javascript_counts": pages.total(words_by_line[:, known.IS_JAVASCRIPT]),
        **_measure_words(pages, words),
        **_measure_lines(pages, by_line, words_by_line),
    }
    return pl.DataFrame({name: np.asarray(columns[name], np.float64) for name in _COLUMNS}).fill_nan(None)


def _measure_words(pages: CutPages, words: Cut) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    from mmpipe.filtering.redpajama2_kernels import DUPLICATE_N, TOP_N, count_grams

    lengths = np.ascontiguousarray(pages.word_table[:, known.LENGTH])
    grams, entropy = count_grams(words.numbers.astype(np.uint32), words.start, lengths)
    count = np.diff(words.start)
    chars = words.total(lengths[words.numbers])
    spaced_chars = chars + np.maximum(count - 1, 0)
    return {
        "rps_doc_word_count": count,
        "rps_doc_mean_word_length": divide(chars, count),
        "rps_doc_frac_unique_words": divide(grams[:, 0], count),
        "rps_doc_unigram_entropy": np.where(count > 0, entropy, np.nan),
        "rps_doc_lorem_ipsum": divide(_count_lorem_ipsum(pages, words), spaced_chars, nothing=0.0),
        **{f"rps_doc_frac_chars_top_{n}gram": divide(grams[:, n - 1], chars, nothing=0.0) for n in TOP_N},
        **{f"rps_doc_frac_chars_dupe_{n}grams": divide(grams[:, n - 1], chars, nothing=0.0) for n in DUPLICATE_N},
    }


def _measure_lines(
    pages: CutPages, by_line: NDArray[np.int64], words_by_line: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    words = np.diff(pages.words.start)
    chars = words_by_line[:, known.LENGTH] + np.maximum(words - 1, 0)
    numeric = divide(words_by_line[:, known.NUMERIC], chars, nothing=0.0)
    upper = divide(by_line[:, known.UPPER], pages.line_chars, nothing=0.0)
    return {
        "rps_doc_frac_lines_end_with_ellipsis": pages.average(pages.last(known.ENDS_ELLIPSIS)),
        "rps_lines_ending_with_terminal_punctution_mark": pages.average(pages.last(known.ENDS_SENTENCE)),
        "rps_lines_num_words": pages.average(words),
        "rps_lines_numerical_chars_fraction": pages.average(numeric),
        "rps_lines_start_with_bulletpoint": pages.average(pages.first(known.IS_BULLET)),
        "rps_lines_uppercase_letter_fraction": pages.average(upper),
    }


def _count_lorem_ipsum(pages: CutPages, words: Cut) -> NDArray[np.int64]:
    """Return how often each text's words, joined by single spaces, hold `lorem ipsum`."""
    ends, starts = pages.word_table[:, known.ENDS_LOREM], pages.word_table[:, known.STARTS_IPSUM]
    found = np.flatnonzero(ends[words.numbers[:-1]] & starts[words.numbers[1:]])
    owners = words.owners
    found = found[owners[found] == owners[found + 1]]
    return np.bincount(owners[found], minlength=words.start.size - 1)


def _count_listed(
    dictionary: PageDictionary, pages: CutPages, batch: TextBatch
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return per text: raw words that are stop words, flagged words and phrases; NaN without a list."""
    stop, flagged = np.full((2, len(batch.texts)), np.nan)
    words, chunks = pages.list_text_words(), pages.list_text_chunks()
    for language in set(batch.languages):
        rows = np.array([row for row, own in enumerate(batch.languages) if own == language], np.int64)
        stop_words = find_stop_words(language, batch.recipe.words)
        if stop_words is not None:
            stop[rows] = dictionary.count_raw_words(chunks.take(rows), stop_words)
        flagged_words = find_flagged_words(language, batch.recipe.words)
        if flagged_words is not None:
            flagged[rows] = dictionary.count_entries(words.take(rows), flagged_words)
    return stop, flagged
