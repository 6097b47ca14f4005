"""Scores pictures against captions with an open_clip checkpoint, and says by digest which weights did."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError
from mmpipe.models.clip_weights import digest_weights, find_clip_folder
from mmpipe.models.devices import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from PIL import Image

PRECISIONS = ("fp32", "fp16", "bf16")


class ClipModel:
    """An open_clip model on a device; loaded on first use.

    Every batch is padded to `batch_size` rows, so that the shapes the device computes, and with them the rounding, do
    not depend on how many pairs came together: a score is the same within 1e-6 in any company.

    Args:
        name: a folder in open_clip's layout (with or without `local-dir:`), `hf-hub:org/repo`, `org/repo`, or
            open_clip's `architecture/tag`; see `clip_weights.find_clip_folder`.
        device: `auto` (the first accelerator, else the CPU), `cpu`, `cuda:N`.
        precision: one of `PRECISIONS`; half precisions are for accelerators.
        batch_size: rows the device takes at once.
        threads: cores of the CPU; None leaves torch's own choice.

    Raises:
        WeightsNotFound: no such weights, or a folder that does not say how pictures are prepared.
        ConfigurationError: an unknown precision, or a device that is not there.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str = "auto",
        precision: str = "fp32",
        batch_size: int = 32,
        threads: int | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigurationError(f"CLIP precision {precision!r} is none of {', '.join(PRECISIONS)}.")
        self.folder: Path = find_clip_folder(name)
        self.precision = precision
        self.batch_size = batch_size
        self.device = choose_device(device)
        self._threads = threads

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights file, as `sha256sum` prints it; stored with every score."""
        return digest_weights(self.folder)

    @cached_property
    def _parts(self) -> tuple[Any, Callable[[Any], torch.Tensor], Callable[[list[str]], torch.Tensor]]:
        """The model, its own preprocessing of pictures, and its own tokenizer."""
        import open_clip
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        # lower-precision matrix products would make a score depend on the batch it came in
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        name = f"local-dir:{self.folder}"
        model, _, prepare = open_clip.create_model_and_transforms(
            name, device=self.device, precision=self.precision, require_pretrained=True
        )
        model.eval()
        return model, prepare, open_clip.get_tokenizer(name)

    def prepare_image(self, picture: Image.Image) -> torch.Tensor:
        """Return the checkpoint's own preprocessing of a picture, [3, height, width]; safe in threads."""
        prepared: torch.Tensor = self._parts[1](picture.convert("RGB"))
        return prepared

    def embed_images(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Return float32 embeddings [n, d] of length 1."""
        return self.embed_prepared([self.prepare_image(picture) for picture in pictures])

    def embed_prepared(self, images: Sequence[torch.Tensor]) -> np.ndarray:
        """Return float32 embeddings [n, d] of length 1, of pictures from `prepare_image`."""
        import torch

        model = self._parts[0]
        kind = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[self.precision]
        return self._embed(list(images), lambda batch: model.encode_image(torch.stack(batch).to(self.device, kind)))

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 embeddings [n, d] of length 1; texts are cut at the model's context length."""
        model, _, tokenize = self._parts
        return self._embed(list(texts), lambda batch: model.encode_text(tokenize(batch).to(self.device)))

    def score_pairs(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> np.ndarray:
        """Return the cosine of each picture and its caption, float32 [n], from -1 to 1."""
        return self.score_prepared([self.prepare_image(picture) for picture in pictures], captions)

    def score_prepared(self, images: Sequence[torch.Tensor], captions: Sequence[str]) -> np.ndarray:
        """Return the cosine of each prepared picture and its caption, float32 [n], from -1 to 1.

        Raises:
            ValueError: not as many captions as pictures.
        """
        import numpy as np

        if len(images) != len(captions):
            raise ValueError(f"{len(images)} pictures and {len(captions)} captions are no pairs.")
        cosines: np.ndarray = np.einsum("nd,nd->n", self.embed_prepared(images), self.embed_texts(captions))
        return cosines.clip(-1, 1)

    def _embed(self, items: list[Any], encode: Callable[[list[Any]], torch.Tensor]) -> np.ndarray:
        import numpy as np
        import torch

        parts: list[np.ndarray] = []
        with torch.inference_mode():
            for start in range(0, len(items), self.batch_size):
                batch = items[start : start + self.batch_size]
                padded = batch + [batch[-1]] * (self.batch_size - len(batch))
                vectors = encode(padded)[: len(batch)].float()
                parts.append(torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)
