"""Every record is a row or accounted for, whatever is broken, and however the file is cut."""

from __future__ import annotations

import gzip
import os
import random
import tracemalloc
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmpipe.errors import ShardError
from mmpipe.storage.places import Place
from mmpipe.storage.warc import (
    WarcRange,
    cut_ranges,
    find_dump_root,
    index_range,
    list_crawl_files,
    read_payload,
    read_payloads,
)
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe_tests.storage.warc_samples import (
    PAGE,
    make_arc_record,
    make_http,
    make_record,
    pack_frame,
    zip_members,
)

NO_END = 1 << 40


def index_bytes(folder: Path, data: bytes, name: str = "a.warc.gz") -> pl.DataFrame:
    (folder / name).write_bytes(data)
    return index_range("d", Place(str(folder)), WarcRange(name, 0, NO_END))


def list_statuses(frame: pl.DataFrame) -> list[str]:
    return frame.get_column("record_status").to_list()


def test_index_names_every_status(tmp_path: Path) -> None:
    frame = index_bytes(
        tmp_path,
        zip_members(
            make_record(b"software: test\r\n", kind="warcinfo"),
            make_record(number=1),
            make_record(b"GET / HTTP/1.1\r\n\r\n", kind="request"),
            make_record(make_http(status=404), number=2),
            make_record(make_http(b""), number=3),
            make_record(make_http(b"")[:-4] + b"\r\n\r\n", number=4, kind="revisit"),
            make_record(number=5, WARC_Truncated="length"),
            make_record(make_http(), number=6, declared=10_000),
            make_record(b"20080430\nexample.org. 5 IN A 10.0.0.1", WARC_Target_URI="dns:example.org"),
            make_record(make_http(b"plain words", content_type="text/plain; charset=Latin1"), number=7),
            make_record(b"words of a page", number=8, kind="conversion", Content_Type="text/plain"),
            make_record(b"\x89PNG\r\n\x1a\n....", number=9, kind="resource", Content_Type="image/png"),
        ),
    )
    assert list(frame.select("url", "record_status", "kind").iter_rows()) == [
        ("http://example.org/1", "ok", "html"),
        ("http://example.org/2", "http_error", "html"),
        ("http://example.org/3", "empty_record", "other"),
        ("http://example.org/4", "revisit_record", "other"),
        ("http://example.org/5", "truncated_record", "html"),
        ("http://example.org/6", "truncated_record", "html"),
        ("http://example.org/7", "ok", "plain_text"),
        ("http://example.org/8", "ok", "plain_text"),
        ("http://example.org/9", "ok", "image"),
    ]
    assert frame.schema == RAW_CRAWL.schema
    first = frame.row(0, named=True)
    assert (first["http_status"], first["mime"], first["payload_bytes"]) == (200, "text/html", len(PAGE))
    assert first["crawled_at"].isoformat() == "2024-05-01T12:00:00+00:00"
    assert frame.get_column("charset").to_list()[6] == "latin1"


def test_damaged_member_is_one_row_and_its_neighbours_stay(tmp_path: Path) -> None:
    members = [gzip.compress(make_record(make_http(os.urandom(3000)), number)) for number in range(5)]
    broken = bytearray(members[1])
    broken[1500] ^= 0xFF
    headless = b"\x00\x00\x00" + members[2][3:]
    cut = members[4][:1500]
    frame = index_bytes(tmp_path, members[0] + bytes(broken) + headless + b"garbage" * 9 + members[3] + cut)
    # one stretch of bytes that cannot be trusted is one row
    assert list_statuses(frame) == ["ok", "corrupt_record", "ok", "truncated_record"]
    assert frame.get_column("url").to_list()[::2] == ["http://example.org/0", "http://example.org/3"]
    assert frame.get_column("record_type").to_list()[1] == "unknown"
    assert frame.get_column("warc_offset").is_sorted()
    assert frame.select("warc_length").sum().item() == (tmp_path / "a.warc.gz").stat().st_size


def test_bad_checksum_is_corrupt(tmp_path: Path) -> None:
    members = [gzip.compress(make_record(number=number)) for number in range(3)]
    broken = bytearray(members[1])
    broken[-6] ^= 1
    frame = index_bytes(tmp_path, members[0] + bytes(broken) + members[2])
    assert list_statuses(frame) == ["ok", "corrupt_record", "ok"]


def test_record_that_declares_too_much_does_not_swallow_its_neighbour(tmp_path: Path) -> None:
    frame = index_bytes(tmp_path, zip_members(make_record(number=0, declared=5000), make_record(number=1)))
    assert list_statuses(frame) == ["truncated_record", "ok"]


