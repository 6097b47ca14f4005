"""Records in compressed crawl files: gzip members and zstd frames, read one by one, and found again after damage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from isal import isal_zlib

from mmpipe.storage.warc_bytes import (
    CHUNK_BYTES,
    PIECE_BYTES,
    DamagedBytes,
    FileBytes,
    RecordCursor,
    StoredRecord,
    Stretch,
    search_bytes,
)
from mmpipe.storage.warc_heads import looks_like_record

if TYPE_CHECKING:
    from collections.abc import Iterator

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: The skippable frame that holds the file's dictionary ("Zstandard Compression for WARC Files 1.0", IIPC).
DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"
#: Longest dictionary that is believed; published ones have a few hundred kilobytes.
_DICTIONARY_BYTES = 32 << 20


class Member(Stretch, Protocol):
    """A piece of the file that unpacks by itself."""

    #: First byte after the member; None until it was read to its end.
    end: int | None


class Packing(Protocol):
    """How the members of a file are packed; `magic` is what one begins with."""

    @property
    def magic(self) -> bytes: ...  # noqa: D102 - the class says it

    def open_member(self, source: FileBytes, offset: int) -> Member:
        """Return the member at an offset; nothing is read yet."""


class GzipPacking:
    """A file of gzip members."""

    magic = GZIP_MAGIC

    def open_member(self, source: FileBytes, offset: int) -> Member:
        """Return the member at an offset; nothing is read yet."""
        return _GzipMember(source, offset)


@dataclass(frozen=True, slots=True)
class ZstdPacking:
    """A file of zstd frames, which may share a dictionary (as bytes; empty for none)."""

    dictionary: bytes = b""
    magic = ZSTD_MAGIC

    def open_member(self, source: FileBytes, offset: int) -> Member:
        """Return the frame at an offset; nothing is read yet."""
        return _ZstdFrame(source, offset, self.dictionary)


class _GzipMember:
    """The inflated bytes of one gzip member.

    Python's isal inflates as fast as fastwarc's own reader and, unlike it, stops at the member's end, so that a
    record that declares too many bytes cannot swallow its neighbour.
    """

    def __init__(self, source: FileBytes, offset: int) -> None:
        source.move(offset)
        self._source = source
        self._inflate: Any = isal_zlib.decompressobj(31)
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


class _ZstdFrame:
    """The unpacked bytes of one zstd frame; a skippable frame has none."""

    def __init__(self, source: FileBytes, offset: int, dictionary: bytes) -> None:
        from backports import zstd

        source.move(offset)
        self._source = source
        # a window of more than 128 MiB (zstd's own default limit) is refused: memory stays flat on hostile frames
        self._inflate: Any = zstd.ZstdDecompressor(_open_dictionary(dictionary))
        self._error = zstd.ZstdError
        self.end: int | None = None

    def read(self) -> bytes:
        """Return the next unpacked bytes; empty at the end of the frame or of a file that was cut.

        Raises:
            DamagedBytes: not zstd, another dictionary, or the checksum does not hold.
        """
        while not self._inflate.eof:
            needs_input = self._inflate.needs_input
            data = self._source.take() if needs_input else b""
            try:
                piece: bytes = self._inflate.decompress(data, PIECE_BYTES)
            except self._error as error:
                raise DamagedBytes(str(error)) from error
            if self._inflate.eof:
                self._source.put_back(self._inflate.unused_data)
                self.end = self._source.position
            if piece:
                return piece
            if needs_input and not data:
                break
        return b""


#: The last dictionary opened: a file's frames all have the same, and opening one costs more than a small frame.
_opened_dictionary: list[tuple[bytes, Any]] = []


def _open_dictionary(dictionary: bytes) -> Any:
    from backports import zstd

    if not dictionary:
        return None
    if not _opened_dictionary or _opened_dictionary[0][0] is not dictionary:
        try:
            # the digested form is built once and reused by every frame
            opened = zstd.ZstdDict(dictionary).as_digested_dict
        except (ValueError, zstd.ZstdError):
            opened = None  # frames that need it are damaged then, each under its own offset
        _opened_dictionary[:] = [(dictionary, opened)]
    return _opened_dictionary[0][1]


def tell_packing(source: FileBytes, name: str) -> GzipPacking | ZstdPacking | None:
    """Return how a crawl file is packed, None for not at all: by its first bytes; by its name if they are damaged."""
    start = source.take()
    source.put_back(start)
    if start.startswith(b"WARC/"):
        return None
    if start.startswith((ZSTD_MAGIC, DICTIONARY_MAGIC)) or (name.endswith(".zst") and start[:3] != GZIP_MAGIC):
        return ZstdPacking(_read_dictionary(source))
    return GzipPacking() if start.startswith(GZIP_MAGIC) or name.endswith(".gz") else None


def _read_dictionary(source: FileBytes) -> bytes:
    """Return the dictionary that the file begins with, unpacked; empty if there is none or it cannot be read."""
    from backports import zstd

    source.move(0)
    head = source.take()
    size = int.from_bytes(head[4:8], "little")
    if not head.startswith(DICTIONARY_MAGIC) or size > _DICTIONARY_BYTES:
        source.put_back(head)
        return b""
    parts = [head[8:]]
    while sum(map(len, parts)) < size and (more := source.take()):
        parts.append(more)
    content = b"".join(parts)[:size]
    if not content.startswith(ZSTD_MAGIC):
        return content
    try:
        return zstd.ZstdDecompressor().decompress(content, _DICTIONARY_BYTES)
    except zstd.ZstdError:
        return b""


def read_member_records(
    source: FileBytes, packing: Packing, start: int, stop: int, keep_bytes: int
) -> Iterator[StoredRecord]:
    """Yield the records whose member starts in [start, stop), in file order.

    A damaged member gives one damaged record, and reading goes on at the next member that begins with a record.
    Where one member holds several records (a file compressed as a whole), the first has the member's offset and each
    further one the next integer, so that offsets name records; their `length` is 0, as none has bytes of its own.
    """
    position = start
    while position < stop and not source.is_at_end(position):
        member = packing.open_member(source, position)
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
        following = find_member_record(source, packing, position + 1) if damaged or member.end is None else member.end
        if last is not None:
            last.length = following - last.offset if count <= 1 or last.is_damaged else 0
            yield last
        position = following


def find_member_record(source: FileBytes, packing: Packing, position: int) -> int:
    """Return the first offset at or after `position` where a member begins with a record; else the file's end."""
    pattern = re.compile(re.escape(packing.magic))
    for candidate in search_bytes(source, position, pattern, overlap=len(packing.magic) - 1):
        if _begins_with_record(source, packing, candidate):
            return candidate
    return source.position


def find_shared_member(source: FileBytes, packing: Packing, offset: int) -> int:
    """Return the offset of the last member before `offset` that begins with a record; 0 if there is none."""
    reach = CHUNK_BYTES
    while True:
        entry, member = max(offset - reach, 0), -1
        while (found := find_member_record(source, packing, max(entry, member + 1))) < offset and found > member:
            member = found
        if member >= 0 or entry == 0:
            return max(member, 0)
        reach *= 16


def _begins_with_record(source: FileBytes, packing: Packing, offset: int) -> bool:
    cursor = RecordCursor(packing.open_member(source, offset))
    try:
        return cursor.find_record() and looks_like_record(cursor.buffer)
    except DamagedBytes:
        return False
