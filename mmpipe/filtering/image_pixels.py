"""Reads one picture: its header first, its pixels only if the header allows, upright and on white."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mmpipe.filtering.image_headers import ImageHeader, is_vector, read_header, sniff_format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

# Pillow's names of what we read. Not EPS, PSD and the like, which are no formats of the web, and not ICO, which Pillow
# decodes as soon as it is opened
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "JPEG2000")
# what Pillow's readers raise on bytes that are broken (AVIF's: RuntimeError); a list, so that a mistake of ours is not
# taken for one
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError,
           OverflowError, ZeroDivisionError, AttributeError, MemoryError, RuntimeError)  # fmt: skip
_ORIENTATION_TAG = 0x0112
_DETAIL_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelChoice:
    """Which measurements of a picture are made beside those that every picture gets.

    Attributes:
        codes: the area of QR codes (`image_qr_area_ratio`); the dearest signal of all.
        orientations: the hashes of the eight ways to turn the picture (`phash_orientations`).
        trims_borders: the hash without a border of one colour (`phash_trimmed`).
    """

    codes: bool = False
    orientations: bool = False
    trims_borders: bool = False


@dataclass(frozen=True, slots=True)
class ImageMeasurement:
    """What the bytes of one picture say.

    Attributes:
        status: of `tables.images.DECODE_STATUSES`.
        detail: what the decoder said, if it failed.
        signals: columns of `image_signals` that could be measured; those of the header are there wherever it was read.
        picture: the first frame, upright, RGB or L, transparency flattened on white; only if `status` is ok.
    """

    status: str
    detail: str | None
    signals: Mapping[str, Any] = field(default_factory=dict)
    picture: Image.Image | None = None


def measure_image(
    data: bytes,
    max_pixels: int,
    choice: PixelChoice | None = None,
    header_rules: Callable[[Mapping[str, Any]], bool] | None = None,
    sha256: str | None = None,
) -> ImageMeasurement:
    """Return what one picture's bytes say, and the picture for a model to see.

    The header is read first; a picture of more than `max_pixels` is `oversized_image`, one of a single pixel
    `tracking_pixel`, and neither is decoded. The pixels are decoded once, at full size: a JPEG read at reduced scale
    has another perceptual hash than `imagehash` gives.

    Args:
        data: the file.
        max_pixels: width times height that may be decoded.
        choice: measurements made beside the usual ones; None for none.
        header_rules: says by the signals of the header whether decoding can still matter; where not, the status is
            `header_only` and the other signals are absent. None decodes all.
        sha256: of the file, where it is known; None computes it.
    """
    digests = {
        "image_bytes": len(data),
        "image_sha256": sha256 or hashlib.sha256(data).hexdigest(),
        "image_md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
    }
    sniffed = sniff_format(data)
    if sniffed is None:
        return ImageMeasurement(*_describe_other(data), digests)
    facts = ImageMeasurement("ok", None, digests | {"image_format": sniffed})
    header = read_header(data)
    image = None
    if header is None:
        image, refused = _open(data, sniffed)
        if image is None:
            return replace(facts, status=refused[0], detail=refused[1])
        header = _read_opened_header(image, sniffed)
    facts = replace(facts, signals={**facts.signals, **_describe_header(header)})
    refusal = _refuse(header, facts.signals, max_pixels, header_rules)
    if refusal is not None:
        return replace(facts, status=refusal[0], detail=refusal[1])
    if image is None:
        image, refused = _open(data, sniffed)
        if image is None:
            return replace(facts, status=refused[0], detail=refused[1])
    with image:
        return _measure_decoded(image, data, facts, choice or PixelChoice())


def _measure_decoded(image: Image.Image, data: bytes, facts: ImageMeasurement, choice: PixelChoice) -> ImageMeasurement:
    from mmpipe.filtering.pixel_statistics import measure_codes, measure_pixels

    try:
        image.load()
        turn = orientation = int(facts.signals["image_orientation"])
        if image.format == "PNG":  # which may tell its orientation after its pixels
            turn = orientation = _read_orientation(image)
        elif image.format == "TIFF":  # which Pillow turns itself
            turn = _read_orientation(image)
        picture = _show(image, turn)
    except _BROKEN as error:
        detail = _describe(error)
        is_cut = _is_cut(data, str(facts.signals["image_format"]), detail)
        status = "truncated_image" if is_cut else "undecodable_image"
        return replace(facts, status=status, detail=detail[:_DETAIL_CHARS])
    stored = _turn_size(picture.size, orientation)
    header = ImageHeader(facts.signals["image_format"], *stored, orientation, int(facts.signals["image_frames"]))
    signals, luma = measure_pixels(picture)
    hashes = _hash(luma, choice)
    codes = {"image_qr_area_ratio": measure_codes(luma)} if choice.codes else {}
    measured = {**facts.signals, **_describe_header(header), **signals, **codes, **hashes}
    return replace(facts, signals=measured, picture=picture)


def _hash(luma: NDArray[np.uint8], choice: PixelChoice) -> dict[str, str]:
    from mmpipe.filtering.image_hashes import PHASH_ALGORITHM, hash_luma, hash_orientations, hash_trimmed

    hashes = {"phash_algorithm": PHASH_ALGORITHM}
    if choice.orientations:
        turned = hash_orientations(luma)
        hashes |= {"phash": turned[0], "phash_orientations": " ".join(turned)}
    else:
        hashes["phash"] = hash_luma(luma)
    if choice.trims_borders:
        hashes["phash_trimmed"] = hash_trimmed(luma)
    return hashes


def _describe_header(header: ImageHeader) -> dict[str, float | int]:
    width, height = header.width, header.height
    shorter, longer = min(width, height), max(width, height)
    return {
        "image_width": width,
        "image_height": height,
        "image_min_side": shorter,
        "image_max_side": longer,
        "image_aspect_ratio": longer / shorter,
        "image_width_to_height": width / height,
        "image_frames": header.frames,
        "image_orientation": header.orientation,
    }


def _refuse(
    header: ImageHeader,
    signals: Mapping[str, Any],
    max_pixels: int,
    header_rules: Callable[[Mapping[str, Any]], bool] | None,
) -> tuple[str, str | None] | None:
    """Return the status of a picture that is not to be decoded, and why; None for one that is."""
    if header.width * header.height > max_pixels:
        return "oversized_image", f"{header.width} x {header.height} pixels are more than {max_pixels}"
    if header.width == header.height == 1:
        return "tracking_pixel", "one pixel"
    if header_rules is not None and not header_rules(signals):
        return "header_only", "a rule on the header takes it; its pixels were not decoded"
    return None


def _is_cut(data: bytes, image_format: str, detail: str) -> bool:
    """Return whether a file that cannot be decoded ends early: the decoder says so, or a WebP's own length."""
    is_short = image_format == "webp" and 8 + int.from_bytes(data[4:8], "little") > len(data)
    return is_short or "truncated" in detail.lower()


