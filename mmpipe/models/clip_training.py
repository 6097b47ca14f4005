"""Trains a tiny CLIP from scratch: enough to tell right captions of drawn pictures from wrong ones."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np
    import torch
    from PIL import Image

#: Cosine at which the sigmoid loss puts its border. Each batch holds 63 wrong captions for a right one, which pull the
#: real border down to about 0.28: the limits that LAION published lie where they divide right from wrong.
BORDER = 0.52
_SCALE = 12.0
_IMAGE_SIZE = 64

# open_clip's own residual network and text transformer at the smallest sizes that tell shapes and numbers apart
_MODEL = {
    "embed_dim": 64,
    "vision_cfg": {
        "image_size": _IMAGE_SIZE,
        "layers": [1, 1, 1, 1],
        "width": 8,
        "head_width": 16,
        "patch_size": None,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 1},
    "init_logit_scale": 2.5,
    "init_logit_bias": -3.0,
}
_PREPROCESS = {
    "size": [_IMAGE_SIZE, _IMAGE_SIZE],
    "mode": "RGB",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training took: pairs seen, steps, the last loss, and seconds of the clock."""

    pairs: int
    steps: int
    loss: float
    seconds: float


def train_tiny_clip(
    pairs: Iterable[tuple[Image.Image, str]],
    folder: Path,
    *,
    seed: int,
    steps: int = 300,
    batch_size: int = 64,
    threads: int = 1,
) -> TrainingReport:
    """Train a CLIP of a few million weights and save it as a folder that open_clip loads by `local-dir:`.

    The loss is open_clip's `ClipLoss` plus its `SigLipLoss` (Zhai et al. 2023, arXiv 2303.15343) with fixed scale and
    bias: the first ranks captions, the second puts the border between right and wrong at a fixed cosine, so that a
    published limit on CLIP similarity means the same here. The same pairs, seed, number of threads and machine give
    the same weights; the work is counted in steps, never in seconds.

    Args:
        pairs: pictures of any size and their captions, `batch_size` different ones at least; all
            are held in memory at 64 x 64 pixels.
        folder: gets `open_clip_config.json` and `open_clip_model.safetensors`.
        seed: sets the weights at the start and the order of the pairs.
        steps: batches to train on.
        batch_size: pairs of one batch, all with different captions.
        threads: cores of the CPU to use; with more than one, another number of cores may round to other weights, and
            on a busy machine the threads mostly wait for each other.

    Raises:
        ValueError: fewer different captions than one batch.
    """
    import torch
    from open_clip import SimpleTokenizer
    from open_clip.loss import ClipLoss, SigLipLoss

    started = time.monotonic()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # channels last: convolutions on a CPU are a third faster
            model = _make_model().to(memory_format=torch.channels_last)
            images, captions = _prepare_pairs(pairs)
            distinct = len({caption.lower() for caption in captions})
            if distinct < batch_size:
                raise ValueError(f"{distinct} different captions are fewer than one batch of {batch_size}.")
            tokens = SimpleTokenizer(context_length=_MODEL["text_cfg"]["context_length"])(captions)  # type: ignore[index]
            # 3 of the 3.4 million weights are the vocabulary's; random ones tell words apart as well as trained ones
            model.get_parameter("token_embedding.weight").requires_grad_(False)
            trained = [weight for weight in model.parameters() if weight.requires_grad]
            optimizer = torch.optim.AdamW(trained, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps, pct_start=0.1)
            rank, divide = ClipLoss(), SigLipLoss()
            scale, bias = torch.tensor(_SCALE), torch.tensor(-_SCALE * BORDER)
            model.train()
            loss = torch.tensor(0.0)
            for batch in _draw_batches(captions, batch_size, steps, seed):
                seen = model(_vary(images[batch]), tokens[batch])
                picture, caption = seen["image_features"], seen["text_features"]
                loss = rank(picture, caption, scale) + divide(picture, caption, scale, bias)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                schedule.step()
            _save(model, folder)
    finally:
        torch.set_num_threads(threads_before)
    return TrainingReport(len(captions), steps, float(loss.detach()), time.monotonic() - started)


def _make_model() -> torch.nn.Module:
    from open_clip.model import CLIP

    settings: dict[str, Any] = dict(_MODEL)
    return CLIP(**settings, output_dict=True)  # type: ignore[no-any-return]


def _prepare_pairs(pairs: Iterable[tuple[Image.Image, str]]) -> tuple[torch.Tensor, list[str]]:
    """Return pictures as uint8 [n, 3, 64, 64] and their captions."""
    import numpy as np
    import torch
    from PIL.Image import Resampling

    pictures: list[np.ndarray] = []
    captions: list[str] = []
    for picture, caption in pairs:
        small = picture.convert("RGB").resize((_IMAGE_SIZE, _IMAGE_SIZE), Resampling.BICUBIC)
        pictures.append(np.asarray(small).transpose(2, 0, 1))
        captions.append(caption)
    return torch.from_numpy(np.stack(pictures)) if pictures else torch.empty(0), captions


def _draw_batches(captions: list[str], batch_size: int, steps: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield row numbers; no caption twice in a batch, because its twin would count as a wrong caption."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen: dict[str, int] = {}
        for row in torch.randperm(len(captions), generator=generator).tolist():
            chosen.setdefault(captions[row].lower(), row)
            if len(chosen) == batch_size:
                break
        yield torch.tensor(list(chosen.values()))


def _vary(images: torch.Tensor) -> torch.Tensor:
    """Return normalised floats, all shifted by up to 6 pixels; not mirrored, or left would become right."""
    import torch

    floats = (images.float() / 255 - _PREPROCESS["mean"][0]) / _PREPROCESS["std"][0]  # type: ignore[operator]
    padded = torch.nn.functional.pad(floats, (6, 6, 6, 6), mode="replicate")
    down, right = torch.randint(0, 13, (2,)).tolist()
    shifted = padded[:, :, down : down + _IMAGE_SIZE, right : right + _IMAGE_SIZE]
    return shifted.contiguous(memory_format=torch.channels_last)


def _save(model: torch.nn.Module, folder: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    # the config last: a folder with a config is a whole checkpoint
    config = {"model_cfg": _MODEL, "preprocess_cfg": _PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
