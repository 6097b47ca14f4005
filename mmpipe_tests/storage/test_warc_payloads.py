"""Codings are taken off where the bytes bear them, and only there."""

from __future__ import annotations

import gzip
import zlib

import pytest
from backports import zstd

from mmpipe.storage.payloads import decode_body, sniff_kind, tell_kind
from mmpipe_tests.storage.warc_samples import PAGE

RAW_DEFLATE = zlib.compress(PAGE)[2:-4]


def chunk(body: bytes, size: int = 10) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def compress_with_brotli(body: bytes) -> bytes:
    import io

    from fastwarc.stream_io import BrotliWriter

    target = io.BytesIO()
    writer = BrotliWriter(target)
    writer.write(body)
    del writer  # writes what it holds back; closing it would close the target
    return target.getvalue()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (PAGE, {}),
        (PAGE, {"content-encoding": "gzip", "transfer-encoding": "chunked"}),  # decoded by the crawler
        (gzip.compress(PAGE), {"content-encoding": "gzip"}),
        (gzip.compress(PAGE), {"content-encoding": "X-GZIP"}),
        (zlib.compress(PAGE), {"content-encoding": "deflate"}),
        (RAW_DEFLATE, {"content-encoding": "deflate"}),
        (compress_with_brotli(PAGE), {"content-encoding": "br"}),
        (zstd.compress(PAGE), {"content-encoding": "zstd"}),
        (zstd.compress(PAGE[:9]) + zstd.compress(PAGE[9:]), {"content-encoding": "zstd"}),
        (PAGE, {"content-encoding": "zstd"}),  # decoded by the crawler
        (chunk(PAGE), {"transfer-encoding": "chunked"}),
        (chunk(gzip.compress(PAGE)), {"transfer-encoding": "Chunked", "content-encoding": "gzip"}),
        (gzip.compress(zlib.compress(PAGE)), {"content-encoding": "deflate, gzip"}),
        (PAGE, {"content-encoding": "none"}),
    ],
)
def test_codings(body: bytes, headers: dict[str, str]) -> None:
    assert decode_body(body, headers, 1000) == (PAGE, False)


def test_broken_and_bombing_codings_are_cut() -> None:
    body, is_cut = decode_body(gzip.compress(PAGE * 1000)[:-20], {"content-encoding": "gzip"}, 10**6)
    assert is_cut
    assert body.startswith(PAGE)
    assert decode_body(gzip.compress(bytes(5 << 20)), {"content-encoding": "gzip"}, 1000) == (bytes(1000), True)
    assert decode_body(zstd.compress(bytes(5 << 20)), {"content-encoding": "zstd"}, 1000) == (bytes(1000), True)
    broken = bytearray(zstd.compress(PAGE * 9))
    broken[4] ^= 0xFF
    assert decode_body(bytes(broken), {"content-encoding": "zstd"}, 1000) == (bytes(broken), False)
    assert decode_body(chunk(PAGE)[:30], {"transfer-encoding": "chunked"}, 1000)[0] == PAGE[:20]


@pytest.mark.parametrize(
    ("mime", "start", "kind"),
    [
        ("text/plain", b"just words", "plain_text"),
        ("text/plain", b"<!DOCTYPE html><p>", "html"),
        ("text/plain", b"how to write <html> by hand", "plain_text"),
        ("application/octet-stream", b"\x89PNG\r\n\x1a\n", "image"),
        ("application/json", b"{}", "other"),
        ("application/json", b"\n<!DOCTYPE html><html><body>", "html"),
        ("video/mp4", b"<html><head>", "html"),
        ("text/css", b"/* <html> */ body {}", "other"),
        ("application/pdf", b"<p>a piece</p>", "other"),
        ("text/xml", b"<rss>", "other"),
        (None, b"\x00\x01\x02", "other"),
        (None, b"words", "plain_text"),
        ("text/html", b"no tag at all", "html"),
    ],
)
def test_kinds(mime: str | None, start: bytes, kind: str) -> None:
    assert tell_kind(mime, None, start) == kind


def test_kind_from_bytes_alone() -> None:
    assert sniff_kind(b"RIFF....WEBPVP8 ") == "image"
    assert sniff_kind(b"PK\x03\x04") == "other"
