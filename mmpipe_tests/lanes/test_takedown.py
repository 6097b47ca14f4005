from __future__ import annotations

import json
import random
import shutil
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from rich.console import Console

from mmpipe.commands.takedown import print_takedown_plan
from mmpipe.errors import DatasetNotReady
from mmpipe.lanes.takedown import plan_takedown, take_down
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.image_cache import ImageCache
from mmpipe.storage.lake import Lake
from mmpipe.storage.places import Place
from mmpipe.storage.takedowns import find_taken, read_takedowns
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.images import IMAGE_CANDIDATES
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, PRETRAINING_DATASET, RESPONSES, SFT_DATASET
from mmpipe.tables.published import PUBLISHED_TABLES
from mmpipe.tables.takedowns import BLANKED, TAKEN_DOWN, Entry, make_entry
from mmpipe_tests.lanes.takedown_lake import Made, make_lake, make_text, publish_shards, read_content, read_lake

if TYPE_CHECKING:
    from mmpipe.tables.columns import Table

_BY_NAME = {table.name: table for table in PUBLISHED_TABLES}
_REMOVALS = {"text_removals": "extracted_text", "instruction_removals": "instruction_candidates"}


def draw_entry(made: Made, drawn: random.Random) -> tuple[Entry, set[str]]:
    """Return something to take down, and the ids that it names."""
    kind = drawn.choice(["url", "domain", "id"])
    if kind == "id":
        row_id = drawn.choice(sorted(made.parents))
        return make_entry("id", row_id, "2026-11-23", "r"), {row_id}
    urls = sorted({url for urls in made.urls.values() for url in urls})
    url = drawn.choice(urls)
    if kind == "url":
        return make_entry("url", url, "2026-11-23", "r"), {row for row, own in made.urls.items() if url in own}
    host = url.split("/")[2]
    below = (f"//{host}/", f".{host}/")
    named = {row for row, own in made.urls.items() if any(mark in url for url in own for mark in below)}
    return make_entry("domain", host, "2026-11-23", "r"), named


def expect(
    name: str, before: pl.DataFrame, gone: set[str], lake_before: dict[Any, pl.DataFrame], dump: Any
) -> list[Any]:
    """Return the rows that a table must have afterwards, worked out row by row."""
    table, rows = _BY_NAME[name], []
    for row in before.to_dicts():
        told = [row.get(key) for key in ("doc_id", "image_doc_id", "pair_id", "instruction_id", "response_id",
                "caption_id", "rephrased_id", "judgement_id", "chosen_id", "rejected_id", "id")]  # fmt: skip
        told += [parent["id"] for parent in row.get("parents") or []] + list(row.get("doc_ids") or [])
        told += [] if name == "sft_dataset" else list(row.get("images") or [])
        if not gone & {value for value in told if value}:
            rows.append(row)
        elif name in BLANKED:
            status, kept = BLANKED[name]
            left = {key: value if key in kept else None for key, value in row.items()}
            left |= {status: TAKEN_DOWN} if status else {}
            left |= {"candidate": row["instruction_id"], "text": ""} if name == "instruction_candidates" else {}
            rows.append(left)
    if name in _REMOVALS:
        judged = lake_before[(_REMOVALS[name], dump)]
        key = table.key[0]
        taken = [row_id for row_id in judged.get_column(key) if row_id in gone]
        rows += [{"rule": TAKEN_DOWN, key: row_id} for row_id in taken]
    return rows


def compare(name: str, after: pl.DataFrame, expected: list[Any]) -> None:
    if name not in _REMOVALS:
        assert after.to_dicts() == expected, name
        return
    key = _BY_NAME[name].key[0]
    assert sorted((row[key], row["rule"]) for row in after.to_dicts()) == sorted(
        (row[key], row["rule"]) for row in expected
    )


@pytest.mark.parametrize("seed", range(5))
def test_nothing_below_what_goes_is_left_and_nothing_else_is_touched(tmp_path: Path, seed: int) -> None:
    drawn = random.Random(seed)
    made = make_lake(tmp_path / "lake", seed)
    entry, named = draw_entry(made, drawn)
    gone = made.list_below(named)
    before = read_lake(made.lake)
    files = {path: path.read_bytes() for path in (tmp_path / "lake").rglob("part-*")}

    report = take_down(made.lake, plan_takedown(made.lake, [entry]), str(tmp_path / "cache"))

    after = read_lake(made.lake)
    withdrawn = set()
    for (name, dump), rows in before.items():
        expected = expect(name, rows, gone, before, dump)
        if _BY_NAME[name] in (SFT_DATASET, PRETRAINING_DATASET) and len(expected) < rows.height:
            withdrawn.add(name)
            assert (name, dump) not in after
            continue
        compare(name, after[(name, dump)], expected)
    assert set(report["releases"]) == withdrawn
    assert report["proof"]["holds"]
    assert report["proof"]["words"] == ()
    check_records(made.lake)
    # files without such a row keep their bytes
    changed = {path for path, data in files.items() if path.is_file() and path.read_bytes() != data}
    told = {str(tmp_path / "lake" / item["file"]) for item in report["files"]}
    assert {str(path) for path in changed} == told
    assert set(read_takedowns(made.lake).entries) >= {entry}
    for row_id in gone:
        found = find_taken(made.lake, row_id)
        assert found is not None
        assert (found.id, found.plan["reason"]) == (row_id, "r")
    everything = b"".join(path.read_bytes() for path in (tmp_path / "lake").rglob("*") if path.is_file())
    texts = [make_text(row_id).splitlines()[0].encode() for row_id in gone]
    assert not [text for text in texts if text in everything]


