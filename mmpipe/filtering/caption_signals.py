"""Measures captions and the URLs of their pictures: every signal that rules on captions limit, in any script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import polars as pl

from mmpipe.filtering.caption_patterns import count_url_words, is_boilerplate, is_file_name
from mmpipe.filtering.caption_words import measure_words
from mmpipe.filtering.captions import (
    count_caption_chars,
    count_caption_words,
    count_space_words,
    measure_characters,
    normalise_spaces,
)
from mmpipe.filtering.listed_words import count_flagged_words, count_political_words
from mmpipe.tables.images import CAPTION_SIGNALS, IMAGE_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.filtering.list_references import ListReference

#: Characters measured at once, so that what is measured of long captions does not stand in memory together.
_PASS_CHARACTERS = 1 << 22


class LanguageIdentifier(Protocol):
    """What tells languages; `models.language.LanguageModel` is one."""

    def identify(self, texts: list[str]) -> list[tuple[str, float]]:
        """Return the language of each text and its probability; ("und", 0.0) for one without words."""


def measure_captions(
    candidates: pl.DataFrame,
    *,
    flagged_words: Mapping[str, Sequence[ListReference]],
    political_words: Sequence[ListReference],
    language_identifier: LanguageIdentifier | None = None,
) -> pl.DataFrame:
    """Return the caption's signals of each pair.

    A caption that many pairs share is measured once. Runs of white space count as one space, and none at the ends.

    The language of a caption is less sure than that of a page: an identifier made for texts guesses at one of few
    words, and at names. Rules on `caption_language` therefore remove good captions too, as the papers' do.

    Args:
        candidates: `pair_id`, `caption` and `image_url`; other columns are not looked at.
        flagged_words: language to lists of words (`images.flagged_words`); empty for the packaged ones.
        political_words: lists of words of political opinion; empty for none, and the signal is null.
        language_identifier: tells the language; None leaves it and `caption_has_noun` null, takes stop words to be
            English and looks for the flagged words of all languages.

    Returns:
        `pair_id` and the columns `tables.images.CAPTION_SIGNALS`, rows as in `candidates`. A null caption has
        nulls. Sources: ROOTS (Laurençon et al. 2023, arXiv 2303.03915), §3; OBELICS (Laurençon et al. 2023, arXiv
        2306.16527), Appendix A.2; COYO-700M, model card; CC3M (Sharma et al. 2018), §3; each function says which.
    """
    rows = candidates.select("pair_id", "image_url", caption=normalise_spaces())
    distinct = rows.select("caption").drop_nulls().unique(maintain_order=True)
    parts = [
        _measure(part, flagged_words, tuple(political_words), language_identifier) for part in _cut_passes(distinct)
    ]
    return (
        rows.join(pl.concat(parts), on="caption", how="left", maintain_order="left")
        .with_columns(**count_url_words("image_url"))
        .select("pair_id", *(pl.col(name).cast(IMAGE_SIGNALS.schema[name]) for name in CAPTION_SIGNALS))
    )


def _cut_passes(distinct: pl.DataFrame) -> list[pl.DataFrame]:
    passes = distinct.get_column("caption").str.len_chars().cast(pl.Int64).cum_sum() // _PASS_CHARACTERS
    lengths = passes.rle().struct.field("len").to_list() or [0]
    ends = [sum(lengths[: number + 1]) for number in range(len(lengths))]
    return [distinct.slice(end - length, length) for end, length in zip(ends, lengths, strict=True)]


def _identify(texts: list[str], identifier: LanguageIdentifier | None) -> tuple[list[str | None], list[float | None]]:
    if identifier is None:
        return [None] * len(texts), [None] * len(texts)
    found = identifier.identify(texts)
    return [language for language, _ in found], [score for _, score in found]


def _measure(
    captions: pl.DataFrame,
    flagged: Mapping[str, Sequence[ListReference]],
    political: tuple[ListReference, ...],
    identifier: LanguageIdentifier | None,
) -> pl.DataFrame:
    """Return the signals of distinct captions without nulls."""
    texts = captions.get_column("caption").to_list()
    languages, scores = _identify(texts, identifier)
    stop_languages = ["en"] * len(texts) if identifier is None else languages
    measured = captions.with_columns(
        caption_chars=count_caption_chars(),
        caption_words=count_caption_words(),
        caption_space_words=count_space_words(),
        caption_is_file_name=is_file_name().cast(pl.Float64),
        caption_is_boilerplate=is_boilerplate().cast(pl.Float64),
        caption_language=pl.Series(languages, dtype=pl.String),
        caption_language_score=pl.Series(scores, dtype=pl.Float64),
        caption_flagged_words=count_flagged_words(texts, flagged, languages),
        caption_political_words=count_political_words(texts, political),
    )
    words = measure_words(captions.get_column("caption"), stop_languages, languages)
    return measured.with_columns(*measure_characters(texts).get_columns(), *words)
