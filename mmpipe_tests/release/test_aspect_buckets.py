"""Pictures get SDXL's bucket, crop and conditioning tuples, upright as lying."""

from __future__ import annotations

from math import log
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.release.aspect_buckets import AREA, BUCKET_COLUMNS, MOST_SIDE, STEP, list_buckets, make_bucket_columns


def place(width: float | None, height: float | None) -> tuple[object, ...]:
    frame = pl.DataFrame({"image_width": [width], "image_height": [height]}, schema=dict.fromkeys(
        ("image_width", "image_height"), pl.Float64))  # fmt: skip
    return frame.select(**make_bucket_columns()).row(0)


def test_buckets_hold_as_much_as_the_area_lets_them() -> None:
    buckets = list_buckets()
    assert len(set(buckets)) == len(buckets) == 33
    assert {(1024, 1024), (768, 1344), (1344, 768), (832, 1216), (640, 1536), (512, 2048), (2048, 512)} <= set(buckets)
    for height, width in buckets:
        assert height % STEP == width % STEP == 0
        assert height * width <= AREA < (min(height, width) + STEP) * max(height, width)
        assert max(height, width) <= MOST_SIDE


@pytest.mark.parametrize(
    ("size", "bucket", "crop"),
    [
        ((1024, 1024), (1024, 1024), (0, 0)),
        ((64, 64), (1024, 1024), (0, 0)),
        # 16:9 is nearest to 1344 x 768; 1920 x 1080 scales to 1365 x 768, and 21 pixels hang over
        ((1920, 1080), (1344, 768), (0, 10)),
        ((1080, 1920), (768, 1344), (10, 0)),
        # 4:3 is nearest to 1152 x 896; scaled to 1195 x 896
        ((4000, 3000), (1152, 896), (0, 21)),
        ((2000, 1000), (1408, 704), (0, 0)),
        ((10_000, 100), (2048, 512), (0, 24_576)),
    ],
)
def test_picture_gets_the_nearest_bucket_and_an_even_crop(
    size: tuple[int, int], bucket: tuple[int, int], crop: tuple[int, int]
) -> None:
    width, height = size
    assert place(width, height) == (*bucket, [height, width], [*crop], [bucket[1], bucket[0]])


@pytest.mark.parametrize("size", [(None, 5), (5, None), (0, 5), (5, 0), (None, None)])
def test_picture_without_a_size_has_no_bucket(size: tuple[int | None, int | None]) -> None:
    assert place(*size) == (None,) * len(BUCKET_COLUMNS)


SIZES = st.lists(st.tuples(st.integers(1, 100_000), st.integers(1, 100_000)), min_size=1, max_size=40)


def place_all(sizes: list[tuple[int, int]]) -> list[tuple[Any, ...]]:
    frame = pl.DataFrame(sizes, schema={"image_width": pl.Float64, "image_height": pl.Float64}, orient="row")
    return frame.select(**make_bucket_columns()).rows()


@settings(max_examples=20)
@given(SIZES)
def test_turned_picture_gets_the_turned_bucket_and_is_covered(sizes: list[tuple[int, int]]) -> None:
    turned = place_all([(height, width) for width, height in sizes])
    for (width, height), found, other in zip(sizes, place_all(sizes), turned, strict=True):
        wide, tall, original, crop, target = found
        assert other[:2] == (tall, wide)
        assert other[3] == crop[::-1]
        assert (tall, wide) in list_buckets()
        assert original == [height, width]
        assert target == [tall, wide]
        assert min(crop) == 0
        scale = max(wide / width, tall / height)
        for own, side, cut in zip((height, width), target, crop, strict=True):
            assert abs(own * scale - side - 2 * cut) <= 1.5


@settings(max_examples=20)
@given(SIZES)
def test_no_bucket_is_nearer(sizes: list[tuple[int, int]]) -> None:
    for (width, height), (wide, tall, *_) in zip(sizes, place_all(sizes), strict=True):
        distances = {sides: abs(log(width / height) - log(sides[1] / sides[0])) for sides in list_buckets()}
        assert distances[tall, wide] <= min(distances.values()) + 1e-12


def test_area_without_a_bucket_is_refused() -> None:
    with pytest.raises(ValueError, match="No bucket of 100 pixels"):
        list_buckets(100, 64)
