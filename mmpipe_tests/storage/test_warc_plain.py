"""Lengths that lie in uncompressed files: what they would swallow is read all the same, in linear time."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pytest

from mmpipe.storage.places import Place
from mmpipe.storage.warc import WarcRange, cut_ranges, index_range, read_payloads
from mmpipe_tests.storage.warc_samples import PAGE, make_arc_record, make_http, make_record

NO_END = 1 << 40


def index_bytes(folder: Path, data: bytes, name: str = "a.warc") -> pl.DataFrame:
    (folder / name).write_bytes(data)
    frame = index_range("d", Place(str(folder)), WarcRange(name, 0, NO_END))
    ranges = cut_ranges(Place(str(folder / name)), 300, lookback_bytes=0)
    assert pl.concat([index_range("d", Place(str(folder)), part) for part in ranges]).equals(frame)
    return frame


def list_rows(frame: pl.DataFrame) -> list[tuple[str, str]]:
    return [(str(url).rpartition("/")[2], status) for url, status in frame.select("url", "record_status").iter_rows()]


@pytest.mark.parametrize("extra", [5, 11, 300, 550, 100_000, 2 << 20, 1 << 50, 10**4000])
def test_a_length_that_is_too_large_swallows_no_neighbour(tmp_path: Path, extra: int) -> None:
    records = [make_record(make_http(PAGE + b"%d" % number), number) for number in range(8)]
    records[2] = make_record(make_http(PAGE), 2, declared=len(make_http(PAGE)) + extra)
    frame = index_bytes(tmp_path, b"".join(records))
    assert list_rows(frame) == [(str(n), "truncated_record" if n == 2 else "ok") for n in range(8)]
    bodies = [payload.body for _, payload in read_payloads(Place(str(tmp_path)), frame, 1000)]
    assert bodies[2:4] == [PAGE, PAGE + b"3"]
    assert frame.get_column("warc_length").sum() == (tmp_path / "a.warc").stat().st_size


def test_a_length_that_counts_the_closing_lines_is_believed(tmp_path: Path) -> None:
    records = [make_record(number=n, declared=len(make_http()) + 4) for n in range(3)]
    assert list_rows(index_bytes(tmp_path, b"".join(records))) == [(str(n), "ok") for n in range(3)]


def test_a_length_that_is_too_small_leaves_a_corrupt_rest(tmp_path: Path) -> None:
    records = [make_record(number=0, declared=60), make_record(number=1)]
    assert [status for _, status in list_rows(index_bytes(tmp_path, b"".join(records)))] == [
        "ok",
        "corrupt_record",
        "ok",
    ]


def test_a_record_that_holds_records_keeps_them(tmp_path: Path) -> None:
    inner = make_record(number=100) + make_record(number=101)
    outer = [make_record(make_http(inner, content_type="application/warc"), 0), make_record(number=1)]
    (tmp_path / "a.warc").write_bytes(b"".join(outer))
    frame = index_range("d", Place(str(tmp_path)), WarcRange("a.warc", 0, NO_END))
    assert [url for url, _ in list_rows(frame)] == ["0", "1"]


def test_arc_lengths_that_lie(tmp_path: Path) -> None:
    lying = make_arc_record(make_http(), 1).replace(b" %d\n" % len(make_http()), b" 99999\n", 1)
    frame = index_bytes(tmp_path, make_arc_record(make_http(), 0) + lying + make_arc_record(make_http(), 2), "a.arc")
    assert list_rows(frame) == [("0", "ok"), ("1", "truncated_record"), ("2", "ok")]


@pytest.mark.parametrize("declared", [900_001, 1 << 40])
def test_many_lies_cost_linear_time(tmp_path: Path, declared: int) -> None:
    def index_lies(count: int) -> float:
        # records of one length: no lie ends by chance where another record begins
        numbers = range(10**6, 10**6 + count)
        data = b"".join(make_record(make_http(PAGE), number, declared=declared) for number in numbers)
        (tmp_path / "a.warc").write_bytes(data)
        begin = time.process_time()
        frame = index_range("d", Place(str(tmp_path)), WarcRange("a.warc", 0, NO_END))
        assert frame.height == count
        return time.process_time() - begin

    index_lies(100)
    few, many = index_lies(500), index_lies(4000)
    assert many < 8 * few * 3 + 0.5
