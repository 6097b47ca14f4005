"""Settings of a recipe's `rephrasing` section: which documents a teacher writes again, how, and how both are mixed."""

from __future__ import annotations

from dataclasses import dataclass

from mmpipe.errors import RecipeError, name_nearest

#: Styles of WRAP (Maini et al. 2024, arXiv 2401.16380, section 3).
STYLES = ("easy", "medium", "hard", "question_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class RephrasingSettings:
    """How documents are rephrased for pretraining; nothing is where no style is named.

    Attributes:
        styles: styles in use (`STYLES`).
        styles_per_document: how many of them each document is written in, chosen by a hash of its id.
        documents_per_dump: most documents of a dump, chosen by a hash of their ids; null for all.
        ratio: real to rephrased documents in pretraining_dataset, in whole numbers (1 : 1, section 3.3); null leaves
            the rephrased ones out of it.
        piece_tokens: most tokens of a piece (300, section 3.2).
        attempts: most requests per piece.
        temperature: of the first attempt.
        retry_temperature: of later ones.
        top_p: nucleus.
        max_tokens: of one reply.
        length_ratio: least and most characters of a reply per character of its piece (ours).
        copy_words: length of the n-grams of the copy guard (ours).
        copy_share: largest share of a reply's n-grams that may stand in its piece (ours).
        repeated_share: largest share of word trigrams of a reply that repeat an earlier one, where its piece does not
            repeat itself more (ours); null for any.
        added_numbers: most numbers of a reply that its piece has not, which are facts that nobody told (ours); null for
            any.
        added_names: most capitalised names of a reply that its piece has not (ours); null for any. Languages that write
            all nouns with capitals, such as German, are not looked at.
        added_links: most web and mail addresses that its piece has not (ours); null for any.
        added_quotes: most quotations, of four words or more, that its piece has not (ours); null for any.
        language_score: least probability, for piece and reply, at which a reply in another language is refused (ours:
            that of the text lane's lines); null to ask for the script alone.
        seed: of choice, requests and mixture.
    """

    styles: tuple[str, ...] = ()
    styles_per_document: int = 1
    documents_per_dump: int | None = None
    ratio: tuple[int, ...] | None = (1, 1)
    piece_tokens: int = 300
    attempts: int = 3
    temperature: float = 0.7
    retry_temperature: float = 0.9
    top_p: float = 0.95
    max_tokens: int = 768
    length_ratio: tuple[float, ...] = (0.3, 3.0)
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
        for place, word in enumerate(self.styles):
            _require(word in STYLES, f"rephrasing.styles: unknown word {word!r}.{name_nearest(word, STYLES)}")
            _require(word not in self.styles[:place], f"rephrasing.styles: {word!r} stands twice")
        most = max(len(self.styles), 1)
        _require(1 <= self.styles_per_document <= most, f"rephrasing.styles_per_document must be 1 to {most}")
        _require(self.ratio is None or (len(self.ratio) == 2 and min(self.ratio) >= 1),
                 "rephrasing.ratio must be two whole numbers from 1 up, such as [1, 1], or null")  # fmt: skip
        ends = self.length_ratio
        _require(len(ends) == 2 and 0 <= ends[0] < ends[1], "rephrasing.length_ratio must be two numbers, rising")
        _require(
            self.piece_tokens >= 1 and self.attempts >= 1, "rephrasing: piece_tokens and attempts must be 1 or more"
        )
        _require(
            self.max_tokens >= 1 and self.copy_words >= 1, "rephrasing: max_tokens and copy_words must be 1 or more"
        )
        _require(
            0 <= self.copy_share <= 1 and 0 < self.top_p <= 1, "rephrasing: copy_share and top_p lie within 0 and 1"
        )
        repeated = self.repeated_share
        _require(repeated is None or 0 <= repeated <= 1, "rephrasing.repeated_share lies within 0 and 1, or is null")
        for name in ("added_numbers", "added_names", "added_links", "added_quotes"):
            added = getattr(self, name)
            _require(added is None or added >= 0, f"rephrasing.{name} must be 0 or more, or null")
        score = self.language_score
        _require(score is None or 0 <= score <= 1, "rephrasing.language_score lies within 0 and 1, or is null")
        least = self.documents_per_dump
        _require(least is None or least >= 1, "rephrasing.documents_per_dump must be 1 or more, or null")

    @property
    def is_mixed(self) -> bool:
        """Whether rephrased documents are part of pretraining_dataset."""
        return bool(self.styles) and self.ratio is not None


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(message if message.endswith((".", "?")) else f"{message}.")
