"""Writes WARC 1.0 and 1.1 files, one gzip member per record, and the damaged records that real crawls hold."""

from __future__ import annotations

import base64
import hashlib
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a server answered: status line, headers and body, and when."""

    url: str
    crawled_at: datetime
    body: bytes
    content_type: str | None = "text/html; charset=utf-8"
    status: int = 200
    reason: str = "OK"
    headers: Mapping[str, str] = field(default_factory=dict)


class WarcWriter:
    """Writes one `.warc.gz` file under a temporary name that becomes visible on a clean exit.

    Every write returns the record's first byte and its length in the compressed file. The same calls give the same
    bytes: record ids are hashes of file name and offset. Follows ISO 28500:2009 (WARC 1.0) and ISO 28500:2017 (1.1).
    """

    def __init__(self, path: Path, *, version: str = "1.1") -> None:
        self._path = path
        self._temporary = path.with_name(path.name + ".writing")
        self._version = version
        self._file: IO[bytes] = self._temporary.open("wb")
        self._offset = 0
        self._cut_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._cut_bytes:
            self._file.truncate(self._offset - self._cut_bytes)
        self._file.close()
        if kind is None:
            self._temporary.replace(self._path)

    def write_info(self, about: Mapping[str, str], written_at: datetime) -> tuple[int, int]:
        """Write the `warcinfo` record that opens a file."""
        block = b"".join(f"{name}: {value}\r\n".encode() for name, value in about.items())
        extra = {"WARC-Filename": self._path.name, "Content-Type": "application/warc-fields"}
        return self._write("warcinfo", written_at, extra, block)

    def write_request(self, reply: HttpReply, agent: str) -> tuple[int, int]:
        """Write the `request` record of a reply."""
        host, _, rest = reply.url.partition("://")[2].partition("/")
        lines = (f"GET /{rest} HTTP/1.1", f"User-Agent: {agent}", "Accept-Language: en-US,en;q=0.5", f"Host: {host}")
        block = "\r\n".join(lines).encode() + 2 * _CRLF
        extra = {"WARC-Target-URI": reply.url, "Content-Type": "application/http; msgtype=request"}
        return self._write("request", reply.crawled_at, extra, block)

    def write_response(
        self, reply: HttpReply, *, truncated: str | None = None, corrupt: bool = False
    ) -> tuple[int, int]:
        """Write a `response` record.

        `truncated` is the reason given as `WARC-Truncated`; `corrupt` spoils bytes in the middle of the gzip member,
        whose length in the file stays right.
        """
        extra = {
            "WARC-Target-URI": reply.url,
            "Content-Type": "application/http; msgtype=response",
            "WARC-Payload-Digest": _digest(reply.body),
        }
        if truncated:
            extra["WARC-Truncated"] = truncated
        block = _format_http_head(reply) + reply.body
        return self._write("response", reply.crawled_at, extra, block, corrupt=corrupt)

    def write_revisit(self, reply: HttpReply, *, first_seen: datetime) -> tuple[int, int]:
        """Write a `revisit` record: the page was the same as when first seen, so only the HTTP head is stored."""
        extra = {
            "WARC-Target-URI": reply.url,
            "Content-Type": "application/http; msgtype=response",
            "WARC-Payload-Digest": _digest(reply.body),
            "WARC-Profile": f"http://netpreserve.org/warc/{self._version}/revisit/identical-payload-digest",
            "WARC-Refers-To-Target-URI": reply.url,
            "WARC-Refers-To-Date": _format_date(first_seen),
        }
        return self._write("revisit", reply.crawled_at, extra, _format_http_head(reply))

    def write_metadata(self, reply: HttpReply, fields: Mapping[str, str]) -> tuple[int, int]:
        """Write the `metadata` record a crawler adds to a reply."""
        block = b"".join(f"{name}: {value}\r\n".encode() for name, value in fields.items())
        extra = {"WARC-Target-URI": reply.url, "Content-Type": "application/warc-fields"}
        return self._write("metadata", reply.crawled_at, extra, block)

    def cut_end(self, byte_count: int) -> None:
        """Cut that many bytes off the file's end when it is closed, as a broken download leaves it."""
        self._cut_bytes = byte_count

    def _write(
        self, record_type: str, written_at: datetime, extra: Mapping[str, str], block: bytes, *, corrupt: bool = False
    ) -> tuple[int, int]:
        record_id = uuid.uuid5(_NAMESPACE, f"{self._path.parent.name}/{self._path.name}/{self._offset}")
        headers = {
            "WARC-Type": record_type,
            "WARC-Record-ID": f"<urn:uuid:{record_id}>",
            "WARC-Date": _format_date(written_at),
            **extra,
            "WARC-Block-Digest": _digest(block),
            "Content-Length": str(len(block)),
        }
        head = f"WARC/{self._version}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        compressor = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        member = compressor.compress(head.encode() + _CRLF + block + 2 * _CRLF) + compressor.flush()
        if corrupt:
            middle = len(member) // 2
            spoilt = bytes(byte ^ 0xFF for byte in member[middle : middle + 64])
            member = member[:middle] + spoilt + member[middle + len(spoilt) :]
        offset = self._offset
        self._file.write(member)
        self._offset += len(member)
        return offset, len(member)


def _format_http_head(reply: HttpReply) -> bytes:
    headers = {"Date": reply.crawled_at.strftime("%a, %d %b %Y %H:%M:%S GMT"), "Server": "nginx"}
    if reply.content_type is not None:
        headers["Content-Type"] = reply.content_type
    headers |= {"Content-Length": str(len(reply.body)), **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} {reply.reason}\r\n{lines}\r\n".encode()


def _format_date(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _digest(data: bytes) -> str:
    # SHA-1 in base 32 is what crawlers write; it names bytes here and guards nothing.
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
