"""Where records lie in the bytes of a crawl file: gzip members, plain stretches, and the way back in after damage."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Protocol

from isal import isal_zlib

from mmpipe.storage.warc_heads import looks_like_record, parse_record_head

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 16
#: Most bytes one inflate call may give, so that a gzip bomb costs time and never memory.
PIECE_BYTES = 1 << 20
#: Longest head of a record that is believed.
HEAD_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b\x08"

_PLAIN_START = re.compile(
    rb"\n(?=WARC/[01]\.\d)"
    rb"|\n(?=[a-z][a-z0-9+.-]{1,11}:[^\s]+ [0-9a-fA-F.:]{3,45} \d{12,14} [^\n]{1,2000}\d\r?\n)"
)


class DamagedBytes(Exception):
    """Bytes that are not a gzip member, or do not begin with the head of a record."""


@dataclass(slots=True)
class StoredRecord:
    """One record as it lies in the file.

    `block` holds the first bytes of its content, as many as the reader was asked to keep; `block_bytes` counts all
    that are there and `declared_bytes` all that should be. `is_damaged` says that the bytes cannot be trusted.
    """

    offset: int
    length: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    block: bytes = b""
    block_bytes: int = 0
    declared_bytes: int = 0
    is_damaged: bool = False


class FileBytes:
    """A file read forward in chunks; it seeks only where the next record is not within reach."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._buffer = b""
        self.position = stream.tell()

    def take(self) -> bytes:
        """Return the next bytes, empty at the end of the file."""
        data = self._buffer or self._stream.read(CHUNK_BYTES)
        self._buffer = b""
        self.position += len(data)
        return data

    def put_back(self, rest: bytes) -> None:
        """Give back the end of what was taken."""
        self._buffer = rest + self._buffer
        self.position -= len(rest)

    def move(self, position: int) -> None:
        """Go to a byte of the file."""
        gap = position - self.position
        if 0 <= gap <= len(self._buffer):
            self._buffer = self._buffer[gap:]
        elif position != self.position:
            self._buffer = b""
            self._stream.seek(position)
        self.position = position

    def is_at_end(self, position: int) -> bool:
        """Whether no byte follows `position`; the source stands there afterwards."""
        self.move(position)
        data = self.take()
        self.put_back(data)
        return not data


class Stretch(Protocol):
    """A run of record bytes that is read front to back."""

    def read(self) -> bytes:
        """Return the next bytes, empty at the end."""


class GzipMember:
    """The inflated bytes of one gzip member.

    Python's isal inflates as fast as fastwarc's own reader and, unlike it, stops at the member's end, so that a
    record that declares too many bytes cannot swallow its neighbour.
    """

    def __init__(self, source: FileBytes, offset: int) -> None:
        source.move(offset)
        self._source = source
        self._inflate: Any = isal_zlib.decompressobj(31)
        #: First byte after the member; None until it was read to its end.
        self.end: int | None = None

    def read(self) -> bytes:
        """Return the next inflated bytes; empty at the end of the member or of a file that was cut.

        Raises:
            DamagedBytes: not gzip, or the checksum does not hold.
        """
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._source.take()
            try:
                piece: bytes = self._inflate.decompress(data, PIECE_BYTES)
            except isal_zlib.error as error:  # type: ignore[misc]  # isal's stub declares the class as an instance
                raise DamagedBytes(str(error)) from error
            if self._inflate.eof:
                self._source.put_back(self._inflate.unused_data)
                self.end = self._source.position
            if piece:
                return piece
            if not data:
                break
        return b""


class PlainStretch:
    """The bytes of an uncompressed file from one offset on."""

    def __init__(self, source: FileBytes, offset: int) -> None:
        source.move(offset)
        self._source = source

    def read(self) -> bytes:
        """Return the next bytes, empty at the end of the file."""
        return self._source.take()


