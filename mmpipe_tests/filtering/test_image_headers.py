from __future__ import annotations

import json
import struct
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmpipe.filtering.image_headers import is_vector, read_header, sniff_format

if TYPE_CHECKING:
    from pathlib import Path

FORMS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "JPEG2000")


def draw(size: tuple[int, int], mode: str = "RGB", seed: int = 0) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.fromarray(noise.squeeze(2) if bands == 1 else noise, mode) if mode != "1" else Image.new("1", size)


def save(image: Image.Image, form: str, **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def ask_pillow(data: bytes) -> tuple[int, int, int, int]:
    with Image.open(BytesIO(data)) as image:
        orientation = image.getexif().get(0x0112, 1)
        return (*image.size, orientation, getattr(image, "n_frames", 1))


def tell(data: bytes) -> tuple[int, int, int, int] | None:
    header = read_header(data)
    return header and (header.stored_width, header.stored_height, header.orientation, header.frames)


@settings(max_examples=60)
@given(
    form=st.sampled_from(FORMS),
    mode=st.sampled_from(["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"]),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    progressive=st.booleans(),
    lossless=st.booleans(),
)
def test_headers_say_what_pillow_says(
    form: str, mode: str, size: tuple[int, int], progressive: bool, lossless: bool
) -> None:
    try:
        data = save(draw(size, mode if mode != "P" else "L").convert(mode), form,
                    **{"JPEG": {"progressive": progressive}, "WEBP": {"lossless": lossless}}.get(form, {}))  # fmt: skip
    except (OSError, ValueError):  # the format has no such mode
        return
    assert tell(data) == ask_pillow(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_orientation_is_read_and_turns_the_sides(form: str, orientation: int, endian: str) -> None:
    exif = Image.Exif()
    exif.endian = endian
    exif[0x0110] = "a camera"
    exif[0x0112] = orientation
    data = save(draw((40, 20)), form, exif=exif)
    header = read_header(data)
    assert header is not None
    assert header.orientation == ask_pillow(data)[2] == orientation
    assert (header.width, header.height) == ((40, 20) if orientation < 5 else (20, 40))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("value", [0, 9, 300])
def test_an_orientation_out_of_range_is_none(form: str, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    header = read_header(save(draw((40, 20)), form, exif=exif))
    assert header is not None
    assert header.orientation == 1


def test_what_only_pillow_can_tell_is_left_to_it() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = save(draw((40, 20)), "JPEG", xmp=xmp)
    assert read_header(data) is None
    assert ask_pillow(data)[2] == 6
    for form in ("TIFF", "AVIF"):
        assert read_header(save(draw((40, 20)), form)) is None
    assert read_header(save(draw((40, 20)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")) is None


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_frames_are_counted(form: str, count: int) -> None:
    frames = [draw((30, 20), seed=number) for number in range(count)]
    data = save(frames[0], form, save_all=True, append_images=frames[1:])
    assert tell(data) == ask_pillow(data)
    assert tell(data) == (30, 20, 1, count)


def test_a_picture_beside_the_frames_of_a_png_counts_as_pillow_counts_it() -> None:
    frames = [draw((30, 20), seed=number) for number in range(3)]
    data = save(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    assert tell(data) == ask_pillow(data)


def test_a_frame_that_stands_out_of_the_screen_makes_a_gif_larger() -> None:
    data = bytearray(save(draw((30, 20)), "GIF"))
    place = data.index(b"\x2c\0\0\0\0\x1e\0\x14\0")
    data[place + 1 : place + 5] = struct.pack("<HH", 7, 3)
    assert tell(bytes(data)) == ask_pillow(bytes(data))
    assert (tell(bytes(data)) or ())[:2] == (37, 23)


def test_a_bitmap_from_the_top_and_one_of_os2() -> None:
    data = bytearray(save(draw((30, 20)), "BMP"))
    data[22:26] = struct.pack("<i", -20)
    assert tell(bytes(data)) == ask_pillow(bytes(data)) == (30, 20, 1, 1)
    old = b"BM" + struct.pack("<IHHI", 26 + 12, 0, 0, 26) + struct.pack("<IHHHH", 12, 1, 3, 1, 24) + bytes(12)
    assert tell(old) == ask_pillow(old) == (1, 3, 1, 1)


@settings(max_examples=150)
@given(st.sampled_from(FORMS), st.integers(0, 3), st.data())
def test_a_changed_header_says_what_pillow_says_or_nothing(form: str, kind: int, data: st.DataObject) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, object] = {"exif": exif} if form in ("JPEG", "PNG", "WEBP") and kind == 1 else {}
    if form in ("GIF", "WEBP", "PNG") and kind == 2:
        options |= {"save_all": True, "append_images": [draw((24, 16), seed=1)]}
    file = bytearray(save(draw((24, 16)), form, **options))
    for _ in range(data.draw(st.integers(1, 3))):
        file[data.draw(st.integers(0, min(len(file) - 1, 200)))] = data.draw(st.integers(0, 255))
    changed = bytes(file[: data.draw(st.sampled_from([len(file), len(file) // 2, 60]))])
    told = tell(changed)
    if told is None:
        return
    try:
        expected = ask_pillow(changed)
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error):
        return  # what Pillow cannot open has no size to agree on
    assert told[:2] == expected[:2]
    assert told[3] == expected[3]
    if 1 <= expected[2] <= 8:
        assert told[2] == expected[2]


@pytest.mark.parametrize("form", FORMS)
def test_no_cut_raises(form: str) -> None:
    data = save(draw((24, 16)), form)
    for length in range(min(len(data), 700)):
        read_header(data[:length])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg"/>', True),
        ('\ufeff<?xml version="1.0"?>\n<!-- by hand -->\n<svg>', True),
        ('<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x.dtd" [ <!ENTITY ns "y"> ]>\n<svg width="1">', True),
        ('<svg:svg xmlns:svg="http://www.w3.org/2000/svg">', True),
        ("<!DOCTYPE html><html><body><svg></svg></body></html>", False),
        ("<html><!-- <svg> --></html>", False),
        ("<svgish>", False),
        ("", False),
    ],
)
def test_a_drawing_is_told_from_a_page_that_holds_one(text: str, expected: bool) -> None:
    assert is_vector(text.encode()) is expected
    assert is_vector(text.removeprefix("\ufeff").encode("utf-16")) is expected
    assert sniff_format(text.encode()) is None


@pytest.mark.real_data
def test_headers_of_real_images_are_pillows(shared_data: Path) -> None:
    folder = shared_data / "images"
    files = [json.loads(line)["file"] for line in (folder / "captions.jsonl").read_text().splitlines()]
    told = 0
    for file in files:
        data = (folder / file).read_bytes()
        header = tell(data)
        if header is not None:
            told += 1
            assert header == ask_pillow(data), file
    assert told >= 0.95 * len(files)
