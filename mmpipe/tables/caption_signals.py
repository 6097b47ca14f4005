"""Says what is measured of a caption and of its picture's URL: the columns that `image_signals` holds of them."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column

_CAPTION = "image_candidates.caption"
_URL = "image_candidates.image_url"


def _number(name: str, description: str, parent: str = _CAPTION) -> Column:
    return Column(name, pl.Float64, description, nullable=True, parents=(parent,))


#: Columns of `filtering.caption_signals.measure_captions` beside `pair_id`, in their order. Yes and no are 1 and 0.
CAPTION_SIGNALS = (
    _number("caption_chars", "Characters of the caption, runs of white space as one."),
    _number("caption_words", "Words of the caption, Unicode word boundaries."),
    _number("caption_space_words", "Parts of the caption between white space: what DataComp and COYO call words."),
    Column("caption_language", pl.String, "Most likely language of the caption.", nullable=True, parents=(_CAPTION,)),
    _number("caption_language_score", "Probability of that language; short captions are guesses."),
    _number("caption_repeated_char_ratio", "Share of the most repeated 10-grams of characters (ROOTS, OBELICS)."),
    _number("caption_repeated_word_ratio", "Share of 5-grams of words that occur more than once (ROOTS, OBELICS)."),
    _number("caption_capital_ratio", "Share of the letters that are capitals; 0 without letters."),
    _number("caption_alphanumeric_ratio", "Share of the characters that are letters or digits."),
    _number("caption_special_char_ratio", "Share of the characters that are signs, digits, spaces or emoji (ROOTS)."),
    _number("caption_stop_word_ratio", "Share of the words that are stop words of the caption's language."),
    _number("caption_flagged_words", "Occurrences of flagged words and phrases."),
    _number("caption_political_words", "Occurrences of words of political opinion: a heuristic. Null without a list."),
    _number("caption_is_file_name", "Whether the caption is a file name, a counter, a hash or a URL: 1 or 0."),
    _number("caption_is_boilerplate", "Whether the caption is, or begins or ends with, boilerplate: 1 or 0."),
    _number("caption_has_noun", "Whether an English caption has a noun, by rules: 1 or 0; null for other languages."),
    _number("image_url_words", "Words of decoration and adult content among the tokens of the picture's URL.", _URL),
    _number("image_url_decoration_substrings", "Which of 5 words of decoration stand anywhere in the URL.", _URL),
    _number("image_url_adult_substrings", "Which of 3 words of adult content stand anywhere in the URL.", _URL),
)
