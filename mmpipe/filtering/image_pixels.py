"""Reads one picture: its header first, its pixels only if the header allows, upright and on white."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

#: imagehash.phash with its defaults: 32 x 32 luminance, DCT-II, low 8 x 8, bit = above the median of all 64.
PHASH_ALGORITHM = "imagehash_phash_64"

# Pillow's names of what we read. Not EPS, PSD and the like, which are no formats of the web, and not ICO, which Pillow
# decodes as soon as it is opened
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "JPEG2000")
_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF87a", "gif"), (b"GIF89a", "gif"), (b"BM", "bmp"),
    (b"II*\0", "tiff"), (b"MM\0*", "tiff"), (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
)  # fmt: skip
# what Pillow's readers raise on bytes that are broken (AVIF's: RuntimeError); a list, so that a mistake of ours is not
# taken for one
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError,
           OverflowError, ZeroDivisionError, AttributeError, MemoryError, RuntimeError)  # fmt: skip
_ORIENTATION_TAG = 0x0112
_DETAIL_CHARS = 300


@dataclass(frozen=True, slots=True)
class ImageMeasurement:
    """What the bytes of one picture say.

    `width` and `height` are pixels after EXIF orientation; null where the header could not be read. `picture` is the
    first frame, upright, RGB (or L), transparency flattened on white: present only if `status` is ok and it was asked
    for.
    """

    status: str
    detail: str | None
    image_bytes: int
    image_sha256: str
    image_format: str | None = None
    width: int | None = None
    height: int | None = None
    is_animated: bool = False
    phash: str | None = None
    picture: Image.Image | None = None


def measure_image(data: bytes, max_pixels: int) -> ImageMeasurement:
    """Return what one picture's bytes say: format, sizes, perceptual hash, and the picture for a model to see.

    The header is read first; a picture of more than `max_pixels` is `oversized_image` and never decoded. The pixels
    are decoded once, at full size: a JPEG read at reduced scale has another perceptual hash than `imagehash` gives.

    Args:
        data: the file.
        max_pixels: width times height that may be decoded.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    sniffed = sniff_format(data)
    if sniffed is None:
        return ImageMeasurement("not_an_image", _describe_other(data), len(data), sha256)
    facts = ImageMeasurement("ok", None, len(data), sha256, sniffed)
    image, problem = _open(data)
    if image is None:
        return replace(facts, status=problem[0], detail=problem[1][:_DETAIL_CHARS])
    with image:
        turn = _read_orientation(image)
        width, height = _turn_size(image.size, turn)
        facts = replace(facts, width=width, height=height, is_animated=_is_animated(image))
        if width * height > max_pixels:
            detail = f"{width} x {height} pixels are more than {max_pixels}"
            return replace(facts, status="oversized_image", detail=detail)
        try:
            image.load()
            turn = _read_orientation(image)  # a PNG may tell its orientation after its pixels
            picture = _show(image, turn)
            return replace(
                facts, width=picture.width, height=picture.height, phash=hash_picture(picture), picture=picture
            )
        except _BROKEN as error:
            return replace(facts, status="undecodable_image", detail=_describe(error)[:_DETAIL_CHARS])


def hash_picture(picture: Image.Image) -> str:
    """Return the 64-bit perceptual hash of a picture as 16 hex digits, as `imagehash.phash` gives it."""
    import imagehash

    return str(imagehash.phash(picture))


def sniff_format(data: bytes) -> str | None:
    """Return the format that the first bytes announce, lower case (jpeg, png, webp, gif, avif, …), or None."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis", b"mif1"):
        return "avif"
    return None


def _open(data: bytes) -> tuple[Image.Image | None, tuple[str, str]]:
    """Return the picture with its header read, or None with the status and what the reader said."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(BytesIO(data), formats=_FORMATS), ("ok", "")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return None, ("oversized_image", _describe(error))
    except UnidentifiedImageError:
        return None, ("undecodable_image", "the header is broken")
    except _BROKEN as error:
        return None, ("undecodable_image", _describe(error))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _describe_other(data: bytes) -> str:
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return "no bytes"
    if b"<svg" in head:
        return "svg, which is a drawing program and not a picture"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "markup"
    return f"starts with {data[:8].hex(' ')}"


def _read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, without decoding pixels."""
    # asked for the EXIF of a PNG that has none in its header, Pillow decodes the picture to look behind it
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _BROKEN:  # a broken EXIF block says nothing about the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turn_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return size if orientation < 5 else (size[1], size[0])


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False)) and image.format not in ("MPO", "TIFF")
    except _BROKEN:
        return False


def _show(image: Image.Image, orientation: int) -> Image.Image:
    """Decode the first frame: 8 bits a channel, on white, upright, RGB or L."""
    from PIL import Image

    picture: Image.Image = image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        picture = _scale_to_bytes(image)
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        clear = image.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    elif image.mode not in ("RGB", "L"):
        picture = image.convert("RGB")
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return picture.transpose(turns[orientation]) if orientation in turns else picture.copy()


def _scale_to_bytes(image: Image.Image) -> Image.Image:
    """Return a grey picture of more than 8 bits with 8: Pillow's own conversion would clip all above 255."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:  # 32 bits and floats have no agreed range but the picture's own
        low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-12))).round().astype(np.uint8))