@pytest.mark.parametrize(
    "data", [b"", b"no crawl at all\n" * 50, gzip.compress(b"nothing" * 99), b"\x1f\x8b\x08", bytes(500)]
)
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.arc.gz"])
def test_file_that_is_no_crawl_is_one_corrupt_row_at_most(tmp_path: Path, data: bytes, name: str) -> None:
    frame = index_bytes(tmp_path, data, name)
    assert list_statuses(frame) in ([], ["corrupt_record"])
    assert bool(frame.height) == bool(data)
    cut_ranges(Place(str(tmp_path / name)), 100)


def test_html_is_found_without_any_header(tmp_path: Path) -> None:
    bodies = [
        PAGE,
        b"\xef\xbb\xbf\n<!-- old --><HTML><title>x</title>",
        b"\xff\xfe" + "<html><body>wide".encode("utf-16-le"),
        b"<?xml version='1.0'?><!DOCTYPE html><html xmlns='x'>",
        b"<div>piece</div>",
    ]
    frame = index_bytes(
        tmp_path,
        zip_members(
            *(make_record(make_http(body, content_type=None)) for body in bodies),
            make_record(make_http(b"%PDF-1.4", content_type="text/html")),
            make_record(make_http(b"\xff\xd8\xff\xe0", content_type="text/html")),
            make_record(make_http(PAGE, content_type="image/jpeg")),
            make_record(make_http(b"body {}", content_type="text/css")),
            make_record(make_http(b"words only", content_type=None), WARC_Identified_Payload_Type="text/html"),
        ),
    )
    assert frame.get_column("kind").to_list() == ["html"] * 5 + ["other", "image", "html", "other", "html"]


def test_arc_records(tmp_path: Path) -> None:
    filedesc = (
        b"filedesc://x.arc 0.0.0.0 20080430204825 text/plain 76\n1 1 InternetArchive\nURL IP-address Archive-date"
    )
    filedesc = filedesc.ljust(54 + 76) + b"\n"
    records = [
        filedesc,
        make_arc_record(make_http(), 1),
        make_arc_record(make_http(status=500), 2),
        make_arc_record(make_http(b"GIF89a..", content_type="image/gif"), 3, "image/gif"),
    ]
    expected = [("http://example.org/1", "ok"), ("http://example.org/2", "http_error"), ("http://example.org/3", "ok")]
    for name, data in (("a.arc.gz", zip_members(*records)), ("a.arc", b"".join(records))):
        frame = index_bytes(tmp_path, data, name)
        assert list(frame.select("url", "record_status").iter_rows()) == expected
        assert frame.get_column("crawled_at").to_list()[0].isoformat() == "2008-04-30T20:48:25+00:00"


def test_records_that_share_a_member_have_ids_and_payloads_of_their_own(tmp_path: Path) -> None:
    together = b"".join(make_record(make_http(PAGE + b"%d" % number), number) for number in range(20))
    frame = index_bytes(tmp_path, zip_members(make_record(number=99)) + gzip.compress(together))
    assert frame.height == 21
    assert frame.get_column("doc_id").n_unique() == 21
    bodies = [payload.body for _, payload in read_payloads(Place(str(tmp_path)), frame, 1000)]
    assert bodies == [PAGE, *(PAGE + b"%d" % number for number in range(20))]
    last = frame.row(20, named=True)
    assert read_payload(Place(str(tmp_path)), "a.warc.gz", last["warc_offset"], 1000).body == PAGE + b"19"


PACKS = {"a.warc": bytes, "a.warc.gz": lambda record: gzip.compress(record, mtime=0), "a.warc.zst": pack_frame}


def _make_crawl(seed: int, count: int, name: str) -> bytes:
    random_ = random.Random(seed)
    parts = []
    for number in range(count):
        body = random_.randbytes(random_.randrange(400)) + PAGE
        declared = None if random_.random() < 0.8 else random_.randrange(3000)
        record = make_record(make_http(body), number, declared=declared)
        if random_.random() < 0.2:
            record = make_record(b"GET / HTTP/1.1\r\n\r\n", number, "request")
        part = bytearray(PACKS[name](record))
        damage = random_.random()
        if damage < 0.15:
            part[random_.randrange(len(part))] ^= 0xFF
        elif damage < 0.2:
            part = part[: random_.randrange(1, len(part))]
        elif damage < 0.25:
            part += random_.randbytes(random_.randrange(1, 60))
        parts.append(bytes(part))
    return b"".join(parts)


