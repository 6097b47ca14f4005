"""Chooses the size and crop a picture is trained at: aspect buckets of one area, and SDXL's conditioning tuples."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl

#: SDXL's training area, step and longest side (Podell et al. 2023, arXiv 2307.01952, §2.3 and Appendix I).
AREA = 1024 * 1024
STEP = 64
MOST_SIDE = 2048

#: Columns that `make_bucket_columns` names; tuples are (height, width) and (top, left), as SDXL is conditioned on them.
BUCKET_COLUMNS = (
    "sdxl_bucket_width",
    "sdxl_bucket_height",
    "original_size_as_tuple",
    "crop_coords_top_left",
    "target_size_as_tuple",
)


@lru_cache(maxsize=8)
def list_buckets(area: int = AREA, step: int = STEP, most_side: int = MOST_SIDE) -> tuple[tuple[int, int], ...]:
    """Return the (height, width) of every bucket, from the tallest to the widest.

    For each longer side the shorter one is the greatest multiple of `step` with which the bucket holds no more than
    `area`; every bucket is there upright and lying. These are 33 of the 40 that Appendix I of SDXL lists; the other 7
    hold less for the same shorter side, and one of them stands there upright only.

    Args:
        area: pixels that a bucket holds at most.
        step: what both sides are multiples of.
        most_side: longest side, pixels.

    Raises:
        ValueError: no bucket has such sides.
    """
    buckets: set[tuple[int, int]] = set()
    for longer in range(step, most_side + 1, step):
        shorter = area // longer // step * step
        if step <= shorter <= longer:
            buckets |= {(longer, shorter), (shorter, longer)}
    if not buckets:
        raise ValueError(f"No bucket of {area} pixels has sides in steps of {step} up to {most_side}.")
    return tuple(sorted(buckets, key=lambda sides: (sides[1] / sides[0], sides)))


def make_bucket_columns(
    width: str = "image_width", height: str = "image_height", *, area: int = AREA, step: int = STEP
) -> dict[str, pl.Expr]:
    """Return expressions for the bucket, the crop and the conditioning of pictures, by column name (`BUCKET_COLUMNS`).

    The bucket is the one whose width to height is nearest to the picture's, on a logarithmic scale, so that a picture
    turned by 90° gets the turned bucket; of two as near, the one nearer to a square. The picture is scaled until
    it covers the bucket, and what hangs over is cut off evenly: `crop_coords_top_left` is that cut in pixels of the
    scaled picture, rounded down. SDXL draws the cut at random while it trains; a loader that does so overwrites it.

    Args:
        width: column of widths, pixels, after EXIF orientation. Null or below 1 gives null everywhere.
        height: column of heights.
        area: pixels of a bucket at most.
        step: what its sides are multiples of.

    Source: SDXL (Podell et al. 2023, arXiv 2307.01952), §2.2 (micro-conditioning), §2.3 and Appendix I (buckets).
    """
    heights, widths = np.array(list_buckets(area, step), np.int64).T
    is_sized = (pl.col(width) >= 1) & (pl.col(height) >= 1)
    own_width = pl.when(is_sized).then(pl.col(width)).cast(pl.Int64)
    own_height = pl.when(is_sized).then(pl.col(height)).cast(pl.Int64)
    # the border between two buckets is the root of the product of their ratios, and as many as are passed number the
    # bucket. Products of squares, so that a turned picture meets the same numbers
    squares = own_width.cast(pl.Float64).pow(2), own_height.cast(pl.Float64).pow(2)
    passed = [
        squares[0] * tall >= squares[1] * wide if wide < tall else squares[0] * tall > squares[1] * wide
        for wide, tall in zip((widths[1:] * widths[:-1]).tolist(), (heights[1:] * heights[:-1]).tolist(), strict=True)
    ]
    number = pl.sum_horizontal(is_past.cast(pl.Int64) for is_past in passed)
    number = pl.when(is_sized).then(number)
    places = list(range(len(widths)))
    to_width = number.replace_strict(places, [int(side) for side in widths], return_dtype=pl.Int64, default=None)
    to_height = number.replace_strict(places, [int(side) for side in heights], return_dtype=pl.Int64, default=None)
    # covered: the greater of the two scales. In whole numbers, so that no machine rounds otherwise
    is_wide = own_width * to_height >= own_height * to_width
    scaled_width = pl.when(is_wide).then(_divide(own_width * to_height, own_height)).otherwise(to_width)
    scaled_height = pl.when(is_wide).then(to_height).otherwise(_divide(own_height * to_width, own_width))
    return {
        "sdxl_bucket_width": to_width,
        "sdxl_bucket_height": to_height,
        "original_size_as_tuple": _pair(own_height, own_width),
        "crop_coords_top_left": _pair((scaled_height - to_height) // 2, (scaled_width - to_width) // 2),
        "target_size_as_tuple": _pair(to_height, to_width),
    }


def _divide(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return the quotient of whole numbers, rounded to the nearest, halves up."""
    return (2 * one + other) // (2 * other)


def _pair(first: pl.Expr, second: pl.Expr) -> pl.Expr:
    """Return lists of two whole numbers; null where the first is."""
    return pl.when(first.is_not_null()).then(pl.concat_list(first, second))
