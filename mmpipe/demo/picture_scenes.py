"""Draws digits, and two shapes side by side or one above the other, with captions: what the tiny CLIP learns beside."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from mmpipe.demo.picture_specs import BACKGROUNDS, COLOURS, SHAPES, Part, list_specs
from mmpipe.demo.pictures import describe_picture, draw_picture, fill_shape, lay_on_paper, put_article

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

#: Where the first shape is, seen from the second: steps to the right and down.
RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}

#: Pixels of a scene's side.
SIDE = 96

_DIGIT_PHRASES = (
    "the digit {number} in {colour} on {background}",
    "{a_colour} {word} on {a_background} background",
    "the number {word} ({number}), written in {colour}",
    "{colour} numeral {number} on {background} paper",
)
_LAYOUT_PHRASES = (
    "{first} {relation} {second}",
    "{first} {relation} {second} on {background}",
    "a picture of {first}, {relation} {second}",
    "on {background} paper, {first} {relation} {second}",
)

#: Number of phrasings `describe_scene` knows.
VARIANTS = len(_DIGIT_PHRASES)


@dataclass(frozen=True, slots=True)
class Scene:
    """A digit, or two shapes of different kind and colour, the first `relation` the second.

    `seed` sets place and size. Of a digit, `shapes` is empty and `colours` has one name.
    """

    background: str
    colours: tuple[str, ...]
    digit: int | None = None
    shapes: tuple[str, ...] = ()
    relation: str | None = None
    seed: int = 0


def list_digits(seed: int = 0, *, part: Part = "training") -> list[Scene]:
    """Return every combination of digit, colour and background of one part, a fifth of them held out."""
    scenes = [
        Scene(background, (colour,), digit=digit)
        for digit, colour, background in itertools.product(range(10), COLOURS, BACKGROUNDS)
    ]
    return _choose_part(scenes, seed, part, len(scenes))


def list_layouts(seed: int = 0, *, part: Part = "training", count: int = 2000) -> list[Scene]:
    """Return `count` of the 12,096 layouts of one part, a fifth of them held out, whatever their background."""
    grounds = np.random.default_rng([seed, 2]).permutation(len(BACKGROUNDS) * 4000) % len(BACKGROUNDS)
    names = list(BACKGROUNDS)
    pairs = itertools.product(itertools.permutations(SHAPES, 2), itertools.permutations(COLOURS, 2), RELATIONS)
    scenes = [
        Scene(names[int(grounds[number])], colours, shapes=shapes, relation=relation)
        for number, (shapes, colours, relation) in enumerate(pairs)
    ]
    return _choose_part(scenes, seed, part, count)


def describe_scene(scene: Scene, variant: int = 0) -> str:
    """Return a true English caption; `variant` (taken modulo `VARIANTS`) chooses the phrasing."""
    if scene.digit is not None:
        return _DIGIT_PHRASES[variant % VARIANTS].format(
            number=scene.digit,
            word=DIGITS[scene.digit],
            colour=scene.colours[0],
            a_colour=put_article(scene.colours[0]),
            background=scene.background,
            a_background=put_article(scene.background),
        )
    first, second = (
        f"{put_article(colour)} {shape}" for colour, shape in zip(scene.colours, scene.shapes, strict=True)
    )
    return _LAYOUT_PHRASES[variant % VARIANTS].format(
        first=first, second=second, relation=scene.relation, background=scene.background
    )


def draw_scene(scene: Scene) -> Image.Image:
    """Return an RGB picture of `SIDE` by `SIDE` pixels; the same scene always gives the same pixels."""
    from PIL import Image, ImageDraw, ImageFont

    rng = np.random.default_rng(scene.seed)
    size = SIDE * 2
    image = Image.new("RGB", (size, size), BACKGROUNDS[scene.background])
    draw = ImageDraw.Draw(image)
    if scene.digit is not None:
        x, y = (size / 2 + float(shift) for shift in rng.uniform(-0.12, 0.12, 2) * size)
        font = ImageFont.load_default(size * float(rng.uniform(0.55, 0.8)))
        draw.text((x, y), str(scene.digit), COLOURS[scene.colours[0]], font=font, anchor="mm", stroke_width=2)
    else:
        assert scene.relation is not None
        right, down = RELATIONS[scene.relation]
        for sign, colour, shape in zip((1, -1), scene.colours, scene.shapes, strict=True):
            radius = size * float(rng.uniform(0.14, 0.21))
            # each in its own half; across, both lie about the middle
            along = sign * size * float(rng.uniform(0.22, 0.27))
            across = size * float(rng.uniform(-0.1, 0.1))
            centre = (
                size / 2 + right * along + (across if down else 0),
                size / 2 + down * along + (across if right else 0),
            )
            fill_shape(draw, shape, centre, radius, float(rng.uniform(-0.35, 0.35)), COLOURS[colour])
    return lay_on_paper(image, (SIDE, SIDE), 5, rng)


def draw_lessons(seed: int, *, part: Part = "training", layouts: int = 2000) -> Iterator[tuple[Image.Image, str]]:
    """Yield the pairs that the tiny CLIP is trained on, or (`part="crawl"`) held-out ones of the same kinds.

    All combinations of shape, colour, count and background (drawn at half the size that the crawl shows them), all of
    digit, colour and background, and a sample of layouts: to train on, 3,351 pictures with 3,277 different captions.
    """
    for number, spec in enumerate(list_specs(seed, part=part)):
        small = replace(spec, width=spec.width // 2, height=spec.height // 2)
        yield draw_picture(small), describe_picture(small, number)
    for number, scene in enumerate(list_digits(seed, part=part) + list_layouts(seed, part=part, count=layouts)):
        yield draw_scene(scene), describe_scene(scene, number)


def _choose_part(scenes: list[Scene], seed: int, part: Part, count: int) -> list[Scene]:
    rng = np.random.default_rng([seed, 0 if part == "training" else 1])
    of_part = [scene for scene in scenes if _part_of(scene) == part]
    chosen = [of_part[index] for index in rng.permutation(len(of_part))[:count]]
    return [replace(scene, seed=int(rng.integers(2**31))) for scene in chosen]


def _part_of(scene: Scene) -> Part:
    said = (scene.background, scene.digit) if scene.digit is not None else (scene.shapes, scene.relation)
    return "crawl" if xxhash.xxh3_64_intdigest(repr((said, scene.colours)).encode()) % 5 == 0 else "training"
