from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from mmpipe.commands.crawl import find_dump_files
from mmpipe.lanes.image_lane import IMAGE_LANE
from mmpipe.lanes.images import read_images
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.text import TEXT_LANE
from mmpipe.storage.dumps import record_dump
from mmpipe.storage.image_fetch import ImageFetcher
from mmpipe.storage.lake import Lake
from mmpipe.storage.places import Place
from mmpipe.tables.images import IMAGE_CANDIDATES
from mmpipe_tests.lanes.running import run_stages
from mmpipe_tests.storage.test_image_fetch import Host

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_run_asks_only_for_what_failed_in_passing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    host.answers = {
        "/a.png": (200, {}, b"pixels"),
        "/busy.png": (500, {}, b""),
        "/opt.png": (200, {"X-Robots-Tag": "noai"}, b"no"),
    }
    names = ("a", "busy", "opt", "gone")
    (tmp_path / "dump").mkdir()
    pl.DataFrame({"url": [f"{host.url}/{name}.png" for name in names], "text": names}).write_parquet(
        tmp_path / "dump" / "list.parquet"
    )
    # the test's host is on this machine, and patient
    monkeypatch.setattr("mmpipe.storage.guarded_http.is_public", lambda _: True)
    monkeypatch.setattr(ImageFetcher.__init__, "__defaults__", ("", 0.0, *ImageFetcher.__init__.__defaults__[2:]))
    lake, cache = Lake(str(tmp_path / "lake")), tmp_path / "cache"
    record_dump(lake, find_dump_files("d1", [str(tmp_path / "dump")], base_url=None, limit=None))
    knobs = Knobs(cache_folder=str(cache), fetch_images=True, contact="https://example.org/bot")

    def make() -> tuple[dict[str, str], dict[str, float], int, pl.DataFrame]:
        host.asked.clear()
        made = run_stages(lake, "d1", [TEXT_LANE[0], IMAGE_LANE[0]], knobs=knobs)["image_candidates"]
        frame = lake.dataset(IMAGE_CANDIDATES, "d1").scan().collect()
        origins = dict(frame.select("caption", "image_origin").iter_rows())
        return origins, dict(made.manifest.commits[0].counts), made.made_shards, frame

    origins, counts, _, _ = make()
    assert origins == {"a": "fetched", "busy": "missing", "opt": "missing", "gone": "missing"}
    assert {name: count for name, count in counts.items() if name.startswith("fetch_")} == {
        "fetch_http_status": 2, "fetch_opt_out": 1, "fetch_failed_in_passing": 1,
    }  # fmt: skip

    host.answers["/busy.png"] = (200, {}, b"late")
    origins, counts, made_shards, frame = make()
    assert origins == {"a": "cache", "busy": "fetched", "opt": "missing", "gone": "missing"}
    assert host.list_paths() == ["/robots.txt", "/busy.png"]
    assert (made_shards, counts["fetch_failed_in_passing"]) == (1, 0)
    read = dict(read_images(frame, Place(str(tmp_path / "dump")), Place(str(cache)), 100))
    assert sorted(data or b"" for data in read.values()) == [b"", b"", b"late", b"pixels"]
    details = dict(frame.select("caption", "image_detail").iter_rows())
    assert (details["opt"], details["gone"]) == ("fetch_refused: X-Robots-Tag: noai", "fetch_failed: HTTP 404")

    _, _, made_shards, _ = make()
    assert made_shards == 0
    assert host.asked == []