def check_records(lake: Lake) -> None:
    """Hold every manifest to its files and its commit records, and rows in to rows out and removed."""
    from mmpipe.storage.shards import digest_file

    for (name, dump), rows in read_lake(lake).items():
        dataset = lake.dataset(_BY_NAME[name], dump)
        manifest = dataset.find_manifest()
        assert manifest is not None
        assert manifest.rows_out == rows.height, name
        for commit in manifest.commits:
            path = dataset.folder.join(commit.file).local_path
            assert path is not None
            assert (digest_file(path), path.stat().st_size) == (commit.file_digest, commit.bytes)
            assert dataset.find_commits()[commit.key] == commit
            if name not in _REMOVALS:
                assert commit.rows_in == commit.rows_out + commit.rows_removed
            else:
                assert sum(commit.removed_by_rule.values()) >= commit.rows_removed


def test_a_dataset_that_is_being_written_stops_it_before_anything_changes(tmp_path: Path) -> None:
    made = make_lake(tmp_path / "lake", 1)
    before = read_content(made.lake)
    plan = plan_takedown(made.lake, [make_entry("domain", "a.example", "2026-11-23", "")])
    with made.lake.dataset(RAW_CRAWL, "d2").lock(), pytest.raises(DatasetNotReady, match="raw_crawl"):
        take_down(made.lake, plan, str(tmp_path / "cache"))
    assert read_content(made.lake) == before


def test_fetched_pictures_reports_reviews_and_files_of_earlier_runs_go(tmp_path: Path) -> None:
    from mmpipe.lanes.instruction_reviews import VERDICTS, write_review_file

    made = make_lake(tmp_path / "lake", 3)
    cache = ImageCache(Place(str(tmp_path / "cache" / "images")))
    shared, alone = (
        cache.store(url, url[-5:].encode()).sha256 for url in ("https://z.example/1.png", "https://z.example/2.png")
    )
    cache.store("https://y.example/1.png", b"1.png")
    doc = made.rows[("extracted_text", "d1", "00000-0000")][0]
    fill = {"doc_id": doc["doc_id"], "page_url": doc["url"], "dump": "d1", "caption": "c", "image_origin": "fetched"}
    other = {
        "doc_id": "0" * 32,
        "page_url": "https://q.example/",
        "dump": "d2",
        "caption": "c",
        "image_origin": "fetched",
    }
    publish_shards(made.lake, IMAGE_CANDIDATES, "d1", {"0": [
        fill | {"pair_id": "1" * 32, "image_url": "https://z.example/1.png", "image_sha256": shared},
        fill | {"pair_id": "2" * 32, "image_url": "https://z.example/2.png", "image_sha256": alone},
    ]})  # fmt: skip
    publish_shards(made.lake, IMAGE_CANDIDATES, "d2", {"0": [
        other | {"pair_id": "3" * 32, "image_url": "https://y.example/1.png", "image_sha256": shared}]})  # fmt: skip
    instruction = next(row for row in made.parents if doc["doc_id"] in made.parents[row] and row in {
        item["instruction_id"] for key, rows in made.rows.items() if key[0] == "instruction_candidates" for item in rows
    })  # fmt: skip
    said = pl.DataFrame({"instruction_id": [instruction, "9" * 32], "corrected_response": ["a", "b"]})
    write_review_file(made.lake, "d1", VERDICTS, said)
    folder = tmp_path / "lake" / "extracted_text" / "dump=d1"
    (folder / "report.html").write_text(doc["text"])
    part = next(folder.glob("part-00000*"))
    shutil.copy(part, folder / "part-00000-0000-0123456789abcdef.parquet")

    report = take_down(
        made.lake,
        plan_takedown(made.lake, [make_entry("id", doc["doc_id"], "2026-11-23", "")]),
        str(tmp_path / "cache"),
    )

    assert report["proof"]["holds"]
    assert not (folder / "report.html").exists()
    assert not (folder / "part-00000-0000-0123456789abcdef.parquet").exists()
    assert cache.find("https://z.example/1.png") is None
    assert cache.read(str(shared)) == b"1.png"  # another page has it from elsewhere
    with pytest.raises(FileNotFoundError):
        cache.read(str(alone))
    kept = pl.read_parquet(tmp_path / "lake" / "reviews" / "dump=d1" / VERDICTS)
    assert kept["instruction_id"].to_list() == ["9" * 32]


