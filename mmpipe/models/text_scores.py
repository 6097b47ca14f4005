"""What models say of texts: the columns of text_scores, from whichever of the three models a recipe asks for."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.models.devices import choose_device
from mmpipe.models.encoder import EncoderClassifier
from mmpipe.models.perplexity import PerplexityModel, open_perplexity_model
from mmpipe.models.quality import QualityClassifier
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.text import TEXT_SCORES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: What `score_texts` returns: TEXT_SCORES without its key.
SCORE_COLUMNS = tuple(name for name in TEXT_SCORES.column_names if name != "doc_id")


class ScoreChoice(Protocol):
    """Which models score, and how much they read: the recipe's section `scores`."""

    @property
    def quality(self) -> bool:
        """Whether the quality classifier does."""

    @property
    def quality_label(self) -> str | None:
        """Its wanted class; None for `positive` or `hq`."""

    @property
    def perplexity(self) -> bool:
        """Whether the language model does."""

    @property
    def perplexity_tokens(self) -> int:
        """Tokens it reads."""

    @property
    def encoder(self) -> bool:
        """Whether the encoder does."""

    @property
    def encoder_label(self) -> str | None:
        """Its class; None for a head of one number."""

    @property
    def encoder_tokens(self) -> int:
        """Tokens it reads."""


class Scorer(Protocol):
    """One of the models."""

    @property
    def digest(self) -> str:
        """Digits that name the weights."""

    def score(self, texts: Sequence[str]) -> list[float | None]:
        """Return a score per text; None where it cannot be measured."""


def score_texts(
    texts: Sequence[str | None],
    *,
    quality_path: str,
    perplexity_path: str,
    encoder_path: str,
    settings: ScoreChoice,
    device: str = "cpu",
    batch_size: int = 32,
    converted: Path | None = None,
) -> pl.DataFrame:
    """Return SCORE_COLUMNS, one row per text: null for a null text, and for every model that is not asked for.

    Models stay loaded for the next shard of this process.

    Args:
        texts: main texts.
        quality_path: the quality classifier's file or folder; may be empty if it is not asked for, as may the others.
        perplexity_path: as `perplexity.open_perplexity_model` takes it.
        encoder_path: folder or hub name.
        settings: which models score.
        device: `auto`, `cpu`, or torch's name of another.
        batch_size: most texts of a forward pass.
        converted: folder that keeps GGUF weights converted.

    Raises:
        ConfigurationError: a model is asked for and not named, or cannot be had.
    """
    scorers = _open(quality_path, perplexity_path, encoder_path, settings, device, batch_size, converted)
    present = [text for text in texts if text is not None]
    is_present = pl.Series([text is not None for text in texts], dtype=pl.Boolean)
    columns: dict[str, pl.Series] = {}
    for name, column in (("quality", "quality_score"), ("perplexity", "perplexity"), ("encoder", "encoder_score")):
        scorer = scorers.get(name)
        scores = iter(scorer.score(present)) if scorer is not None else iter([None] * len(present))
        columns[column] = pl.Series([next(scores) if there else None for there in is_present], dtype=pl.Float64)
        weights = [scorer.digest if scorer is not None and there else None for there in is_present]
        columns[f"{name}_weights"] = pl.Series(weights, dtype=pl.String)
    return pl.DataFrame(columns).select(SCORE_COLUMNS)


def digest_scores(*, quality_path: str, perplexity_path: str, encoder_path: str, settings: ScoreChoice) -> str:
    """Return 16 digits that name the weights of the models asked for: a part of the shards' key.

    Reads the weights' bytes once, and loads none into a device.

    Raises:
        ConfigurationError: a model is asked for and not named, or cannot be had.
    """
    scorers = _open(quality_path, perplexity_path, encoder_path, settings, "cpu", 1, None)
    return digest_settings({name: scorer.digest for name, scorer in scorers.items()})


def _open(
    quality_path: str,
    perplexity_path: str,
    encoder_path: str,
    settings: ScoreChoice,
    device: str,
    batch_size: int,
    converted: Path | None,
) -> dict[str, Scorer]:
    scorers: dict[str, Scorer] = {}
    if settings.quality:
        scorers["quality"] = _open_quality(_require(quality_path, "quality"), settings.quality_label)
    if settings.perplexity or settings.encoder:
        device = choose_device(device)
    if settings.perplexity:
        name = _require(perplexity_path, "perplexity")
        scorers["perplexity"] = _open_perplexity(name, device, settings.perplexity_tokens, batch_size, converted)
    if settings.encoder:
        name = _require(encoder_path, "encoder")
        scorers["encoder"] = _open_encoder(name, settings.encoder_label, device, settings.encoder_tokens, batch_size)
    return scorers


def _require(path: str, name: str) -> str:
    if not path:
        how = (
            "train one (`mmpipe quality train`, or the asset quality_classifier) and give its folder"
            if name == "quality"
            else "give its folder or hub name"
        )
        raise ConfigurationError(
            f"The recipe's scores.{name} asks for a model and none is named: {how} in MMPIPE_{name.upper()}, or set "
            f"scores: {{{name}: false}} and take out the rule on its score."
        )
    return path


# a worker makes many shards; a language model takes seconds to load
@lru_cache(maxsize=1)
def _open_quality(path: str, label: str | None) -> QualityClassifier:
    return QualityClassifier(path, label)


@lru_cache(maxsize=1)
def _open_perplexity(
    name: str, device: str, max_tokens: int, batch_size: int, converted: Path | None
) -> PerplexityModel:
    return open_perplexity_model(name, device=device, max_tokens=max_tokens, batch_size=batch_size, converted=converted)


@lru_cache(maxsize=1)
def _open_encoder(name: str, label: str | None, device: str, max_tokens: int, batch_size: int) -> EncoderClassifier:
    return EncoderClassifier(name, label=label, device=device, max_tokens=max_tokens, batch_size=batch_size)
