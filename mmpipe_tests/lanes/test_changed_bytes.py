from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mmpipe.errors import ShardError
from mmpipe.lanes.text import TEXT_LANE
from mmpipe.storage.lake import Lake
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.text import EXTRACTED_TEXT
from mmpipe_tests.lanes.running import add_dump, run_stages

if TYPE_CHECKING:
    from pathlib import Path


def write_page(path: Path, word: str) -> None:
    body = f"<html><body><article><p>{f'The {word} sentence stands here. ' * 20}</p></article></body></html>"
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{body}"
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
    )
    path.write_text(f"{head}Content-Length: {len(http)}\r\n\r\n{http}\r\n\r\n", newline="")


def test_other_bytes_behind_an_equal_index_are_read_again(tmp_path: Path) -> None:
    lake, file = Lake(str(tmp_path / "lake")), tmp_path / "page.warc"
    write_page(file, "first")
    add_dump(lake, "d", tmp_path, [file])
    run_stages(lake, "d", TEXT_LANE[:2])
    before = lake.dataset(RAW_CRAWL, "d").require_manifest().fingerprint

    write_page(file, "other")
    run_stages(lake, "d", TEXT_LANE[:2])

    assert lake.dataset(RAW_CRAWL, "d").require_manifest().fingerprint == before
    assert "other" in lake.dataset(EXTRACTED_TEXT, "d").scan().collect()["text"][0]


def test_a_file_that_vanished_stops_only_its_own_shard(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    files = [tmp_path / "a.warc", tmp_path / "b.warc"]
    for file in files:
        write_page(file, "some")
    add_dump(lake, "d", tmp_path, files)
    files[1].unlink()

    with pytest.raises(ShardError, match=r"1 of 2 shards failed; 1 are committed(.|\n)*b.warc is not in"):
        run_stages(lake, "d", TEXT_LANE[:1])
