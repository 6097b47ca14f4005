"""Real crawls, whole: every record is accounted for, whichever format it came in."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import polars as pl
import pytest

from mmpipe.storage.places import Place
from mmpipe.storage.warc import WarcRange, cut_ranges, index_range, list_crawl_files, read_payloads

pytestmark = pytest.mark.real_data

#: Rows per file, counted from the data's own description: responses that are not DNS answers, revisits, conversions.
ROWS = {
    "crawl_samples/archive-org-2008-heritrix.arc.gz": 261,
    "crawl_samples/archive-org-2008-heritrix.warc.gz": 261,
    "crawl_samples/cc-main-2020-34.warc.gz": 16,
    "crawl_samples/iana.warc.gz": 171,
    "crawl_samples/whirlwind.warc.gz": 1,
    "crawl_samples/whirlwind.warc.wet.gz": 1,
    "real_pages.warc.gz": 1795,
}


@pytest.fixture
def web(shared_data: Path) -> Place:
    return Place(str(shared_data / "web"))


def index_file(root: Place, file: str) -> pl.DataFrame:
    return index_range("real", root, WarcRange(file, 0, root.join(file).size()))


def unpack(root: Place, file: str) -> bytes:
    # gzip.decompress copies all that follows, for each of a thousand members
    with root.join(file).open() as packed, gzip.open(packed) as stream:
        return stream.read()


def test_every_record_is_accounted_for(web: Place) -> None:
    assert {file: index_file(web, file).height for file in list_crawl_files(web)} == ROWS


def test_the_same_crawl_as_warc_and_arc_gives_the_same_rows(web: Place) -> None:
    columns = ["url", "record_status", "kind", "mime", "charset", "http_status", "payload_bytes", "crawled_at"]
    frames = [index_file(web, f"crawl_samples/archive-org-2008-heritrix.{end}.gz") for end in ("arc", "warc")]
    arc, warc = (frame.select(columns).sort("url", "crawled_at") for frame in frames)
    assert arc.drop("crawled_at").equals(warc.drop("crawled_at"))


def test_revisits_and_errors_keep_their_names(web: Place) -> None:
    counts = dict(index_file(web, "crawl_samples/iana.warc.gz").group_by("record_status").len().iter_rows())
    assert counts == {"revisit_record": 123, "empty_record": 16, "ok": 28, "http_error": 4}


def test_cutting_changes_nothing_and_every_payload_is_read(web: Place) -> None:
    for file, count in ROWS.items():
        whole = index_file(web, file)
        ranges = cut_ranges(web.join(file), web.join(file).size() // 7 + 1, root=web, lookback_bytes=100_000)
        assert pl.concat([index_range("real", web, warc_range) for warc_range in ranges]).equals(whole)
        assert sum(1 for _ in read_payloads(web, whole, 8 << 20)) == count


def test_real_pages_are_html_without_the_crawlers_guess(web: Place, tmp_path: Path) -> None:
    data = unpack(web, "real_pages.warc.gz")
    (tmp_path / "a.warc").write_bytes(data.replace(b"WARC-Identified-Payload-Type: text/html\r\n", b""))
    frame = index_file(Place(str(tmp_path)), "a.warc")
    assert frame.get_column("kind").to_list() == ["html"] * 1795


@pytest.mark.parametrize("name", ["cc-main-2020-34.warc.gz", "iana.warc.gz"])
def test_kinds_do_not_hang_on_the_crawlers_guess(web: Place, tmp_path: Path, name: str) -> None:
    data = unpack(web, f"crawl_samples/{name}")
    bare = re.sub(rb"(?i)WARC-Identified-Payload-Type: [^\r\n]*\r\n", b"", data)
    for file, content in (("with.warc", data), ("without.warc", bare)):
        (tmp_path / file).write_bytes(content)
    kinds = [index_file(Place(str(tmp_path)), file).get_column("kind") for file in ("with.warc", "without.warc")]
    assert kinds[0].to_list() == kinds[1].to_list()
    assert kinds[0].to_list() == index_file(web, f"crawl_samples/{name}").get_column("kind").to_list()
    assert "html" in kinds[0].to_list()
