"""Reads crawl dumps: which files, cut into which ranges, indexed into raw_crawl rows, payloads by file and offset."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl

from mmpipe.errors import ShardError
from mmpipe.storage.payloads import Payload, decode_body, make_payload, parse_block, tell_kind
from mmpipe.storage.places import Place
from mmpipe.storage.warc_bytes import FileBytes, StoredRecord, find_plain_record, read_plain_records
from mmpipe.storage.warc_heads import parse_date, read_mime
from mmpipe.storage.warc_members import (
    GZIP_MAGIC,
    Packing,
    find_member_record,
    find_shared_member,
    read_member_records,
    tell_packing,
)
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import make_doc_id

CRAWL_SUFFIXES = tuple(f".{kind}{packed}" for kind in ("warc", "wet", "arc") for packed in ("", ".gz", ".zst"))
PATH_LIST_SUFFIXES = (".paths", ".paths.gz")
#: Record types that carry a payload; the others (warcinfo, request, metadata) are no rows.
PAYLOAD_TYPES = frozenset({"response", "resource", "conversion", "revisit"})
#: Bytes of a record's block that the index looks at: the HTTP head and enough of the body to tell its kind.
_INDEX_BYTES = 1 << 15
#: How far before a cut the reader enters the file, so that an archive inside a record is not taken for its neighbours.
_LOOKBACK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class WarcRange:
    """The records of one file (path inside the dump) that start in [start, stop), in bytes as stored."""

    file: str
    start: int
    stop: int


def list_crawl_files(dump: Place) -> list[str]:
    """Return the crawl files of a dump, sorted, as paths relative to `find_dump_root`.

    Args:
        dump: a folder, one crawl file, or a list of paths as Common Crawl gives it (`warc.paths`, `warc.paths.gz`).
    """
    if dump.name.endswith(PATH_LIST_SUFFIXES):
        data = dump.read_bytes()
        lines = (gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data).decode().splitlines()
        return sorted({line.strip() for line in lines if line.strip().endswith(CRAWL_SUFFIXES)})
    if dump.name.endswith(CRAWL_SUFFIXES):
        return [dump.name]
    return sorted(path for path in dump.list_files() if path.endswith(CRAWL_SUFFIXES))


def find_dump_root(dump: Place, base_url: str | None = None) -> Place:
    """Return the place that the paths of `list_crawl_files` are relative to.

    Args:
        dump: as for `list_crawl_files`.
        base_url: what the lines of a path list are relative to; for Common Crawl `https://data.commoncrawl.org`.
            Without it they are relative to the list's folder.
    """
    if dump.name.endswith(PATH_LIST_SUFFIXES) and base_url is not None:
        return Place(base_url)
    if dump.name.endswith(CRAWL_SUFFIXES + PATH_LIST_SUFFIXES):
        return Place(dump.url.rstrip("/").rpartition("/")[0] or ".")
    return dump


def cut_ranges(
    file: Place, target_bytes: int, root: Place | None = None, lookback_bytes: int = _LOOKBACK_BYTES
) -> list[WarcRange]:
    """Cut one crawl file into ranges of about `target_bytes`, each beginning at a record, without reading all of it.

    The rows of all ranges together are those of the whole file, whatever the cutting. The one exception is a cut
    inside a record that holds another archive of more than `lookback_bytes`: its inner records may be taken for rows.

    Args:
        file: the crawl file.
        target_bytes: wanted length of a range, bytes as stored.
        root: the folder that `WarcRange.file` is relative to; without it the file's own folder.
        lookback_bytes: how far before a cut the file is entered.

    Returns:
        Ranges in file order that cover the file without gap; none for a file of no bytes.
    """
    name = file.name if root is None else file.url.removeprefix(root.url.rstrip("/") + "/")
    size = file.size()
    seams = {0, size}
    if size > target_bytes:
        with _open_bytes(file) as opened:
            for nominal in range(target_bytes, size, target_bytes):
                if nominal <= max(seams - {size}):
                    continue
                entry = max(nominal - lookback_bytes, 0)
                position = opened.find_record(entry) if entry else 0
                # each record is read up to the cut; the seam is where the one that spans it ends
                for record in opened.read_records(position, nominal, 0):
                    position = record.offset + record.length
                seams.add(max(position, nominal) if position < size else size)
    edges = sorted(seams)
    return [WarcRange(name, start, stop) for start, stop in pairwise(edges)]


def index_range(dump_name: str, root: Place, warc_range: WarcRange) -> pl.DataFrame:
    """Return the rows of raw_crawl for the records that start in a range.

    A row is a record that carries a payload, or should: response, resource, conversion and revisit records, and
    damaged stretches (`corrupt_record`, each counted once). DNS answers, requests, metadata and warcinfo are no rows.
    Payloads are looked at (first 32 KiB), never held.

    Args:
        dump_name: name of the dump, part of every row's id.
        root: the place of the dump.
        warc_range: file inside the dump and bytes.
    """
    with _open_bytes(root.join(warc_range.file)) as opened:
        records = opened.read_records(warc_range.start, warc_range.stop, _INDEX_BYTES)
        rows = [_describe_record(dump_name, warc_range.file, record) for record in records if _is_row(record)]
    return RAW_CRAWL.conform(pl.DataFrame(rows, schema=RAW_CRAWL.schema) if rows else RAW_CRAWL.make_empty())


def read_payload(root: Place, warc_file: str, warc_offset: int, max_bytes: int) -> Payload:
    """Return the payload of the record at an offset, its body cut to `max_bytes` after decoding.

    Raises:
        ShardError: no record starts there; the file is not the one that was indexed.
    """
    with _open_bytes(root.join(warc_file)) as opened:
        return _RecordFile(warc_file, opened, max_bytes).read(warc_offset)


def read_payloads(root: Place, rows: pl.DataFrame, max_bytes: int) -> Iterator[tuple[str, Payload]]:
    """Yield (doc_id, payload) for rows of raw_crawl, by file and offset, reading each file once from front to back.

    Args:
        root: the place of the dump.
        rows: columns doc_id, warc_file, warc_offset at least.
        max_bytes: most bytes of a body; a longer one is cut and says so.

    Raises:
        ShardError: no record starts at an offset.
    """
    wanted = rows.select("warc_file", "warc_offset", "doc_id").sort("warc_file", "warc_offset")
    for (warc_file,), group in wanted.group_by("warc_file", maintain_order=True):
        with _open_bytes(root.join(str(warc_file))) as opened:
            reader = _RecordFile(str(warc_file), opened, max_bytes)
            for _, offset, doc_id in group.iter_rows():
                yield doc_id, reader.read(offset)


@dataclass(frozen=True, slots=True)
class _OpenFile:
    """An open crawl file and how it is packed, None for not at all."""

    source: FileBytes
    packing: Packing | None

    def read_records(self, start: int, stop: int, keep_bytes: int) -> Iterator[StoredRecord]:
        if self.packing is None:
            return read_plain_records(self.source, start, stop, keep_bytes)
        return read_member_records(self.source, self.packing, start, stop, keep_bytes)

    def find_record(self, position: int) -> int:
        if self.packing is None:
            return find_plain_record(self.source, position)
        return find_member_record(self.source, self.packing, position)


@contextmanager
def _open_bytes(file: Place) -> Iterator[_OpenFile]:
    with file.open() as stream:
        source = FileBytes(stream)
        yield _OpenFile(source, tell_packing(source, file.name))


class _RecordFile:
    """One open crawl file, read by offset."""

    def __init__(self, name: str, opened: _OpenFile, max_bytes: int) -> None:
        self._name = name
        self._opened = opened
        self._max_bytes = max_bytes
        # the rest of a member that holds several records, and the last offset taken from it
        self._shared: Iterator[StoredRecord] = iter(())
        self._shared_last: int | None = None

    def read(self, offset: int) -> Payload:
        record = self._find(offset)
        if record is None or not record.headers:
            raise ShardError(
                f"raw_crawl: no record starts at byte {offset} of {self._name}; the file has changed since it was "
                f"indexed. Materialize raw_crawl of this dump again."
            )
        return make_payload(record.block, record.headers, record.block_bytes, record.declared_bytes, self._max_bytes)

    def _find(self, offset: int) -> StoredRecord | None:
        # room for the HTTP head; a coded body may be longer than what it decodes to, by a little
        keep_bytes = self._max_bytes + _INDEX_BYTES
        if self._shared_last is not None and offset > self._shared_last:
            # go on in the open member, or each of its records would inflate it from the start again
            record = self._find_shared(offset)
            if record is not None:
                return record
        record = next(self._opened.read_records(offset, offset + 1, keep_bytes), None)
        packing = self._opened.packing
        if (record is not None and record.headers) or packing is None:
            return record
        # several records in one member: the offset counts on from the member's
        member = find_shared_member(self._opened.source, packing, offset)
        self._shared = self._opened.read_records(member, member + 1, keep_bytes)
        return self._find_shared(offset)

    def _find_shared(self, offset: int) -> StoredRecord | None:
        for record in self._shared:
            if record.offset == offset:
                self._shared_last = offset
                return record
            if record.offset > offset:
                break
        self._shared, self._shared_last = iter(()), None
        return None


def _is_row(record: StoredRecord) -> bool:
    if record.is_damaged:
        return True
    headers = record.headers
    is_dns = headers.get("warc-target-uri", "").startswith("dns:") or headers.get("content-type", "") == "text/dns"
    return headers.get("warc-type", "").lower() in PAYLOAD_TYPES and not is_dns


def _describe_record(dump_name: str, warc_file: str, record: StoredRecord) -> dict[str, Any]:
    headers = record.headers
    head = parse_block(record.block, headers)
    payload_bytes = max(record.block_bytes - head.head_bytes, 0)
    start, _ = decode_body(record.block[head.head_bytes :], head.headers, _INDEX_BYTES)
    is_empty = payload_bytes == 0 or (not start and record.block_bytes == len(record.block))
    hint = read_mime(headers.get("warc-identified-payload-type"))
    return {
        "doc_id": make_doc_id(dump_name, warc_file, record.offset),
        "dump": dump_name,
        "warc_file": warc_file,
        "warc_offset": record.offset,
        "warc_length": record.length,
        "record_type": "unknown" if record.is_damaged else headers["warc-type"].lower(),
        "record_status": _tell_status(record, head.status, is_empty),
        "kind": tell_kind(head.mime, hint, start) if start and not record.is_damaged else "other",
        # some writers put the URI in angle brackets, as WARC 1.0's grammar had it
        "url": headers.get("warc-target-uri", "").strip("<>") or None,
        "mime": head.mime,
        "charset": head.charset,
        "http_status": head.status,
        "crawled_at": parse_date(headers.get("warc-date")),
        "payload_bytes": payload_bytes if headers else None,
        "payload_digest": headers.get("warc-payload-digest"),
    }


def _tell_status(record: StoredRecord, http_status: int | None, is_empty: bool) -> str:
    """Return the record's status; where several hold, the one that says most about why there is no page."""
    if record.is_damaged:
        return "corrupt_record"
    if record.headers["warc-type"].lower() == "revisit":
        return "revisit_record"
    if record.block_bytes < record.declared_bytes or "warc-truncated" in record.headers:
        return "truncated_record"
    if http_status is not None and not 200 <= http_status < 300:
        return "http_error"
    return "empty_record" if is_empty else "ok"
