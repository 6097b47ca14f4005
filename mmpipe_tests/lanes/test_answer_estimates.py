"""Estimates of rephrasing, responses, judges and preference methods: what is told is what is asked then, or more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes import instructions, preference_pairs, preferences, rephrasing, response_revisions
from mmpipe.lanes.answer_estimates import estimate_answers, widen
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.rephrasing import REPHRASING
from mmpipe.lanes.stage import Knobs, StageRun
from mmpipe.models.request_estimates import count_by_characters
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine
from mmpipe.tables.chat import ChatMessage, ChatRequest, Estimate, Sampling
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from mmpipe.lanes.synthesis_estimates import MethodEstimate

METHODS = "[best_worst, ultrafeedback, pairwise_judge, {method: self_refinement, rounds: 2}, spin]"
RECIPE = f"""\
extends: refinedweb
rephrasing: {{styles: [easy, hard], styles_per_document: 2}}
instructions: {{samples_per_prompt: 3, max_tokens: 64, criterion: helpfulness}}
preferences: {{methods: {METHODS}}}
"""
#: After which stage the lane stands.
AFTER = {table.name: place for place, table in enumerate([stage.table for stage in INSTRUCTION_LANE])}


class Scene:
    """A lake with two documents and three instructions of which one is removed, and a teacher that counts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lake = Lake(str(folder / "lake"))
        (folder / "mine.yaml").write_text(RECIPE)
        self.recipe = load_recipe(str(folder / "mine.yaml"))
        self.knobs = Knobs(
            cache_folder=str(folder / "cache"), teachers={"j": {"model": "j"}}, teacher_uses={"judge": "j"}
        )
        self.asked: dict[str, list[ChatRequest]] = {"author": [], "judge": []}
        for module in (instructions, preferences, preference_pairs, rephrasing, response_revisions):
            monkeypatch.setattr(module, "open_run_teacher", self.open)
        documents = [{"doc_id": f"d{place}", "dump": "a", "text": f"The pier of {place} opened early. " * 8,
                      "language": "en"} for place in range(2)]  # fmt: skip
        publish(self.lake, DEDUPED_CORPUS, "a", fill_rows(DEDUPED_CORPUS, documents))
        publish(self.lake, FILTERED_IMAGE_PAIRS, "a", FILTERED_IMAGE_PAIRS.make_empty())

    def open(self, knobs: Knobs) -> ScriptedTeacher:
        who = "judge" if knobs.teacher.get("model") == "j" else "author"

        def say(request: ChatRequest) -> str:
            self.asked[who].append(request)
            return f"It opened in {1800 + len(self.asked[who])}."

        return ScriptedTeacher(say, name=f"scripted:{who}@1")

    def add_instructions(self) -> None:
        rows: list[dict[str, Any]] = [
            {"instruction_id": f"i{place}", "dump": "a", "instruction": f"When did pier {place} open?", "images": [],
             "context": f"Pier {place} opened in 187{place}.", "response": f"In 187{place}.", "parents": []}
            for place in range(3)
        ]  # fmt: skip
        publish(self.lake, SYNTHESIZED_INSTRUCTIONS, "a", fill_rows(SYNTHESIZED_INSTRUCTIONS, rows))
        gone = {"instruction_id": "i2", "rule": "x", "signal": "x"}
        publish(self.lake, INSTRUCTION_REMOVALS, "a", fill_rows(INSTRUCTION_REMOVALS, [gone]))

    def run(self, *tables: Any) -> dict[str, list[ChatRequest]]:
        """Run the stages of these tables; return who was asked what."""
        for asked in self.asked.values():
            asked.clear()
        for table in tables:
            stage = INSTRUCTION_LANE[AFTER[table.name]]
            run_stages(self.lake, "a", [stage], recipe=self.recipe, knobs=self.knobs)
            self.lake.dataset(table, "a").record_verdict([])
        return self.asked

    def estimate(self) -> dict[str, MethodEstimate]:
        run = StageRun(INSTRUCTION_LANE[0], self.lake, self.recipe, self.knobs, Engine(1), "a")
        before = {who: len(asked) for who, asked in self.asked.items()}
        told = {one.method: one for one in estimate_answers(run)}
        assert {who: len(asked) for who, asked in self.asked.items()} == before
        return told


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def take(one: MethodEstimate) -> Estimate:
    assert one.estimate is not None, one
    return one.estimate


def test_before_instructions_rephrasing_alone_is_counted(scene: Scene) -> None:
    told = scene.estimate()
    waiting = {name for name, one in told.items() if "none are made yet" in one.note}
    assert waiting == {"responses", "judgements", "judgements (ultrafeedback)", "response_revisions", "pairwise_judge",
                       "self_refinement", "spin"}  # fmt: skip
    run_stages(scene.lake, "a", [REPHRASING], recipe=scene.recipe, knobs=scene.knobs)
    first = [request for request in scene.asked["author"] if request.sample_index == 0]
    assert (take(told["rephrasing"]).requests, told["rephrasing"].teacher) == (len(first), "scripted:author@1")
    assert len(first) == 4
    assert take(told["rephrasing"]).prompt_tokens == sum(map(count_by_characters, first))
    assert "at most 3 times in all" in told["rephrasing"].note


