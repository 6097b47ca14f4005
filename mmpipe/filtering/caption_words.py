"""Measures the words of captions: repetition, stop words, and whether an English one has a noun."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.english_nouns import find_kinds, has_noun
from mmpipe.filtering.recipe_sections import WordSettings
from mmpipe.filtering.word_lists import find_stop_words
from mmpipe.tables.special_characters import collect_special_characters, list_special_characters

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Words of the n-grams whose repetition is measured (ROOTS; OBELICS, node rules).
REPEATED_WORDS = 5
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
#: What stands between white space; of scripts written without, each letter with its marks.
_PIECE = rf"[{_UNSPACED}]\p{{M}}*|[^\s{_UNSPACED}]+"


def measure_words(
    captions: pl.Series, stop_languages: Sequence[str | None], languages: Sequence[str | None]
) -> list[pl.Series]:
    """Return three signals of captions: `caption_repeated_word_ratio`, `caption_stop_word_ratio`, `caption_has_noun`.

    Words are what stands between white space, in small letters and stripped of ROOTS's special characters; in scripts
    written without spaces, characters with their marks. Repeated is the share of 5-grams that occur more than once; 0
    for fewer words. The share of stop words is null without words or where spaCy has no list for the language. The noun
    is null for every language but English.

    Args:
        captions: with white space normalised, none null.
        stop_languages: language of each caption's stop words.
        languages: language of each caption; None if it was not told.

    Source: ROOTS (Laurençon et al. 2023, arXiv 2303.03915), §3; OBELICS, processors/web_document_filtering.py.
    """
    from mmpipe.filtering.ngram_kernels import count_repeats

    pieces = (
        pl.DataFrame({"row": np.arange(captions.len(), dtype=np.int64), "piece": captions.str.extract_all(_PIECE)})
        .explode("piece")
        .drop_nulls()
    )
    known = _describe_pieces(pieces.get_column("piece").unique(maintain_order=True).to_list())
    words = pieces.join(known, on="piece", how="left", maintain_order="left").filter(pl.col("number") >= 0)
    rows = words.get_column("row").to_numpy()
    start = np.searchsorted(rows, np.arange(captions.len() + 1))
    numbers = words.get_column("number").to_numpy().astype(np.uint32)
    grams, repeated = count_repeats(numbers, start, np.full(captions.len(), REPEATED_WORDS, np.int64)).T
    ratio = np.zeros(captions.len())
    np.divide(repeated, grams, out=ratio, where=grams > 0)
    is_english = np.array([language == "en" for language in languages], np.bool_)
    noun = np.where(is_english, has_noun(words.get_column("kind").to_numpy(), start), np.nan)
    return [
        pl.Series("caption_repeated_word_ratio", ratio),
        _measure_stop_words(words, start, stop_languages),
        pl.Series("caption_has_noun", noun).fill_nan(None),
    ]


def _describe_pieces(pieces: list[str]) -> pl.DataFrame:
    """Return the word of each distinct piece, its number (-1 for none) and its kind."""
    words = [_strip(piece.lower()) for piece in pieces]
    numbers: dict[str, int] = {}
    for word in words:
        if word:
            numbers.setdefault(word, len(numbers))
    kinds = find_kinds(list(numbers))
    return pl.DataFrame(
        {
            "piece": pieces,
            "word": words,
            "number": [numbers.get(word, -1) for word in words],
            "kind": [kinds[numbers[word]] if word else 0 for word in words],
        },
        schema={"piece": pl.String, "word": pl.String, "number": pl.Int64, "kind": pl.Int8},
    )


def _strip(word: str) -> str:
    special = collect_special_characters()
    # `str.strip` looks through all the characters to strip; most words have none of them at either end
    if word and (word[0] in special or word[-1] in special):
        return word.strip(list_special_characters())
    return word


def _measure_stop_words(words: pl.DataFrame, start: np.ndarray, languages: Sequence[str | None]) -> pl.Series:
    name = "caption_stop_word_ratio"
    settings = WordSettings()
    lists = {language: find_stop_words(language, settings) for language in sorted({own for own in languages if own})}
    listed = pl.DataFrame(
        [(language, word) for language, entries in lists.items() if entries is not None for word in sorted(entries)],
        schema={"language": pl.String, "word": pl.String},
        orient="row",
    ).with_columns(is_stop=pl.lit(value=True))
    own = pl.DataFrame(
        {"row": np.arange(len(languages), dtype=np.int64), "language": pl.Series(languages, dtype=pl.String)}
    )
    stops = (
        words.select("row", "word")
        .join(own, on="row")
        .join(listed, on=["language", "word"])
        .group_by("row")
        .len("stops")
    )
    counts = own.with_columns(words=pl.Series(np.diff(start))).join(stops, on="row", how="left", maintain_order="left")
    has_list = pl.col("language").is_in([language for language, entries in lists.items() if entries is not None])
    share = pl.col("stops").fill_null(0) / pl.col("words")
    return counts.select(
        pl.when(has_list & (pl.col("words") > 0)).then(share).otherwise(None).cast(pl.Float64).alias(name)
    ).to_series()
