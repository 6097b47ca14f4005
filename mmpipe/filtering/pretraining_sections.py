"""Settings of a recipe's `pretraining` section: how often each dump is read, with which tokens, packed how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmpipe.errors import RecipeError, name_nearest

#: Mixtures that papers published, in `recipes/mixtures`.
MIXTURES = ("llama",)


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingSettings:
    """How documents become training sequences.

    One of `epochs`, `weights` and `mixture` says how often dumps are read; without any, each is read once.

    Attributes:
        sequence_length: tokens per sequence.
        epochs: passes over each dump, for example 1.10; dumps not named pass once.
        weights: share of each source in the tokens, in any scale.
        mixture: a published mixture (`MIXTURES`) that gives the shares of its sources; those of which there is no dump
            are left out.
        mixture_by: whether the mixture's shares hold, or its numbers of epochs.
        source_names: source in `weights` or `mixture` that a dump is part of; one not named bears its own name.
        total_tokens: tokens of the whole mixture, end-of-text counted; null for as many as there are without reading
            any source more than once. Without weights or a mixture, sources keep their sizes' proportions.
        parameters: of the model, in place of `total_tokens`: 20 tokens for each (Hoffmann et al. 2022, arXiv
            2203.15556, Table 3).
        added_tokens: tokens that the vocabulary gets besides its own.
        seed: seed of the shuffle.
        packing: `end_to_end` fills every sequence and cuts documents at its end; `best_fit` cuts those alone that are
            longer than a sequence (`release.packing`).
    """

    sequence_length: int = 2048
    epochs: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    mixture: str = ""
    mixture_by: Literal["weights", "epochs"] = "weights"
    source_names: Mapping[str, str] = field(default_factory=dict)
    total_tokens: int | None = None
    parameters: float | None = None
    added_tokens: tuple[str, ...] = ()
    seed: int = 0
    packing: Literal["end_to_end", "best_fit"] = "end_to_end"

    def __post_init__(self) -> None:
        _require(self.sequence_length >= 2, "sequence_length must be 2 or more")
        for key in ("epochs", "weights"):
            amounts = getattr(self, key).values()
            _require(all(amount >= 0 and math.isfinite(amount) for amount in amounts), f"{key} must not be negative")
        _require(not self.weights or any(self.weights.values()), "weights are all 0, so there is nothing to mix")
        known = name_nearest(self.mixture, MIXTURES)
        _require(self.mixture in ("", *MIXTURES), f"pretraining.mixture: there is no {self.mixture!r}.{known}")
        given = [key for key in ("epochs", "weights", "mixture") if getattr(self, key)]
        _require(len(given) <= 1, f"pretraining: {' and '.join(given)} both say how often dumps are read; write one")
        _require(
            not self.source_names or "weights" in given or "mixture" in given,
            "pretraining.source_names are those of weights or of a mixture: write one of them too",
        )
        _require(
            bool(self.mixture) or self.mixture_by == "weights", "pretraining.mixture_by is of a mixture: write one too"
        )
        amounts_given = [key for key in ("total_tokens", "parameters") if getattr(self, key) is not None]
        _require(len(amounts_given) <= 1, "pretraining: total_tokens and parameters both fix the total; write one")
        _require(
            not amounts_given or not (self.epochs or self.mixture_by == "epochs"),
            f"pretraining.{''.join(amounts_given[:1])}: epochs fix the total already",
        )
        for key in amounts_given:
            _require(0 < getattr(self, key) < math.inf, f"pretraining.{key} must be above 0")
        for place, token in enumerate(self.added_tokens):
            _require(
                bool(token) and token == token.strip(),
                f"pretraining.added_tokens: {token!r} is empty, or begins or ends in space",
            )
            _require(token not in self.added_tokens[:place], f"pretraining.added_tokens: {token!r} stands twice")

    @property
    def is_planned(self) -> bool:
        """Whether how often a dump is read depends on how many tokens dumps have."""
        return bool(self.weights or self.mixture) or self.total_tokens is not None or self.parameters is not None


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(message if message.endswith((".", "?")) else f"{message}.")
