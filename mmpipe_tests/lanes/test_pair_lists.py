from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from PIL import Image

from mmpipe.commands.crawl import find_dump_files
from mmpipe.lanes.image_candidates import find_candidates
from mmpipe.lanes.image_lane import IMAGE_LANE
from mmpipe.lanes.images import read_images
from mmpipe.lanes.text import TEXT_LANE
from mmpipe.storage import pair_lists
from mmpipe.storage.dumps import record_dump
from mmpipe.storage.lake import Lake
from mmpipe.storage.places import Place
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.images import IMAGE_CANDIDATES
from mmpipe.tables.text import EXTRACTED_TEXT
from mmpipe_tests.lanes.running import run_stages
from mmpipe_tests.storage.warc_samples import make_record, zip_members

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.storage.shards import Production

STAGES = [stage for stage in (*TEXT_LANE, *IMAGE_LANE) if stage.table in (RAW_CRAWL, IMAGE_CANDIDATES)]


def make_candidates(lake: Lake, folder: Path, name: str = "d1") -> tuple[pl.DataFrame, Production]:
    record_dump(lake, find_dump_files(name, [str(folder)], base_url=None, limit=None))
    made = run_stages(lake, name, STAGES)
    return lake.dataset(IMAGE_CANDIDATES, name).scan().collect(), made[IMAGE_CANDIDATES.name]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_real_pictures_and_their_list_become_pairs(shared_data: Path, tmp_path: Path, lake: Lake) -> None:
    source = shared_data / "images"
    if not (source / "captions.jsonl").is_file():
        pytest.skip(f"no real images at {source}")
    rows = [json.loads(line) for line in (source / "captions.jsonl").read_text().splitlines()]
    folder = tmp_path / "dump"
    shutil.copytree(source / "files", folder / "files")
    listed = pl.DataFrame(
        {
            "url": [row["file"] for row in rows],
            "TEXT": [row["caption"] for row in rows],
            "likes": list(range(len(rows))),
            "WIDTH": [row["width"] for row in rows],
        }
    )
    listed.write_parquet(folder / "part-0.parquet")
    frame, _ = make_candidates(lake, folder)

    assert frame.height == len(rows) == 207
    assert set(frame["image_origin"]) == {"file"}
    assert set(frame["caption_source"]) == {"given"}
    assert frame["caption"].to_list() == [" ".join(row["caption"].split()) for row in rows]
    assert frame["source_likes"].to_list() == [float(number) for number in range(len(rows))]
    assert [json.loads(item)["WIDTH"] for item in frame["source_metadata"]] == [row["width"] for row in rows]
    read = dict(read_images(frame, Place(str(folder)), Place(str(tmp_path / "cache")), 1 << 30))
    assert [hashlib.sha1(read[pair_id] or b"").hexdigest() for pair_id in frame["pair_id"]] == [
        row["sha1"] for row in rows
    ]


def write_jpeg(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), "red").save(path, "JPEG")
    return path.read_bytes()


def make_mixed_dump(folder: Path) -> dict[str, Any]:
    """Write a dump of a page, the picture it shows, and a list that names that picture, a file and others."""
    picture = write_jpeg(folder / "images" / "a.jpg")
    page = b"<html><p>text</p><img src=/one.jpg alt='A boat'>"
    answers = (("http://e.org/", b"text/html", page), ("http://e.org/one.jpg", b"image/jpeg", picture))
    records = [
        make_record(b"HTTP/1.1 200 OK\r\nContent-Type: " + mime + b"\r\n\r\n" + body, **{"WARC-Target-URI": url})
        for url, mime, body in answers
    ]
    (folder / "a.warc.gz").write_bytes(zip_members(*records))
    rows = [
        {"url": "http://e.org/one.jpg", "text": " A  boat "},
        {"url": "http://e.org/gone.jpg", "text": "Gone"},
        {"url": "images/a.jpg", "text": "A red field"},
        {"url": "../../etc/passwd", "text": "Elsewhere"},
        {"url": "http://e.org/one.jpg", "text": "  "},
        {"url": None, "text": "Nowhere"},
    ]
    pl.DataFrame(rows).write_parquet(folder / "list.parquet")
    return {"picture": picture}


def test_a_dump_may_hold_pages_and_lists(tmp_path: Path, lake: Lake) -> None:
    made = make_mixed_dump(tmp_path / "dump")
    frame, production = make_candidates(lake, tmp_path / "dump")
    found = {(row["image_element"], row["caption"]): row for row in frame.iter_rows(named=True)}

    assert {key: row["image_origin"] for key, row in found.items()} == {
        ("img", "A boat"): "dump",
        ("list_row", "A boat"): "dump",
        ("list_row", "Gone"): "missing",
        ("list_row", "A red field"): "file",
        ("list_row", "Elsewhere"): "missing",
    }
    assert found["list_row", "Elsewhere"]["image_detail"] == "neither an http(s) address nor a file of the dump"
    assert found["list_row", "A boat"]["image_doc_id"] == found["img", "A boat"]["image_doc_id"]
    listed = next(commit for commit in production.manifest.commits if commit.shard.startswith("list-"))
    assert listed.rows_in == 6
    assert (listed.counts["rows_without_caption"], listed.counts["rows_without_address"]) == (1, 1)
    read = dict(read_images(frame, Place(str(tmp_path / "dump")), Place(str(tmp_path / "cache")), 1 << 30))
    assert read[found["list_row", "A red field"]["pair_id"]] == made["picture"]
    assert read[found["list_row", "A boat"]["pair_id"]] == made["picture"]
    assert read[found["list_row", "Gone"]["pair_id"]] is None
    # the crawl's index knows nothing of lists
    assert lake.dataset(RAW_CRAWL, "d1").scan().collect().height == 2


