"""Writes captions of pictures with a model of transformers, sampled so that no picture depends on its neighbours."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import xxhash

from mmpipe.errors import ConfigurationError
from mmpipe.models.device_batches import DeviceBatches
from mmpipe.models.devices import choose_device
from mmpipe.models.hub_weights import digest_model
from mmpipe.models.token_draws import Draws, DrawTokens
from mmpipe.models.vision_weights import load_vision_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from PIL import Image

#: Rows of a batch unless told otherwise: a caption's cost is its decoder's steps, which a batch shares.
_ROWS = 16


class Captioner:
    """A model that turns a picture into text (transformers: `AutoModelForImageTextToText`); loaded on first use.

    BLIP (Li et al. 2022, arXiv 2201.12086, such as Salesforce/blip-image-captioning-large) and BLIP-2 caption without
    a prompt; models that chat are given one.

    Args:
        name: a folder or hub name.
        device: `auto`, `cpu` or `cuda:N`.
        dtype: `float32`, `bfloat16` or `float16`.
        batch_size: captions sampled at once, halved when the device's memory runs out.
        prompt: what the caption begins with, or what a model that chats is asked; None for none.

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
        prompt: str | None = None,
    ) -> None:
        self.name = name
        self.device = choose_device(device)
        self.dtype = dtype
        self.prompt = prompt
        self._batches = DeviceBatches(self.device, batch_size)

    @cached_property
    def digest(self) -> str:
        """Digits that name the weights, and the prompt if there is one.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        weights = digest_model(self.name)
        return weights if self.prompt is None else f"{weights}-{xxhash.xxh3_64_hexdigest(self.prompt.encode())}"

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load_vision_model("AutoModelForImageTextToText", self.name, self.dtype, self.device)

    def caption(
        self,
        pictures: Sequence[Image.Image],
        ids: Sequence[str],
        *,
        captions_per_image: int = 1,
        top_p: float = 0.9,
        max_tokens: int = 40,
        seed: int = 1,
    ) -> list[list[str]]:
        """Return sampled captions of each picture.

        Nucleus sampling (BLIP, section 4.2: p = 0.9, more varied than a beam). A caption's draws depend on its
        picture's id, its number and the seed alone, so other pictures of the call change nothing.

        Args:
            pictures: of any size and mode.
            ids: of the pictures; equal ids draw equal numbers.
            captions_per_image: captions of each.
            top_p: nucleus, in (0, 1]; 0 takes the likeliest token each time.
            max_tokens: of one caption.
            seed: of all draws.

        Raises:
            WeightsNotFound: the model cannot be had.
            ValueError: not as many ids as pictures.
        """
        if len(pictures) != len(ids):
            raise ValueError(f"{len(pictures)} pictures and {len(ids)} ids do not go together.")
        if captions_per_image < 1 or max_tokens < 1 or not 0 <= top_p <= 1:
            raise ConfigurationError(
                f"captions_per_image {captions_per_image}, max_tokens {max_tokens}, top_p {top_p}: the first two are 1 "
                f"or more, the last in [0, 1]."
            )
        rows = [
            (picture.convert("RGB"), _seed_draws(f"{seed}:{number}:{name}", top_p, max_tokens))
            for picture, name in zip(pictures, ids, strict=True)
            for number in range(captions_per_image)
        ]
        texts = [
            text
            for part in self._batches.run(rows, lambda batch: self._generate(batch, max_tokens), lambda _: None)
            for text in self._decode(part)
        ]
        return [texts[start : start + captions_per_image] for start in range(0, len(texts), captions_per_image)]

    def _generate(self, batch: list[tuple[Image.Image, Draws]], max_tokens: int) -> torch.Tensor:
        import torch
        from transformers import LogitsProcessorList

        model, processor = self._loaded
        texts = {} if self.prompt is None else {"text": [self._write_prompt(processor)] * len(batch)}
        # every row asks the same, so no row is padded
        inputs = processor(images=[picture for picture, _ in batch], return_tensors="pt", **texts).to(self.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        draw = LogitsProcessorList([DrawTokens([draws for _, draws in batch])])
        with torch.inference_mode():
            tokens: torch.Tensor = model.generate(
                **inputs, max_new_tokens=max_tokens, do_sample=False, num_beams=1, logits_processor=draw
            )
        # a model that chats gives back the question before its answer; what BLIP was told to begin with is caption
        return tokens[:, inputs["input_ids"].shape[1] :] if self._chats(processor) else tokens

    def _chats(self, processor: Any) -> bool:
        return self.prompt is not None and getattr(processor, "chat_template", None) is not None

    def _write_prompt(self, processor: Any) -> str:
        if not self._chats(processor):
            return str(self.prompt)
        asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": self.prompt}]}]
        return str(processor.apply_chat_template(asked, add_generation_prompt=True))

    def _decode(self, tokens: torch.Tensor) -> list[str]:
        texts = self._loaded[1].batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def _seed_draws(key: str, top_p: float, max_tokens: int) -> Draws:
    import torch

    # torch takes 63 bits here
    generator = torch.Generator().manual_seed(xxhash.xxh3_64_intdigest(key.encode()) >> 1)
    uniforms = torch.rand(max_tokens, generator=generator, dtype=torch.float64)
    return Draws(temperature=1.0 if top_p > 0 else 0.0, top_p=top_p, uniforms=uniforms)
