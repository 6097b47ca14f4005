"""Measures captions: their characters and their words, in any script."""

from __future__ import annotations

import polars as pl

# scripts written without spaces: each of their letters counts as a word, as Unicode's default word boundaries have it
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# UAX 29: letters, marks and digits hold together, across an apostrophe, full stop, colon or middle dot between two of
# them, and digits across a comma; a run of katakana is one word, hyphens divide
_LETTER = rf"[\w--[{_UNSPACED}]]"
_WORD = rf"[{_UNSPACED}&&\p{{L}}]\p{{M}}*|{_LETTER}+(?:['’.:·]{_LETTER}+|,\d+)*"


def count_caption_chars(column: str = "caption") -> pl.Expr:
    """Return an expression for the characters of a caption: code points, runs of white space as one space.

    Args:
        column: the captions, strings. Null gives null.
    """
    return normalise_spaces(column).str.len_chars().cast(pl.Float64)


def count_caption_words(column: str = "caption") -> pl.Expr:
    """Return an expression for the words of a caption, by Unicode word boundaries (UAX 29, default rules).

    "don't" and "3.14" are one word, "well-known" two; each Han, hiragana, Thai, Lao, Khmer or Burmese letter is one.
    DataComp counts what white space divides instead, which makes one word of a Chinese sentence.

    Args:
        column: the captions, strings. Null gives null.
    """
    return pl.col(column).str.count_matches(_WORD).cast(pl.Float64)


def normalise_spaces(column: str = "caption") -> pl.Expr:
    """Return an expression for the caption with runs of white space made one space and none at the ends."""
    return pl.col(column).str.replace_all(r"\s+", " ").str.strip_chars(" ")
