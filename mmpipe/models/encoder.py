"""Scores texts by an encoder with a head: a number as FineWeb-Edu's, or the probability of one of its classes."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.models.hub_weights import (
    digest_model,
    group_by_length,
    load_transformer,
    pad_batch,
    require_context,
    tokenize,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Tokens of one forward pass, padding counted.
BATCH_TOKENS = 16384


class EncoderClassifier:
    """A model of transformers for sequence classification.

    Args:
        name: a folder or hub name, such as HuggingFaceFW/fineweb-edu-classifier (Penedo et al. 2024, section 4).
        label: the class whose probability is the score, by its name in the model's `id2label`; None for a head of one
            number, which is the score as it is.
        device: torch's name of it.
        max_tokens: tokens of a text that are read.
        batch_size: most texts of a forward pass.
        batch_tokens: most tokens of a forward pass, padding counted.
        dtype: precision of the weights.
    """

    def __init__(
        self,
        name: str,
        *,
        label: str | None = None,
        device: str = "cpu",
        max_tokens: int = 512,
        batch_size: int = 32,
        batch_tokens: int = BATCH_TOKENS,
        dtype: str = "float32",
    ) -> None:
        self.name = name
        self.label = label
        self.device = device
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.dtype = dtype

    @cached_property
    def digest(self) -> str:
        """Digits that name the weights, and the class if one is named.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        weights = digest_model(self.name)
        return weights if self.label is None else f"{weights}-{self.label}"

    @cached_property
    def _loaded(self) -> tuple[Any, Any, int | None]:
        model, tokenizer = load_transformer(
            "AutoModelForSequenceClassification", self.name, self.dtype, self.device, None
        )
        require_context(model, self.name, self.max_tokens)
        return model, tokenizer, self._find_class(model.config)

    def _find_class(self, config: Any) -> int | None:
        names = {str(name): int(number) for number, name in config.id2label.items()}
        if config.num_labels == 1:
            if self.label is not None:
                raise ConfigurationError(f"{self.name} gives one number and has no classes: name none.")
            return None
        if self.label not in names:
            asked = "name the one that is wanted" if self.label is None else f"none is {self.label!r}"
            near = name_nearest(self.label or "", names)
            raise ConfigurationError(f"{self.name} has {config.num_labels} classes, {asked} (encoder_label).{near}")
        return names[self.label]

    def score(self, texts: Sequence[str]) -> list[float | None]:
        """Return the score of each text, of its first tokens; None for one without words.

        Raises:
            WeightsNotFound: the model cannot be had.
            ConfigurationError: no such class, or fewer positions than `max_tokens`.
        """
        import torch

        if not texts:
            return []
        model, tokenizer, wanted = self._loaded
        present = [place for place, text in enumerate(texts) if text.strip()]
        rows = tokenize(tokenizer, [texts[place] for place in present], self.max_tokens)
        scores: list[float | None] = [None] * len(texts)
        with torch.inference_mode():
            for batch in group_by_length(list(map(len, rows)), self.batch_size, self.batch_tokens):
                inputs = pad_batch([rows[number] for number in batch], tokenizer.pad_token_id or 0, self.device)
                logits = model(**inputs).logits.double()
                values = logits[:, 0] if wanted is None else logits.softmax(dim=-1)[:, wanted]
                for number, value in zip(batch, values.tolist(), strict=True):
                    scores[present[number]] = value if math.isfinite(value) else None
        return scores
