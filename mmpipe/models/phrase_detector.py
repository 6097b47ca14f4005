"""Finds phrases in pictures: boxes and confidences from a zero-shot detector of transformers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmpipe.errors import WeightsNotFound
from mmpipe.models.device_batches import DeviceBatches
from mmpipe.models.devices import choose_device
from mmpipe.models.hub_weights import digest_model
from mmpipe.models.vision_weights import load_vision_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from PIL import Image

_ROWS = 8
#: Detectors with one logit per box and phrase, and those with one per box and token of all phrases in a line.
_BY_PHRASE, _BY_TOKEN = ("owlvit", "owlv2"), ("grounding-dino", "mm-grounding-dino")


@dataclass(frozen=True, slots=True)
class PhraseBox:
    """Where a phrase is seen: left, top, right, bottom as shares of the picture's width and height, 0 to 1."""

    phrase: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float


class PhraseDetector:
    """A zero-shot detector (transformers: `AutoModelForZeroShotObjectDetection`); loaded on first use.

    OWL-ViT (Minderer et al. 2022, arXiv 2205.06230), OWLv2 and Grounding DINO (Liu et al. 2023, arXiv 2303.05499), such
    as google/owlv2-base-patch16-ensemble or IDEA-Research/grounding-dino-tiny. A box may be several phrases' box:
    each phrase has its own confidence, a sigmoid.

    Args:
        name: a folder or hub name.
        device: `auto`, `cpu` or `cuda:N`.
        dtype: `float32`, `bfloat16` or `float16`.
        batch_size: pictures looked at at once, halved when the device's memory runs out.

    Raises:
        ConfigurationError: a device that is not there.
    """

    def __init__(self, name: str, *, device: str = "auto", dtype: str = "float32", batch_size: int = _ROWS) -> None:
        self.name = name
        self.device = choose_device(device)
        self.dtype = dtype
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
        model, processor = load_vision_model("AutoModelForZeroShotObjectDetection", self.name, self.dtype, self.device)
        if model.config.model_type not in _BY_PHRASE + _BY_TOKEN:
            raise WeightsNotFound(
                f"{self.name}: a detector of the kind {model.config.model_type!r}; those read here are "
                f"{', '.join(_BY_PHRASE + _BY_TOKEN)}."
            )
        return model, processor

    def find(
        self, pictures: Sequence[Image.Image], phrases: Sequence[Sequence[str]], *, least_confidence: float = 0.1
    ) -> list[list[PhraseBox]]:
        """Return the boxes of each picture's phrases, all phrases in one pass, the surest first.

        Args:
            pictures: of any size and mode.
            phrases: of each picture, such as "a red ball"; none, and the picture is not looked at.
            least_confidence: boxes below are left out.

        Raises:
            WeightsNotFound: the model cannot be had.
            ValueError: not as many lists of phrases as pictures.
        """
        if len(pictures) != len(phrases):
            raise ValueError(f"{len(pictures)} pictures and {len(phrases)} lists of phrases do not go together.")
        asked = [tuple(dict.fromkeys(phrase for phrase in of_one if phrase.strip())) for of_one in phrases]
        found: list[list[PhraseBox]] = [[] for _ in pictures]
        groups: dict[tuple[int, ...], list[tuple[int, torch.Tensor]]] = {}
        for place, picture in enumerate(pictures):
            if asked[place]:
                pixels = self._prepare(picture)
                # only pictures of one shape go together: none is padded, so none depends on its neighbours
                shape = (*pixels.shape, len(asked[place]))
                groups.setdefault(shape, []).append((place, pixels))
        for rows in groups.values():
            items = [(pixels, asked[place]) for place, pixels in rows]
            parts = self._batches.run(items, self._look, lambda _: None)
            seen = (row for part in parts for row in part.float().cpu())
            for (place, _), row in zip(rows, seen, strict=True):
                found[place] = _read_boxes(row, asked[place], self._reach(pictures[place]), least_confidence)
        return found

    def _prepare(self, picture: Image.Image) -> torch.Tensor:
        model, processor = self._loaded
        prepared = processor.image_processor(images=picture.convert("RGB"), return_tensors="pt")
        pixels: torch.Tensor = prepared["pixel_values"][0].to(model.dtype)
        return pixels

    def _reach(self, picture: Image.Image) -> tuple[float, float]:
        """Return what the model's unit square spans, in widths and heights of the picture: OWLv2 pads to a square."""
        if self._loaded[0].config.model_type != "owlv2":
            return 1.0, 1.0
        side = max(picture.size)
        return side / picture.width, side / picture.height

    def _look(self, batch: list[tuple[torch.Tensor, tuple[str, ...]]]) -> torch.Tensor:
        """Return [n, boxes, 4 + phrases]: centre, width and height in the unit square, and confidences."""
        import torch

        model, processor = self._loaded
        pixels = torch.stack([pixels for pixels, _ in batch]).to(self.device)
        with torch.inference_mode():
            if model.config.model_type in _BY_PHRASE:
                texts = processor.tokenizer(
                    [phrase for _, phrases in batch for phrase in phrases],
                    padding="max_length",
                    truncation=True,
                    max_length=model.config.text_config.max_position_embeddings,
                    return_tensors="pt",
                ).to(self.device)
                said = model(input_ids=texts["input_ids"], attention_mask=texts["attention_mask"], pixel_values=pixels)
                confidences = said.logits.sigmoid()
            else:
                texts = processor.tokenizer(
                    [". ".join(phrase.strip().lower().rstrip(".") for phrase in phrases) + "." for _, phrases in batch],
                    padding=True,
                    truncation=True,
                    max_length=model.config.max_text_len,
                    return_tensors="pt",
                ).to(self.device)
                said = model(pixel_values=pixels, **texts)
                confidences = _gather_tokens(said.logits.sigmoid(), texts["input_ids"], processor.tokenizer, batch)
        return torch.cat([said.pred_boxes, confidences], dim=-1)


