from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from mmpipe.filtering.image_headers import sniff_format
from mmpipe.filtering.image_pixels import PixelChoice, measure_image
from mmpipe.tables.images import HEADER_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    assert (image.status, image.signals["image_format"], image.detail) == ("ok", sniffed, None)
    assert image.picture is not None
    assert image.signals["image_width"] is not None
    assert len(image.signals["phash"] or "") == 16
    assert len(image.signals["image_sha256"]) == 64


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
    assert (measured.signals["image_width"], measured.signals["image_height"]) == (96, 64) == measured.picture.size


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


def test_every_colour_of_every_alpha_lies_on_white_as_pillow_lays_it() -> None:
    levels, alphas = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    clear = Image.fromarray(np.dstack([levels, levels[::-1], levels[:, ::-1], alphas]))
    picture = measure_image(save(clear, "PNG"), LIMIT).picture
    expected = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    assert picture is not None
    assert np.array_equal(np.asarray(picture), np.asarray(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_mirrored_ones_too(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(draw(), "PNG", exif=exif)
    measured = measure_image(data, LIMIT)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    assert measured.picture is not None
    assert np.array_equal(np.asarray(measured.picture), np.asarray(upright))
    assert (measured.signals["image_width"], measured.signals["image_height"]) == upright.size
    assert measured.signals["phash"] == str(imagehash.phash(upright))


def test_broken_exif_says_nothing_about_the_pixels() -> None:
    measured = measure_image(save(draw(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), LIMIT)
    assert (measured.status, measured.signals["image_width"]) == ("ok", 96)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "CMYK"])
def test_hash_is_imagehash_phash_of_the_file(mode: str) -> None:
    data = save(draw(mode, (300, 200)), "JPEG" if mode == "CMYK" else "PNG")
    assert measure_image(data, LIMIT).signals["phash"] == str(imagehash.phash(Image.open(BytesIO(data))))


def test_first_frame_of_an_animation_stands_for_it() -> None:
    frames = [draw(seed=number) for number in range(3)]
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    measured = measure_image(data, LIMIT)
    assert (measured.status, measured.signals["image_frames"]) == ("ok", 3)
    assert measured.signals["phash"] == str(imagehash.phash(Image.open(BytesIO(data)).convert("RGB")))


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
    assert measured.signals["image_width"]


def test_orientation_behind_the_pixels_of_a_png_is_found() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(draw(), "PNG", exif=exif)
    start = data.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", data[start : start + 4])[0]
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    measured = measure_image(moved, LIMIT)
    assert (measured.signals["image_width"], measured.signals["image_height"]) == (64, 96)
    assert measured.signals["phash"] == measure_image(data, LIMIT).signals["phash"]


def test_limit_itself_is_decoded() -> None:
    data = save(draw(size=(100, 50)), "PNG")
    assert measure_image(data, 5000).status == "ok"
    assert measure_image(data, 4999).status == "oversized_image"
    assert measure_image(data, 4999).signals["image_width"] == 100


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "empty_image"),
        (b"<html><body>404</body></html>", "not_an_image"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "vector_image"),
        (b"<html><body><svg></svg></body></html>", "not_an_image"),
        (b"%PDF-1.7", "not_an_image"),
        (b"\0\0\1\0\1\0", "not_an_image"),
        (b"\xff\xd8\xff", "undecodable_image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "undecodable_image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "undecodable_image"),
    ],
)
def test_broken_files_are_told_apart(data: bytes, status: str) -> None:
    measured = measure_image(data, LIMIT)
    assert (measured.status, measured.picture, measured.signals.get("phash")) == (status, None, None)
    assert measured.detail


