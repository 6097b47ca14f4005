"""Says how probably a caption matches a picture, by a model that reads both together (BLIP's matching head)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmpipe.models.device_batches import DeviceBatches
from mmpipe.models.devices import choose_device
from mmpipe.models.hub_weights import digest_model
from mmpipe.models.vision_weights import load_vision_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from PIL import Image

_ROWS = 16


class CaptionMatcher:
    """BLIP with its image-text matching head (Li et al. 2022, arXiv 2201.12086, section 3.2); loaded on first use.

    The head is CapFilt's filter: a caption is noise where it says that the text does not match.

    Args:
        name: a folder or hub name, such as Salesforce/blip-itm-large-coco.
        device: `auto`, `cpu` or `cuda:N`.
        dtype: `float32`, `bfloat16` or `float16`.
        batch_size: pairs judged at once, halved when the device's memory runs out.
        max_tokens: of a caption that are read (BLIP: 35; the rest says little of the picture).

    Raises:
        ConfigurationError: a device that is not there.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str = "auto",
        dtype: str = "float32",
        batch_size: int = _ROWS,
        max_tokens: int = 35,
    ) -> None:
        self.name = name
        self.device = choose_device(device)
        self.dtype = dtype
        self.max_tokens = max_tokens
        self._batches = DeviceBatches(self.device, batch_size)

    @cached_property
    def digest(self) -> str:
        """Digits that name the weights.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        return digest_model(self.name)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load_vision_model("BlipForImageTextRetrieval", self.name, self.dtype, self.device)

    def match(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> np.ndarray:
        """Return the probability that each caption matches its picture, float32 [n].

        Raises:
            WeightsNotFound: the model cannot be had.
            ValueError: not as many captions as pictures.
        """
        import numpy as np
        import torch

        if len(pictures) != len(captions):
            raise ValueError(f"{len(pictures)} pictures and {len(captions)} captions are no pairs.")
        rows = [(picture.convert("RGB"), caption) for picture, caption in zip(pictures, captions, strict=True)]
        parts = self._batches.run(rows, self._judge, lambda _: None)
        return torch.cat(parts).cpu().numpy() if parts else np.empty(0, dtype=np.float32)

    def _judge(self, batch: list[tuple[Image.Image, str]]) -> torch.Tensor:
        import torch

        model, processor = self._loaded
        # one width for all, so that a caption's score does not show how long its neighbours are
        inputs = processor(
            images=[picture for picture, _ in batch],
            text=[caption for _, caption in batch],
            padding="max_length",
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        ).to(self.device)
        # the model makes a mask of its own without saying where
        with torch.inference_mode(), torch.device(self.device):
            said = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                pixel_values=inputs["pixel_values"].to(model.dtype),
                use_itm_head=True,
            ).itm_score
        matches: torch.Tensor = said.float().softmax(dim=-1)[:, 1]
        return matches
