"""Draws the demo's pictures and says in words what they show; the pairs train and test the tiny CLIP."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmpipe.demo.picture_specs import BACKGROUNDS, COLOURS, PictureSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from PIL.ImageDraw import ImageDraw

#: Drawn this many times larger, then reduced, so that edges are anti-aliased.
_OVERSAMPLING = 2

_NUMBER_WORDS = ("no", "one", "two", "three", "four")
_PLURALS = {"cross": "crosses"}

_ONE = (
    "{a_colour} {shape} on {a_background} background",
    "A picture of {a_colour} {shape}",
    "{A_colour} {shape}, painted on {background}",
    "One {colour} {shape} drawn on {a_background} sheet",
    "Drawing of a single {colour} {shape} against {a_background} backdrop",
    "{A_colour} {shape} stands alone on {background} paper",
)
_MANY = (
    "{number} {colour} {shapes} on {a_background} background",
    "A picture of {number} {colour} {shapes}",
    "{Number} {shapes} in {colour}, painted on {background}",
    "{Number} {colour} {shapes} drawn on {a_background} sheet",
    "Drawing of {number} {colour} {shapes} against {a_background} backdrop",
    "{Number} {colour} {shapes} side by side on {background} paper",
)

#: Number of phrasings `describe_picture` knows.
VARIANTS = len(_ONE)


def describe_picture(spec: PictureSpec, variant: int = 0) -> str:
    """Return a true English caption of the picture; `variant` (taken modulo `VARIANTS`) chooses the phrasing."""
    template = (_ONE if spec.count == 1 else _MANY)[variant % VARIANTS]
    number = _NUMBER_WORDS[spec.count]
    caption = template.format(
        colour=spec.colour,
        a_colour=put_article(spec.colour),
        A_colour=put_article(spec.colour).capitalize(),
        shape=spec.shape,
        shapes=_PLURALS.get(spec.shape, spec.shape + "s"),
        background=spec.background,
        a_background=put_article(spec.background),
        number=number,
        Number=number.capitalize(),
    )
    return caption[0].upper() + caption[1:] if variant // VARIANTS % 2 else caption


def draw_picture(spec: PictureSpec) -> Image.Image:
    """Return an RGB picture of `spec.width` by `spec.height` pixels; the same spec always gives the same pixels.

    Shapes lie in cells side by side, so they never overlap and can be counted; place, size and turn vary with
    `spec.seed`.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(spec.seed)
    width, height = spec.width * _OVERSAMPLING, spec.height * _OVERSAMPLING
    image = Image.new("RGB", (width, height), BACKGROUNDS[spec.background])
    draw = ImageDraw.Draw(image)
    for centre_x, centre_y, radius in _place_shapes(spec, width, height, rng):
        turn = float(rng.uniform(-0.35, 0.35))
        fill_shape(draw, spec.shape, (centre_x, centre_y), radius, turn, COLOURS[spec.colour])
    return lay_on_paper(image, (spec.width, spec.height), spec.grain, rng)


def fill_shape(
    draw: ImageDraw, shape: str, centre: tuple[float, float], radius: float, turn: float, fill: tuple[int, int, int]
) -> None:
    """Draw one shape that fits a circle of `radius` pixels about `centre`, turned by `turn` radians."""
    outline = _find_outline(shape, radius, turn)
    _fill_outline(draw, shape, [(centre[0] + x, centre[1] + y) for x, y in outline], fill)


def lay_on_paper(image: Image.Image, size: tuple[int, int], grain: int, rng: np.random.Generator) -> Image.Image:
    """Return the picture reduced to `size` and textured.

    Blotches as of paper and a fine grain: no two files are alike, and none is so flat that it falls under 5 KB.
    """
    import numpy as np
    from PIL import Image

    image = image.resize(size, Image.Resampling.LANCZOS)
    blotches = rng.normal(0, 7, (9, 9)).astype(np.float32)
    paper = np.asarray(Image.fromarray(blotches).resize(image.size, Image.Resampling.BICUBIC))
    fine = rng.integers(-grain, grain + 1, (size[1], size[0])).astype(np.float32)
    pixels = np.asarray(image, dtype=np.float32) + (paper + fine)[:, :, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _place_shapes(
    spec: PictureSpec, width: int, height: int, rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Return centre x, centre y and radius of each shape, in pixels of the enlarged picture."""
    columns, rows = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2)}[spec.count]
    if spec.count in (2, 3) and height > width:
        columns, rows = rows, columns
    if spec.count == 3 and 0.75 < width / height < 1.33:
        columns, rows = 2, 2
    cell_width, cell_height = width / columns, height / rows
    cells = rng.permutation(columns * rows)[: spec.count]
    placed = []
    for cell in cells:
        radius = min(cell_width, cell_height) * float(rng.uniform(0.28, 0.42))
        free_x, free_y = cell_width / 2 - radius, cell_height / 2 - radius
        centre_x = (int(cell) % columns + 0.5) * cell_width + float(rng.uniform(-0.8, 0.8)) * free_x
        centre_y = (int(cell) // columns + 0.5) * cell_height + float(rng.uniform(-0.8, 0.8)) * free_y
        placed.append((centre_x, centre_y, radius))
    return placed


def _fill_outline(draw: ImageDraw, shape: str, outline: list[tuple[float, float]], fill: tuple[int, int, int]) -> None:
    if shape not in ("circle", "ring"):
        draw.polygon(outline, fill=fill)
        return
    left, right = min(x for x, _ in outline), max(x for x, _ in outline)
    top, bottom = min(y for _, y in outline), max(y for _, y in outline)
    if shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=fill)
    else:
        draw.ellipse((left, top, right, bottom), outline=fill, width=max(2, int((right - left) * 0.16)))


def _find_outline(shape: str, radius: float, turn: float) -> list[tuple[float, float]]:
    """Return the corners of the shape about the origin, turned by `turn` radians; a circle's are its four ends."""
    if shape in ("circle", "ring"):
        return [(-radius, -radius), (radius, radius)]
    cos, sin = math.cos(turn), math.sin(turn)
    return [(radius * (x * cos - y * sin), radius * (x * sin + y * cos)) for x, y in _outline(shape)]


def _outline(shape: str) -> list[tuple[float, float]]:
    """Return the corners of a shape that fits the unit circle, y downwards."""
    if shape == "cross":
        a, b = 0.32, 0.92
        quarter = [(-a, -b), (a, -b), (a, -a)]
        return [_quarter_turns(point, turns) for turns in range(4) for point in quarter]
    if shape == "heart":
        angles = [2 * math.pi * step / 60 for step in range(60)]
        return [
            (
                16 * math.sin(t) ** 3 / 17,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17,
            )
            for t in angles
        ]
    corners, inner = {"square": (4, None), "triangle": (3, None), "star": (5, 0.42)}[shape]
    steps = corners if inner is None else 2 * corners
    offset = math.pi / 4 if shape == "square" else -math.pi / 2
    outline = []
    for step in range(steps):
        reach = 1.0 if inner is None or step % 2 == 0 else inner
        angle = offset + 2 * math.pi * step / steps
        outline.append((reach * math.cos(angle), reach * math.sin(angle)))
    return outline


def _quarter_turns(point: tuple[float, float], turns: int) -> tuple[float, float]:
    x, y = point
    for _ in range(turns):
        x, y = -y, x
    return x, y


def put_article(word: str) -> str:
    """Return the word after `a` or `an`."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
