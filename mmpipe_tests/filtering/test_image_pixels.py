from __future__ import annotations

import json
import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from mmpipe.filtering.image_pixels import hash_picture, measure_image, sniff_format

LIMIT = 10_000_000
SHARED = Path(os.environ.get("MMPIPE_SHARED_DATA", Path(__file__).parents[2] / "../shared/data"))


def draw(mode: str = "RGB", size: tuple[int, int] = (96, 64), seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, len(Image.new(mode, (1, 1)).getbands())), dtype=np.uint8)
    if mode in ("L", "P", "1"):
        return Image.fromarray(coarse[:, :, 0]).resize(size).convert(mode)
    bands = [Image.fromarray(coarse[:, :, band]).resize(size) for band in range(coarse.shape[2])]
    return Image.merge(mode, bands)


def save(image: Image.Image, form: str, **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("form", "sniffed"),
    [("JPEG", "jpeg"), ("PNG", "png"), ("GIF", "gif"), ("WEBP", "webp"), ("BMP", "bmp"), ("TIFF", "tiff"),
     ("AVIF", "avif"), ("JPEG2000", "jpeg2000")],
)  # fmt: skip
def test_every_format_of_the_web_is_read(form: str, sniffed: str) -> None:
    image = measure_image(save(draw(), form), LIMIT)
    assert (image.status, image.image_format, image.detail) == ("ok", sniffed, None)
    assert image.picture is not None
    assert image.width is not None
    assert len(image.phash or "") == 16
    assert len(image.image_sha256) == 64


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr"])
def test_every_mode_becomes_eight_bit_and_opaque(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.arange(96 * 64, dtype=np.uint16).reshape(64, 96) * 10)
    else:
        image = draw("RGB").convert("RGBA").convert(mode) if mode == "LA" else draw(mode)
    data = save(image, "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")
    measured = measure_image(data, LIMIT)
    assert measured.status == "ok"
    assert measured.picture is not None
    assert measured.picture.mode in ("RGB", "L")
    assert (measured.width, measured.height) == (96, 64) == measured.picture.size


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16)[None].repeat(64, 0)
    picture = measure_image(save(Image.fromarray(ramp), "PNG"), LIMIT).picture
    assert picture is not None
    assert np.abs(np.asarray(picture)[0].astype(int) - np.linspace(0, 255, 64)).max() <= 1


def test_transparency_shows_white_and_hides_what_lies_under_it() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (200, 10, 10, 0)
    pixels[:, 32:] = (10, 10, 200, 255)
    picture = measure_image(save(Image.fromarray(pixels), "PNG"), LIMIT).picture
    assert picture is not None
    assert picture.getpixel((5, 5)) == (255, 255, 255)
    assert picture.getpixel((60, 5)) == (10, 10, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_mirrored_ones_too(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(draw(), "PNG", exif=exif)
    measured = measure_image(data, LIMIT)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    assert measured.picture is not None
    assert np.array_equal(np.asarray(measured.picture), np.asarray(upright))
    assert (measured.width, measured.height) == upright.size
    assert measured.phash == str(imagehash.phash(upright))


def test_broken_exif_says_nothing_about_the_pixels() -> None:
    measured = measure_image(save(draw(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), LIMIT)
    assert (measured.status, measured.width) == ("ok", 96)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "CMYK"])
def test_hash_is_imagehash_phash_of_the_file(mode: str) -> None:
    data = save(draw(mode, (300, 200)), "JPEG" if mode == "CMYK" else "PNG")
    assert measure_image(data, LIMIT).phash == str(imagehash.phash(Image.open(BytesIO(data))))


def test_first_frame_of_an_animation_stands_for_it() -> None:
    frames = [draw(seed=number) for number in range(3)]
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    measured = measure_image(data, LIMIT)
    assert (measured.status, measured.is_animated) == ("ok", True)
    assert measured.phash == hash_picture(Image.open(BytesIO(data)).convert("RGB"))


def make_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [4000, 12_000, 60_000])
def test_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    measured = measure_image(make_bomb(side, side), LIMIT)
    assert (measured.status, measured.picture) == ("oversized_image", None)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000"])
def test_header_alone_decides_on_size(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: Image.Image) -> None:
        raise AssertionError("decoded")

    data = save(draw(), form)
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    measured = measure_image(data, 100)
    assert measured.status == "oversized_image"
    assert measured.width


def test_orientation_behind_the_pixels_of_a_png_is_found() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(draw(), "PNG", exif=exif)
    start = data.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", data[start : start + 4])[0]
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    measured = measure_image(moved, LIMIT)
    assert (measured.width, measured.height) == (64, 96)
    assert measured.phash == measure_image(data, LIMIT).phash


def test_limit_itself_is_decoded() -> None:
    data = save(draw(size=(100, 50)), "PNG")
    assert measure_image(data, 5000).status == "ok"
    assert measure_image(data, 4999).status == "oversized_image"
    assert measure_image(data, 4999).width == 100


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "not_an_image"),
        (b"<html><body>404</body></html>", "not_an_image"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not_an_image"),
        (b"%PDF-1.7", "not_an_image"),
        (b"\0\0\1\0\1\0", "not_an_image"),
        (b"\xff\xd8\xff", "undecodable_image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "undecodable_image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "undecodable_image"),
    ],
)
def test_broken_files_are_told_apart(data: bytes, status: str) -> None:
    measured = measure_image(data, LIMIT)
    assert (measured.status, measured.picture, measured.phash) == (status, None, None)
    assert measured.detail


def test_an_avif_with_broken_boxes_or_pixels_is_undecodable() -> None:
    file = save(draw(size=(40, 30)), "AVIF")
    assert measure_image(file, LIMIT).status == "ok"
    pixels = file.index(b"mdat") + len(b"mdat")
    cut = measure_image(file[:pixels], LIMIT)
    assert (cut.status, cut.width, cut.picture) == ("undecodable_image", None, None)
    zeroed = measure_image(file[:pixels] + bytes(len(file) - pixels), LIMIT)
    assert (zeroed.status, zeroed.width, zeroed.picture) == ("undecodable_image", 40, None)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_half_a_file_is_undecodable_but_has_its_header(form: str) -> None:
    data = save(draw(size=(400, 300)), form)
    measured = measure_image(data[: len(data) // 2], LIMIT)
    assert measured.status == "undecodable_image"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"]), st.data())
def test_no_bytes_raise(form: str, data: st.DataObject) -> None:
    file = bytearray(save(draw(size=(40, 30)), form))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    measured = measure_image(bytes(file[: data.draw(st.integers(0, len(file)))]), LIMIT)
    assert (measured.status == "ok") == (measured.picture is not None) == (measured.phash is not None)
    assert sniff_format(bytes(file)) is None or measured.image_bytes >= 0


@pytest.mark.real_data
def test_real_images_are_read_as_their_authors_list_them_and_hash_as_imagehash_does() -> None:
    folder = SHARED / "images"
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}: set MMPIPE_SHARED_DATA to the shared data folder")
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    plain = 0
    for row in rows:
        data = (folder / row["file"]).read_bytes()
        measured = measure_image(data, 100_000_000)
        assert (measured.status, measured.detail) == ("ok", None), row["file"]
        assert measured.image_bytes == row["bytes"]
        assert measured.image_format == row["format"].lower()
        with Image.open(BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            assert (measured.width, measured.height) == upright.size
            # behind transparency lie colours that nobody sees; there our hash is that of the picture on white
            if image.mode in ("RGB", "L", "CMYK") and "transparency" not in image.info:
                plain += 1
                assert measured.phash == str(imagehash.phash(upright)), row["file"]
    assert plain > 100
