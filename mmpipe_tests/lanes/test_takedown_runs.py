"""What is taken down stays away when stages run again, and in dumps that come later; the rest stays made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.image_candidates import candidates_shard
from mmpipe.lanes.image_lane import IMAGE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.takedown import plan_takedown, take_down
from mmpipe.lanes.text import TEXT_LANE
from mmpipe.storage.lake import Lake
from mmpipe.storage.takedowns import add_takedowns
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.images import IMAGE_CANDIDATES
from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe.tables.takedowns import make_entry
from mmpipe.tables.text import DEDUPED_CORPUS, EXTRACTED_TEXT
from mmpipe_tests.lanes.running import add_dump, run_stages

if TYPE_CHECKING:
    import pytest

    from mmpipe.demo.sample_crawl import SampleCrawl

_STAGES = [*TEXT_LANE, next(stage for stage in IMAGE_LANE if stage.table is IMAGE_CANDIDATES)]


def list_files(lake: Lake, dump: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Return key and digest of every current shard, by table."""
    found = {}
    for stage in _STAGES:
        manifest = lake.dataset(stage.table, dump).find_manifest()
        assert manifest is not None
        found[stage.table.name] = {commit.shard: (commit.key, commit.file_digest) for commit in manifest.commits}
    return found


def test_run_again_it_stays_away_as_if_the_crawl_had_never_had_it(
    text_lake: Lake, sample_crawl: SampleCrawl, tmp_path: Path
) -> None:
    dump = sample_crawl.dumps[0]
    lake = Lake(str(tmp_path / "lake"))
    shutil.copytree(text_lake.root, lake.root)
    run_stages(lake, dump.name, _STAGES[-1:])
    page = lake.dataset(DEDUPED_CORPUS, dump.name).scan().sort("doc_id").collect().to_dicts()[0]
    index = lake.dataset(RAW_CRAWL, dump.name).find_manifest()
    assert index is not None
    (hit,) = [
        commit.shard
        for commit in index.commits
        if page["doc_id"] in lake.dataset(RAW_CRAWL, dump.name).read_shard(commit.shard).get_column("doc_id")
    ]
    entry = make_entry("url", page["url"], "2026-11-23", "")
    report = take_down(lake, plan_takedown(lake, [entry]), str(tmp_path / "cache"))
    assert report["proof"]["holds"]
    between = list_files(lake, dump.name)

    again = run_stages(lake, dump.name, _STAGES)

    extracted = lake.dataset(EXTRACTED_TEXT, dump.name).scan().filter(pl.col("doc_id") == page["doc_id"]).collect()
    assert extracted.select("extraction_status", "text", "title").rows() == [("taken_down", None, None)]
    removed = lake.dataset(TEXT_REMOVALS, dump.name).scan().filter(pl.col("doc_id") == page["doc_id"]).collect()
    assert removed.get_column("rule").to_list() == ["taken_down"]
    # what the takedown wrote into the index is what the index would be made as; nothing else of it is made again
    assert again["raw_crawl"].made_shards == 0
    for name in ("extracted_text", "image_candidates", "text_corrections", "text_removals"):
        assert again[name].made_shards == 1, name
        others = {shard: made for shard, made in list_files(lake, dump.name)[name].items() if shard != hit}
        assert others == {shard: made for shard, made in between[name].items() if shard != hit}

    fresh = Lake(str(tmp_path / "fresh"))
    add_dump(fresh, dump.name, dump.folder, dump.files)
    add_takedowns(fresh, [entry])
    run_stages(fresh, dump.name, _STAGES)
    for stage in _STAGES:
        expected = fresh.dataset(stage.table, dump.name).scan().collect()
        found = lake.dataset(stage.table, dump.name).scan().collect()
        assert found.equals(expected), stage.table.name
        accounts = [
            [
                (commit.rows_in, commit.rows_out, commit.rows_removed, commit.removed_by_rule)
                for commit in manifest.commits
            ]
            for manifest in (side.dataset(stage.table, dump.name).find_manifest() for side in (lake, fresh))
            if manifest is not None
        ]
        assert accounts[0] == accounts[1], stage.table.name
    assert lake.dataset(RAW_CRAWL, dump.name).require_manifest().counts["html_taken_down"] == 1
    for table in (RAW_CRAWL, EXTRACTED_TEXT, IMAGE_CANDIDATES):
        counts = [side.dataset(table, dump.name).require_manifest().counts for side in (lake, fresh)]
        assert counts[0] == counts[1], table.name


def test_a_picture_that_was_taken_down_is_not_fetched_again(
    text_lake: Lake, sample_crawl: SampleCrawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = sample_crawl.dumps[0]
    lake = Lake(str(tmp_path / "lake"))
    shutil.copytree(text_lake.root, lake.root)
    run_stages(lake, dump.name, _STAGES[-1:])
    pairs = lake.dataset(IMAGE_CANDIDATES, dump.name).scan().filter(pl.col("image_origin") == "missing").collect()
    picture = pairs.get_column("image_url").drop_nulls().sort()[0]
    take_down(lake, plan_takedown(lake, [make_entry("url", picture, "2026-11-23", "")]), str(tmp_path / "cache"))
    asked: list[str] = []

    def note(frame: pl.DataFrame, *_: object) -> pl.DataFrame:
        asked.extend(frame.get_column("image_url"))
        return frame

    monkeypatch.setattr("mmpipe.lanes.image_candidates.fetch_missing", note)
    from mmpipe.filtering.recipes import load_recipe

    crawl = lake.dataset(RAW_CRAWL, dump.name)
    manifest = crawl.find_manifest()
    assert manifest is not None
    knobs = Knobs(fetch_images=True, cache_folder=str(tmp_path / "cache"), contact="a@b.example")
    for commit in manifest.commits:
        candidates_shard(crawl, commit.shard, str(dump.folder), load_recipe("refinedweb"), knobs)
    assert asked
    assert picture not in asked
