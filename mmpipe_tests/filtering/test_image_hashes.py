from __future__ import annotations

import json
from typing import TYPE_CHECKING

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmpipe.filtering.image_hashes import hash_luma, hash_orientations, hash_trimmed, shrink

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def paint(kind: str, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, (height, width), dtype=np.uint8)
    if kind == "black_and_white":
        return rng.integers(0, 2, (height, width), dtype=np.uint8) * np.uint8(255)
    if kind == "one_colour":
        return np.full((height, width), seed % 256, np.uint8)
    if kind == "halves":
        return np.repeat((np.arange(width) >= width // 2).astype(np.uint8)[None] * np.uint8(255), height, axis=0)
    return np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)


def count_bits(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


pictures = st.builds(
    paint,
    st.sampled_from(["noise", "black_and_white", "one_colour", "halves", "ramp"]),
    st.integers(1, 300) | st.integers(28, 70),
    st.integers(1, 300) | st.integers(28, 70),
    st.integers(0, 10**6),
)


@settings(max_examples=300)
@given(pictures)
def test_hash_is_imagehashs_bit_for_bit(luma: NDArray[np.uint8]) -> None:
    # pictures of one colour and of equal halves too, whose bits hang on the last place of a coefficient
    assert hash_luma(luma) == str(imagehash.phash(Image.fromarray(luma)))


@settings(max_examples=200)
@given(pictures)
def test_small_picture_is_pillows(luma: NDArray[np.uint8]) -> None:
    expected = Image.fromarray(luma).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(shrink(luma), np.asarray(expected))


@pytest.mark.parametrize("size", [(31, 33), (32, 32), (32, 90), (90, 32), (33, 32), (96, 64), (97, 64), (95, 64)])
def test_small_picture_is_pillows_whichever_pass_comes_first(size: tuple[int, int]) -> None:
    for seed in range(20):
        luma = paint("black_and_white", *size, seed)
        expected = Image.fromarray(luma).resize((32, 32), Image.Resampling.LANCZOS)
        assert np.array_equal(shrink(luma), np.asarray(expected))


@given(st.integers(0, 10**6))
def test_turned_hashes_are_those_of_the_turned_small_picture(seed: int) -> None:
    small = paint("noise", 32, 32, seed)
    hashes = hash_orientations(small)
    assert hashes[0] == hash_luma(small)
    for orientation, turn in TURNS.items():
        turned = np.array(Image.fromarray(small).transpose(turn))
        assert count_bits(hashes[orientation - 1], hash_luma(turned)) == 0


def make_scene(height: int, width: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(4).integers(40, 200, (6, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("colour", [0, 255, 128])
@pytest.mark.parametrize("sides", [(20, 20, 20, 20), (0, 30, 0, 30), (25, 0, 0, 0), (0, 0, 25, 0), (0, 0, 0, 40)])
def test_a_border_of_one_colour_is_trimmed(colour: int, sides: tuple[int, int, int, int]) -> None:
    scene = make_scene(120, 160)
    if colour == 128:
        scene = np.where(np.abs(scene.astype(int) - 128) <= 10, 90, scene).astype(np.uint8)
    left, upper, right, lower = sides
    framed = np.pad(scene, ((upper, lower), (left, right)), constant_values=colour)
    assert hash_trimmed(framed) == hash_luma(scene)
    # the ripples of JPEG are of the border too
    ripples = np.random.default_rng(1).integers(-5, 6, framed.shape)
    rippled = np.clip(framed + np.where(framed == colour, ripples, 0), 0, 255).astype(np.uint8)
    assert count_bits(hash_trimmed(rippled), hash_luma(scene)) <= 2


def test_borders_of_two_colours_are_trimmed() -> None:
    scene = make_scene(120, 160)
    framed = np.hstack([np.full((120, 30), 255, np.uint8), scene, np.zeros((120, 20), np.uint8)])
    assert hash_trimmed(framed) == hash_luma(scene)


def test_nothing_is_trimmed_of_a_plain_picture_or_to_a_speck() -> None:
    plain = np.full((80, 90), 255, np.uint8)
    assert hash_trimmed(plain) == hash_luma(plain)
    speck = plain.copy()
    speck[40:60, 40:60] = 0
    assert hash_trimmed(speck) == hash_luma(speck)
    whole = make_scene(64, 64)
    assert hash_trimmed(whole) == hash_luma(whole)


@pytest.mark.real_data
def test_real_images_hash_as_imagehash_does_and_turned_ones_nearly(shared_data: Path) -> None:
    folder = shared_data / "images"
    files = [json.loads(line)["file"] for line in (folder / "captions.jsonl").read_text().splitlines()]
    distances = []
    for number, file in enumerate(files):
        with Image.open(folder / file) as image:
            grey = image.convert("RGB").convert("L")
        luma = np.asarray(grey)
        hashes = hash_orientations(luma)
        assert hashes[0] == hash_luma(luma) == str(imagehash.phash(grey)), file
        if number % 3 == 0:
            distances += [
                count_bits(hashes[orientation - 1], str(imagehash.phash(grey.transpose(turn))))
                for orientation, turn in TURNS.items()
            ]
    assert max(distances) <= 4
    assert sum(distance == 0 for distance in distances) >= 0.9 * len(distances)