def test_a_record_without_a_picture_says_what_it_is(tmp_path: Path, lake: Lake) -> None:
    found = {"empty": (b"image/jpeg", b""), "page": (b"image/jpeg", b"<!doctype html><html><p>gone"), "gone": None}
    page = "".join(f"<img src=/{name} alt='A {name} boat'>" for name in found).encode()
    records = [
        make_record(b"HTTP/1.1 200 OK\r\nContent-Type: " + mime + b"\r\n\r\n" + body, **{"WARC-Target-URI": url})
        for url, mime, body in (
            ("http://e.org/", b"text/html", b"<html><p>text</p>" + page),
            *((f"http://e.org/{name}", *answer) for name, answer in found.items() if answer),
        )
    ]
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "a.warc.gz").write_bytes(zip_members(*records))
    frame, _ = make_candidates(lake, tmp_path / "dump")
    assert dict(frame.select("image_url", "image_detail").iter_rows()) == {
        "http://e.org/empty": "empty_image: the record of this URL holds no bytes",
        "http://e.org/page": "not_an_image: the record of this URL is html",
        "http://e.org/gone": "no record of the dump has this URL",
    }
    assert set(frame["image_origin"]) == {"missing"}


def test_a_picture_of_several_pairs_is_read_once(tmp_path: Path, lake: Lake) -> None:
    for name in ("a", "b", "c"):
        write_jpeg(tmp_path / "dump" / f"{name}.jpg")
    rows = [{"url": f"{'abc'[number % 3]}.jpg", "text": f"Caption {number}"} for number in range(30)]
    pl.DataFrame(rows).write_parquet(tmp_path / "dump" / "list.parquet")
    frame, _ = make_candidates(lake, tmp_path / "dump")
    read = list(read_images(frame, Place(str(tmp_path / "dump")), Place(str(tmp_path / "cache")), 1 << 30))
    assert sorted(pair_id for pair_id, _ in read) == sorted(frame["pair_id"])
    # what is measured next knows the same picture by the same object, one after the other
    assert sum(data is not before for (_, data), (_, before) in zip(read, [("", None), *read], strict=False)) == 3


def test_ids_of_listed_pairs_do_not_depend_on_the_cutting(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_mixed_dump(tmp_path / "dump")
    whole, _ = make_candidates(lake, tmp_path / "dump")
    monkeypatch.setattr(pair_lists.cut_list, "__defaults__", (2,))
    parts, production = make_candidates(Lake(str(tmp_path / "other")), tmp_path / "dump")
    assert len(production.manifest.commits) == 4
    assert parts.sort("pair_id").equals(whole.sort("pair_id"))


def test_a_changed_list_is_read_again_and_the_pages_are_not(tmp_path: Path, lake: Lake) -> None:
    make_mixed_dump(tmp_path / "dump")
    make_candidates(lake, tmp_path / "dump")
    pl.DataFrame([{"url": "images/a.jpg", "text": "New"}] * 6).write_parquet(tmp_path / "dump" / "list.parquet")
    frame, production = make_candidates(lake, tmp_path / "dump")
    assert (production.made_shards, production.resumed_shards) == (1, 1)
    assert set(frame["caption"]) == {"A boat", "New"}


def test_a_folder_of_pictures_and_metadata_is_a_dump_without_text(tmp_path: Path, lake: Lake) -> None:
    for name in ("a", "b"):
        write_jpeg(tmp_path / "dump" / "train" / f"{name}.jpg")
    (tmp_path / "dump" / "train" / "metadata.csv").write_text(
        "file_name,text\na.jpg,First\nb.jpg,Second\nc.jpg,Third\n"
    )
    frame, _ = make_candidates(lake, tmp_path / "dump")
    assert dict(frame.select("image_url", "image_origin").iter_rows()) == {
        "train/a.jpg": "file", "train/b.jpg": "file", "c.jpg": "missing",
    }  # fmt: skip
    # the text lane has nothing to do, and does it
    run_stages(lake, "d1", TEXT_LANE[:2])
    assert lake.dataset(EXTRACTED_TEXT, "d1").scan().collect().height == 0


def test_the_stage_is_the_lanes_own() -> None:
    assert STAGES[1].make is find_candidates
