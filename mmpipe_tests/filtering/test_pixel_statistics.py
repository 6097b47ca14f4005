from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmpipe.filtering.pixel_statistics import measure_codes, measure_pixels

MODES = ("RGB", "L")


def paint(mode: str, width: int, height: int, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.integers(0, 257, 2))
    return Image.fromarray(rng.integers(low, max(high, low + 1), (height, width, 3), dtype=np.uint8)).convert(mode)


@settings(max_examples=150)
@given(st.sampled_from(MODES), st.integers(1, 90), st.integers(1, 90), st.integers(0, 10**6))
def test_pixels_measure_as_opencv_and_numpy_have_it(mode: str, width: int, height: int, seed: int) -> None:
    picture = paint(mode, width, height, seed)
    signals, luma = measure_pixels(picture)
    grey = np.asarray(picture.convert("L"))
    assert np.array_equal(luma, grey)
    assert signals["image_blur_variance"] == pytest.approx(cv2.Laplacian(grey, cv2.CV_64F).var(), abs=1e-9, rel=1e-9)
    assert signals["image_brightness"] == pytest.approx(grey.mean() / 255)
    assert signals["image_contrast"] == pytest.approx(grey.std() / 255, abs=1e-9)
    assert signals["image_brightness_p99"] == np.percentile(grey, 99, method="inverted_cdf") / 255
    shares = np.unique(grey, return_counts=True)[1] / grey.size
    assert signals["image_entropy"] == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-12)
    colours = np.asarray(picture.convert("RGB")).reshape(-1, 3) >> 3
    assert signals["image_single_colour_ratio"] == np.unique(colours, axis=0, return_counts=True)[1].max() / grey.size


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_in_several_pieces_of_memory_measures_as_any(mode: str) -> None:
    # above 16 MB, Pillow allocates several
    picture = paint("L", 64, 64, 1).resize((5000, 4000)).convert(mode)
    signals, luma = measure_pixels(picture)
    assert np.array_equal(luma, np.asarray(picture.convert("L")))
    assert signals["image_brightness"] == pytest.approx(luma.mean() / 255)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("level", [0, 7, 128, 255])
def test_a_blank_picture_has_no_contrast_entropy_or_edges(mode: str, level: int) -> None:
    signals, _ = measure_pixels(Image.new("L", (33, 17), level).convert(mode))
    assert signals == {
        "image_brightness": pytest.approx(level / 255),
        "image_brightness_p99": level / 255,
        "image_contrast": 0.0,
        "image_entropy": 0.0,
        "image_blur_variance": 0.0,
        "image_single_colour_ratio": 1.0,
    }
    assert math.copysign(1, signals["image_entropy"]) == 1


def test_the_noise_of_white_is_white_and_blur_lowers_the_variance() -> None:
    noise = np.random.default_rng(1).integers(249, 256, (64, 64, 3), dtype=np.uint8)
    assert measure_pixels(Image.fromarray(noise))[0]["image_single_colour_ratio"] == 1.0
    sharp = np.random.default_rng(2).integers(0, 256, (64, 64), dtype=np.uint8)
    blurred = cv2.GaussianBlur(sharp, (9, 9), 3)
    values = [measure_pixels(Image.fromarray(picture))[0]["image_blur_variance"] for picture in (sharp, blurred)]
    assert values[0] > 100 * values[1]


@pytest.mark.parametrize("scale", [4, 40])
def test_the_area_of_a_code_is_measured(scale: int) -> None:
    code = cv2.QRCodeEncoder.create().encode("https://example.org/a-code-on-a-poster")
    code = np.asarray(code)[2:-2, 2:-2]
    side = code.shape[0] * scale
    page = np.full((2 * side, 3 * side), 255, np.uint8)
    page[side // 2 : side // 2 + side, side : 2 * side] = np.kron(code, np.ones((scale, scale), np.uint8))
    assert measure_codes(page) == pytest.approx(1 / 6, abs=0.02)


def test_pictures_without_a_code_have_none() -> None:
    assert measure_codes(np.asarray(paint("L", 200, 150, 3))) == 0.0
    assert measure_codes(np.zeros((1, 5000), np.uint8)) == 0.0
    assert measure_codes(np.zeros((5, 5), np.uint8)) == 0.0
