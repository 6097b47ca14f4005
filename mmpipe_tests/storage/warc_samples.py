"""Writes small crawl files for the tests: records of any type, whole or broken, packed or plain, or as ARC."""

from __future__ import annotations

import gzip

from backports import zstd

PAGE = b"<!doctype html><html><body><p>Hello there</p></body></html>"


def make_http(body: bytes = PAGE, status: int = 200, content_type: str | None = "text/html", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said"]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def make_record(
    block: bytes | None = None, number: int = 0, kind: str = "response", declared: int | None = None, **headers: str
) -> bytes:
    block = make_http() if block is None else block
    fields = {
        "WARC-Type": kind,
        "WARC-Target-URI": f"http://example.org/{number}",
        "WARC-Date": "2024-05-01T12:00:00Z",
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block) if declared is None else declared),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "WARC/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + block + b"\r\n\r\n"


def make_arc_record(block: bytes, number: int = 0, mime: str = "text/html") -> bytes:
    return f"http://example.org/{number} 10.0.0.1 20080430204825 {mime} {len(block)}\n".encode() + block + b"\n"


def zip_members(*records: bytes) -> bytes:
    return b"".join(gzip.compress(record, mtime=0) for record in records)


def pack_frames(*records: bytes, dictionary: bytes = b"", is_dictionary_packed: bool = False) -> bytes:
    """Return a file of zstd frames as the WARC-zstd specification has it, with its dictionary in front."""
    if not dictionary:
        return b"".join(pack_frame(record) for record in records)
    stored = zstd.compress(dictionary) if is_dictionary_packed else dictionary
    head = b"\x5d\x2a\x4d\x18" + len(stored).to_bytes(4, "little") + stored
    return head + b"".join(pack_frame(record, dictionary) for record in records)


def pack_frame(record: bytes, dictionary: bytes = b"") -> bytes:
    """Return one frame with a checksum, as the specification asks for."""
    options = {zstd.CompressionParameter.checksum_flag: 1, zstd.CompressionParameter.compression_level: 3}
    return zstd.compress(record, options=options, zstd_dict=zstd.ZstdDict(dictionary) if dictionary else None)


def train_dictionary(*records: bytes) -> bytes:
    return zstd.train_dict(records, 4096).dict_content
