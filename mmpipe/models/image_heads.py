"""Scores CLIP embeddings of pictures: aesthetic, watermark and NSFW heads, two-vector tests, lists of toxic texts."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from mmpipe.errors import ConfigurationError, WeightsNotFound, name_nearest
from mmpipe.models.head_files import digest_file, find_head_file, read_layout, read_tensors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from mmpipe.models.clip import ClipModel

ACTIVATIONS = ("identity", "relu", "gelu", "tanh")
OUTPUTS = ("identity", "sigmoid", "softmax")

#: Hidden sizes of published heads that say nothing of their activations, and what those are: LAION's aesthetic
#: predictor V2 has none at all, its NSFW detector for ViT-H/14 has ReLU after all but the last two layers.
_PUBLISHED = {
    (1024, 128, 64, 16, 1): ("identity",) * 4,
    (1024, 2048, 1024, 256, 128, 16, 1): ("relu",) * 5 + ("identity",),
}
#: Scale of the two-vector test's inner products before the softmax, CLIP's own (Radford et al. 2021, section 2.5).
Q16_SCALE = 100.0


class EmbeddingHead(Protocol):
    """One score of a picture, computed from its CLIP embedding."""

    @property
    def column(self) -> str:
        """Column of the score."""

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the score beside CLIP's own weights."""

    @property
    def dimension(self) -> int:
        """Numbers of the embeddings it takes."""

    def score(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return a score for each embedding of length 1, [n, d] to [n], on the same device."""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A stack of linear layers over embeddings of length 1.

    The published ones are LAION's aesthetic predictor V1 (one layer) and V2 (five, no activations), both about 0 to
    10, and its CLIP-based NSFW detectors (standardised input, ReLU; ViT-B/32 and L/14 end in a sigmoid).

    Attributes:
        column: of the score.
        layers: weights [outputs, inputs] and biases [outputs], float64.
        activations: one of `ACTIVATIONS` after each layer but the last.
        output: one of `OUTPUTS` after the last layer; `softmax` gives the probability of class `chosen`.
        chosen: class of a softmax.
        mean: of the standardised input, [inputs], with `deviation`; None for an input as it comes.
        deviation: what the input is divided by.
        digest: SHA-256 of the weights file; a JSON that says how its layers are joined adds 16 digits of its own.
        source: what a message calls the head.
    """

    column: str
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    activations: tuple[str, ...]
    output: str
    digest: str
    source: str
    chosen: int = 1
    mean: torch.Tensor | None = None
    deviation: torch.Tensor | None = None

    @property
    def dimension(self) -> int:
        """Numbers of the embeddings it takes."""
        return int(self.layers[0][0].shape[1])

    def score(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return a score for each embedding, [n, d] to [n]."""
        import torch

        hidden = _widen(embeddings)
        if self.mean is not None and self.deviation is not None:
            hidden = (hidden - self.mean.to(hidden)) / self.deviation.to(hidden)
        for number, (weight, bias) in enumerate(self.layers):
            hidden = torch.nn.functional.linear(hidden, weight.to(hidden), bias.to(hidden))
            if number < len(self.activations) and self.activations[number] != "identity":
                hidden = getattr(torch.nn.functional, self.activations[number])(hidden)
        if self.output == "softmax":
            return hidden.softmax(dim=-1)[:, self.chosen]
        return hidden[:, 0].sigmoid() if self.output == "sigmoid" else hidden[:, 0]


@dataclass(frozen=True, slots=True)
class VectorTest:
    """Q16's test (Schramowski et al. 2022, arXiv 2202.06675): which of two learned prompt vectors is nearer.

    The score is the probability of the second vector, "inappropriate": the softmax of `scale` times both cosines.
    Above 0.5 is where the published test, the greater of the two inner products, says inappropriate.

    Attributes:
        column: of the score.
        vectors: [2, d] of length 1: appropriate, inappropriate.
        scale: what the cosines are multiplied by, 1 / temperature.
        digest: SHA-256 of the vectors' file.
    """

    column: str
    vectors: torch.Tensor
    digest: str
    scale: float = Q16_SCALE

    @property
    def dimension(self) -> int:
        """Numbers of the embeddings it takes."""
        return int(self.vectors.shape[1])

    def score(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the probability of "inappropriate", [n, d] to [n]."""
        wide = _widen(embeddings)
        return (self.scale * wide @ self.vectors.to(wide).T).softmax(dim=-1)[:, 1]


class ToxicTexts:
    """How far a picture's likeness to any of some texts goes above that text's own limit; above 0 is too like.

    LAION's CLIP-based-NSFW-Detector publishes such a list: sexual concepts at cosines of 0.19 to 0.22 (ViT-L/14).

    Args:
        clip: embeds the texts, once.
        limits: texts and the cosine that a picture may reach.
        column: of the score.

    Raises:
        ConfigurationError: no texts, or a limit that is no cosine.
    """

    def __init__(self, clip: ClipModel, limits: Sequence[tuple[str, float]], column: str = "toxic_text_excess") -> None:
        if not limits:
            raise ConfigurationError("The list of toxic texts is empty. Name a list with `text<TAB>cosine` lines.")
        for text, limit in limits:
            if not text.strip() or not -1 <= limit <= 1:
                raise ConfigurationError(f"Toxic text {text!r} with limit {limit}: a limit is a cosine, -1 to 1.")
        self.column = column
        # in one order, whatever the list's, so that equal lists have equal digests
        self._limits = sorted({(text, float(limit)) for text, limit in limits})
        self._clip = clip

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the texts and their limits."""
        return hashlib.sha256(json.dumps(self._limits).encode()).hexdigest()

    @property
    def dimension(self) -> int:
        """Numbers of the embeddings it takes."""
        return self._clip.dimension

    @cached_property
    def _texts(self) -> torch.Tensor:
        return self._clip.encode_texts([text for text, _ in self._limits])

    def score(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the greatest of cosine minus limit over the texts, [n, d] to [n]."""
        wide = _widen(embeddings)
        limits = wide.new_tensor([limit for _, limit in self._limits])
        return (wide @ self._texts.to(wide).T - limits).amax(dim=-1)


def load_head(name: str, column: str) -> LinearHead:
    """Return a head from a state dict (safetensors, torch or .npz), by file, folder or hub name.

    The layers' sizes come from the state dict. Their activations come from the JSON of the same name beside it
    (`{"activations": ["relu", …], "output": "sigmoid"}`, for a softmax also `"class": 1`); without one, the published
    layouts are known by their shapes: a single layer (LAION aesthetic V1), 1024-128-64-16-1 (V2), a standardised input
    before `linear_1 …` (NSFW detector for ViT-B/32 and L/14, as NeMo Curator ports it), 1024-2048-1024-256-128-16-1
    (the one for H/14).

    Raises:
        WeightsNotFound: no such file, or tensors that are no stack of linear layers.
        ConfigurationError: an unknown activation or output, or a stack whose activations nothing tells.
    """
    path = find_head_file(name)
    tensors = {key: value.double() for key, value in read_tensors(path).items()}
    moments = {key: tensors.pop(key) for key in list(tensors) if re.fullmatch(r"(.*\.)?(mean|variance)", key)}
    layers = _chain_layers(path, tensors)
    layout = read_layout(path)
    digest = digest_file(path)
    if layout:
        digest += f"-{hashlib.sha256(json.dumps(layout, sort_keys=True).encode()).hexdigest()[:16]}"
    else:
        layout = _recognise_layout(path, layers, is_standardised=bool(moments))
    activations, output, chosen = _read_activations(path, layout, layers)
    mean, deviation = None, None
    if moments:
        by_end = {key.rpartition(".")[2]: value.reshape(-1) for key, value in moments.items()}
        if set(by_end) != {"mean", "variance"} or any(len(value) != layers[0][0].shape[1] for value in by_end.values()):
            raise WeightsNotFound(f"{path}: a standardised input needs a mean and a variance for each of its numbers.")
        mean, deviation = by_end["mean"], by_end["variance"].sqrt() + 1e-10
    return LinearHead(
        column, layers, activations, output, digest, str(name), chosen=chosen, mean=mean, deviation=deviation
    )


def load_vectors(name: str, column: str = "q16_score", *, scale: float = Q16_SCALE) -> VectorTest:
    """Return a two-vector test from a file of one tensor [2, d]: appropriate, inappropriate, as Q16 publishes them.

    Raises:
        WeightsNotFound: no such file, or no two vectors in it.
    """
    path = find_head_file(name)
    tensors = list(read_tensors(path).values())
    if len(tensors) != 1 or tensors[0].ndim != 2 or tensors[0].shape[0] != 2 or not tensors[0].isfinite().all():
        shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
        raise WeightsNotFound(f"{path}: a two-vector test is one finite tensor [2, d], not {shapes}.")
    vectors = tensors[0].double()
    return VectorTest(column, vectors / vectors.norm(dim=-1, keepdim=True), digest_file(path), scale)


def _chain_layers(path: Path, tensors: dict[str, torch.Tensor]) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Return weights and biases in the order of the numbers in their names."""
    stems = sorted(
        {key.removesuffix("weight") for key in tensors if key.endswith("weight")},
        key=lambda stem: [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", stem)],
    )
    known = {stem + end for stem in stems for end in ("weight", "bias")}
    strange = sorted(set(tensors) - known) + [stem for stem in stems if tensors[f"{stem}weight"].ndim != 2]
    if strange or not stems:
        what = f"{strange[0]!r} is no part of one" if strange else "it has no weight"
        raise WeightsNotFound(f"{path} is no stack of linear layers: {what}.")
    layers = []
    for stem in stems:
        weight = tensors[f"{stem}weight"]
        bias = tensors.get(f"{stem}bias", weight.new_zeros(weight.shape[0]))
        if bias.shape != weight.shape[:1]:
            raise WeightsNotFound(f"{path}: {stem}bias has not one number for each of {weight.shape[0]} outputs.")
        layers.append((weight, bias))
    for stem, (first, second) in zip(stems, pairwise(layers), strict=False):
        if first[0].shape[0] != second[0].shape[1]:
            raise WeightsNotFound(
                f"{path}: layer {stem.rstrip('.')} gives {first[0].shape[0]} numbers and the next takes "
                f"{second[0].shape[1]}."
            )
    return tuple(layers)


def _recognise_layout(
    path: Path, layers: Sequence[tuple[torch.Tensor, torch.Tensor]], *, is_standardised: bool
) -> dict[str, Any]:
    sizes = tuple(int(weight.shape[0]) for weight, _ in layers)
    if is_standardised:
        return {"activations": ["relu"] * (len(layers) - 1), "output": "sigmoid"}
    if sizes == (1,) or sizes in _PUBLISHED:
        return {"activations": list(_PUBLISHED.get(sizes, ())), "output": "identity"}
    raise ConfigurationError(
        f"{path}: nothing tells what stands between its layers {' -> '.join(map(str, sizes))}. Write "
        f'{path.with_suffix(".json").name} beside it: {{"activations": ["relu", …], "output": "sigmoid"}}.'
    )


def _read_activations(
    path: Path, layout: dict[str, Any], layers: Sequence[tuple[torch.Tensor, torch.Tensor]]
) -> tuple[tuple[str, ...], str, int]:
    activations = tuple(layout.get("activations", ()))
    output, chosen = layout.get("output", "identity"), layout.get("class", 1)
    beside = path.with_suffix(".json").name
    for word, known in [(word, ACTIVATIONS) for word in activations] + [(output, OUTPUTS)]:
        if word not in known:
            raise ConfigurationError(f"{beside}: {word!r} is none of {', '.join(known)}.{name_nearest(word, known)}")
    if len(activations) != len(layers) - 1:
        raise ConfigurationError(
            f"{beside}: {len(activations)} activations for {len(layers)} layers; one stands between each two."
        )
    outputs = int(layers[-1][0].shape[0])
    if (outputs == 1) == (output == "softmax") or (output == "softmax" and not 0 <= chosen < outputs):
        raise ConfigurationError(
            f"{beside}: output {output!r} with {outputs} outputs; a softmax takes a class of two or more, the others "
            f"take one."
        )
    return activations, output, int(chosen)


def _widen(embeddings: torch.Tensor) -> torch.Tensor:
    """Return float64 on a CPU, where rounding must not show who came together; as they are on an accelerator."""
    return embeddings.double() if embeddings.device.type == "cpu" else embeddings
