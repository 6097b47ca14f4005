"""Says what a drawn picture shows, and which pictures train the tiny CLIP and which stand in the sample crawl."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xxhash

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring")

#: Colour names and their RGB values, far enough apart to be told apart at a glance.
COLOURS = {
    "red": (208, 32, 38),
    "blue": (34, 74, 196),
    "green": (38, 142, 58),
    "yellow": (244, 204, 20),
    "purple": (124, 48, 158),
    "orange": (242, 126, 22),
    "pink": (244, 122, 178),
    "brown": (118, 72, 34),
    "black": (22, 22, 24),
}

BACKGROUNDS = {
    "white": (246, 246, 244),
    "grey": (168, 170, 172),
    "beige": (226, 208, 172),
    "turquoise": (122, 208, 204),
    "cream": (250, 240, 200),
}

#: Widths and heights in pixels: landscape, portrait and square, from 224 to 640.
_SIZES = ((224, 224), (256, 256), (320, 240), (240, 320), (400, 300), (300, 400), (480, 320), (512, 512), (640, 427))

Part = Literal["training", "crawl"]


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """What a picture shows: `count` (1 to 4) shapes of one colour on a plain background, and how it is drawn.

    `seed` sets place, size and turn of the shapes and the texture; `grain` is the texture's strength in levels of 255.
    """

    shape: str
    colour: str
    count: int
    background: str
    width: int = 224
    height: int = 224
    seed: int = 0
    grain: int = 5

    @property
    def subject(self) -> tuple[str, str, int]:
        """Shape, colour and count: what a caption has to get right."""
        return self.shape, self.colour, self.count


def list_specs(seed: int = 0, *, part: Part = "training") -> list[PictureSpec]:
    """Return every combination of shape, colour, count and background of one part, in an order set by `seed`.

    A fifth of the combinations is held out for the crawl, always the same ones, so that a model trained on
    `part="training"` has never seen a picture or a full description of `part="crawl"`, whatever the seeds.
    """
    rng = np.random.default_rng([seed, 0 if part == "training" else 1])
    specs = [
        PictureSpec(shape, colour, count, background)
        for shape, colour, count, background in itertools.product(SHAPES, COLOURS, (1, 2, 3, 4), BACKGROUNDS)
        if _part_of(shape, colour, count, background) == part
    ]
    ordered = [specs[index] for index in rng.permutation(len(specs))]
    varied = []
    for spec in ordered:
        width, height = _SIZES[int(rng.integers(len(_SIZES)))]
        varied.append(replace(spec, width=width, height=height, seed=int(rng.integers(2**31))))
    return varied


def find_unlike(spec: PictureSpec, specs: list[PictureSpec], start: int = 0) -> PictureSpec:
    """Return the first of `specs`, from `start` on and round the end, with another shape, colour and count.

    Its description is plainly wrong for `spec`.
    """
    for step in range(len(specs)):
        other = specs[(start + step) % len(specs)]
        if other.shape != spec.shape and other.colour != spec.colour and other.count != spec.count:
            return other
    raise ValueError(f"no spec differs from {spec.subject} in shape, colour and count")


def _part_of(shape: str, colour: str, count: int, background: str) -> Part:
    digest = xxhash.xxh3_64_intdigest(f"{shape} {colour} {count} {background}".encode())
    return "crawl" if digest % 5 == 0 else "training"
