"""The lane counts over a whole dump shard by shard, and again only where the dump changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.image_counts import count_images
from mmpipe.lanes.stage import Knobs, Stage, StageRun
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.images import IMAGE_CANDIDATES, IMAGE_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mmpipe.storage.shards import Production
    from mmpipe.tables.columns import Table

DUMP = "CC-TEST-1"
COUNTS = Stage(IMAGE_COUNTS, (IMAGE_CANDIDATES, IMAGE_SIGNALS), count_images)
#: Page, caption, URL, hash and similarity of each pair, by shard.
SHARDS = {
    "a": [("p0", "d0", "a kite", "u0", "00", 0.5), ("p1", "d0", "a  kite", "u0", "00", 0.4)],
    "b": [],
    "c": [("p2", "d1", "a kite", "u0", "01", 0.4), ("p3", "d2", "A kite", "u1", None, None)],
}
EXPECTED = [
    ("p0", 3.0, 3.0, 2.0, 2.0, 0.0),
    ("p1", 3.0, 3.0, 2.0, 2.0, 1 / 3),
    ("p2", 3.0, 3.0, 2.0, 1.0, 1 / 3),
    ("p3", 1.0, 1.0, 1.0, None, None),
]


def fill(table: Table, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows of a table of which only some columns matter."""
    plain = {
        column.name: None if column.nullable else "" if column.dtype == pl.String else 0 for column in table.columns
    }
    return pl.DataFrame([plain | dict(row) for row in rows], schema=table.schema)


def write_shard(frame: pl.DataFrame) -> ShardResult:
    return ShardResult(frame, frame.height)


def write(lake: Lake, table: Table, shards: Mapping[str, pl.DataFrame]) -> None:
    work = [ShardWork(shard, str(frame.hash_rows().sum()), (frame,)) for shard, frame in shards.items()]
    start(lake, Stage(table, (), count_images)).write(work, write_shard, inputs={}, is_in_process=True)


def start(lake: Lake, stage: Stage) -> StageRun:
    knobs = Knobs(cache_folder=f"{lake.root}-cache")
    return StageRun(stage=stage, lake=lake, recipe=load_recipe("refinedweb"), knobs=knobs, engine=Engine(), dump=DUMP)


def make(lake: Lake, shards: Mapping[str, Sequence[tuple[Any, ...]]]) -> Production:
    names = ("pair_id", "doc_id", "caption", "image_url", "phash", "clip_similarity")
    rows = {shard: [dict(zip(names, row, strict=True)) for row in own] for shard, own in shards.items()}
    for table in (IMAGE_CANDIDATES, IMAGE_SIGNALS):
        known = set(table.column_names)
        write(
            lake,
            table,
            {
                shard: fill(table, [{name: row[name] for name in names if name in known} for row in own])
                for shard, own in rows.items()
            },
        )
    return count_images(start(lake, COUNTS))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_pairs_are_counted_over_all_shards_and_written_shard_by_shard(lake: Lake, tmp_path: Path) -> None:
    make(lake, SHARDS)
    counts = lake.dataset(IMAGE_COUNTS, DUMP)
    assert counts.scan().collect().rows() == EXPECTED
    assert counts.read_shard("c").rows() == EXPECTED[2:]
    assert counts.read_shard("b").height == 0
    assert list((tmp_path / "lake-cache" / "scratch").iterdir()) == []


def test_counts_do_not_depend_on_how_the_dump_is_cut(lake: Lake) -> None:
    rows = [row for own in SHARDS.values() for row in own]
    make(lake, {"all": rows[::-1]})
    assert lake.dataset(IMAGE_COUNTS, DUMP).scan().collect().sort("pair_id").rows() == EXPECTED


def test_every_shard_is_counted_again_where_one_changed_and_none_otherwise(lake: Lake) -> None:
    assert make(lake, SHARDS).made_shards == 3
    assert make(lake, SHARDS).made_shards == 0
    grown = SHARDS | {"b": [("p4", "d3", "a kite", "u4", "02", 0.9)]}
    assert make(lake, grown).made_shards == 3
    counted = lake.dataset(IMAGE_COUNTS, DUMP).scan().collect()
    assert dict(counted.select("pair_id", "caption_pairs").iter_rows())["p0"] == 4
