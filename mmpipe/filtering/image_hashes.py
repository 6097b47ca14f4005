"""Hashes pictures: the perceptual hash of `imagehash`, of the eight ways to turn a picture, and without its border."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: imagehash.phash with its defaults: 32 x 32 luminance, DCT-II, low 8 x 8, bit = above the median of all 64.
PHASH_ALGORITHM = "imagehash_phash_64"

_SIDE, _LOW = 32, 8
# luma within which a border is of one colour: JPEG leaves ripples along its edge
_BORDER_TOLERANCE = 10
# flips of the picture are signs of its odd frequencies
_SIGNS = np.where(np.arange(_LOW) % 2, -1.0, 1.0)


def hash_luma(luma: NDArray[np.uint8]) -> str:
    """Return the perceptual hash of a picture, 16 hex digits, bit for bit as `imagehash.phash` with Pillow 13 gives it.

    Args:
        luma: [height, width], as Pillow's mode L; contiguous.
    """
    return _write(_bits(_transform(shrink(luma))))


def hash_orientations(luma: NDArray[np.uint8]) -> list[str]:
    """Return the hashes of the picture turned as the EXIF orientations 1 to 8 say; the first is `hash_luma`.

    One DCT serves all: a flip changes the sign of the odd frequencies, a transposition exchanges rows and columns. They
    are exact for the 32 x 32 picture that is turned. Hashing the turned picture itself may differ in the few bits whose
    coefficient is near the median, since Pillow rounds its two passes in another order: of 1,449 turned real pictures,
    93 in 100 by none, 3 pictures by 4 of 64, the others by 2. A picture that is its own mirror image is the exception:
    its odd frequencies are rounding errors, and so are their bits.

    Args:
        luma: [height, width], as Pillow's mode L; contiguous.
    """
    low = _transform(shrink(luma))
    across, down = low * _SIGNS, low * _SIGNS[:, None]
    both = across * _SIGNS[:, None]
    return [_write(_bits(turned)) for turned in (low, across, both, down, low.T, down.T, both.T, across.T)]


def hash_trimmed(luma: NDArray[np.uint8]) -> str:
    """Return the hash of a picture without its border of one colour; `hash_luma` where it has none.

    The border is what does not differ from the upper left pixel by more than 10 levels of luma, outside the least
    rectangle that holds all that does; and then so of the lower right pixel of that rectangle. A rest of fewer than 32
    pixels a side is no picture, and is not cut out.

    Args:
        luma: [height, width], as Pillow's mode L; contiguous.
    """
    from mmpipe.filtering.pixel_kernels import find_content

    rest = luma
    for corner in (0, -1):
        left, upper, right, lower = find_content(rest, int(rest[corner, corner]), _BORDER_TOLERANCE)
        if min(right - left, lower - upper) >= _SIDE:
            rest = rest[upper:lower, left:right]
    return hash_luma(np.ascontiguousarray(rest))


def shrink(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture of 32 x 32, as Pillow 13's Lanczos makes it, in a fifth of its time.

    Pillow passes over rows first, and over columns first where the height shrinks by more than twice the width.
    """
    from mmpipe.filtering.pixel_kernels import resample_columns, resample_rows

    for is_row in _order_passes(*luma.shape):
        length = luma.shape[1 if is_row else 0]
        if length == _SIDE:
            continue
        made = np.empty((luma.shape[0], _SIDE) if is_row else (_SIDE, luma.shape[1]), np.uint8)
        (resample_rows if is_row else resample_columns)(luma, *_find_weights(length), made)
        luma = made
    return luma


def _order_passes(height: int, width: int) -> tuple[bool, bool]:
    is_row_first = not (height > _SIDE and height - _SIDE > 2 * (width - _SIDE))
    return is_row_first, not is_row_first


@lru_cache(maxsize=4096)
def _find_weights(length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    from mmpipe.filtering.pixel_kernels import weigh_lanczos

    most = 2 * int(np.ceil(3 * max(length / _SIDE, 1.0))) + 1
    starts, counts = np.zeros(_SIDE, np.int64), np.zeros(_SIDE, np.int64)
    weights = np.zeros((_SIDE, most), np.int32)
    weigh_lanczos(length, _SIDE, starts, counts, weights)
    return starts, counts, weights


def _transform(small: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the low 8 x 8 of the DCT-II, columns first: in pocketfft's own rounding, which decides equal values."""
    import scipy.fftpack

    # imagehash transforms all 32 columns of the second pass too; each is its own
    columns = scipy.fftpack.dct(small, axis=0)[:_LOW]
    low: NDArray[np.float64] = scipy.fftpack.dct(columns, axis=1)[:, :_LOW]
    return low


def _bits(low: NDArray[np.float64]) -> NDArray[np.bool_]:
    values = np.sort(low, axis=None)
    # numpy.median of an even count: the mean of the middle two
    above: NDArray[np.bool_] = low > (values[31] + values[32]) / 2
    return above


def _write(bits: NDArray[np.bool_]) -> str:
    return np.packbits(bits).tobytes().hex()
