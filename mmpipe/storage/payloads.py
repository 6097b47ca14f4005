"""What a record's payload is: its body without transfer and content codings, its kind told from type and bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isal import isal_zlib

from mmpipe.storage.warc_heads import HttpHead, parse_http_head, read_charset, read_mime


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of a record after transfer and content decoding.

    `content_type` is the HTTP Content-Type as written, `charset` its parameter. `is_cut` says that the body was longer
    than the caller's limit, that the record holds fewer bytes than it declares, or that a coding broke off.
    """

    body: bytes
    content_type: str | None
    charset: str | None
    http_status: int | None
    is_cut: bool


HTML_MIMES = frozenset({"text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml"})
XML_MIMES = frozenset({"application/xml", "text/xml"})
#: Types that servers send when they do not know; the bytes decide.
GENERIC_MIMES = frozenset(
    {
        "application/octet-stream",
        "binary/octet-stream",
        "application/unknown",
        "application/x-unknown",
        "unknown/unknown",
        "application/force-download",
        "application/download",
        "*/*",
    }
)
_SNIFF_BYTES = 4096
_IMAGE_MAGICS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x01\x00",
)
_BINARY_MAGICS = (b"%PDF-", b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0", b"Rar!", b"7z\xbc\xaf", b"wOFF", b"wOF2")
#: The tags that WHATWG's MIME sniffing (section 7.1) takes for HTML, and the ones that old pages begin with.
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*\?>|<!--.*?-->|\s)*<(?:!doctype\s+html|html|head|body|title|meta|script|style|link|base|iframe|frameset"
    rb"|h[1-6]|div|span|font|table|center|a|b|br|p|img|form|ul|ol|section|article|main|nav|header)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)
_HTML_ROOT = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_UTF8_BOM = b"\xef\xbb\xbf"
_CODING_NAMES = {"x-gzip": "gzip", "gzip": "gzip", "deflate": "deflate", "br": "br", "zstd": "zstd"}


def tell_kind(mime: str | None, hint: str | None, start: bytes) -> str:
    """Return html, plain_text, image or other for a payload.

    The declared type decides unless the bytes speak plainly against it, or it is absent or generic; a crawler's own
    guess (`WARC-Identified-Payload-Type`) is asked only where both are silent, since many dumps have none.

    Args:
        mime: media type of the HTTP response.
        hint: the crawler's guess.
        start: first bytes of the decoded body.
    """
    sniffed = sniff_kind(start)
    is_binary = sniffed in ("image", "other")
    if mime in HTML_MIMES:
        return sniffed if is_binary else "html"
    if mime is not None and mime.startswith("image/"):
        return "html" if sniffed == "html" else "image"
    # a piece of markup may be quoted in any text, so only what begins as a whole page is one against its type
    is_page = sniffed == "html" and _HTML_ROOT.match(_strip_start(start)) is not None
    if mime == "text/plain":
        return "html" if is_page else sniffed if is_binary else "plain_text"
    if mime is not None and mime not in GENERIC_MIMES | XML_MIMES:
        return "html" if is_page else "other"
    if sniffed != "plain_text":
        return sniffed
    return "html" if hint in HTML_MIMES else "other" if mime in XML_MIMES else "plain_text"


def sniff_kind(start: bytes) -> str:
    """Return html, image, plain_text or other from the first bytes of a body alone."""
    start = start[:_SNIFF_BYTES]
    if start.startswith(_IMAGE_MAGICS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return "image"
    if start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1"):
        return "image"
    if start.startswith(_BINARY_MAGICS):
        return "other"
    text = _strip_start(start)
    if _HTML_START.match(text) or _HTML_ROOT.search(text):
        return "html"
    # control characters that no text has: WHATWG MIME sniffing, section 7.1, "binary data byte"
    return "other" if re.search(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]", text) else "plain_text"


def _strip_start(start: bytes) -> bytes:
    """Return the bytes as ASCII-like text from the first that is not white space, whatever the byte order mark says."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16-le" if start[:2] == b"\xff\xfe" else "utf-16-be"
        start = start[2:].decode(encoding, "replace").encode("utf-8", "replace")
    elif start[:_SNIFF_BYTES].count(b"\x00") > len(start) // 3 and b"<\x00" in start:
        start = start.decode("utf-16-le", "replace").encode("utf-8", "replace")
    return start.removeprefix(_UTF8_BOM).lstrip()


def decode_body(body: bytes, headers: dict[str, str], max_bytes: int) -> tuple[bytes, bool]:
    """Take off chunked transfer coding and gzip, deflate, br or zstd content coding.

    Crawlers disagree on what they store: some keep the coded body, some decode it and leave the headers as they were.
    So a coding is taken off only where the bytes bear it; a body that is not coded is returned as it is.

    Args:
        body: bytes after the HTTP head, perhaps only the first of them.
        headers: HTTP headers by lower-case name.
        max_bytes: most bytes to return.

    Returns:
        The decoded bytes, and whether more would follow.
    """
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _decode_chunked(body)
    is_cut = False
    codings = [part.strip().lower() for part in headers.get("content-encoding", "").split(",")]
    for coding in reversed([_CODING_NAMES[name] for name in codings if name in _CODING_NAMES]):
        decode = _DECODERS.get(coding)
        decoded = decode(body, max_bytes) if decode else _inflate(body, coding, max_bytes)
        if decoded is not None:
            body, is_cut = decoded
    return body[:max_bytes], is_cut or len(body) > max_bytes


def _decode_chunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    position = 0
    while position < len(body):
        end = body.find(b"\n", position)
        size_text = body[position:end].partition(b";")[0].strip() if end >= 0 else b""
        if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", size_text):
            # not chunked after all (decoded by the crawler), or broken later on: the rest is kept as it stands
            return body if position == 0 else b"".join(parts)
        size = int(size_text, 16)
        if size == 0:
            break
        parts.append(body[end + 1 : end + 1 + size])
        position = end + 1 + size
        position += 2 if body[position : position + 2] == b"\r\n" else body[position : position + 1] == b"\n"
    return b"".join(parts)


def _inflate(body: bytes, coding: str, max_bytes: int) -> tuple[bytes, bool] | None:
    """Return the inflated bytes and whether they stop short; None if the body does not bear the coding."""
    # "deflate" is zlib by the standard and a raw stream on many servers
    for window_bits in (31,) if coding == "gzip" else (15, -15):
        inflate: Any = isal_zlib.decompressobj(window_bits)
        parts: list[bytes] = []
        size, data = 0, body
        try:
            while not inflate.eof and size <= max_bytes:
                piece = inflate.decompress(data, 1 << 20)
                parts.append(piece)
                size += len(piece)
                data = inflate.unconsumed_tail
                if not piece and not data:
                    break
        except isal_zlib.error:  # type: ignore[misc]  # isal's stub declares the class as an instance
            if size == 0:
                continue
            return b"".join(parts), True
        if size or inflate.eof:
            return b"".join(parts), not inflate.eof
    return None


def _decode_brotli(body: bytes, max_bytes: int) -> tuple[bytes, bool] | None:
    from fastwarc.stream_io import BrotliReader

    reader = BrotliReader(io.BytesIO(body))
    parts: list[bytes] = []
    size = 0
    try:
        while size <= max_bytes and (piece := reader.read(1 << 16)):
            parts.append(piece)
            size += len(piece)
    except OSError:
        return (b"".join(parts), True) if size else None
    return b"".join(parts), size > max_bytes


def _decode_zstd(body: bytes, max_bytes: int) -> tuple[bytes, bool] | None:
    from backports import zstd

    parts: list[bytes] = []
    size, data = 0, body
    try:
        # a body may be several frames (RFC 8878, section 3.1)
        while data and size <= max_bytes:
            inflate = zstd.ZstdDecompressor()
            piece = inflate.decompress(data, max_bytes + 1 - size)
            parts.append(piece)
            size += len(piece)
            if not inflate.eof:
                return (b"".join(parts), True) if size else None
            data = inflate.unused_data
    except zstd.ZstdError:
        return (b"".join(parts), True) if size else None
    return (b"".join(parts), size > max_bytes) if parts else None


#: Content codings besides those of zlib.
_DECODERS: dict[str, Callable[[bytes, int], tuple[bytes, bool] | None]] = {"br": _decode_brotli, "zstd": _decode_zstd}


def parse_block(block: bytes, headers: dict[str, str]) -> HttpHead:
    """Return the HTTP head of a record's block; one made from the record's own headers where it holds no response."""
    head = parse_http_head(block)
    if head.head_bytes:
        return head
    content_type = headers.get("content-type")
    is_http = content_type is None or content_type.startswith("application/http")
    return HttpHead(None, {} if is_http else {"content-type": content_type or ""}, 0)


def make_payload(block: bytes, headers: dict[str, str], block_bytes: int, declared: int, max_bytes: int) -> Payload:
    """Return the payload of a record from the (first bytes of the) block it holds."""
    head = parse_block(block, headers)
    body, is_cut = decode_body(block[head.head_bytes :], head.headers, max_bytes)
    content_type = head.headers.get("content-type")
    return Payload(
        body,
        content_type if read_mime(content_type) else None,
        read_charset(content_type),
        head.status,
        is_cut or len(block) < block_bytes or block_bytes < declared,
    )