def test_what_is_told_beforehand_is_what_is_asked_or_more(scene: Scene) -> None:
    scene.add_instructions()
    told = scene.estimate()
    assert all(told[name].teacher == "scripted:judge@1" for name in ("judgements", "pairwise_judge"))
    # two of three are kept, and three samples of each
    responses = scene.run(RESPONSES)["author"]
    assert take(told["responses"]).requests == len(responses) == 6
    assert take(told["responses"]).prompt_tokens == sum(map(count_by_characters, responses))

    judged = scene.run(JUDGEMENTS)["judge"]
    first = [request for request in judged if request.sample_index == 0]
    bound = take(told["judgements"]), take(told["judgements (ultrafeedback)"])
    assert sum(each.requests for each in bound) == len(first)
    assert sum(each.prompt_tokens for each in bound) >= sum(map(count_by_characters, first))
    assert "upper bound: each response counts as 64 tokens" in told["judgements"].note
    assert take(told["judgements"]).requests == 6

    # a reply that is no critique ends the rounds; before, each answer would be revised and compared
    assert take(told["response_revisions"]).requests == 2
    assert "up to 3 more requests an answer" in told["response_revisions"].note
    assert "upper bound: each response counts as 64 tokens" in told["response_revisions"].note
    assert take(told["self_refinement"]).requests == 4
    revised = scene.run(RESPONSE_REVISIONS)
    assert len(revised["author"]) == 2
    assert take(told["response_revisions"]).prompt_tokens >= sum(map(count_by_characters, revised["author"]))

    asked = scene.run(PREFERENCE_PAIRS)
    compared = [request for request in asked["judge"] if request.sample_index == 0]
    # of each prompt one pair in both orders
    assert take(told["pairwise_judge"]).requests == 4
    assert len(compared) >= 4
    assert take(told["spin"]).requests == 2
    assert told["self_refinement"].teacher == "scripted:judge@1"
    assert "upper bound" not in told["spin"].note


def test_responses_that_are_there_are_counted_as_they_are(scene: Scene) -> None:
    scene.add_instructions()
    before = scene.estimate()
    scene.run(RESPONSES)
    after = scene.estimate()
    judged = [request for request in scene.run(JUDGEMENTS)["judge"] if request.sample_index == 0]
    both = ("judgements", "judgements (ultrafeedback)")
    assert sum(take(after[name]).prompt_tokens for name in both) == sum(map(count_by_characters, judged))
    for name in (*both, "pairwise_judge", "self_refinement"):
        assert take(after[name]).prompt_tokens < take(before[name]).prompt_tokens
        assert "upper bound" not in after[name].note


def test_only_instructions_that_will_be_answered_are_counted(scene: Scene, tmp_path: Path) -> None:
    scene.add_instructions()
    few = RECIPE.replace("samples_per_prompt: 3", "samples_per_prompt: 3, answered_per_dump: 1")
    (tmp_path / "few.yaml").write_text(few)
    scene.recipe = load_recipe(str(tmp_path / "few.yaml"))
    told = scene.estimate()
    assert (take(told["responses"]).requests, take(told["judgements"]).requests) == (3, 3)
    assert len(scene.run(RESPONSES)["author"]) == 3


def test_what_reads_a_file_needs_no_instructions(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "Sum?", "answer": "Four."}) + "\n")
    for dump, asked in (("a", 1), ("b", None)):
        methods = f"[{{method: spin, rows: rows.jsonl, dump: {dump}}}]"
        (tmp_path / "few.yaml").write_text(f"extends: refinedweb\npreferences: {{methods: {methods}}}\n")
        scene.recipe = load_recipe(str(tmp_path / "few.yaml"))
        (one,) = scene.estimate().values()
        assert (one.method, None if one.estimate is None else one.estimate.requests) == ("spin", asked)
    assert "another dump" in one.note


def test_a_recipe_that_asks_nobody_has_no_estimate(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("extends: refinedweb\npreferences: {methods: []}\n")
    scene.recipe = load_recipe(str(tmp_path / "none.yaml"))
    assert scene.estimate() == {}


def test_longer_prompts_cost_more_at_the_same_price() -> None:
    told = Estimate(5, 1, 2, 100, 50, 0, 1.0, 3.0, "EUR", "x")
    wide = widen(told, 30)
    assert wide.prompt_tokens == 160
    assert (wide.prompt_cost, wide.most_cost) == pytest.approx((1.6, 3.6))
    assert widen(told, 0) is told
    empty = ChatRequest((ChatMessage("user", ""),), Sampling())
    assert count_by_characters(empty) == 4