def _gather_tokens(
    confidences: torch.Tensor, ids: torch.Tensor, tokenizer: Any, batch: list[tuple[torch.Tensor, tuple[str, ...]]]
) -> torch.Tensor:
    """Return [n, boxes, phrases] from [n, boxes, tokens]: a phrase is as sure as the surest of its tokens."""
    import torch

    ends = ids == tokenizer.convert_tokens_to_ids(".")
    # how many phrases have ended before a token says whose token it is
    owners = ends.cumsum(dim=1).masked_fill(ends, -1)
    for special in tokenizer.all_special_ids:
        owners = owners.masked_fill(ids == special, -1)
    phrases = len(batch[0][1])
    tokens = confidences[:, :, : ids.shape[1]]
    gathered = [tokens.masked_fill((owners != number)[:, None], 0.0).amax(dim=-1) for number in range(phrases)]
    return torch.stack(gathered, dim=-1)


def _read_boxes(
    row: torch.Tensor, phrases: Sequence[str], reach: tuple[float, float], least_confidence: float
) -> list[PhraseBox]:
    """Return the boxes of a picture that are sure enough, cut at its edges; none that has no area there."""
    boxes = []
    for x, y, width, height, *confidences in row.tolist():
        left, right = (min(max((x + sign * width / 2) * reach[0], 0.0), 1.0) for sign in (-1, 1))
        top, bottom = (min(max((y + sign * height / 2) * reach[1], 0.0), 1.0) for sign in (-1, 1))
        if left < right and top < bottom:
            boxes += [
                PhraseBox(phrase, left, top, right, bottom, confidence)
                for phrase, confidence in zip(phrases, confidences, strict=True)
                if confidence >= least_confidence
            ]
    return sorted(boxes, key=lambda box: (-box.confidence, box.phrase, box.left, box.top, box.right, box.bottom))
