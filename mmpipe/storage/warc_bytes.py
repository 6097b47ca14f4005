"""Where records lie in bytes: heads and blocks read one after another, and the way back in after damage or a lie."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol

from mmpipe.storage.warc_heads import looks_like_record, parse_record_head

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 16
#: Most bytes one inflate call may give, so that a gzip bomb costs time and never memory.
PIECE_BYTES = 1 << 20
#: Longest head of a record that is believed, and longest first line of one.
HEAD_BYTES = 1 << 20
HEAD_LINE_BYTES = 8192
#: A longer block of an uncompressed file is not read before what follows it was looked at: its length may be a lie.
_LOOK_AHEAD_BYTES = 1 << 20

#: Longest block that is believed; no disk seeks much further.
_BLOCK_BYTES = 1 << 40
_RECORD_END = b"\r\n\r\n"
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
        #: What was read of the stretch and lies before the cursor.
        self.buffer = b""
        #: Bytes of the stretch that are behind the cursor.
        self.position = 0

    def _fill(self) -> bool:
        more = self._stretch.read()
        self.buffer += more
        return bool(more)

    def _drop(self, count: int) -> None:
        self.buffer = self.buffer[count:]
        self.position += count

    def find_record(self) -> bool:
        """Go over the blank lines between records; return whether more bytes follow."""
        while True:
            rest = self.buffer.lstrip(b"\r\n")
            self._drop(len(self.buffer) - len(rest))
            if rest:
                return True
            if not self._fill():
                return False

    def read_record(self, record: StoredRecord, keep_bytes: int) -> None:
        """Read the head and the block of the record at the cursor into `record`.

        Raises:
            DamagedBytes: no head of a record stands here, or the stretch breaks within it.
        """
        self.read_head(record)
        self.read_block(record, record.declared_bytes, keep_bytes)

    def read_head(self, record: StoredRecord) -> None:
        """Read the head of the record at the cursor.

        Raises:
            DamagedBytes: no head of a record stands here, or the stretch breaks within it.
        """
        while (head := parse_record_head(self.buffer)) is None:
            if len(self.buffer) > HEAD_BYTES or not looks_like_record(self.buffer) or not self._fill():
                raise DamagedBytes("no record head")
        record.headers, record.declared_bytes = head.headers, head.block_bytes
        self._drop(head.head_bytes)

    def read_block(self, record: StoredRecord, block_bytes: int, keep_bytes: int) -> None:
        """Read so many bytes of block, or as many as there are, and keep the first `keep_bytes`."""
        while record.block_bytes < block_bytes and (self.buffer or self._fill()):
            count = min(len(self.buffer), block_bytes - record.block_bytes)
            room = keep_bytes - len(record.block)
            if room > 0:
                record.block += self.buffer[: min(count, room)]
            record.block_bytes += count
            self._drop(count)

    def stands_behind_record(self) -> bool:
        """Whether what follows, blank lines aside, is another record or the end of all."""
        while not (rest := self.buffer.lstrip(b"\r\n")) or (
            len(rest) < HEAD_LINE_BYTES and b"\n" not in rest and looks_like_record(rest)
        ):
            if not self._fill():
                break
        return not rest or looks_like_record(rest)


def read_plain_records(source: FileBytes, start: int, stop: int, keep_bytes: int) -> Iterator[StoredRecord]:
    """Yield the records of an uncompressed file that start in [start, stop), in file order.

    A record whose declared length does not end where another begins is believed only as far as the next head of a
    record, so that a length that lies does not swallow the neighbours. (Damage behind a record that itself holds an
    archive therefore shows that archive's records as rows.)
    """
    position = start
    has_lied = False
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
                cursor.read_head(record)
                block_start = base + cursor.position
                if has_lied or record.declared_bytes > _LOOK_AHEAD_BYTES:
                    limit = _find_block_end(source, block_start, record.declared_bytes)
                    cursor = RecordCursor(PlainStretch(source, block_start))
                    base = block_start
                    cursor.read_block(record, limit, keep_bytes)
                    continue
                cursor.read_block(record, record.declared_bytes, keep_bytes)
                if record.block_bytes < record.declared_bytes or not cursor.stands_behind_record():
                    # from here on lengths are checked before a block is read, so that many lies cost no more than one
                    has_lied, position, record = True, record.offset, None
                    break
            else:
                position = base + cursor.position
        except DamagedBytes:
            assert record is not None
            record.is_damaged = True
            position = find_plain_record(source, record.offset + 1)
        if record is not None:
            record.length = position - record.offset
            yield record


def _find_block_end(source: FileBytes, start: int, declared_bytes: int) -> int:
    """Return how many bytes the block at `start` has: those declared, unless a record begins where none may."""
    end = start + min(declared_bytes, _BLOCK_BYTES)
    if not declared_bytes or not source.is_at_end(end - 1):
        behind = RecordCursor(PlainStretch(source, end))
        if behind.stands_behind_record():
            return declared_bytes
    following = find_plain_record(source, start)
    if following - start >= declared_bytes:
        return declared_bytes
    if not source.is_at_end(following) and following - start >= len(_RECORD_END):
        source.move(following - len(_RECORD_END))
        following -= len(_RECORD_END) if source.take().startswith(_RECORD_END) else 0
    return following - start


def find_plain_record(source: FileBytes, position: int) -> int:
    """Return the first offset after `position` where the head of a record stands on a line; else the file's end."""
    for candidate in search_bytes(source, max(position - 1, 0), _PLAIN_START, overlap=4096):
        if candidate + 1 >= position:
            return candidate + 1
    return source.position


def search_bytes(source: FileBytes, position: int, pattern: re.Pattern[bytes], overlap: int) -> Iterator[int]:
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
