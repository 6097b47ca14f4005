"""A list that is dropped into the watched folder is a dump, wherever its files lie."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mmpipe.storage.arrivals import name_listed_dump, survey_crawl
from mmpipe.storage.places import Place

LIST = gzip.compress(b"crawl-data/D/a.warc.gz\ncrawl-data/D/b.warc.gz\ncrawl-data/D/a.warc.gz\n", mtime=0)


def survey(folder: Path):  # type: ignore[no-untyped-def]
    return {sighting.dump: sighting for sighting in survey_crawl(Place(str(folder)))}


def test_a_list_in_the_watched_folder_is_a_dump_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "CC-MAIN-2024-22.warc.paths.gz").write_bytes(LIST)
    waiting = survey(tmp_path)["CC-MAIN-2024-22"]
    assert waiting.identity is None
    assert "write the URL" in waiting.lacking
    (tmp_path / "base_url").write_text("https://data.example/\n")
    (tmp_path / "urls.paths").write_text("https://a.example/x/1.warc.gz\nhttps://a.example/x/2/2.warc.zst\n")
    (tmp_path / "warc.paths.gz").write_bytes(LIST)
    found = survey(tmp_path)
    dump = found["CC-MAIN-2024-22"]
    assert (dump.root, dump.files) == (
        "https://data.example",
        ("crawl-data/D/a.warc.gz", "crawl-data/D/b.warc.gz"),
    )
    assert (found["urls"].root, found["urls"].files) == ("https://a.example/x", ("1.warc.gz", "2/2.warc.zst"))
    assert "named after its dump" in found["warc.paths.gz"].lacking
    (tmp_path / "base_url").write_text("https://other.example")
    assert survey(tmp_path)["CC-MAIN-2024-22"].identity not in (None, dump.identity)


def test_a_list_in_a_folder_may_name_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "d1").mkdir()
    (tmp_path / "d1" / "warc.paths.gz").write_bytes(LIST)
    assert "base_url beside the list" in survey(tmp_path)["d1"].lacking
    (tmp_path / "d1" / "base_url").write_text("s3://commoncrawl")
    dump = survey(tmp_path)["d1"]
    assert dump.identity is not None
    assert dump.root == "s3://commoncrawl"
    (tmp_path / "d1" / "base_url").unlink()
    (tmp_path / "d1" / "warc.paths.gz").write_text("https://a.example/1.warc\nhttps://a.example/2.warc\n")
    assert survey(tmp_path)["d1"].root == "https://a.example"


@pytest.mark.parametrize("listed", [b"", LIST[:-9], b"https://a.example/1.warc\nhttps://b.example/2.warc\n", b"../x\n"])
def test_a_list_that_is_not_whole_waits(tmp_path: Path, listed: bytes) -> None:
    (tmp_path / "base_url").write_text("https://data.example/")
    (tmp_path / "d1.paths").write_bytes(listed)
    sighting = survey(tmp_path)["d1"]
    assert sighting.identity is None
    assert sighting.lacking


def test_a_folder_of_the_same_name_comes_first(tmp_path: Path) -> None:
    (tmp_path / "base_url").write_text("https://data.example/")
    (tmp_path / "d1.warc.paths").write_bytes(LIST)
    (tmp_path / "d1").mkdir()
    (tmp_path / "d1" / "a.warc.gz").write_bytes(b"")
    assert len(survey_crawl(Place(str(tmp_path)))) == 1
    assert survey(tmp_path)["d1"].root is None


def test_names_of_lists() -> None:
    names = ("d1.warc.paths.gz", "d1.paths", "warc.paths.gz", "wet.paths", "d.1.wet.paths")
    assert [name_listed_dump(name) for name in names] == ["d1", "d1", "", "", "d.1"]
