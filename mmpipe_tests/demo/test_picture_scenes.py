from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.demo.picture_scenes import (
    DIGITS,
    RELATIONS,
    SIDE,
    VARIANTS,
    Scene,
    describe_scene,
    draw_lessons,
    draw_scene,
    list_digits,
    list_layouts,
)
from mmpipe.demo.picture_specs import BACKGROUNDS, COLOURS, SHAPES, list_specs
from mmpipe.demo.pictures import describe_picture

#: Where the first shape must lie, seen from the second: steps to the right and down.
WHERE = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}

LAYOUTS = st.builds(
    lambda shapes, colours, relation, background, seed: Scene(
        background, tuple(colours), shapes=tuple(shapes), relation=relation, seed=seed
    ),
    shapes=st.permutations(SHAPES).map(lambda names: names[:2]),
    colours=st.permutations(sorted(COLOURS)).map(lambda names: names[:2]),
    relation=st.sampled_from(sorted(RELATIONS)),
    background=st.sampled_from(sorted(BACKGROUNDS)),
    seed=st.integers(0, 2**31),
)


def find_centre(scene: Scene, colour: str) -> tuple[float, float]:
    """Return the middle of what is drawn in that colour, right and down."""
    pixels = np.asarray(draw_scene(scene), dtype=int)
    names = [*scene.colours, scene.background]
    palette = np.array([COLOURS.get(name, BACKGROUNDS.get(name)) for name in names])
    nearest = np.abs(pixels[:, :, None] - palette).sum(-1).argmin(-1)
    rows, columns = np.nonzero(nearest == names.index(colour))
    assert len(rows) > 60, "too few pixels to be a shape"
    return float(np.median(columns)), float(np.median(rows))


@settings(max_examples=30)
@given(LAYOUTS)
def test_shapes_lie_where_the_caption_says(scene: Scene) -> None:
    first, second = (find_centre(scene, colour) for colour in scene.colours)
    assert scene.relation is not None
    right, down = WHERE[scene.relation]
    along = (first[0] - second[0]) * right + (first[1] - second[1]) * down
    across = abs(first[0] - second[0]) * abs(down) + abs(first[1] - second[1]) * abs(right)
    assert along > SIDE * 0.3
    assert across < SIDE * 0.3


@settings(max_examples=30)
@given(LAYOUTS, st.integers(0, 40))
def test_caption_of_a_layout_names_first_and_second_in_order(scene: Scene, variant: int) -> None:
    caption = describe_scene(scene, variant)
    before, _, after = caption.partition(f" {scene.relation} ")
    for text, shape, colour in zip((before, after), scene.shapes, scene.colours, strict=True):
        assert f"{colour} {shape}" in text
    assert "a orange" not in caption


def test_every_digit_is_drawn_otherwise_than_the_others_and_named() -> None:
    drawn = {}
    for digit in range(10):
        scene = Scene("white", ("black",), digit=digit, seed=3)
        drawn[digit] = np.asarray(draw_scene(scene).convert("L"), dtype=int)
        for variant in range(VARIANTS):
            assert {str(digit), DIGITS[digit]} & set(describe_scene(scene, variant).replace(",", "").split())
    for first in range(10):
        for second in range(first):
            assert (np.abs(drawn[first] - drawn[second]) > 100).mean() > 0.02


def test_same_scene_gives_same_pixels_and_another_seed_others() -> None:
    scene = list_digits(1)[0]
    assert draw_scene(scene).tobytes() == draw_scene(scene).tobytes()
    assert draw_scene(scene).tobytes() != draw_scene(replace(scene, seed=scene.seed + 1)).tobytes()


def test_parts_share_no_combination_whatever_the_seed() -> None:
    def said(scenes: list[Scene], with_ground: bool) -> set[object]:
        return {(s.digit, s.shapes, s.colours, s.relation, s.background if with_ground else "") for s in scenes}

    digits, held = said(list_digits(1), True), said(list_digits(2, part="crawl"), True)
    assert digits.isdisjoint(held)
    assert len(digits | held) == 10 * len(COLOURS) * len(BACKGROUNDS)
    layouts = said(list_layouts(1, count=20_000), False)
    held = said(list_layouts(2, part="crawl", count=20_000), False)
    assert layouts.isdisjoint(held)
    assert len(layouts | held) == 42 * 72 * 4
    assert 0.15 < len(held) / (42 * 72 * 4) < 0.25


def test_lessons_are_of_every_kind_and_repeat() -> None:
    lessons = list(draw_lessons(3, part="crawl", layouts=40))
    captions = [caption for _, caption in lessons]
    assert captions == [caption for _, caption in draw_lessons(3, part="crawl", layouts=40)]
    assert sum(any(f" {relation} " in caption for relation in RELATIONS) for caption in captions) == 40
    assert sum(bool({*DIGITS, *map(str, range(10))} & set(caption.split())) for caption in captions) >= 87
    assert {picture.mode for picture, _ in lessons} == {"RGB"}


def test_lessons_to_train_on_have_thousands_of_captions() -> None:
    specs = [describe_picture(spec, number) for number, spec in enumerate(list_specs(7))]
    scenes = [describe_scene(scene, number) for number, scene in enumerate(list_digits(7) + list_layouts(7))]
    assert len({*specs, *scenes}) > 3000
