"""The settings of WRAP: its styles, and the limits of its guards, every number with its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mmpipe.errors import ConfigurationError, name_nearest

Style = Literal["easy", "medium", "hard", "question_answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapSettings:
    """How documents are rephrased.

    Attributes:
        styles: styles in use.
        styles_per_document: how many of them each document is written in, chosen by hash.
        piece_tokens: most tokens of a piece (section 3.2: 300).
        attempts: most requests per piece.
        temperature: of the first attempt.
        retry_temperature: of later ones.
        top_p: nucleus.
        max_tokens: of one reply; a reply it cuts is refused.
        length_ratio: least and most characters of a reply per character of its piece (ours).
        copy_words: length of the word n-grams of the copy guard (ours).
        copy_share: largest share of a reply's n-grams that may stand in its piece (ours), in every style: questions
            stand in no text, so that answers may quote.
        repeated_share: largest share of word trigrams of a reply that repeat an earlier one, where its piece does not
            repeat itself more (ours); None for any.
        added_numbers: most numbers of a reply that its piece has not (ours); None for any.
        added_names: most capitalised names that its piece has not (ours), see `added_facts.list_added_names`.
        added_links: most web and mail addresses that its piece has not (ours).
        added_quotes: most quotations that its piece has not (ours).
        language_score: least probability of the languages of piece and reply at which another language is refused
            (ours); None to ask for the script alone.
        seed: of choice and requests.
    """

    styles: tuple[Style, ...] = ("easy", "medium", "hard", "question_answer")
    styles_per_document: int = 1
    piece_tokens: int = 300
    attempts: int = 3
    temperature: float = 0.7
    retry_temperature: float = 0.9
    top_p: float = 0.95
    max_tokens: int = 768
    length_ratio: tuple[float, float] = (0.3, 3.0)
    copy_words: int = 5
    copy_share: float = 0.8
    repeated_share: float | None = 0.3
    added_numbers: int | None = 0
    added_names: int | None = 0
    added_links: int | None = 0
    added_quotes: int | None = 0
    language_score: float | None = 0.65
    seed: int = 0

    def __post_init__(self) -> None:
        for style in self.styles:
            if style not in get_args(Style):
                raise ConfigurationError(f"WRAP: unknown style {style!r}.{name_nearest(style, get_args(Style))}")
        if not 1 <= self.styles_per_document <= len(set(self.styles)):
            raise ConfigurationError(
                f"WRAP: {self.styles_per_document} styles per document of {len(set(self.styles))} styles."
            )
        if self.attempts < 1:
            raise ConfigurationError("WRAP: every piece needs at least one attempt.")
