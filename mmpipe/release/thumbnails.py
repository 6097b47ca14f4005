"""Draws small pictures for a reviewer's page, as data in the page; what is unsafe leaves only its rough colours."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

#: Longer side of a thumbnail, pixels.
THUMBNAIL_SIDE = 160
#: Longer side, in patches of one colour, to which an unsafe picture is reduced before it is drawn large again: what it
#: shows is no longer in the data, whatever is done to the page.
UNSAFE_PATCHES = 4
_QUALITY = 72


def draw_thumbnail(data: bytes, *, is_unsafe: bool, max_pixels: int, side: int = THUMBNAIL_SIDE) -> str | None:
    """Return a `data:image/jpeg` address, at most `side` pixels each way, EXIF orientation applied; None if unreadable.

    Args:
        data: bytes of the picture's file.
        is_unsafe: whether only `UNSAFE_PATCHES` patches of colour may be left.
        max_pixels: pictures above this are not decoded.
        side: longer side, pixels.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > max_pixels:
                return None
            # a JPEG is decoded at a fraction of its size
            opened.draft("RGB", (2 * side, 2 * side))
            small = _flatten(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    if is_unsafe:
        small = _coarsen(small)
    buffer = io.BytesIO()
    # saved from bare pixels: neither tags nor an embedded preview of the original come along
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _flatten(picture: Image.Image) -> Image.Image:
    """Return an RGB picture; what is transparent is white, as on a page."""
    from PIL import Image

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    flat = picture.convert("RGB")
    return Image.frombytes("RGB", flat.size, flat.tobytes())


def _coarsen(picture: Image.Image) -> Image.Image:
    from PIL import Image

    scale = UNSAFE_PATCHES / max(picture.size)
    patches = tuple(max(1, round(side * scale)) for side in picture.size)
    rough = picture.resize((patches[0], patches[1]), Image.Resampling.BOX)
    return rough.resize(picture.size, Image.Resampling.BICUBIC)
