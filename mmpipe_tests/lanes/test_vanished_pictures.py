"""A picture that vanished or changed between stages: its rows are counted and left out, and the release goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmpipe.errors import ShardError
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.storage.lake import Lake
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import (
    JUDGEMENTS,
    PREFERENCE_DATASET,
    RESPONSES,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe_tests.lanes.pair_lake import add_pairs, draw_pairs, fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

DUMP = "d1"


class PictureHouse:
    def __init__(self, folder: Path, count: int) -> None:
        self.lake, self.cache = Lake(str(folder / "lake")), str(folder / "cache")
        self.pairs = add_pairs(self.lake, DUMP, draw_pairs(count), self.cache)
        self.ids = self.pairs["pair_id"].to_list()
        rows = [self.make_row(number, [pair_id]) for number, pair_id in enumerate(self.ids)]
        self.publish_rows([*rows, self.make_row(99, [])])
        publish(self.lake, INSTRUCTION_REMOVALS, DUMP, INSTRUCTION_REMOVALS.make_empty())
        publish(self.lake, INSTRUCTION_REVIEWS, DUMP, INSTRUCTION_REVIEWS.make_empty())

    def make_row(self, number: int, images: list[str]) -> dict[str, Any]:
        return {
            "instruction_id": f"i{number}", "dump": DUMP, "instruction": "What is it?", "response": f"Thing {number}.",
            "images": images, "parents": [{"table": "deduped_corpus", "id": f"d{number}"}],
        }  # fmt: skip

    def publish_rows(self, rows: list[dict[str, Any]]) -> None:
        publish(self.lake, SYNTHESIZED_INSTRUCTIONS, DUMP, fill_rows(SYNTHESIZED_INSTRUCTIONS, rows))

    def publish_answers(self) -> None:
        """Publish two answers to every instruction, the first the better one."""
        asked = [f"i{number}" for number in (*range(len(self.ids)), 99)]
        answers = [(name, sample) for name in asked for sample in range(2)]
        rows = [
            {
                "response_id": f"{name}-{sample}", "judgement_id": f"{name}-{sample}", "instruction_id": name,
                "dump": DUMP, "sample_index": sample, "response": f"Answer {sample}.", "finish_reason": "stop",
                "criterion": "answer_f1", "score": 9.0 - sample, "judgement_status": "ok",
            }
            for name, sample in answers
        ]  # fmt: skip
        publish(self.lake, RESPONSES, DUMP, fill_rows(RESPONSES, rows))
        publish(self.lake, JUDGEMENTS, DUMP, fill_rows(JUDGEMENTS, rows))
        for stage in INSTRUCTION_LANE[-4:]:
            run_stages(self.lake, DUMP, [stage])
            self.lake.dataset(stage.table, DUMP).record_verdict([])

    def find_file(self, place: int) -> Path:
        sha256 = self.pairs["image_sha256"][place]
        (path,) = (path for path in Path(self.cache).rglob("*") if path.is_file() and sha256 in path.name)
        return path

    def release(self, number: int = 0) -> Any:
        stage = RELEASE_LANE[number]
        return run_stages(self.lake, DUMP, [stage], knobs=Knobs(cache_folder=self.cache))[stage.table.name].manifest


@pytest.fixture
def house(tmp_path: Path) -> PictureHouse:
    return PictureHouse(tmp_path, 3)


def test_nothing_is_lost_where_all_pictures_are_there(house: PictureHouse) -> None:
    assert (house.release().rows_out, house.release().removed_by_rule) == (4, {})


def test_a_vanished_picture_and_a_changed_one_cost_their_rows_alone(house: PictureHouse) -> None:
    house.find_file(0).unlink()
    house.find_file(1).write_bytes(b"another picture")
    manifest = house.release()

    assert manifest.removed_by_rule == {"changed_image": 1, "vanished_image": 1}
    assert manifest.rows_in == 4 == manifest.rows_out + manifest.rows_removed
    rows = house.lake.dataset(SFT_DATASET).scan().collect()
    assert sorted(rows["id"]) == ["i2", "i99"]
    assert rows["images"].explode().struct.field("bytes").drop_nulls().len() == 1
    card = house.lake.dataset(SFT_DATASET).folder.join("README.md").read_text()
    assert "vanished_image" in card


def test_preferences_lose_the_pairs_of_a_vanished_picture_alone(house: PictureHouse) -> None:
    house.publish_answers()
    house.find_file(0).unlink()
    manifest = house.release(1)

    assert (manifest.rows_in, manifest.rows_out, manifest.removed_by_rule) == (
        manifest.rows_out + 1,
        3,
        {"vanished_image": 1},
    )
    assert sorted(house.lake.dataset(PREFERENCE_DATASET).scan().collect()["group_id"]) == ["i1", "i2", "i99"]


def test_a_pair_that_is_kept_no_more_takes_its_rows_along(house: PictureHouse) -> None:
    publish(house.lake, FILTERED_IMAGE_PAIRS, DUMP, house.pairs.tail(2))
    assert house.release().removed_by_rule == {"vanished_image": 1}


def test_a_cache_that_is_away_is_an_outage_and_no_result(tmp_path: Path) -> None:
    house = PictureHouse(tmp_path, 8)
    for place in range(8):
        house.find_file(place).unlink()
    with pytest.raises(ShardError, match="none of 8 pictures can be read"):
        house.release()