@settings(max_examples=90, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 25),
    target=st.integers(1, 3000),
    name=st.sampled_from(sorted(PACKS)),
    lookback=st.integers(0, 1500),
)
@example(seed=1, count=11, target=1, name="a.warc", lookback=0)  # a length that lies ends where the file does
def test_any_cutting_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, target: int, name: str, lookback: int
) -> None:
    folder = tmp_path_factory.mktemp("crawl")
    crawl = _make_crawl(seed, count, name)
    whole = index_bytes(folder, crawl, name)
    ranges = cut_ranges(Place(str(folder / name)), target, lookback_bytes=lookback)
    parts = pl.concat([RAW_CRAWL.make_empty(), *(index_range("d", Place(str(folder)), cut) for cut in ranges)])
    if any(
        length > lookback and b"\nWARC/" in crawl[start : start + length]
        for start, length in whole.select("warc_offset", "warc_length").iter_rows()
    ):
        # the one exception that `cut_ranges` names: records within a record longer than the way back may be rows too
        parts = parts.filter(pl.col("warc_offset").is_in(whole.get_column("warc_offset").implode()))
    assert parts.equals(whole)
    assert whole.get_column("doc_id").n_unique() == whole.height
    edges = [(warc_range.start, warc_range.stop) for warc_range in ranges]
    assert all(left[1] == right[0] for left, right in pairwise(edges))
    by_offset = dict(read_payloads(Place(str(folder)), whole.filter(pl.col("record_type") != "unknown"), 1 << 20))
    assert len(by_offset) == whole.filter(pl.col("record_type") != "unknown").height


def test_archive_inside_a_record_is_not_taken_for_its_neighbours(tmp_path: Path) -> None:
    # the outer member stores its content as it is, so the inner members stand in the file byte for byte
    inner = zip_members(*(make_record(make_http(random.Random(n).randbytes(2000)), 100 + n) for n in range(20)))
    outer = [
        make_record(number=0),
        make_record(make_http(inner, content_type="application/gzip"), 1),
        make_record(number=2),
    ]
    whole = index_bytes(tmp_path, b"".join(gzip.compress(record, compresslevel=0) for record in outer))
    assert whole.height == 3
    ranges = cut_ranges(Place(str(tmp_path / "a.warc.gz")), 5000)
    parts = [index_range("d", Place(str(tmp_path)), warc_range) for warc_range in ranges]
    assert pl.concat(parts).equals(whole)
    assert len(ranges) == 2


def test_huge_record_is_indexed_without_being_held(tmp_path: Path) -> None:
    body = PAGE + b"a" * (200 << 20)
    (tmp_path / "a.warc.gz").write_bytes(zip_members(make_record(make_http(body)), make_record(number=1)))
    size = len(body)
    del body
    tracemalloc.start()
    frame = index_range("d", Place(str(tmp_path)), WarcRange("a.warc.gz", 0, NO_END))
    payload = read_payload(Place(str(tmp_path)), "a.warc.gz", 0, 1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list_statuses(frame) == ["ok", "ok"]
    assert frame.get_column("payload_bytes").to_list()[0] == size
    assert payload.is_cut
    assert len(payload.body) == 1 << 20
    assert peak < 30 << 20


def test_payloads_come_in_file_order_from_any_place(tmp_path: Path) -> None:
    data = zip_members(*(make_record(make_http(PAGE + b"%d" % number), number) for number in range(30)))
    frame = index_bytes(tmp_path, data)
    Place("memory://crawl/a.warc.gz").write_bytes(data)
    rows = frame.sample(fraction=0.5, shuffle=True, seed=1)
    local = list(read_payloads(Place(str(tmp_path)), rows, 1 << 20))
    assert [doc_id for doc_id, _ in local] == rows.sort("warc_offset").get_column("doc_id").to_list()
    assert local == list(read_payloads(Place("memory://crawl"), rows, 1 << 20))
    assert not local[0][1].is_cut
    assert index_range("d", Place("memory://crawl"), WarcRange("a.warc.gz", 0, NO_END)).equals(frame)
    with pytest.raises(ShardError, match="no record starts at byte 7"):
        read_payload(Place(str(tmp_path)), "a.warc.gz", 7, 100)


def test_crawl_files_of_a_folder_a_file_and_a_path_list(tmp_path: Path) -> None:
    for name in ("b/x.warc.gz", "a.arc", "notes.txt", "c.warc.wet.gz", "c.warc.wat.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "warc.paths.gz").write_bytes(gzip.compress(b"b/x.warc.gz\n\nc.warc.wet.gz\nrobots.txt\n"))
    folder = Place(str(tmp_path))
    assert list_crawl_files(folder) == ["a.arc", "b/x.warc.gz", "c.warc.wet.gz"]
    assert list_crawl_files(folder.join("a.arc")) == ["a.arc"]
    assert list_crawl_files(folder.join("warc.paths.gz")) == ["b/x.warc.gz", "c.warc.wet.gz"]
    assert find_dump_root(folder.join("warc.paths.gz")) == folder
    assert find_dump_root(folder.join("warc.paths.gz"), "https://data.example").url == "https://data.example"
    assert find_dump_root(folder) == folder
    (tmp_path / "b/x.warc.gz").write_bytes(zip_members(make_record()))
    assert [one.file for one in cut_ranges(folder.join("b/x.warc.gz"), 10**9, root=folder)] == ["b/x.warc.gz"]
