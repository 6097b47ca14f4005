"""Measures the pixels of one decoded picture: brightness, contrast, entropy, blur, commonest colour, QR codes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

#: Pixels of the longer side in which QR codes are looked for; larger pictures are made smaller first.
_CODE_SIDE = 1024
_BRIGHT_SHARE = 0.99


def measure_pixels(picture: Image.Image) -> tuple[dict[str, float], NDArray[np.uint8]]:
    """Return the pixel signals of a picture, and its luma [height, width] as Pillow's mode L has it.

    All come from two passes over the pixels. `image_brightness` is the mean luma, `image_brightness_p99` the least
    luma that 99 in 100 pixels do not exceed, `image_contrast` its standard deviation, each divided by 255;
    `image_entropy` that of the 256 levels, in bits. `image_blur_variance` is the variance of the 3 x 3 Laplacian of
    luma (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy"), edges mirrored, as OpenCV's.
    `image_single_colour_ratio` counts colours of 32 levels a channel, so that the noise of a JPEG's white is white.

    Args:
        picture: upright, RGB or L.
    """
    from mmpipe.filtering.pixel_kernels import COLOURS, LEVELS, count_levels, measure_colours, sum_laplacian

    width, height = picture.size
    count = width * height
    if picture.mode == "L":
        levels = np.zeros(LEVELS, np.int64)
        luma = view_memory(picture)
        count_levels(luma, levels)
        commonest = int(levels.reshape(32, 8).sum(axis=1).max())
    else:
        luma = np.empty(count, np.uint8)
        halves, colours = np.zeros((2, LEVELS), np.int64), np.zeros((2, COLOURS), np.int32)
        measure_colours(view_memory(picture).view("<u4"), luma, halves, colours)
        levels = halves.sum(axis=0)
        commonest = int(colours.sum(axis=0).max())
    flat = luma.reshape(height, width)
    total, squares = sum_laplacian(flat)
    shares = [level / count for level in levels.tolist() if level]
    values = np.arange(LEVELS)
    mean = int(levels @ values) / count
    variance = int(levels @ values**2) / count - mean**2
    bright = int(np.searchsorted(np.cumsum(levels), _BRIGHT_SHARE * count))
    signals = {
        "image_brightness": mean / 255,
        "image_brightness_p99": bright / 255,
        "image_contrast": max(variance, 0.0) ** 0.5 / 255,
        # one by one: a vector's sum is rounded otherwise on another machine; abs, since minus zero would print as such
        "image_entropy": abs(math.fsum(share * math.log2(share) for share in shares)),
        "image_blur_variance": (int(squares) * count - int(total) ** 2) / count**2,
        "image_single_colour_ratio": commonest / count,
    }
    return signals, flat


def measure_codes(luma: NDArray[np.uint8]) -> float:
    """Return the share of a picture that QR codes cover, 0 to 1, as OpenCV's detector finds them.

    Args:
        luma: [height, width].
    """
    import cv2

    # pictures are measured in threads of ours, one each
    cv2.setNumThreads(1)
    scale = _CODE_SIDE / max(luma.shape)
    if scale < 1:
        sides = [max(1, round(side * scale)) for side in luma.shape[::-1]]
        luma = np.asarray(cv2.resize(luma, sides, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    is_found, corners = cv2.QRCodeDetector().detectMulti(luma)
    if not is_found or corners is None:
        return 0.0
    covered = np.zeros(luma.shape, np.uint8)
    for code in corners:
        cv2.fillConvexPoly(covered, np.round(code).astype(np.int32), 1)
    return float(covered.mean())


def view_memory(picture: Image.Image) -> NDArray[np.uint8]:
    """Return the bytes of a picture, four to a pixel unless it is L: Pillow's own memory where it lies in one piece.

    The bytes are not to be written to.

    Args:
        picture: L, RGB or RGBA.
    """
    import pyarrow as pa

    try:
        memory = pa.array(picture)
        pixels: NDArray[np.uint8] = (memory if picture.mode == "L" else memory.flatten()).to_numpy()
    except (ValueError, pa.ArrowException):  # a large picture lies in several pieces
        pixels = np.asarray(picture.convert("RGBX") if picture.mode == "RGB" else picture).reshape(-1)
    return pixels
