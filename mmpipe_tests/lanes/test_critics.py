"""Who judges within a method, where the file of teachers names somebody of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mmpipe.errors import RecipeError, ShardError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes import instructions
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.stage import Knobs, StageRun
from mmpipe.lanes.synthesis_estimates import estimate_synthesis
from mmpipe.lanes.teacher_roster import read_roster
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import publish
from mmpipe_tests.lanes.running import run_stages
from mmpipe_tests.lanes.test_synthesis_methods import plan

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.tables.chat import ChatRequest

TOOLS = [
    {"name": "Transcriber", "takes": ["audio"], "gives": ["text"]},
    {"name": "Speaker", "takes": ["text"], "gives": ["audio"]},
]
TEACHERS = """\
teachers: {{small: {{model: small}}, strong: {{model: strong}}}}
uses: {{default: small{critics}}}
"""
TOOL_PLANS = "{method: tool_plans, tools: tools.jsonl, plans: 3, tasks: [2, 2], shapes: {chain: 1}}"
EVOL = "{method: evol_instruct, instructions: seeds.jsonl, rounds: 1}"


class Desk:
    """Two scripted teachers by name, and what each was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.lake = folder, Lake(str(folder / "lake"))
        self.asked: dict[str, list[str]] = {}
        record_dump(self.lake, Dump("d1", "/nowhere", ()))
        publish(self.lake, DEDUPED_CORPUS, "d1", DEDUPED_CORPUS.make_empty())
        publish(self.lake, FILTERED_IMAGE_PAIRS, "d1", FILTERED_IMAGE_PAIRS.make_empty())
        (folder / "tools.jsonl").write_text("".join(json.dumps(tool) + "\n" for tool in TOOLS))
        (folder / "seeds.jsonl").write_text('{"instruction": "Name a river of Aldby."}\n')
        monkeypatch.setattr(instructions, "open_run_teacher", self.open)

    def open(self, knobs: Knobs) -> ScriptedTeacher:
        name = str(knobs.teacher["model"])
        heard = self.asked.setdefault(name, [])

        def say(request: ChatRequest) -> str:
            heard.append(str(request.messages[-1].content))
            if "Tasks: " in heard[-1] or "Plan: " in heard[-1]:
                return plan(request)
            # of two instructions it is asked whether they are equal
            if request.sampling.max_tokens == 16:
                return '{"verdict": "not_equal"}'
            return "Name three rivers of Aldby and say how each got its name in the old chronicles."

        return ScriptedTeacher(say, name=f"scripted:{name}@1")

    def make(self, method: str, critics: str = "", teachers: str = TEACHERS) -> int:
        """Run a method; return the shards that were made and not found."""
        self.asked.clear()
        (self.folder / "teachers.yaml").write_text(teachers.format(critics=critics))
        (self.folder / "mine.yaml").write_text(f"extends: refinedweb\ninstructions:\n  methods: [{method}]\n")
        roster = read_roster(str(self.folder / "teachers.yaml"))
        knobs = Knobs(cache_folder=str(self.folder), teachers=roster.teachers, teacher_uses=roster.uses)
        recipe = load_recipe(str(self.folder / "mine.yaml"))
        return run_stages(self.lake, "d1", INSTRUCTION_LANE[:2], recipe=recipe, knobs=knobs)[
            INSTRUCTION_CANDIDATES.name
        ].made_shards


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_plans_are_judged_by_the_critic_that_the_file_names(desk: Desk) -> None:
    assert desk.make(TOOL_PLANS, ", tool_plans_critic: strong") == 1
    assert all("Tasks: " in text for text in desk.asked["small"])
    assert [text.startswith("Request: ") for text in desk.asked["strong"]] == [True] * 3
    rows = desk.lake.dataset(SYNTHESIZED_INSTRUCTIONS, "d1").scan().collect()
    assert rows["teacher"].to_list() == ["scripted:small@1"] * 3


def test_another_critic_makes_the_rows_again_and_none_is_opened_for_nothing(desk: Desk) -> None:
    assert desk.make(TOOL_PLANS) == 1
    assert (len(desk.asked["small"]), "strong" in desk.asked) == (6, False)
    assert desk.make(TOOL_PLANS) == 0
    assert desk.make(TOOL_PLANS, ", tool_plans_critic: strong") == 1
    desk.make(TOOL_PLANS.replace("plans: 3", "plans: 2, critic: false"), ", tool_plans_critic: strong")
    assert "strong" not in desk.asked


def test_whether_evolving_gained_anything_its_judge_says(desk: Desk) -> None:
    desk.make(EVOL, ", evol_instruct_judge: strong")
    assert len(desk.asked["strong"]) == 1
    assert len(desk.asked["small"]) == 2
    assert desk.lake.dataset(SYNTHESIZED_INSTRUCTIONS, "d1").scan().collect().height == 1


def test_a_method_that_forbids_its_own_family_stops_before_anything_is_asked(desk: Desk) -> None:
    strict = EVOL.replace("rounds: 1", "rounds: 1, judges_own_family: false")
    with pytest.raises(ShardError, match="small@1 would judge what its own family 'small' wrote"):
        desk.make(strict)
    assert desk.asked["small"] == []
    assert desk.make(strict, ", evol_instruct_judge: strong") == 1
    (row,) = desk.lake.dataset(SYNTHESIZED_INSTRUCTIONS, "d1").scan().collect()["details"]
    assert json.loads(row)["judge"] == "scripted:strong@1"
    assert json.loads(row)["judge_is_own_family"] is False

    # names do not tell that both have one maker; the file of teachers does
    kin = TEACHERS.replace("{{model: small}}", "{{model: small, family: one}}").replace(
        "{{model: strong}}", "{{model: strong, family: one}}"
    )
    with pytest.raises(ShardError, match="strong@1 would judge what its own family 'one' wrote"):
        desk.make(strict, ", evol_instruct_judge: strong", teachers=kin)
    assert desk.make(EVOL, ", evol_instruct_judge: strong", teachers=kin) == 1


def test_an_estimate_knows_who_judges(desk: Desk) -> None:
    strict = EVOL.replace("rounds: 1", "rounds: 1, judges_own_family: false")
    desk.make(strict, ", evol_instruct_judge: strong")
    desk.asked.clear()
    roster = read_roster(str(desk.folder / "teachers.yaml"))
    knobs = Knobs(cache_folder=str(desk.folder), teachers=roster.teachers, teacher_uses=roster.uses)
    recipe = load_recipe(str(desk.folder / "mine.yaml"))
    (told,) = estimate_synthesis(StageRun(INSTRUCTION_LANE[0], desk.lake, recipe, knobs, Engine(), "d1"))
    assert told.estimate is not None
    assert (told.teacher, told.estimate.requests) == ("scripted:small@1", 1)
    assert desk.asked == {"small": [], "strong": []}


def test_families_are_no_option_of_a_method(desk: Desk) -> None:
    for method in (EVOL, TOOL_PLANS):
        with pytest.raises(RecipeError, match="has no option 'families'"):
            desk.make(method.replace("{method", "{families: {small: one}, method"))