class RecordCursor:
    """Reads records one after another from a stretch."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self._buffer = b""
        #: Bytes of the stretch that are behind the cursor.
        self.position = 0

    def _fill(self) -> bool:
        more = self._stretch.read()
        self._buffer += more
        return bool(more)

    def _drop(self, count: int) -> None:
        self._buffer = self._buffer[count:]
        self.position += count

    def find_record(self) -> bool:
        """Go over the blank lines between records; return whether more bytes follow."""
        while True:
            rest = self._buffer.lstrip(b"\r\n")
            self._drop(len(self._buffer) - len(rest))
            if rest:
                return True
            if not self._fill():
                return False

    def read_record(self, record: StoredRecord, keep_bytes: int) -> None:
        """Read the head and the block of the record at the cursor into `record`.

        Raises:
            DamagedBytes: no head of a record stands here, or the stretch breaks within it.
        """
        while (head := parse_record_head(self._buffer)) is None:
            if len(self._buffer) > HEAD_BYTES or not looks_like_record(self._buffer) or not self._fill():
                raise DamagedBytes("no record head")
        record.headers, record.declared_bytes = head.headers, head.block_bytes
        self._drop(head.head_bytes)
        while record.block_bytes < record.declared_bytes and (self._buffer or self._fill()):
            count = min(len(self._buffer), record.declared_bytes - record.block_bytes)
            room = keep_bytes - len(record.block)
            if room > 0:
                record.block += self._buffer[: min(count, room)]
            record.block_bytes += count
            self._drop(count)


def read_gzip_records(source: FileBytes, start: int, stop: int, keep_bytes: int) -> Iterator[StoredRecord]:
    """Yield the records whose gzip member starts in [start, stop), in file order.

    A damaged member gives one damaged record, and reading goes on at the next member that begins with a record.
    Where one member holds several records (a file compressed as a whole), the first has the member's offset and each
    further one the next integer, so that offsets name records; their `length` is 0, as none has bytes of its own.
    """
    position = start
    while position < stop and not source.is_at_end(position):
        member = GzipMember(source, position)
        last: StoredRecord | None = None
        cursor = RecordCursor(member)
        count = 0
        try:
            while cursor.find_record():
                if last is not None:
                    yield last
                last = StoredRecord(position + count)
                count += 1
                cursor.read_record(last, keep_bytes)
        except DamagedBytes:
            last = last or StoredRecord(position)
            last.is_damaged = True
        if last is None and member.end is None:
            last = StoredRecord(position, is_damaged=True)  # cut before its first byte of content
        damaged = last is not None and last.is_damaged
        following = find_gzip_record(source, position + 1) if damaged or member.end is None else member.end
        if last is not None:
            last.length = following - last.offset if count <= 1 or last.is_damaged else 0
            yield last
        position = following


def read_plain_records(source: FileBytes, start: int, stop: int, keep_bytes: int) -> Iterator[StoredRecord]:
    """Yield the records of an uncompressed file that start in [start, stop), in file order."""
    position = start
    while position < stop and not source.is_at_end(position):
        cursor = RecordCursor(PlainStretch(source, position))
        base = position
        record: StoredRecord | None = None
        try:
            while cursor.find_record():
                position = base + cursor.position
                if record is not None:
                    record.length = position - record.offset
                    yield record
                    record = None
                if position >= stop:
                    return
                record = StoredRecord(position)
                cursor.read_record(record, keep_bytes)
            position = base + cursor.position
        except DamagedBytes:
            assert record is not None
            record.is_damaged = True
            position = find_plain_record(source, record.offset + 1)
        if record is not None:
            record.length = position - record.offset
            yield record


def find_gzip_record(source: FileBytes, position: int) -> int:
    """Return the first offset at or after `position` where a gzip member begins with a record; else the file's end."""
    for candidate in _search(source, position, re.compile(re.escape(GZIP_MAGIC)), overlap=len(GZIP_MAGIC) - 1):
        if _begins_with_record(source, candidate):
            return candidate
    return source.position


def find_plain_record(source: FileBytes, position: int) -> int:
    """Return the first offset after `position` where the head of a record stands on a line; else the file's end."""
    for candidate in _search(source, max(position - 1, 0), _PLAIN_START, overlap=4096):
        if candidate + 1 >= position:
            return candidate + 1
    return source.position


def _begins_with_record(source: FileBytes, offset: int) -> bool:
    cursor = RecordCursor(GzipMember(source, offset))
    try:
        return cursor.find_record() and looks_like_record(cursor._buffer)  # noqa: SLF001 - same module
    except DamagedBytes:
        return False


def _search(source: FileBytes, position: int, pattern: re.Pattern[bytes], overlap: int) -> Iterator[int]:
    """Yield the offsets of all matches, leaving the source at the file's end; the caller may move it meanwhile."""
    start, window = position, b""
    while True:
        source.move(start + len(window))
        data = source.take()
        window += data
        # a match in the overlap may still grow, so it is left for the next round, unless this is the last
        safe = len(window) - overlap if data else len(window)
        resume = 0
        for match in pattern.finditer(window):
            if match.start() >= safe:
                break
            yield start + match.start()
            resume = match.start() + 1
        if not data:
            source.move(start + len(window))
            return
        cut = max(resume, safe, 0)
        start, window = start + cut, window[cut:]


def find_shared_member(source: FileBytes, offset: int) -> int:
    """Return the offset of the last gzip member before `offset` that begins with a record; 0 if there is none."""
    reach = CHUNK_BYTES
    while True:
        entry, member = max(offset - reach, 0), -1
        while (found := find_gzip_record(source, max(entry, member + 1))) < offset and found > member:
            member = found
        if member >= 0 or entry == 0:
            return max(member, 0)
        reach *= 16
