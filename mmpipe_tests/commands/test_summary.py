"""The tables that the demo ends with: numbers as people read them."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from mmpipe.commands.summary import print_funnels, print_places
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.columns import Table
from mmpipe.tables.image_release import IMAGE_DATASET
from mmpipe.tables.instructions import PRETRAINING_DATASET, RESPONSES
from mmpipe.tables.interleaved_release import INTERLEAVED_DATASET


def publish_counted(lake: Lake, table: Table, dump: str | None, counts: dict[str, float]) -> None:
    result = ShardResult(table.make_empty(), 1000, counts={"accepted": 1000, **counts}, accounts_for_rows=False)
    produce(
        lake.dataset(table, dump), [ShardWork("0", "x", (result,))], lambda made: made, code_version="1",
        recipe_yaml="", inputs={}, engine=Engine(),
    )  # fmt: skip


def test_large_and_small_numbers_are_written_out(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    publish_counted(lake, PRETRAINING_DATASET, None, {"tokens": 1_646_338})
    asked = {"requests": 1000, "prompt_tokens": 2e5, "completion_tokens": 4e4, "cost": 0.05232}
    publish_counted(lake, RESPONSES, "d1", asked)
    written = io.StringIO()
    print_funnels(Console(file=written, width=160), lake, ["d1"])
    assert "tokens 1,646,338" in written.getvalue()
    assert "a row takes 240 tokens, costs 0.000052" in written.getvalue()
    assert "e+" not in written.getvalue()


def test_every_released_dataset_is_told_with_its_place(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    for table in (IMAGE_DATASET, INTERLEAVED_DATASET):
        publish_counted(lake, table, None, {})
    for tell in (print_funnels, print_places):
        written = io.StringIO()
        tell(Console(file=written, width=200), lake, ["d1"])
        assert "image_dataset" in written.getvalue()
        assert "interleaved_dataset" in written.getvalue()
