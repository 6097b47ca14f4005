"""Scores pictures against captions with an open_clip checkpoint, and says by digest which weights did."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError
from mmpipe.models.clip_weights import digest_weights, find_clip_folder, read_dimension
from mmpipe.models.device_batches import DeviceBatches
from mmpipe.models.devices import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from PIL import Image

#: `fp16` and `bf16` hold the weights in half precision (but for norms); `amp_*` hold them in full and compute matrix
#: products in half (autocast). Only `fp32` gives on every device the same score within 1e-4.
PRECISIONS = ("fp32", "fp16", "bf16", "amp_fp16", "amp_bf16")


class ClipModel:
    """An open_clip model on a device; loaded on first use.

    On a CPU a score is the same within 1e-6 in any company (see `DeviceBatches`).

    Args:
        name: a folder in open_clip's layout (with or without `local-dir:`), `hf-hub:org/repo`, `org/repo`, or
            open_clip's `architecture/tag`; see `clip_weights.find_clip_folder`.
        device: `auto` (the first accelerator, else the CPU), `cpu`, `cuda:N`.
        precision: one of `PRECISIONS`; half precisions are for accelerators.
        batch_size: rows the device takes at once, halved when its memory runs out; None is 32 on a CPU, and on an
            accelerator as many as fit.
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
        batch_size: int | None = 32,
        threads: int | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigurationError(f"CLIP precision {precision!r} is none of {', '.join(PRECISIONS)}.")
        self.folder: Path = find_clip_folder(name)
        self.precision = precision
        self.device = choose_device(device)
        self._batches = DeviceBatches(self.device, batch_size)
        self._threads = threads

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights file, as `sha256sum` prints it; stored with every score."""
        return digest_weights(self.folder)

    @cached_property
    def dimension(self) -> int:
        """Numbers of an embedding, as the checkpoint's config says; the weights are not read."""
        return read_dimension(self.folder)

    @property
    def batch_size(self) -> int | None:
        """Rows the device takes at once; None before it was asked how many fit."""
        return self._batches.rows

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
        weights = "fp32" if self.precision.startswith("amp") else self.precision
        model, _, prepare = open_clip.create_model_and_transforms(
            name, device=self.device, precision=weights, require_pretrained=True
        )
        model.eval()
        return model, prepare, open_clip.get_tokenizer(name)

    @cached_property
    def _cut(self) -> tuple[list[Callable[[Any], Any]], tuple[float, ...], tuple[float, ...]]:
        """The checkpoint's preprocessing up to whole pixels, and the mean and deviation that follow."""
        from torchvision.transforms import Normalize, ToTensor

        *steps, to_tensor, normalize = self._parts[1].transforms  # type: ignore[attr-defined]
        if not isinstance(to_tensor, ToTensor) or not isinstance(normalize, Normalize):
            raise ConfigurationError(
                f"CLIP {self.folder} prepares pictures in a way not known here: {to_tensor}, {normalize}."
            )
        return steps, tuple(normalize.mean), tuple(normalize.std)

    def prepare_image(self, picture: Image.Image) -> np.ndarray:
        """Return the checkpoint's own preprocessing of a picture, [height, width, 3] of uint8; safe in threads.

        What is left of it, the division by 255 and the normalisation, is done for a whole batch on the device: a
        quarter of the bytes travels, and no decoding thread starts torch's own threads.
        """
        import numpy as np

        prepared: Any = picture.convert("RGB")
        for step in self._cut[0]:
            prepared = step(prepared)
        return np.asarray(prepared)

    def embed_images(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Return float32 embeddings [n, d] of length 1."""
        return self.embed_prepared([self.prepare_image(picture) for picture in pictures])

    def embed_prepared(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 embeddings [n, d] of length 1, of pictures from `prepare_image`."""
        return _to_array(self.encode_prepared(images))

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 embeddings [n, d] of length 1; texts are cut at the model's context length."""
        return _to_array(self.encode_texts(texts))

    def encode_prepared(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Return float32 embeddings [n, d] of length 1 on the device, of pictures from `prepare_image`."""
        return self._encode(images, self._encode_image_batch)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Return float32 embeddings [n, d] of length 1 on the device; texts are cut at the context length."""
        return self._encode(texts, self._encode_text_batch)

    def score_pairs(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> np.ndarray:
        """Return the cosine of each picture and its caption, float32 [n], from -1 to 1."""
        return self.score_prepared([self.prepare_image(picture) for picture in pictures], captions)

    def score_prepared(self, images: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
        """Return the cosine of each prepared picture and its caption, float32 [n], from -1 to 1.

        Raises:
            ValueError: not as many captions as pictures.
        """
        import numpy as np

        if len(images) != len(captions):
            raise ValueError(f"{len(images)} pictures and {len(captions)} captions are no pairs.")
        cosines: np.ndarray = np.einsum("nd,nd->n", self.embed_prepared(images), self.embed_texts(captions))
        return cosines.clip(-1, 1)

    def normalize(self, batch: Sequence[np.ndarray]) -> torch.Tensor:
        """Return prepared pictures as the model takes them, [n, 3, height, width] on the device."""
        import numpy as np
        import torch

        kind = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(self.precision, torch.float32)
        pixels = torch.from_numpy(np.stack(batch)).to(self.device).permute(0, 3, 1, 2).contiguous().float()
        mean, deviation = (pixels.new_tensor(numbers)[:, None, None] for numbers in self._cut[1:])
        return pixels.div_(255).sub_(mean).div_(deviation).to(kind)

    def _encode_image_batch(self, batch: list[np.ndarray]) -> torch.Tensor:
        encoded: torch.Tensor = self._parts[0].encode_image(self.normalize(batch))
        return encoded

    def _encode_text_batch(self, batch: list[str]) -> torch.Tensor:
        model, _, tokenize = self._parts
        encoded: torch.Tensor = model.encode_text(tokenize(batch).to(self.device))
        return encoded

    def _try_rows(self, rows: int) -> None:
        """Embed so many grey pictures and empty captions, to see whether they fit."""
        from PIL import Image

        self._encode_image_batch([self.prepare_image(Image.new("RGB", (8, 8), (128, 128, 128)))] * rows)
        self._encode_text_batch([""] * rows)

    def _encode(self, items: Sequence[Any], encode: Callable[[list[Any]], torch.Tensor]) -> torch.Tensor:
        import torch

        half = {"amp_fp16": torch.float16, "amp_bf16": torch.bfloat16}.get(self.precision)
        kind = self.device.partition(":")[0]
        with torch.inference_mode(), torch.autocast(kind, half or torch.bfloat16, enabled=half is not None):
            parts = self._batches.run(items, encode, self._try_rows)
        if not parts:
            return torch.empty((0, self.dimension), device=self.device)
        with torch.inference_mode():
            return torch.nn.functional.normalize(torch.cat(parts).float(), dim=-1)


def _to_array(embeddings: torch.Tensor) -> np.ndarray:
    array: np.ndarray = embeddings.cpu().numpy()
    return array
