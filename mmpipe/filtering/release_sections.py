"""Settings of a recipe's `release` section: which trainers' files the released rows get, split and packed how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from mmpipe.errors import RecipeError, name_nearest

#: Trainers whose formats conversations and preferences can be written in.
DIALECTS = (
    "trl",
    "trl_prompt_completion",
    "llama_factory",
    "llama_factory_alpaca",
    "axolotl",
    "openai",
    "llava",
)

#: Forms that preferences can be written in beside pairs with an explicit prompt.
PREFERENCE_FORMS = ("kto", "reward", "transcripts", "ranked")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSettings:
    """Which files trainers get beside Parquet and JSON lines.

    Attributes:
        dialects: trainers (`DIALECTS`); each gets a folder of its own.
        validation_share: share of the groups of rows that validates, 0 to below 1; 0 for files without a split.
        seed: of the split and the mixture.
        method_epochs: how often the training conversations of each method are read, for example 1.5; once if not named.
        method_weights: share of each method in the training conversations, in any scale, in place of epochs.
        mixture_rows: training conversations in all, with weights; null for as many as there are without reading any
            method more than once.
        max_tokens: longer conversations are cut behind the last whole answer before they are packed; null for
            `pack_tokens`.
        pack_tokens: tokens of a sequence of packed conversations; null for none.
        template_date: day that packed conversations bear where the model's template writes today's, as `2026-01-31`;
            such a template stops without it, so that no row depends on the day of the run.
        preference_forms: forms of preferences (`PREFERENCE_FORMS`) that get a folder each, as TRL reads them.
        end_of_context: marker behind the texts of the form `transcripts`, on which a preference model says its score;
            none if empty.
        memory_mapped: whether training sequences also come as `.bin` and `.idx`.
    """

    dialects: tuple[str, ...] = ()
    validation_share: float = 0.0
    seed: int = 0
    method_epochs: Mapping[str, float] = field(default_factory=dict)
    method_weights: Mapping[str, float] = field(default_factory=dict)
    mixture_rows: int | None = None
    max_tokens: int | None = None
    pack_tokens: int | None = None
    template_date: str = ""
    preference_forms: tuple[str, ...] = ()
    end_of_context: str = ""
    memory_mapped: bool = False

    def __post_init__(self) -> None:
        for key, words, known in (
            ("dialects", self.dialects, DIALECTS),
            ("preference_forms", self.preference_forms, PREFERENCE_FORMS),
        ):
            for place, word in enumerate(words):
                _require(word in known, f"release.{key}: unknown word {word!r}.{name_nearest(word, known)}")
                _require(word not in words[:place], f"release.{key}: {word!r} stands twice")
        if self.end_of_context:
            _require(bool(self.end_of_context.strip()), "release.end_of_context must not be white space alone")
            _require(
                "transcripts" in self.preference_forms,
                "release.end_of_context ends transcripts: write `preference_forms: [transcripts]` too",
            )
        for key in ("method_epochs", "method_weights"):
            amounts = getattr(self, key).values()
            _require(
                all(amount >= 0 and math.isfinite(amount) for amount in amounts), f"release.{key} must not be negative"
            )
        _require(
            not (self.method_epochs and self.method_weights),
            "release: method_epochs and method_weights both say how often rows are read; write one",
        )
        _require(
            not self.method_weights or any(self.method_weights.values()),
            "release.method_weights are all 0: no row is left",
        )
        if self.mixture_rows is not None:
            _require(bool(self.method_weights), "release.mixture_rows goes with method_weights: write them too")
            _require(self.mixture_rows >= 1, "release.mixture_rows must be 1 or more")
        _require(0 <= self.validation_share < 1, "release.validation_share must be 0 or more and below 1")
        _require(self.pack_tokens is None or self.pack_tokens >= 1, "release.pack_tokens must be 1 or more")
        if self.template_date:
            _require(self.pack_tokens is not None, "release.template_date is for what is packed: write pack_tokens too")
            _require(
                _is_day(self.template_date),
                f"release.template_date: expected a day such as 2026-01-31, found {self.template_date!r}",
            )
        if self.max_tokens is not None:
            _require(self.pack_tokens is not None, "release.max_tokens cuts what is packed: write pack_tokens too")
            _require(1 <= self.max_tokens <= (self.pack_tokens or 0), "release.max_tokens must be 1 to pack_tokens")


def _is_day(word: str) -> bool:
    try:
        date.fromisoformat(word)
    except ValueError:
        return False
    return len(word) == len("2026-01-31")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(message if message.endswith((".", "?")) else f"{message}.")