def test_words_that_other_pages_have_too_are_told_and_stay(tmp_path: Path) -> None:
    from mmpipe.tables.text import EXTRACTED_TEXT

    made = make_lake(tmp_path / "lake", 3)
    shards = {key[2]: rows for key, rows in made.rows.items() if key[:2] == ("extracted_text", "d2")}
    taken = made.rows[("extracted_text", "d1", "00000-0000")][0]
    copy = shards["00000-0000"][0]
    copy["text"] = taken["text"]
    publish_shards(made.lake, EXTRACTED_TEXT, "d2", shards | {"00000-0000": [*shards["00000-0000"]]})
    # another key: the rows are others
    dataset = made.lake.dataset(EXTRACTED_TEXT, "d2")
    shutil.rmtree(dataset.folder.local_path or Path())
    publish_shards(made.lake, EXTRACTED_TEXT, "d2", shards)

    entry = make_entry("id", taken["doc_id"], "2026-11-23", "")
    report = take_down(made.lake, plan_takedown(made.lake, [entry]), str(tmp_path / "cache"))

    assert report["proof"]["holds"]
    assert [(trace["table"], trace["id"]) for trace in report["proof"]["words"]] == [("extracted_text", copy["doc_id"])]
    page = (tmp_path / "lake" / "takedowns" / report["takedown"] / "report.md").read_text()
    assert copy["doc_id"] in page
    assert taken["text"].splitlines()[0][:50] not in page + json.dumps(report)


def test_what_repeats_it_stays_unless_it_is_asked_for(tmp_path: Path) -> None:
    made = make_lake(tmp_path / "lake", 0)
    from mmpipe.tables.text import TEXT_DUPLICATES

    docs = [row["doc_id"] for key, rows in made.rows.items() if key[0] == "raw_crawl" for row in rows]
    alike = {"cluster_id": docs[0], "kept_doc_id": docs[0], "kept_dump": "d1"}
    publish_shards(made.lake, TEXT_DUPLICATES, "d2", {"all": [{"doc_id": docs[-1], "dump": "d2"} | alike]})
    entry = make_entry("id", docs[0], "2026-11-23", "letter")

    plan = plan_takedown(made.lake, [entry])
    assert docs[-1] in plan.search.near["text_duplicates"]
    assert docs[-1] not in plan.search.ids
    both = plan_takedown(made.lake, [entry], with_duplicates=True)
    assert docs[-1] in both.search.ids
    assert {item.reason for item in both.entries if item.value == docs[-1]} == {"repeats what was taken down: letter"}


def test_files_of_a_run_that_was_cut_off_or_came_before_go_too(tmp_path: Path) -> None:
    made = make_lake(tmp_path / "lake", 5)
    page = made.rows[("deduped_corpus", "d1", "00000-0000")][0]
    # the version before: an answer to an instruction of the page that is no more in any table
    answer, instruction = "a" * 32, "b" * 32
    parents = [{"table": "deduped_corpus", "id": page["doc_id"]}]
    old: dict[str, Any] = {"instruction_id": instruction, "dump": "d1", "candidate_status": "ok", "parents": parents}
    stored: list[tuple[Table, dict[str, Any]]] = [
        (INSTRUCTION_CANDIDATES, old),
        (RESPONSES, {"response_id": answer, "instruction_id": instruction, "response": "old answer"}),
    ]
    for table, row in stored:
        dataset = made.lake.dataset(table, "d1")
        manifest = dataset.folder.join("manifest.json").read_text()
        publish_shards(made.lake, table, "d1", {"before": [row]})
        dataset.folder.join("manifest.json").write_text(manifest)
    # a dump whose index was cut off: shards are committed, and nothing is published
    record_dump(made.lake, Dump("d3", str(tmp_path), ("a.warc.gz",)))
    rows = [{"doc_id": key * 32, "dump": "d3", "url": url, "record_status": "ok"}
            for key, url in (("c", page["url"]), ("d", "https://other.example/"))]  # fmt: skip
    publish_shards(made.lake, RAW_CRAWL, "d3", {"00000-0000": rows[:1], "00001-0000": rows[1:]})
    made.lake.dataset(RAW_CRAWL, "d3").folder.join("manifest.json").remove()

    entry = make_entry("url", page["url"], "2026-11-23", "")
    take_down(made.lake, plan_takedown(made.lake, [entry]), str(tmp_path / "cache"))

    for table, _ in stored:
        folder = Path(made.lake.dataset(table, "d1").folder.url)
        assert not list(folder.rglob("*before-*")), table.name
    left = sorted(path.name for path in (tmp_path / "lake" / "raw_crawl" / "dump=d3").rglob("0*.json"))
    assert [name[:10] for name in left] == ["00001-0000"]
    assert find_taken(made.lake, answer) is not None


