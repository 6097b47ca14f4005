"""How surprising a text is to a language model: transformers in batches, or KenLM where it is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mmpipe.models.causal_model import BATCH_TOKENS, CausalModel
from mmpipe.models.hub_weights import (
    group_by_length,
    pad_batch,
    tokenize,
)
from mmpipe.models.kenlm_perplexity import KENLM_SUFFIXES, KenlmPerplexity

if TYPE_CHECKING:
    from collections.abc import Sequence


class PerplexityModel(Protocol):
    """Whatever gives perplexities."""

    @property
    def digest(self) -> str:
        """Digits that name the weights."""

    def score(self, texts: Sequence[str]) -> list[float | None]:
        """Return the perplexity per token of each text; None where it cannot be measured."""


def open_perplexity_model(
    name: str,
    *,
    device: str = "cpu",
    max_tokens: int = 1024,
    batch_size: int = 16,
    batch_tokens: int = BATCH_TOKENS,
    dtype: str = "float32",
    converted: Path | None = None,
) -> PerplexityModel:
    """Return the language model of a name; weights are loaded with the first text.

    Args:
        name: a KenLM file (`.arpa`, `.arpa.gz`, `.klm`, `.binary`, or `.bin`; a `.sp.model` of the same stem beside it
            is its SentencePiece model), else `embedded`, a folder, a `.gguf` file or a hub name of a causal model.
        device: torch's name of it.
        max_tokens: tokens of a text that are read; KenLM reads whole texts.
        batch_size: most texts of a forward pass.
        batch_tokens: most tokens of a forward pass, padding counted.
        dtype: precision of the weights. Another one than float32 moves scores by about a hundredth.
        converted: folder that keeps GGUF weights converted.

    Raises:
        WeightsNotFound: KenLM's file or package is absent.
    """
    if name.endswith(KENLM_SUFFIXES):
        return KenlmPerplexity(Path(name).expanduser())
    return TransformersPerplexity(
        name,
        device=device,
        max_tokens=max_tokens,
        batch_size=batch_size,
        batch_tokens=batch_tokens,
        dtype=dtype,
        converted=converted,
    )


class TransformersPerplexity(CausalModel):
    """A causal language model of transformers; arguments as of `open_perplexity_model`."""

    def score(self, texts: Sequence[str]) -> list[float | None]:
        """Return exp(mean negative log-likelihood of a token given those before it) of each text's first tokens.

        The first token has none before it and is not scored. Batches are of like length and padded on the right;
        a score does not depend on its batch, but for the rounding of sums.

        Returns:
            1 or more per text; None for one of fewer than 2 tokens.

        Raises:
            WeightsNotFound: the model cannot be had.
            ConfigurationError: it has fewer positions than `max_tokens`.
        """
        import torch

        if not texts:
            return []
        model, tokenizer = self._loaded
        rows = tokenize(tokenizer, list(texts), self.max_tokens)
        scores: list[float | None] = [None] * len(rows)
        long = [place for place, row in enumerate(rows) if len(row) >= 2]
        with torch.inference_mode():
            for batch in group_by_length([len(rows[place]) for place in long], self.batch_size, self.batch_tokens):
                places = [long[number] for number in batch]
                inputs = pad_batch([rows[place] for place in places], tokenizer.pad_token_id or 0, self.device)
                logits = model(**inputs, use_cache=False).logits
                for number, place in enumerate(places):
                    # row by row: the logarithms of a whole batch would take as much memory again
                    length = len(rows[place])
                    losses = torch.nn.functional.cross_entropy(
                        logits[number, : length - 1].float(), inputs["input_ids"][number, 1:length], reduction="none"
                    )
                    scores[place] = _raise_e(float(losses.double().mean()))
        return scores


def _raise_e(loss: float) -> float | None:
    try:
        score = math.exp(loss)
    except OverflowError:
        return None
    return score if math.isfinite(score) else None
