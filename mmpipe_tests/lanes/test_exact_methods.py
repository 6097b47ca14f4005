"""Exactly as many grounded questions as a recipe wants, through the stage: budget, order, what is missing, faults."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.errors import RecipeError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes import instructions, synthesis_estimates
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.stage import Knobs, StageRun
from mmpipe.lanes.synthesis_methods import check_methods
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from mmpipe.storage.commits import Manifest
    from mmpipe.tables.chat import ChatRequest

DUMP = "d1"
TEXT = (
    "The walls of the old rope factory are thick and cool all summer long. Once Clara Benn paid {} crowns for "
    "the whole building beside the lock. It is closed in winter because of the snow, and the cellar is damp until May "
    "comes round again with its long and dry evenings."
)


class House:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.lake = folder, Lake(str(folder / "lake"))
        self.teacher = ScriptedTeacher(answer)
        self.publish([300 + place for place in range(40)])
        publish(self.lake, FILTERED_IMAGE_PAIRS, DUMP, FILTERED_IMAGE_PAIRS.make_empty())
        monkeypatch.setattr(instructions, "open_run_teacher", lambda _: self.teacher)

    def publish(self, prices: list[int]) -> None:
        rows = [{"doc_id": f"doc{price}", "dump": DUMP, "text": TEXT.format(price)} for price in prices]
        publish(self.lake, DEDUPED_CORPUS, DUMP, fill_rows(DEDUPED_CORPUS, rows))

    def recipe(self, options: str) -> Any:
        path = self.folder / "mine.yaml"
        section = f"documents_per_dump: null\n  methods: [{{method: grounded_questions{options}}}]"
        path.write_text(f"extends: refinedweb\ninstructions:\n  {section}\n", encoding="utf-8")
        return load_recipe(str(path))

    def make(self, options: str) -> Manifest:
        self.teacher = ScriptedTeacher(answer)
        knobs = Knobs(cache_folder=str(self.folder / "cache"), device="cpu")
        made = run_stages(self.lake, DUMP, INSTRUCTION_LANE[:2], recipe=self.recipe(options), knobs=knobs)
        return made["instruction_candidates"].manifest

    @property
    def rows(self) -> pl.DataFrame:
        return self.lake.dataset(SYNTHESIZED_INSTRUCTIONS, DUMP).scan().collect()

    @property
    def candidates(self) -> pl.DataFrame:
        return self.lake.dataset(INSTRUCTION_CANDIDATES, DUMP).scan().collect()


def answer(request: ChatRequest) -> str:
    """Answer rightly about even prices, and with another number about odd ones."""
    found = re.search(r"paid (\d+) crowns", request.messages[-1].content)
    assert found is not None
    price = int(found[1])
    said = f"Clara Benn paid {price if price % 2 == 0 else price + 5} crowns for the whole building."
    return json.dumps({"question": "How many crowns did Clara Benn pay?", "answer": said})


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def test_exactly_as_many_rows_are_made_as_are_wanted(house: House) -> None:
    manifest = house.make(", wanted: 9")
    assert house.rows.height == 9
    assert manifest.counts["missing"] == 0
    assert 9 < manifest.counts["requests"] == len(house.teacher.asked) < 40
    # planned = accepted + refused; only those that were asked about are told of
    assert house.candidates.height == manifest.rows_in == manifest.counts["requests"]
    statuses = set(house.candidates["candidate_status"])
    assert {"ok", "answer_ungrounded"} <= statuses <= {"ok", "answer_ungrounded", "beyond_wanted"}
    assert [commit.shard for commit in manifest.commits] == ["grounded_questions-00000"]


def test_more_wanted_rows_are_those_and_more(house: House) -> None:
    house.make(", wanted: 5")
    few = set(house.rows["instruction_id"])
    house.make(", wanted: 12")
    assert few < set(house.rows["instruction_id"])
    house.make(", wanted: 5")
    assert set(house.rows["instruction_id"]) == few


def test_the_order_of_documents_changes_nothing(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house.make(", wanted: 6")
    (tmp_path / "other").mkdir()
    other = House(tmp_path / "other", monkeypatch)
    other.publish([339 - place for place in range(40)])
    other.make(", wanted: 6")
    assert other.rows["instruction_id"].sort().equals(house.rows["instruction_id"].sort())


def test_a_budget_ends_it_and_what_is_missing_is_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    manifest = house.make(", wanted: 10, budget: 12")
    assert manifest.counts["requests"] == 12
    assert house.rows.height + manifest.counts["missing"] == 10
    assert manifest.counts["missing"] > 0
    assert "the budget of 12 candidates ended" in caplog.text
    # of 40 candidates 20 are good: all are asked, five rows are missing
    manifest = house.make(", wanted: 25")
    assert (house.rows.height, manifest.counts["missing"], manifest.counts["requests"]) == (20, 5, 40)


def test_an_estimate_counts_the_first_wave(house: House) -> None:
    stage = INSTRUCTION_LANE[0]
    knobs = Knobs(cache_folder=str(house.folder / "cache"), device="cpu")
    run = StageRun(
        stage=stage,
        lake=house.lake,
        recipe=house.recipe(", wanted: 9"),
        knobs=knobs,
        engine=Engine(workers=1),
        dump=DUMP,
    )
    [told] = synthesis_estimates.estimate_synthesis(run)
    assert told.estimate is not None
    assert told.estimate.requests == 9
    assert not house.teacher.asked


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (", wanted: 0", "`wanted` must be 1 or more"),
        (", wanted: 5, budget: 4", "`budget` at least as many"),
        (", budget: 4", "write both"),
        (", want: 4", "has no option 'want'. Did you mean 'wanted'"),
        (", wanted: many", "`wanted`: expected a whole number, found 'many'"),
    ],
)
def test_what_cannot_work_stops_when_the_definitions_load(house: House, options: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_methods(house.recipe(options))
    assert said in str(caught.value)
    assert "mine.yaml:4: " in str(caught.value)
