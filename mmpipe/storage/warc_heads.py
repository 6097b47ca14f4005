"""What the head of a record says: WARC and ARC headers, and the HTTP head of a response."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_WARC_VERSION = re.compile(rb"WARC/\d")
#: ARC version 1: URL, IP address, 14-digit date, media type, length. The URL may hold spaces, the type may be absent.
_ARC_1 = re.compile(r"(?P<url>\S.*) (?P<ip>[0-9a-fA-F.:]{3,45}) (?P<date>\d{12,14}) (?P<mime>.*?) ?(?P<length>\d+)")
#: ARC version 2 adds status, checksum, location, offset and file name before the length.
_ARC_2 = re.compile(
    r"(?P<url>\S.*) (?P<ip>[0-9a-fA-F.:]{3,45}) (?P<date>\d{12,14}) (?P<mime>\S*)"
    r" \d{1,3} \S+ \S+ \d+ \S+ (?P<length>\d+)"
)
_SCHEME = re.compile(rb"[a-z][a-z0-9+.-]{1,11}:")
_STATUS_LINE = re.compile(r"HTTP/\d(?:\.\d)? (\d{3})")


@dataclass(frozen=True, slots=True)
class RecordHead:
    """The headers of a record (names in lower case) and the lengths of its head and its block in bytes."""

    headers: dict[str, str]
    head_bytes: int
    block_bytes: int


@dataclass(frozen=True, slots=True)
class HttpHead:
    """The status, the headers (names in lower case) and the length in bytes of an HTTP response's head."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    head_bytes: int = 0

    @property
    def mime(self) -> str | None:
        """Media type in lower case, without parameters."""
        return read_mime(self.headers.get("content-type"))

    @property
    def charset(self) -> str | None:
        """The charset parameter of the Content-Type, in lower case."""
        return read_charset(self.headers.get("content-type"))


def looks_like_record(data: bytes) -> bool:
    """Whether the first bytes could be the head of a WARC or ARC record."""
    if data[:5] == b"WARC/"[: len(data[:5])]:
        return True
    line, newline, _ = data[:8192].partition(b"\n")
    if not newline:
        return len(data) < 8192 and _SCHEME.match(data) is not None
    return _match_arc(line) is not None


def parse_record_head(data: bytes) -> RecordHead | None:
    """Parse the head at the start of `data`; None if it is not whole yet or is no head that gives a length."""
    if _WARC_VERSION.match(data):
        end = _HEAD_END.search(data)
        if end is None:
            return None
        headers = parse_header_lines(data[: end.start()].split(b"\n")[1:])
        length = headers.get("content-length", "")
        return RecordHead(headers, end.end(), _read_length(length)) if length.isascii() and length.isdigit() else None
    line, newline, _ = data[:8192].partition(b"\n")
    arc = _match_arc(line) if newline else None
    if arc is None:
        return None
    url = arc["url"]
    kind = "warcinfo" if url.startswith("filedesc:") else "response"
    headers = {"warc-type": kind, "warc-target-uri": url, "warc-date": arc["date"], "content-type": arc["mime"]}
    return RecordHead(headers, len(line) + 1, _read_length(arc["length"]))


def _read_length(digits: str) -> int:
    # Python refuses to read thousands of digits, and no length that is meant has twenty
    return int(digits[:20])


def _match_arc(line: bytes) -> re.Match[str] | None:
    if not _SCHEME.match(line):
        return None
    text = line.rstrip(b"\r").decode("utf-8", "replace")
    return _ARC_2.fullmatch(text) or _ARC_1.fullmatch(text)


def parse_header_lines(lines: list[bytes]) -> dict[str, str]:
    """Return headers by lower-case name; a folded line continues the one before it, a repeated name keeps the last."""
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        # headers should be ASCII, servers send UTF-8 and Latin-1: no byte may stop the record
        text = line.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode("utf-8").rstrip("\r")
        if text[:1] in (" ", "\t") and name:
            headers[name] += " " + text.strip()
            continue
        key, colon, value = text.partition(":")
        if colon:
            name = key.strip().lower()
            headers[name] = value.strip()
    return headers


def parse_http_head(block: bytes) -> HttpHead:
    """Parse the head of an HTTP response; a block that does not begin with one has no head and is all body."""
    if not block.startswith(b"HTTP/"):
        return HttpHead()
    end = _HEAD_END.search(block)
    lines = (block if end is None else block[: end.start()]).split(b"\n")
    status = _STATUS_LINE.match(lines[0].decode("latin-1"))
    return HttpHead(
        int(status[1]) if status else None,
        parse_header_lines(lines[1:]),
        len(block) if end is None else end.end(),
    )


def read_mime(content_type: str | None) -> str | None:
    """Return the media type of a Content-Type in lower case, without parameters; None if it is no media type."""
    mime = (content_type or "").partition(";")[0].partition(",")[0].strip().lower()
    return mime if "/" in mime else None


def read_charset(content_type: str | None) -> str | None:
    """Return the charset parameter of a Content-Type in lower case, without quotes."""
    found = re.search(r"charset\s*=\s*[\"']?([^\s\"';,]+)", content_type or "", re.IGNORECASE)
    return found[1].lower() if found else None


def parse_date(text: str | None) -> datetime | None:
    """Return a WARC-Date (ISO 8601, any precision) or an ARC date (12 or 14 digits) in UTC; None if it is neither."""
    digits = re.sub(r"\D", "", (text or "").partition(".")[0])
    if len(digits) < 8:
        return None
    fraction = re.search(r"\.(\d{1,6})", text or "")
    try:
        whole = datetime.strptime(digits[:14].ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return whole.replace(microsecond=int(fraction[1].ljust(6, "0"))) if fraction else whole
