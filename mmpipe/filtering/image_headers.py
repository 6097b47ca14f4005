"""Reads headers of image files from their bytes alone: format, size, orientation, frames; no pixel and no Pillow."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF87a", "gif"), (b"GIF89a", "gif"), (b"BM", "bmp"),
    (b"II*\0", "tiff"), (b"MM\0*", "tiff"), (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
)  # fmt: skip
_ORIENTATION_TAG = 0x0112
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_START_OF_SCAN, _APP1 = 0xDA, 0xE1
# JPEG markers without a segment behind them: TEM, RST0 to RST7
_BARE_MARKERS = frozenset([0x01, *range(0xD0, 0xD8)])
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# chunks that, before the pixels of a PNG, make it one that only Pillow can read
_PNG_ODDITIES = frozenset((b"IEND", b"fdAT"))
_PNG_MODES = frozenset(
    [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (2, 3), (4, 3), (8, 3), (8, 4), (16, 4), (8, 6),
     (16, 6)]
)  # fmt: skip
_SVG = re.compile(
    r"(?:\s|<\?xml.*?\?>|<\?[\w-]+.*?\?>|<!--.*?-->|<!DOCTYPE\s+svg\b[^>\[]*(?:\[.*?\]\s*)?>)*<(?:svg:)?svg[\s/>]",
    re.DOTALL | re.IGNORECASE,
)
#: Bytes in which the root element of an SVG is looked for.
_SVG_BYTES = 4096


class _Unsure(Exception):
    """Says that only Pillow can tell: a header that is broken, cut or uncommon."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the first bytes of an image file say.

    Attributes:
        format: lower case: jpeg, png, webp, …
        stored_width: pixels as stored, before the orientation is applied.
        stored_height: pixels as stored.
        orientation: EXIF orientation, 1 to 8; 1 where the file tells none.
        frames: frames of an animation; 1 for a still picture.
    """

    format: str
    stored_width: int
    stored_height: int
    orientation: int = 1
    frames: int = 1

    @property
    def width(self) -> int:
        """Pixels of the picture as it is shown."""
        return self.stored_width if self.orientation < 5 else self.stored_height

    @property
    def height(self) -> int:
        """Pixels of the picture as it is shown."""
        return self.stored_height if self.orientation < 5 else self.stored_width


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


def is_vector(data: bytes) -> bool:
    """Return whether the bytes are an SVG: a drawing program whose root element is `svg`, not a page that holds one."""
    head = data[:_SVG_BYTES]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head.decode("utf-16", errors="replace")
    else:
        text = head.decode("utf-8-sig", errors="replace")
    return _SVG.match(text) is not None


def read_header(data: bytes) -> ImageHeader | None:
    """Return what the header says, as Pillow would after opening the file; None where only Pillow can tell.

    Read are JPEG (with EXIF), PNG and APNG, GIF, WebP, BMP and JPEG 2000. None for TIFF and AVIF, for a header that is
    broken, cut or uncommon, and for an orientation that only XMP tells.

    Args:
        data: the file; the whole of it where an animation's frames are to be counted.
    """
    name = sniff_format(data)
    reader = _READERS.get(name or "")
    if reader is None:
        return None
    try:
        header = reader(data)
    except (struct.error, IndexError, _Unsure):  # the first two: the file ends within its header
        return None
    return header if header.stored_width > 0 and header.stored_height > 0 else None


def _require(is_plain: bool) -> None:
    if not is_plain:
        raise _Unsure


def _read_jpeg(data: bytes) -> ImageHeader:
    sizes: list[tuple[int, int]] = []
    exifs: list[bytes] = []
    is_told_by_xmp = False
    for marker, start, end in _list_segments(data):
        if marker in _FRAME_MARKERS:
            bits, height, width, components = struct.unpack_from(">BHHB", data, start)
            _require(bits == 8 and components in (1, 3, 4))
            sizes.append((width, height))
        elif marker == _APP1 and data.startswith(b"Exif\0\0", start):
            exifs.append(data[start + 6 : end])
        elif marker == _APP1 and data.startswith(_XMP, start):
            is_told_by_xmp |= data.find(b"Orientation", start, end) >= 0
    _require(len(sizes) == 1 and len(exifs) <= 1)
    orientation = _read_orientation(exifs[0]) if exifs else None
    _require(orientation is not None or not is_told_by_xmp)
    return ImageHeader("jpeg", *sizes[0], orientation or 1)


def _list_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of a JPEG's segments before its first scan."""
    place = 2
    while True:
        _require(data[place] == 0xFF)
        while data[place] == 0xFF:
            place += 1
        marker = data[place]
        place += 1
        if marker in _BARE_MARKERS:
            continue
        _require(marker >= 0xC0 and marker not in (0xD8, 0xD9))
        end = place + struct.unpack_from(">H", data, place)[0]
        _require(place + 2 <= end <= len(data))
        if marker == _START_OF_SCAN:
            return
        yield marker, place + 2, end
        place = end


