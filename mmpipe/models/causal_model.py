"""Holds a causal language model of transformers, loaded when it is first asked; measures of texts extend it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmpipe.models.hub_weights import digest_model, load_transformer, require_context

if TYPE_CHECKING:
    from pathlib import Path

#: Tokens of one forward pass: with 50,000 words their logits take 0.8 GB.
BATCH_TOKENS = 4096


class CausalModel:
    """A model and how much of a text it is given.

    Args:
        name: `embedded`, a folder, a `.gguf` file or a hub name.
        device: torch's name of it.
        max_tokens: tokens read at once.
        batch_size: most rows of a forward pass.
        batch_tokens: most tokens of a forward pass, padding counted.
        dtype: precision of the weights.
        converted: folder that keeps GGUF weights converted.

    Whatever needs the weights raises WeightsNotFound where they cannot be had, and ConfigurationError where the model
    has fewer positions than `max_tokens`.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str = "cpu",
        max_tokens: int = 1024,
        batch_size: int = 16,
        batch_tokens: int = BATCH_TOKENS,
        dtype: str = "float32",
        converted: Path | None = None,
    ) -> None:
        self.name = name
        self.device = device
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.dtype = dtype
        self.converted = converted

    @cached_property
    def digest(self) -> str:
        """Digits that name the weights.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        return digest_model(self.name)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        loaded = load_transformer("AutoModelForCausalLM", self.name, self.dtype, self.device, self.converted)
        require_context(loaded[0], self.name, self.max_tokens)
        return loaded