def test_a_release_goes_that_was_cut_off_or_holds_rows_of_a_removed_dump(tmp_path: Path) -> None:
    made = make_lake(tmp_path / "lake", 5)
    rows = [row for key, rows in made.rows.items() if key[:2] == ("sft_dataset", None) for row in rows]
    page = next(parent["id"] for row in rows for parent in row["parents"] if parent["id"] in made.urls)
    dataset, folder = made.lake.dataset(SFT_DATASET), tmp_path / "lake" / "sft_dataset"
    publish_shards(made.lake, SFT_DATASET, None, {"d3": [rows[0] | {"id": "f" * 32, "dump": "d3", "parents": [
        {"table": "deduped_corpus", "id": "e" * 32}]}]})  # fmt: skip
    # of a page in a dump that is there no more, by its id: nothing else of it is known
    plan = plan_takedown(made.lake, [make_entry("id", "e" * 32, "2026-11-23", "")])
    assert plan.releases == ("sft_dataset",)
    told = Console(file=StringIO(), width=200)
    print_takedown_plan(told, plan)
    assert told.file.getvalue() == "Withdrawn whole, with their files: sft_dataset.\n"  # type: ignore[attr-defined]
    report = take_down(made.lake, plan, str(tmp_path / "cache"))
    assert report["next"] == "mmpipe backfill sft_dataset"

    publish_shards(made.lake, SFT_DATASET, None, {"d1": rows})
    dataset.folder.join("manifest.json").remove()  # killed before it was published, or rendered anew
    (folder / "release" / "text_only").mkdir(parents=True)
    shutil.copy(next(folder.glob("part-*")), folder / "release" / "text_only" / "d1.parquet")
    plan = plan_takedown(made.lake, [make_entry("id", page, "2026-11-23", "")])
    take_down(made.lake, plan, str(tmp_path / "cache"))
    assert [path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_a_picture_goes_by_the_id_of_its_record_from_every_page(tmp_path: Path) -> None:
    made = make_lake(tmp_path / "lake", 5)
    picture = {
        "doc_id": "c" * 32,
        "dump": "d1",
        "url": "https://z.example/1.png",
        "record_status": "ok",
        "kind": "image",
    }
    shards = {key[2]: rows for key, rows in made.rows.items() if key[:2] == ("raw_crawl", "d1")}
    publish_shards(made.lake, RAW_CRAWL, "d1", shards | {"00002-0000": [picture]})
    page: dict[str, Any] = {"page_url": "https://elsewhere.example/", "doc_id": "e" * 32, "dump": "d2", "caption": "c"}
    pairs = [
        page | {"pair_id": "1" * 32, "image_url": "https://z.example/1.png", "image_doc_id": "c" * 32},
        page | {"pair_id": "2" * 32, "image_url": "http://z.example/1.png", "image_doc_id": None},
        page | {"pair_id": "3" * 32, "image_url": "https://z.example/2.png", "image_doc_id": None},
        page | {"pair_id": "4" * 32, "image_url": "folder/1.png", "image_doc_id": "c" * 32},
    ]
    publish_shards(made.lake, IMAGE_CANDIDATES, "d2", {"pairs": pairs})
    plan = plan_takedown(made.lake, [make_entry("id", "c" * 32, "2026-11-23", "")])
    take_down(made.lake, plan, str(tmp_path / "cache"))
    left = made.lake.dataset(IMAGE_CANDIDATES, "d2").scan().collect().get_column("pair_id").to_list()
    assert left == ["3" * 32]
    # the picture's URL stays away, for pairs of later runs name it alone
    assert ("url", "z.example/1.png") in {(entry.kind, entry.value) for entry in read_takedowns(made.lake).entries}


def test_on_an_object_store_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    import fsspec

    made = make_lake(tmp_path / "lake", 2)
    fsspec.filesystem("memory").put(f"{tmp_path}/lake/", f"/{tmp_path.name}/", recursive=True)
    entry = make_entry("domain", "a.example", "2026-11-23", "")
    here, there = (
        take_down(lake, plan_takedown(lake, [entry]), str(tmp_path / "cache"))
        for lake in (made.lake, Lake(f"memory://{tmp_path.name}"))
    )
    assert here["files"]
    assert there["files"] == here["files"]
    assert there["proof"] == here["proof"]
