"""Trains heads on CLIP embeddings from labelled pictures, and says how they do on the labelled ones held out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from mmpipe.errors import ConfigurationError
from mmpipe.models.head_files import HEAD_NAME, digest_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

Kind = Literal["linear", "mlp"]

#: One labelled picture in five is held out.
_FOLDS = 5
_FEWEST = 20
_HIDDEN = 64
# what a weight costs, per training row: enough that fewer rows than dimensions do not fit by heart
_WEIGHT_COST = 1e-4


@dataclass(frozen=True, slots=True)
class HeadReport:
    """What a training gave.

    Attributes:
        trained: pictures trained on.
        held_out: pictures that `measure` was taken on; the head never saw them.
        measure: `auc` of 0/1 labels (a right one outscores a wrong one), `correlation` (Pearson) of ratings.
        value: of the measure.
        digest: SHA-256 of the weights file.
    """

    trained: int
    held_out: int
    measure: str
    value: float
    digest: str


def train_head(embeddings: np.ndarray, labels: np.ndarray, *, kind: Kind = "linear", folder: Path) -> HeadReport:
    """Fit a head and save it as `load_head` reads it: `head.safetensors`, `head.json`, and its report.

    Labels of 0 and 1 alone make a head for a probability (logistic: watermark, NSFW), others one for a rating (least
    squares: aesthetic). The same labelled pictures give the same weights in whatever order they come: which ones are
    held out depends on a hash of the embedding, and every step sees all of them.

    Args:
        embeddings: of pictures, [n, d] of length 1, from `ClipModel.embed_images` or the column `image_embedding`.
        labels: [n].
        kind: `linear`, or `mlp` with one hidden layer of 64 (ReLU), which needs thousands of labels to gain anything.
        folder: gets the files.

    Raises:
        ConfigurationError: fewer than 20 pictures, or labels that are all one, or not one for each picture.
    """
    import numpy as np
    import torch
    from safetensors.torch import save_file

    if kind not in ("linear", "mlp"):
        raise ConfigurationError(f"Unknown kind of head {kind!r}: use linear or mlp.")
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    wanted = np.asarray(labels, dtype=np.float64)
    if rows.ndim != 2 or wanted.shape != rows.shape[:1]:
        raise ConfigurationError(f"Embeddings {rows.shape} and labels {wanted.shape}: give one label for each of them.")
    if len(rows) < _FEWEST or not np.isfinite(rows).all() or not np.isfinite(wanted).all() or np.ptp(wanted) == 0:
        raise ConfigurationError(f"{len(rows)} labelled pictures: give {_FEWEST} or more, finite, of different labels.")
    keys = [hashlib.sha256(row.tobytes() + np.float64(label).tobytes()).digest() for row, label in zip(rows, wanted)]  # noqa: B905
    order = sorted(range(len(rows)), key=keys.__getitem__)
    held = torch.tensor([int.from_bytes(hashlib.sha256(rows[n].tobytes()).digest()[:8]) % _FOLDS == 0 for n in order])
    x, y = torch.from_numpy(rows[order]).double(), torch.from_numpy(wanted[order])
    is_probability = bool(((y == 0) | (y == 1)).all())
    if held.all() or not held.any() or not y[~held].std() > 0 or not y[held].std() > 0:
        raise ConfigurationError("Too few labelled pictures to hold some of each label out: give more of them.")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # another number of cores may round to other weights
    try:
        layers = _fit(x[~held], y[~held], kind, is_probability=is_probability)
    finally:
        torch.set_num_threads(threads)
    with torch.inference_mode():
        said = _apply(layers, x[held])[:, 0]
    value = _find_auc(said, y[held]) if is_probability else float(torch.corrcoef(torch.stack([said, y[held]]))[0, 1])
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    for number, (weight, bias) in enumerate(layers):
        tensors |= {f"layers.{number}.weight": weight.float(), f"layers.{number}.bias": bias.float()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / HEAD_NAME)
    layout = {"activations": ["relu"] * (len(layers) - 1), "output": "sigmoid" if is_probability else "identity"}
    (folder / HEAD_NAME).with_suffix(".json").write_text(json.dumps(layout, indent=2) + "\n")
    report = HeadReport(
        trained=int((~held).sum()),
        held_out=int(held.sum()),
        measure="auc" if is_probability else "correlation",
        value=value,
        digest=digest_file(folder / HEAD_NAME),
    )
    (folder / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


def _fit(
    x: torch.Tensor, y: torch.Tensor, kind: Kind, *, is_probability: bool
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return weights and biases that minimise the loss over all rows, found by L-BFGS."""
    import torch

    mean, deviation = x.mean(dim=0), x.std(dim=0) + 1e-6
    level, spread = (torch.tensor(0.0), torch.tensor(1.0)) if is_probability else (y.mean(), y.std())
    inputs, target = (x - mean) / deviation, (y - level) / spread
    sizes = [x.shape[1], 1] if kind == "linear" else [x.shape[1], _HIDDEN, 1]
    generator = torch.Generator().manual_seed(0)
    layers = [
        (
            (torch.randn(out, into, generator=generator, dtype=x.dtype) / into**0.5).requires_grad_(),
            torch.zeros(out, dtype=x.dtype, requires_grad=True),
        )
        for into, out in pairwise(sizes)
    ]
    weights = [tensor for layer in layers for tensor in layer]
    optimizer = torch.optim.LBFGS(weights, max_iter=200, line_search_fn="strong_wolfe")
    cost = _WEIGHT_COST * max(1.0, 1000 / len(x))

    def find_loss() -> torch.Tensor:
        optimizer.zero_grad()
        said = _apply(layers, inputs)[:, 0]
        loss = (
            torch.nn.functional.binary_cross_entropy_with_logits(said, target)
            if is_probability
            else (said - target).square().mean()
        )
        for weight, _ in layers:
            loss = loss + cost * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(find_loss)  # type: ignore[no-untyped-call]
    fitted = [(weight.detach(), bias.detach()) for weight, bias in layers]
    # the standardised input and target are folded into the first and the last layer
    first = fitted[0][0] / deviation
    fitted[0] = (first, fitted[0][1] - first @ mean)
    fitted[-1] = (fitted[-1][0] * spread, fitted[-1][1] * spread + level)
    return fitted


def _apply(layers: list[tuple[torch.Tensor, torch.Tensor]], x: torch.Tensor) -> torch.Tensor:
    import torch

    for number, (weight, bias) in enumerate(layers):
        x = torch.nn.functional.linear(x if number == 0 else x.relu(), weight, bias)
    return x


def _find_auc(said: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of pairs of a 1 and a 0 in which the 1 scores higher, ties counted half."""
    import torch

    ones, noughts = said[labels == 1], said[labels == 0].sort().values
    below = torch.searchsorted(noughts, ones) + torch.searchsorted(noughts, ones, right=True)
    return float(below.double().mean() / 2 / len(noughts))
