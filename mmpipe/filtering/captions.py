"""Measures captions: their characters and their words, in any script."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.characters import encode_characters
from mmpipe.tables.special_characters import mark_special_characters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

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


def count_space_words(column: str = "caption") -> pl.Expr:
    """Return an expression for the parts of a caption between white space, which DataComp and COYO call words.

    Args:
        column: the captions, strings. Null gives null.
    """
    return pl.col(column).str.count_matches(r"\S+").cast(pl.Float64)


def normalise_spaces(column: str = "caption") -> pl.Expr:
    """Return an expression for the caption with runs of white space made one space and none at the ends."""
    return pl.col(column).str.replace_all(r"\s+", " ").str.strip_chars(" ")


#: Characters of the n-grams whose repetition is measured (ROOTS; OBELICS, node rules).
REPEATED_CHARACTERS = 10
#: Code points from here on are neither letters nor digits.
_LAST_PLANE = 0x40000


def measure_characters(texts: Sequence[str]) -> pl.DataFrame:
    """Return the shares that captions' characters make up: repeated, capitals, letters and digits, special ones.

    `caption_repeated_char_ratio` is the share of the k most frequent 10-grams of characters among all 10-grams, k the
    root of the number of distinct ones, or the number of those that occur more than once if it is less; 0 for shorter
    captions. `caption_special_char_ratio` counts ROOTS's list, in which spaces and digits are.

    Args:
        texts: captions with white space normalised.

    Source: ROOTS (Laurençon et al. 2023, arXiv 2303.03915), §3; OBELICS, processors/web_document_filtering.py.
    """
    from mmpipe.filtering.ngram_kernels import count_marked, count_top_repeats

    codes, start = encode_characters(texts)
    lengths = np.diff(start)
    grams, repeated = count_top_repeats(codes, start, np.full(len(texts), REPEATED_CHARACTERS, np.int64)).T
    letters = count_marked(codes, start, mark_characters(str.isalpha))
    return pl.DataFrame(
        {
            "caption_repeated_char_ratio": _share(repeated, grams),
            "caption_capital_ratio": _share(count_marked(codes, start, mark_characters(_is_capital)), letters),
            "caption_alphanumeric_ratio": _share(count_marked(codes, start, mark_characters(str.isalnum)), lengths),
            "caption_special_char_ratio": _share(count_marked(codes, start, mark_special_characters()), lengths),
        }
    )


@lru_cache(maxsize=8)
def mark_characters(is_marked: Callable[[str], bool]) -> NDArray[np.uint8]:
    """Return for every code point whether it is what a test of characters says: 1 or 0."""
    marks = np.zeros(0x110000, np.uint8)
    marks[:_LAST_PLANE] = [is_marked(chr(code)) for code in range(_LAST_PLANE)]
    return marks


def _is_capital(character: str) -> bool:
    return character.isupper() and character.isalpha()


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.zeros(part.size)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
