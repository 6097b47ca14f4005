from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from mmpipe.assets.partitions import validate_dump_name
from mmpipe.commands.demo import SAMPLE_DUMPS, find_other_dumps, name_dump, tell_left_alone
from mmpipe.commands.summary import print_funnels, print_places, print_samples
from mmpipe.storage.lake import Lake
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe_tests.lanes.pair_lake import publish


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


def test_a_release_of_other_dumps_is_not_the_demos_to_write(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    assert find_other_dumps(lake, ["d1"]) == []
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "d1", SYNTHESIZED_INSTRUCTIONS.make_empty())
    assert find_other_dumps(lake, ["d1"]) == []
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "pages", SYNTHESIZED_INSTRUCTIONS.make_empty())
    publish(lake, FILTERED_IMAGE_PAIRS, "notes", FILTERED_IMAGE_PAIRS.make_empty())
    assert find_other_dumps(lake, ["d1"]) == ["notes", "pages"]

    first, second = SAMPLE_DUMPS
    assert tell_left_alone(["pages"], [first, second]).endswith(f"before that: mmpipe crawl remove {first} {second}")
    assert tell_left_alone([first, "notes"], ["pages"]).endswith(f"before that: mmpipe crawl remove {first}")
    assert tell_left_alone(["notes"], ["pages"]).endswith("the rows of pages in them: mmpipe backfill group:release")


def test_a_funnel_tells_what_a_row_took_and_no_count_of_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = Lake(str(tmp_path))
    asked = {"requests": 9, "prompt_tokens": 900, "completion_tokens": 100, "requests_cached": 0, "accepted": 4}
    for table, counts in (
        (INSTRUCTION_CANDIDATES, asked | {"cost": 8.0, "replies_refused_too_short": 5}),
        (RESPONSES, asked | {"cost": 0}),
        (JUDGEMENTS, dict.fromkeys(asked, 0)),
    ):
        publish(lake, table, "d1", table.make_empty(), counts=counts)

    print_funnels(Console(width=180), lake, ["d1"])

    told = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if " d1 " in line}
    assert (
        "a row takes 250 tokens, costs 2.000000; requests 9, replies_refused_too_short 5, accepted 4 "
        in told["instruction_candidates"]
    )
    assert "a row takes 250 tokens; requests 9, accepted 4 " in told["responses"]
    assert told["judgements"].split() == ["judgements", "d1", "0", "0", "passed"]