def test_an_avif_with_broken_boxes_or_pixels_is_undecodable() -> None:
    file = save(draw(size=(40, 30)), "AVIF")
    assert measure_image(file, LIMIT).status == "ok"
    pixels = file.index(b"mdat") + len(b"mdat")
    cut = measure_image(file[:pixels], LIMIT)
    assert (cut.status, cut.signals.get("image_width"), cut.picture) == ("undecodable_image", None, None)
    zeroed = measure_image(file[:pixels] + bytes(len(file) - pixels), LIMIT)
    assert (zeroed.status, zeroed.signals["image_width"], zeroed.picture) == ("undecodable_image", 40, None)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_half_a_file_is_truncated_and_has_its_header(form: str) -> None:
    data = save(draw(size=(400, 300)), form)
    measured = measure_image(data[: len(data) // 2], LIMIT)
    assert (measured.status, measured.picture) == ("truncated_image", None)
    assert (measured.signals["image_width"], measured.signals["image_height"]) == (400, 300)


def test_a_file_that_ends_within_its_header_is_truncated() -> None:
    measured = measure_image(save(draw(size=(400, 300)), "JPEG")[:30], LIMIT)
    assert (measured.status, measured.signals["image_format"], measured.picture) == ("truncated_image", "jpeg", None)


def test_a_thumbnails_end_is_not_the_end_of_a_cut_picture() -> None:
    thumbnail = save(draw(size=(16, 16)), "JPEG")
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + thumbnail
    data = save(draw(size=(400, 300)), "JPEG", exif=exif)
    assert measure_image(data, LIMIT).status == "ok"
    assert measure_image(data[: len(data) // 2], LIMIT).status == "truncated_image"


def test_a_broken_picture_with_its_end_is_undecodable() -> None:
    data = bytearray(save(draw(size=(400, 300)), "PNG"))
    place = data.index(b"IDAT") + 10
    data[place : place + 40] = bytes(40)
    assert measure_image(bytes(data), LIMIT).status == "undecodable_image"


@pytest.mark.parametrize("form", ["GIF", "PNG", "JPEG", "WEBP", "BMP"])
def test_one_pixel_is_a_tracking_pixel(form: str) -> None:
    measured = measure_image(save(draw(size=(1, 1)), form), LIMIT)
    assert (measured.status, measured.signals["image_width"], measured.picture) == ("tracking_pixel", 1, None)
    assert measure_image(save(draw(size=(1, 2)), form), LIMIT).status == "ok"


def test_a_header_that_decides_spares_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: Image.Image) -> None:
        raise AssertionError("decoded")

    seen = []

    def ask(signals: Mapping[str, Any]) -> bool:
        seen.append(dict(signals))
        return signals["image_min_side"] >= 50

    assert measure_image(save(draw(size=(96, 64)), "JPEG"), LIMIT, header_rules=ask).status == "ok"
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    measured = measure_image(save(draw(size=(49, 64)), "JPEG"), LIMIT, header_rules=ask)
    assert (measured.status, measured.picture) == ("header_only", None)
    assert measured.signals == seen[1]
    assert set(measured.signals) == set(HEADER_SIGNALS)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_tiff_is_turned_once_and_its_header_says_how(orientation: int) -> None:
    data = save(draw(), "TIFF", tiffinfo={0x0112: orientation})
    measured = measure_image(data, LIMIT)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    assert measured.picture is not None
    assert np.array_equal(np.asarray(measured.picture), np.asarray(upright))
    assert measured.signals["image_orientation"] == orientation
    assert (measured.signals["image_width"], measured.signals["image_height"]) == upright.size
    refused = measure_image(data, 100)
    assert (refused.signals["image_width"], refused.signals["image_height"]) == upright.size


@pytest.mark.parametrize("name", ["codes", "orientations", "trims_borders"])
def test_dear_measurements_are_made_when_asked_for(name: str) -> None:
    columns = {"codes": "image_qr_area_ratio", "orientations": "phash_orientations", "trims_borders": "phash_trimmed"}
    data = save(draw(), "PNG")
    plain, asked = measure_image(data, LIMIT), measure_image(data, LIMIT, PixelChoice(**{name: True}))
    assert set(asked.signals) - set(plain.signals) == {columns[name]}
    assert asked.signals["phash"] == plain.signals["phash"]


def test_the_name_of_a_file_is_not_asked() -> None:
    data = save(draw(), "WEBP")
    assert measure_image(data, LIMIT).signals["image_format"] == "webp"
    digests = measure_image(data, LIMIT).signals
    assert digests["image_md5"] == hashlib.md5(data).hexdigest()
    assert digests["image_sha256"] == hashlib.sha256(data).hexdigest()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"]), st.data())
def test_no_bytes_raise(form: str, data: st.DataObject) -> None:
    file = bytearray(save(draw(size=(40, 30)), form))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    measured = measure_image(bytes(file[: data.draw(st.integers(0, len(file)))]), LIMIT)
    assert (measured.status == "ok") == (measured.picture is not None) == ("phash" in measured.signals)
    assert sniff_format(bytes(file)) is None or measured.signals["image_bytes"] >= 0


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
        assert measured.signals["image_bytes"] == row["bytes"]
        assert measured.signals["image_format"] == row["format"].lower()
        with Image.open(BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            assert (measured.signals["image_width"], measured.signals["image_height"]) == upright.size
            # behind transparency lie colours that nobody sees; there our hash is that of the picture on white
            if image.mode in ("RGB", "L", "CMYK") and "transparency" not in image.info:
                plain += 1
                assert measured.signals["phash"] == str(imagehash.phash(upright)), row["file"]
    assert plain > 100
