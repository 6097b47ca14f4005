from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.demo.picture_specs import BACKGROUNDS, COLOURS, SHAPES, PictureSpec, find_unlike, list_specs
from mmpipe.demo.pictures import VARIANTS, describe_picture, draw_picture

_SPECS = st.builds(
    PictureSpec,
    shape=st.sampled_from(SHAPES),
    colour=st.sampled_from(sorted(COLOURS)),
    count=st.integers(1, 4),
    background=st.sampled_from(sorted(BACKGROUNDS)),
    width=st.integers(224, 400),
    height=st.integers(224, 400),
    seed=st.integers(0, 2**31),
)


@settings(max_examples=25, deadline=None)
@given(_SPECS)
def test_as_many_shapes_are_drawn_as_said(spec: PictureSpec) -> None:
    from scipy import ndimage

    pixels = np.asarray(draw_picture(spec), dtype=int)
    assert pixels.shape == (spec.height, spec.width, 3)
    colour, ground = np.array(COLOURS[spec.colour]), np.array(BACKGROUNDS[spec.background])
    is_shape = np.abs(pixels - colour).sum(2) < np.abs(pixels - ground).sum(2)
    labels, _ = ndimage.label(ndimage.binary_opening(is_shape, iterations=2))
    areas = np.bincount(labels.ravel())[1:]
    assert int((areas > 100).sum()) == spec.count


@settings(max_examples=25, deadline=None)
@given(_SPECS, st.integers(0, 40))
def test_description_names_what_is_seen(spec: PictureSpec, variant: int) -> None:
    words = describe_picture(spec, variant).lower().replace(",", "").split()
    assert spec.colour in words
    assert any(word.startswith(spec.shape) for word in words)
    if spec.count > 1:
        assert ["", "", "two", "three", "four"][spec.count] in words
    assert "a orange" not in " ".join(words)


def test_same_spec_gives_same_pixels_and_another_seed_others() -> None:
    spec = list_specs(3, part="crawl")[0]
    assert draw_picture(spec).tobytes() == draw_picture(spec).tobytes()
    other = PictureSpec(spec.shape, spec.colour, spec.count, spec.background, spec.width, spec.height, spec.seed + 1)
    assert draw_picture(spec).tobytes() != draw_picture(other).tobytes()


def test_parts_share_no_combination_whatever_the_seed() -> None:
    def combine(specs: list[PictureSpec]) -> set[tuple[str, str, int, str]]:
        return {(spec.shape, spec.colour, spec.count, spec.background) for spec in specs}

    training, crawl = combine(list_specs(1)), combine(list_specs(2, part="crawl"))
    assert training.isdisjoint(crawl)
    assert len(training | crawl) == len(SHAPES) * len(COLOURS) * 4 * len(BACKGROUNDS)
    for index, values in enumerate((SHAPES, COLOURS, (1, 2, 3, 4), BACKGROUNDS)):
        assert {combination[index] for combination in training} == set(values)
        assert {combination[index] for combination in crawl} == set(values)


def test_phrasings_differ() -> None:
    spec = PictureSpec("star", "orange", 2, "cream")
    assert len({describe_picture(spec, variant) for variant in range(VARIANTS)}) == VARIANTS
    assert describe_picture(spec) == "two orange stars on a cream background"


def test_find_unlike_differs_in_everything_said() -> None:
    specs = list_specs(5, part="crawl")
    for start, spec in enumerate(specs[:20]):
        other = find_unlike(spec, specs, start)
        assert not set(spec.subject) & set(other.subject)
    with pytest.raises(ValueError, match="no spec differs"):
        find_unlike(specs[0], specs[:1])