def _open(data: bytes, sniffed: str) -> tuple[Image.Image | None, tuple[str, str]]:
    """Return the picture with its header read, or None with the status and what the reader said."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(BytesIO(data), formats=_FORMATS), ("ok", "")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return None, ("oversized_image", _describe(error)[:_DETAIL_CHARS])
    except UnidentifiedImageError:
        detail = "the header is broken"
    except _BROKEN as error:
        detail = _describe(error)[:_DETAIL_CHARS]
    return None, ("truncated_image" if _is_cut(data, sniffed, detail) else "undecodable_image", detail)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _describe_other(data: bytes) -> tuple[str, str]:
    """Return the status of bytes that are no picture, and what they are."""
    if not data:
        return "empty_image", "no bytes"
    if is_vector(data):
        return "vector_image", "svg, which is a drawing program and not a picture"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "not_an_image", "markup"
    return "not_an_image", f"starts with {data[:8].hex(' ')}"


def _read_opened_header(image: Image.Image, sniffed: str) -> ImageHeader:
    """Return the header of a picture that Pillow opened."""
    orientation = _read_orientation(image)
    # of a TIFF, Pillow tells the size as it is shown
    size = _turn_size(image.size, orientation) if image.format == "TIFF" else image.size
    return ImageHeader(sniffed, *size, orientation, _count_frames(image))


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


def _count_frames(image: Image.Image) -> int:
    """Return the frames of an animation; the pages of a TIFF and the views of an MPO are none."""
    if image.format in ("MPO", "TIFF"):
        return 1
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except _BROKEN:
        return 1


def _show(image: Image.Image, orientation: int) -> Image.Image:
    """Decode the first frame: 8 bits a channel, on white, upright, RGB or L."""
    from PIL import Image

    picture: Image.Image = image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        picture = _scale_to_bytes(image)
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        picture = _lay_on_white(image if image.mode == "RGBA" else image.convert("RGBA"))
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
    if orientation in turns:
        return picture.transpose(turns[orientation])
    # an animation is a door to its other frames
    return picture.copy() if getattr(picture, "n_frames", 1) > 1 else picture


def _lay_on_white(image: Image.Image) -> Image.Image:
    """Return an RGBA picture on white, RGB, as `Image.alpha_composite` lays it, in a third of its time."""
    import numpy as np
    from PIL import Image

    from mmpipe.filtering.pixel_kernels import lay_on_white
    from mmpipe.filtering.pixel_statistics import view_memory

    clear = view_memory(image).view("<u4")
    pixels = np.empty_like(clear)
    lay_on_white(clear, pixels)
    return Image.frombytes("RGB", image.size, pixels, "raw", "RGBX")


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
