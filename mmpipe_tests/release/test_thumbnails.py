from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mmpipe.release.thumbnails import THUMBNAIL_SIDE, draw_thumbnail


def save(picture: Image.Image, image_format: str, **more: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **more)
    return buffer.getvalue()


def read(address: str | None) -> Image.Image:
    assert address is not None
    head, _, data = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def draw(width: int, height: int) -> Image.Image:
    """Return black and white squares of 20 pixels: all content is in detail finer than a quarter of the picture."""
    rows, columns = np.indices((height, width)) // 20
    return Image.fromarray((((rows + columns) % 2) * 255).astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_a_thumbnail_is_small_and_keeps_the_shape(image_format):
    thumbnail = read(draw_thumbnail(save(draw(800, 400), image_format), is_unsafe=False, max_pixels=10**6))
    assert thumbnail.size == (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2)
    assert np.asarray(thumbnail.convert("L")).std() > 60


def test_the_content_of_an_unsafe_picture_is_gone_from_the_data():
    seen, hidden = (
        np.asarray(read(draw_thumbnail(save(draw(800, 800), "PNG"), is_unsafe=unsafe, max_pixels=10**6)).convert("L"))
        for unsafe in (False, True)
    )
    assert seen.shape == hidden.shape
    assert seen.std() > 60
    assert hidden.std() < 5


def test_an_unsafe_picture_leaves_no_more_than_its_patches():
    # two pictures with equal patches and other content give the same bytes
    one, other = draw(800, 800), draw(800, 800).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    drawn = {draw_thumbnail(save(each, "PNG"), is_unsafe=True, max_pixels=10**6) for each in (one, other)}
    assert np.asarray(one).tolist() != np.asarray(other).tolist()
    assert len(drawn) == 1


def test_orientation_is_applied_and_tags_stay_behind():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "who took it"
    thumbnail = read(draw_thumbnail(save(draw(400, 200), "JPEG", exif=exif), is_unsafe=False, max_pixels=10**6))
    assert thumbnail.size == (THUMBNAIL_SIDE // 2, THUMBNAIL_SIDE)
    assert not dict(thumbnail.getexif())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "I;16", "1"])
def test_every_mode_is_drawn(mode):
    picture = draw(200, 200).convert("L").convert("I").convert("I;16") if mode == "I;16" else None
    made = picture or (draw(200, 200).convert("RGBA").convert(mode) if mode != "LA" else draw(200, 200).convert("LA"))
    data = save(made, "JPEG" if mode == "CMYK" else "PNG")
    assert read(draw_thumbnail(data, is_unsafe=False, max_pixels=10**6)).mode == "RGB"


def test_what_is_transparent_is_white():
    data = save(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG")
    assert np.asarray(read(draw_thumbnail(data, is_unsafe=False, max_pixels=10**6))).min() > 250


@pytest.mark.parametrize("data", [b"", b"nothing", save(draw(400, 400), "PNG")[:500]])
def test_what_cannot_be_read_has_none(data):
    assert draw_thumbnail(data, is_unsafe=False, max_pixels=10**6) is None


def test_a_picture_of_too_many_pixels_is_not_decoded():
    assert draw_thumbnail(save(draw(400, 400), "PNG"), is_unsafe=False, max_pixels=400 * 400 - 1) is None
