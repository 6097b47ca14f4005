from __future__ import annotations

import pytest
from rich.console import Console

from mmpipe.assets.partitions import validate_dump_name
from mmpipe.commands.demo import name_dump
from mmpipe.commands.summary import print_funnels, print_places, print_samples
from mmpipe.storage.lake import Lake


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/data/crawl/2026-40/", "2026-40"),
        ("/data/CC-MAIN-1.warc.gz", "CC-MAIN-1"),
        ("/crawl/CC-MAIN-2024-22/warc.paths.gz", "CC-MAIN-2024-22"),
        ("s3://bucket/crawl data (new)", "crawl-data-new"),
        ("/données/日本.warc", "dump"),
        ("..", "dump"),
    ],
)
def test_a_dump_of_ones_own_gets_a_name_that_can_be_a_partition(source: str, name: str) -> None:
    assert name_dump(source) == name
    assert validate_dump_name(name_dump(source)) == name


def test_an_empty_lake_prints_no_table_and_no_error(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    console, lake = Console(width=100), Lake(str(tmp_path))

    print_funnels(console, lake, ["d1"])
    print_samples(console, lake, ["d1"])
    print_places(console, lake, ["d1"])

    assert "rows in" not in capsys.readouterr().out
