from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl
import pytest

from mmpipe.lanes.image_lane import IMAGE_LANE
from mmpipe.lanes.images import read_pair_images
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.removals import IMAGE_REMOVALS
from mmpipe_tests.lanes.running import make_small_recipe, run_stages

if TYPE_CHECKING:
    from mmpipe.demo.sample_crawl import SampleCrawl
    from mmpipe.lanes.stage import Knobs
    from mmpipe.storage.lake import Lake

# one process for all tests of the lanes: the lanes run once
pytestmark = pytest.mark.xdist_group("lanes")


def test_every_described_picture_is_a_candidate_and_is_accounted_for(
    whole_lake: Lake, sample_crawl: SampleCrawl
) -> None:
    dump = sample_crawl.dumps[0]
    candidates, signals, removals, kept = (
        whole_lake.dataset(table, dump.name).scan().collect()
        for table in (IMAGE_CANDIDATES, IMAGE_SIGNALS, IMAGE_REMOVALS, FILTERED_IMAGE_PAIRS)
    )
    described = Counter(pair.image_url for pair in dump.pairs if pair.caption)

    assert Counter(candidates["image_url"]) == described
    assert set(signals["pair_id"]) == set(candidates["pair_id"])
    assert candidates.height == kept.height + removals["pair_id"].n_unique()


def test_pictures_are_found_in_the_dump_and_a_missing_one_says_so(whole_lake: Lake, sample_crawl: SampleCrawl) -> None:
    dump = sample_crawl.dumps[0]
    candidates = whole_lake.dataset(IMAGE_CANDIDATES, dump.name).scan().collect()
    removals = whole_lake.dataset(IMAGE_REMOVALS, dump.name).scan().collect()
    missing = {pair.image_url for pair in dump.pairs if pair.fate == "missing_image"}

    found = dict(candidates.select("image_url", "image_origin").iter_rows())
    assert missing
    assert {url for url, origin in found.items() if origin == "missing"} >= missing
    gone = candidates.filter(pl.col("image_url").is_in(list(missing))).join(removals, on="pair_id")
    assert set(gone["rule"]) == {"missing_image"}


def test_flawed_pictures_are_removed_by_the_rule_made_for_them(whole_lake: Lake, sample_crawl: SampleCrawl) -> None:
    dump = sample_crawl.dumps[0]
    removals = (
        whole_lake.dataset(IMAGE_CANDIDATES, dump.name)
        .scan()
        .join(whole_lake.dataset(IMAGE_REMOVALS, dump.name).scan(), on="pair_id")
        .collect()
    )
    by_url = {url: set(rows["rule"]) for (url,), rows in removals.group_by("image_url")}

    for fate, rule in (
        ("icon", "datacomp_image_min_side"),
        ("banner", "datacomp_image_aspect_ratio"),
        ("small_file", "laion_image_bytes"),
        ("undecodable_image", "undecodable_image"),
    ):
        urls = {pair.image_url for pair in dump.pairs if pair.fate == fate and pair.caption}
        assert urls, fate
        assert all(rule in by_url[url] for url in urls), (fate, {url: by_url.get(url) for url in urls})


def test_the_bytes_of_a_kept_pair_are_read_by_reference(whole_lake: Lake, sample_crawl: SampleCrawl) -> None:
    import hashlib

    pairs = whole_lake.dataset(FILTERED_IMAGE_PAIRS, sample_crawl.dumps[0].name).scan().collect()

    found = read_pair_images(whole_lake, pairs, "")

    assert set(found) == set(pairs["pair_id"])
    for pair_id, sha256 in pairs.select("pair_id", "image_sha256").iter_rows():
        assert hashlib.sha256(found[pair_id]).hexdigest() == sha256


def test_other_weights_make_the_signals_again(whole_lake: Lake, whole_knobs: Knobs, sample_crawl: SampleCrawl) -> None:
    from dataclasses import replace

    dump = sample_crawl.dumps[0].name
    recipe = make_small_recipe()
    made = run_stages(whole_lake, dump, IMAGE_LANE[:2], recipe=recipe, knobs=replace(whole_knobs, clip_weights=""))
    back = run_stages(whole_lake, dump, IMAGE_LANE[:2], recipe=recipe, knobs=whole_knobs)

    assert (made["image_candidates"].made_shards, back["image_candidates"].made_shards) == (0, 0)
    assert made["image_signals"].made_shards > 0
