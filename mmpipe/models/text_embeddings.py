"""Embeds texts: a sentence encoder of transformers by name or folder, or hashed character n-grams without a model."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmpipe.errors import ConfigurationError
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

    from numpy.typing import NDArray

#: Tokens of one forward pass, padding counted.
BATCH_TOKENS = 65_536

# n-grams of how many characters, of how many at a time
_NGRAM_LENGTHS = (3, 4, 5)
_PIECE_CHARACTERS = 1 << 20
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class TextEmbedder(Protocol):
    """What gives each text a vector."""

    @property
    def digest(self) -> str:
        """Digits that name what the vectors depend on beside the texts."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (texts, dimensions) vectors of length 1; zeros for a text without words."""


class SentenceEmbedder:
    """An encoder of transformers whose token vectors are averaged (Reimers and Gurevych 2019, arXiv 1908.10084).

    Args:
        name: a folder or hub name, such as sentence-transformers/all-MiniLM-L6-v2. Its own pooling is not read: those
            that were trained with another than the mean of all tokens are not for this.
        device: torch's name of it. On a GPU the forward pass is in bfloat16 or float16, whichever it has.
        max_tokens: tokens of a text that are read.
        batch_size: most texts of a forward pass.
        batch_tokens: most tokens of a forward pass, padding counted. Where memory ends, the batch is halved, and so
            are those that follow.
        prefix: what stands before each text, as some models ask (`passage: `).
    """

    def __init__(
        self,
        name: str,
        *,
        device: str = "cpu",
        max_tokens: int = 256,
        batch_size: int = 256,
        batch_tokens: int = BATCH_TOKENS,
        prefix: str = "",
    ) -> None:
        self.name = name
        self.device = device
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.prefix = prefix

    @cached_property
    def digest(self) -> str:
        """Digits that name the weights, and what is read of a text.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        return f"{digest_model(self.name)}-{self.max_tokens}" + (f"-{self.prefix}" if self.prefix else "")

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        model, tokenizer = load_transformer("AutoModel", self.name, "float32", self.device, None)
        require_context(model, self.name, self.max_tokens)
        return model, tokenizer

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (texts, dimensions) vectors of length 1, of each text's first tokens; zeros for one without words.

        Raises:
            WeightsNotFound: the model cannot be had.
            ConfigurationError: fewer positions than `max_tokens`.
        """
        model, tokenizer = self._loaded
        vectors = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        present = [place for place, text in enumerate(texts) if text.strip()]
        rows = tokenize(tokenizer, [self.prefix + texts[place] for place in present], self.max_tokens)
        # a tokenizer may have nothing to say of a text that is not empty
        waiting = group_by_length(list(map(len, rows)), self.batch_size, self.batch_tokens)[::-1]
        waiting = [filled for batch in waiting if (filled := [number for number in batch if rows[number]])]
        most = self.batch_size
        while waiting:
            batch = waiting.pop()
            if len(batch) > most:
                waiting.append(batch[most:])
                batch = batch[:most]
            found = self._average([rows[number] for number in batch], tokenizer.pad_token_id or 0)
            if found is None:
                most = max(1, len(batch) // 2)
                waiting.append(batch)
                continue
            vectors[[present[number] for number in batch]] = found
        return vectors

    def _average(self, rows: list[list[int]], pad_id: int) -> NDArray[np.float32] | None:
        """Return the vectors of one batch; None if memory ended and there is more than one row."""
        import torch

        model, _ = self._loaded
        kind = torch.device(self.device).type
        is_bfloat = kind != "cuda" or torch.cuda.is_bf16_supported()
        precision = torch.bfloat16 if is_bfloat else torch.float16
        try:
            with torch.inference_mode(), torch.autocast(kind, precision, enabled=kind == "cuda"):
                inputs = pad_batch(rows, pad_id, self.device)
                hidden = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1)
            # summed in single precision, whatever the forward pass was in
            summed = (hidden.float() * mask).sum(dim=1)
            averaged = torch.nn.functional.normalize(summed / mask.sum(dim=1), dim=1)
            return np.asarray(averaged.cpu().numpy(), dtype=np.float32)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
        torch.cuda.empty_cache()
        return None


class NgramEmbedder:
    """Hashed character n-grams: what texts share is letters, not meaning; needs no model and no training.

    Each n-gram of 3, 4 and 5 characters (case and the width of white space do not count) adds 1 or -1 to one number,
    both by its hash (Weinberger et al. 2009, arXiv 0902.2206); counts are dampened by their square root.

    Args:
        dimensions: numbers of a vector.
    """

    def __init__(self, dimensions: int = 512) -> None:
        if dimensions < 1:
            raise ConfigurationError(f"N-gram embeddings: dimensions must be at least 1, not {dimensions}.")
        self.dimensions = dimensions

    @property
    def digest(self) -> str:
        """Digits that name the way of counting."""
        return f"ngrams-{'-'.join(map(str, _NGRAM_LENGTHS))}-{self.dimensions}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (texts, dimensions) vectors of length 1; zeros for a text without words."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for place, text in enumerate(texts):
            counts = self._count(f" {' '.join(text.lower().split())} ")
            length = np.sqrt(np.abs(counts).sum())
            if text.strip() and length:
                vectors[place] = np.sign(counts) * np.sqrt(np.abs(counts)) / length
        return vectors

    def _count(self, text: str) -> NDArray[np.float64]:
        counts = np.zeros(self.dimensions, dtype=np.float64)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
        for width in _NGRAM_LENGTHS:
            # pieces overlap, so that no n-gram is lost between two
            for begin in range(0, len(codes) - width + 1, _PIECE_CHARACTERS):
                piece = codes[begin : begin + _PIECE_CHARACTERS + width - 1]
                hashes = np.full(len(piece) - width + 1, width, dtype=np.uint64)
                for offset in range(width):
                    hashes = (hashes ^ piece[offset : offset + len(hashes)]) * _MULTIPLIER
                    hashes ^= hashes >> np.uint64(32)
                signs = 1.0 - 2.0 * (hashes >> np.uint64(63))
                buckets = ((hashes & np.uint64(0x7FFFFFFFFFFFFFFF)) % np.uint64(self.dimensions)).astype(np.int64)
                counts += np.bincount(buckets, weights=signs, minlength=self.dimensions)
        return counts
