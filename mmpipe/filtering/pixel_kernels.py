"""Holds the compiled loops over pixels: luma and histograms, Laplacian, Pillow's Lanczos, border. All free the GIL."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Levels of luma.
LEVELS = 256

#: Colours of 32 levels a channel.
COLOURS = 1 << 15

# Pillow's resampling: weights in fixed point, this many bits behind the point
_PRECISION_BITS = 22


# where channels stand in a pixel of 32 bits, and their five highest bits; unsigned throughout, or numba widens them
_GREEN, _BLUE = np.uint32(8), np.uint32(16)
_RED_TOP, _GREEN_TOP, _BLUE_TOP = np.uint32(3), np.uint32(11), np.uint32(19)
_FIVE_UP, _TEN_UP = np.uint32(5), np.uint32(10)
_BYTE, _FIVE = np.uint32(255), np.uint32(31)


@numba.njit(cache=True, nogil=True)
def measure_colours(
    pixels: NDArray[np.uint32], luma: NDArray[np.uint8], levels: NDArray[np.int64], colours: NDArray[np.int32]
) -> None:
    """Write the luma of each pixel, and count the levels of luma and the colours of 32 levels a channel.

    Args:
        pixels: [n], red in the lowest byte, then green, blue, and one that is not looked at.
        luma: [n], written: ITU-R 601 in Pillow's own fixed point.
        levels: [2, 256], added to: of the even pixels and of the odd ones, since equal neighbours would wait for each
            other's count.
        colours: [2, 32768], added to, likewise.
    """
    for place in range(pixels.size):
        pixel = pixels[place]
        luma[place] = (
            (pixel & _BYTE) * np.uint32(19595)
            + (pixel >> _GREEN & _BYTE) * np.uint32(38470)
            + (pixel >> _BLUE & _BYTE) * np.uint32(7471)
            + np.uint32(0x8000)
        ) >> np.uint32(16)
    even = pixels.size // 2 * 2
    for place in range(0, even, 2):
        one, other = pixels[place], pixels[place + 1]
        levels[0, luma[place]] += 1
        levels[1, luma[place + 1]] += 1
        colours[
            0, (one >> _RED_TOP & _FIVE) << _TEN_UP | (one >> _GREEN_TOP & _FIVE) << _FIVE_UP | one >> _BLUE_TOP & _FIVE
        ] += 1
        colours[
            1,
            (other >> _RED_TOP & _FIVE) << _TEN_UP
            | (other >> _GREEN_TOP & _FIVE) << _FIVE_UP
            | other >> _BLUE_TOP & _FIVE,
        ] += 1
    for place in range(even, pixels.size):
        one = pixels[place]
        levels[0, luma[place]] += 1
        colours[
            0, (one >> _RED_TOP & _FIVE) << _TEN_UP | (one >> _GREEN_TOP & _FIVE) << _FIVE_UP | one >> _BLUE_TOP & _FIVE
        ] += 1


@numba.njit(cache=True, nogil=True)
def lay_on_white(clear: NDArray[np.uint32], made: NDArray[np.uint32]) -> None:
    """Write pixels of red, green, blue and alpha, from the lowest byte on, opaque on white, in Pillow's own rounding.

    Args:
        clear: [n].
        made: [n], written.
    """
    for place in range(clear.size):
        pixel = clear[place]
        share = (pixel >> np.uint32(24)) << np.uint32(7)
        white = np.uint32(255) * (np.uint32(255 << 7) - share)
        opaque = np.uint32(255 << 24)
        for shift in (np.uint32(0), np.uint32(8), np.uint32(16)):
            level = (pixel >> shift & _BYTE) * share + white + np.uint32(0x80 << 7)
            opaque |= (((level >> np.uint32(8)) + level >> np.uint32(8)) >> np.uint32(7)) << shift
        made[place] = opaque


@numba.njit(cache=True, nogil=True)
def count_levels(luma: NDArray[np.uint8], levels: NDArray[np.int64]) -> None:
    """Count the levels of luma, [n], into [256]."""
    for place in range(luma.size):
        levels[luma[place]] += 1


@numba.njit(cache=True, nogil=True)
def sum_laplacian(luma: NDArray[np.uint8]) -> tuple[int, int]:
    """Return sum and sum of squares of the 3 x 3 Laplacian of [height, width]; edges are mirrored without repeating."""
    height, width = luma.shape
    total, squares = np.int64(0), np.int64(0)
    for row in range(height):
        here = luma[row]
        above = luma[row - 1 if row else min(1, height - 1)]
        below = luma[row + 1 if row + 1 < height else max(0, height - 2)]
        part, part_squares = np.int64(0), np.int64(0)
        for column in range(1, width - 1):
            value = (
                np.int32(above[column])
                + np.int32(below[column])
                + np.int32(here[column - 1])
                + np.int32(here[column + 1])
                - np.int32(4) * np.int32(here[column])
            )
            part += value
            part_squares += value * value
        for column in (0, width - 1):
            left = here[column - 1 if column else min(1, width - 1)]
            right = here[column + 1 if column + 1 < width else max(0, width - 2)]
            edge = np.int64(above[column]) + below[column] + left + right - 4 * np.int64(here[column])
            part += edge
            part_squares += edge * edge
            if width == 1:
                break
        total += part
        squares += part_squares
    return int(total), int(squares)


@numba.njit(cache=True, nogil=True)
def weigh_lanczos(
    length: int, targets: int, starts: NDArray[np.int64], counts: NDArray[np.int64], weights: NDArray[np.int32]
) -> None:
    """Write Pillow's Lanczos weights for `length` pixels made `targets`: first pixel, pixels and weights of each.

    As Pillow's `precompute_coeffs` and its 8-bit fixed point have them, operation by operation, since a weight that is
    rounded otherwise is another perceptual hash.

    Args:
        length: pixels of the side.
        targets: pixels wanted.
        starts: [targets], written.
        counts: [targets], written.
        weights: [targets, most pixels of one], written.
    """
    scale = length / targets
    filter_scale = max(scale, 1.0)
    support = 3.0 * filter_scale
    step = 1.0 / filter_scale
    row = np.empty(weights.shape[1], np.float64)
    for target in range(targets):
        centre = (target + 0.5) * scale
        start = max(int(centre - support + 0.5), 0)
        count = min(int(centre + support + 0.5), length) - start
        whole = 0.0
        for place in range(count):
            at = (place + start - centre + 0.5) * step
            weight = 0.0
            if -3.0 <= at < 3.0:
                weight = _sinc(at) * _sinc(at / 3)
            row[place] = weight
            whole += weight
        for place in range(count):
            share = row[place] / whole if whole != 0.0 else row[place]
            fixed = share * (1 << _PRECISION_BITS)
            weights[target, place] = int(-0.5 + fixed) if share < 0 else int(0.5 + fixed)
        starts[target], counts[target] = start, count


@numba.njit(cache=True, nogil=True)
def _sinc(at: float) -> float:
    if at == 0.0:
        return 1.0
    at = at * math.pi
    return math.sin(at) / at


@numba.njit(cache=True, nogil=True)
def resample_rows(
    luma: NDArray[np.uint8],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    weights: NDArray[np.int32],
    made: NDArray[np.uint8],
) -> None:
    """Write `luma` [height, width] with the pixels of each row weighed into `made` [height, targets]."""
    for row in range(luma.shape[0]):
        source = luma[row]
        for target in range(starts.size):
            part = source[starts[target] : starts[target] + counts[target]]
            factors = weights[target]
            value = np.int32(1 << (_PRECISION_BITS - 1))
            for place in range(part.size):
                value += np.int32(part[place]) * factors[place]
            made[row, target] = max(0, min(255, int(value >> _PRECISION_BITS)))


@numba.njit(cache=True, nogil=True)
def resample_columns(
    luma: NDArray[np.uint8],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    weights: NDArray[np.int32],
    made: NDArray[np.uint8],
) -> None:
    """Write `luma` [height, width] with the pixels of each column weighed into `made` [targets, width]."""
    values = np.empty(luma.shape[1], np.int32)
    for target in range(starts.size):
        values[:] = np.int32(1 << (_PRECISION_BITS - 1))
        for place in range(counts[target]):
            source = luma[starts[target] + place]
            factor = weights[target, place]
            for column in range(values.size):
                values[column] += np.int32(source[column]) * factor
        line = made[target]
        for column in range(values.size):
            line[column] = max(0, min(255, int(values[column] >> _PRECISION_BITS)))


@numba.njit(cache=True, nogil=True)
def find_content(luma: NDArray[np.uint8], colour: int, tolerance: int) -> tuple[int, int, int, int]:
    """Return left, upper, right, lower of what differs from a luma by more than `tolerance`.

    Right and lower are one beyond; all are 0 where no pixel differs.
    """
    height, width = luma.shape
    upper = 0
    while upper < height and _is_plain(luma[upper], colour, tolerance):
        upper += 1
    if upper == height:
        return 0, 0, 0, 0
    lower = height
    while _is_plain(luma[lower - 1], colour, tolerance):
        lower -= 1
    left, right = width, 0
    for row in range(upper, lower):
        line = luma[row]
        for column in range(left):
            if abs(np.int64(line[column]) - colour) > tolerance:
                left = column
                break
        for column in range(width - 1, right - 1, -1):
            if abs(np.int64(line[column]) - colour) > tolerance:
                right = column + 1
                break
    return left, upper, right, lower


@numba.njit(cache=True, nogil=True)
def _is_plain(line: NDArray[np.uint8], colour: int, tolerance: int) -> bool:
    for column in range(line.size):  # noqa: SIM110 - numba compiles no all()
        if abs(np.int64(line[column]) - colour) > tolerance:
            return False
    return True