def _read_orientation(exif: bytes) -> int | None:
    """Return the orientation of a block of EXIF, from its TIFF header on; None where none is told.

    Raises:
        _Unsure: the block is broken, or tells it twice or oddly.
        struct.error: the block is cut.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4], "")
    _require(bool(order))
    (start,) = struct.unpack_from(order + "I", exif, 4)
    (entries,) = struct.unpack_from(order + "H", exif, start)
    found: int | None = None
    for place in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind, count, value, _ = struct.unpack_from(order + "HHIHH", exif, place)
        if tag == _ORIENTATION_TAG:
            _require(found is None and kind == 3 and count == 1)
            found = value if 1 <= value <= 8 else 1
    return found


def _read_png(data: bytes) -> ImageHeader:
    _require(data[8:16] == b"\0\0\0\x0dIHDR")
    width, height, bits, kind = struct.unpack_from(">IIBB", data, 16)
    _require((bits, kind) in _PNG_MODES)
    exifs: list[bytes] = []
    animations: list[int] = []
    names: set[bytes] = set()
    has_xmp = False
    for name, start, end in _list_png_chunks(data):
        names.add(name)
        if name == b"eXIf":
            exifs.append(data[start:end])
        elif name == b"acTL":
            animations.append(struct.unpack_from(">I", data, start)[0])
        elif name == b"iTXt":
            has_xmp |= data.startswith(b"XML:com.adobe.xmp\0", start)
    _require(len(exifs) <= 1 and len(animations) <= 1 and all(0 < frames <= 0x80000000 for frames in animations))
    orientation = _read_orientation(exifs[0]) if exifs else None
    _require(orientation is not None or not (exifs and has_xmp))
    # pixels that no control of a frame stands before are a picture beside the frames
    frames = animations[0] + (b"fcTL" not in names) if animations else 1
    return ImageHeader("png", width, height, orientation or 1, frames)


def _list_png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) of a PNG's chunks before its pixels, their checksums verified."""
    place = 8
    while True:
        length, name = struct.unpack_from(">I4s", data, place)
        if name == b"IDAT":
            return
        start, end = place + 8, place + 8 + length
        _require(name.isalpha() and name not in _PNG_ODDITIES and (name != b"IHDR" or place == 8))
        _require(end < len(data) and zlib.crc32(data[place + 4 : end]) == struct.unpack_from(">I", data, end)[0])
        yield name, start, end
        place = end + 4


def _read_gif(data: bytes) -> ImageHeader:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    place = 13 + _measure_palette(flags)
    frames = 0
    while data[place] != 0x3B:
        _require(data[place] in (0x21, 0x2C))
        if data[place] == 0x21:
            place += 2
        else:
            left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, place + 1)
            if not frames:  # the first frame may stand out of the screen, and then the picture is larger
                width, height = max(width, left + frame_width), max(height, top + frame_height)
            frames += 1
            place += 11 + _measure_palette(flags)
        while data[place]:
            place += data[place] + 1
        place += 1
    _require(frames > 0)
    return ImageHeader("gif", width, height, 1, frames)


def _measure_palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 128 else 0


def _read_webp(data: bytes) -> ImageHeader:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        _require(not data[20] & 1 and data[23:26] == b"\x9d\x01\x2a")
        return ImageHeader("webp", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        _require(data[20] == 0x2F and bits >> 29 == 0)
        return ImageHeader("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    _require(kind == b"VP8X" and data[16:20] == b"\x0a\0\0\0")
    frames, orientation = 0, None
    for name, start, end in _list_webp_chunks(data):
        frames += name == b"ANMF"
        if name == b"EXIF":
            orientation = _read_orientation(data[start:end].removeprefix(b"Exif\0\0"))
        _require(name != b"XMP " or data.find(b"Orientation", start, end) < 0)
    _require(bool(data[20] & 2) == (frames > 0))
    sides = (1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little"))
    return ImageHeader("webp", *sides, orientation or 1, frames or 1)


def _list_webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) of the chunks that follow a WebP's extended header."""
    place, stop = 30, 8 + int.from_bytes(data[4:8], "little")
    while place < stop:
        name, size = struct.unpack_from("<4sI", data, place)
        _require(place + 8 + size <= len(data))
        yield name, place + 8, place + 8 + size
        place += 8 + size + (size & 1)


def _read_bmp(data: bytes) -> ImageHeader:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        return ImageHeader("bmp", *struct.unpack_from("<HH", data, 18))
    _require(size in (40, 52, 56, 64, 108, 124))
    width, height = struct.unpack_from("<II", data, 18)
    is_from_top = data[25] == 0xFF  # the sign of the height
    return ImageHeader("bmp", width, 2**32 - height if is_from_top else height)


def _read_jpeg2000(data: bytes) -> ImageHeader:
    if data.startswith(b"\xff\x4f"):
        right, lower, left, upper = struct.unpack_from(">4I", data, 8)
        return ImageHeader("jpeg2000", right - left, lower - upper)
    place = 12
    while data[place + 4 : place + 8] != b"jp2h":
        (size,) = struct.unpack_from(">I", data, place)
        _require(size >= 8)
        place += size
    _require(data[place + 8 : place + 16] == b"\0\0\0\x16ihdr")
    height, width = struct.unpack_from(">II", data, place + 16)
    return ImageHeader("jpeg2000", width, height)


_READERS: dict[str, Callable[[bytes], ImageHeader]] = {
    "jpeg": _read_jpeg, "png": _read_png, "gif": _read_gif, "webp": _read_webp, "bmp": _read_bmp,
    "jpeg2000": _read_jpeg2000,
}  # fmt: skip
