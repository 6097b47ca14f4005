"""A lake of kept instructions and the stages that make pairs of them, for tests of what recipes have preferred."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes import preference_pairs, preferences, response_revisions
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instruction_matches import PREFERENCE_CONTAMINATION
from mmpipe.tables.instructions import JUDGEMENTS, PREFERENCE_DATASET, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.storage.commits import Manifest
    from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest

    Script = Callable[[ChatRequest], str | ChatReply | ChatFailure]

DUMP = "d1"
STAGES = [
    stage
    for stage in INSTRUCTION_LANE
    if stage.table
    in (RESPONSES, JUDGEMENTS, RESPONSE_REVISIONS, PREFERENCE_PAIRS, PREFERENCE_CONTAMINATION, PREFERENCE_REMOVALS)
]
PREFERENCE_STAGE = RELEASE_LANE[1]
#: Two shards of three questions each.
ASKED = {f"q{place}": f"What is {place} + 1?" for place in range(6)}


class House:
    """A lake of six kept instructions in two shards, a folder for recipes and their files, and who answers next."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.lake = folder, Lake(str(folder / "lake"))
        self.teacher = ScriptedTeacher(lambda _: "", "openai:writer-1@0")
        self.judge = ScriptedTeacher(lambda _: "", "openai:judge-1@0")
        #: Settings of teachers that the knobs name.
        self.teachers: dict[str, dict[str, str]] = {}
        self.instructions = "criterion: helpfulness, samples_per_prompt: 3"
        rows = [
            {
                "instruction_id": name, "dump": DUMP, "instruction": asked, "response": f"It is {place + 1}.",
                "images": [], "parents": [{"table": "deduped_corpus", "id": name}], "evidence": f"{place + 1} it is.",
            }
            for place, (name, asked) in enumerate(ASKED.items())
        ]  # fmt: skip
        frame = fill_rows(SYNTHESIZED_INSTRUCTIONS, rows)
        for table, parts in (
            (SYNTHESIZED_INSTRUCTIONS, [frame[:3], frame[3:]]),
            (INSTRUCTION_REMOVALS, [INSTRUCTION_REMOVALS.make_empty()] * 2),
        ):
            dataset = self.lake.dataset(table, DUMP)
            work = [ShardWork(f"s{place}", str(place), (part,)) for place, part in enumerate(parts)]
            produce(dataset, work, _give, code_version="1", recipe_yaml="name: x\n", inputs={}, engine=Engine())
            dataset.record_verdict([])
        publish(self.lake, FILTERED_IMAGE_PAIRS, DUMP, FILTERED_IMAGE_PAIRS.make_empty())
        monkeypatch.setattr(preferences, "open_run_teacher", lambda _: self.teacher)
        monkeypatch.setattr(preferences, "open_run_judge", lambda _: self.judge)
        monkeypatch.setattr(preference_pairs, "open_run_teacher", lambda _: self.teacher)
        monkeypatch.setattr(response_revisions, "open_run_teacher", lambda _: self.teacher)
        monkeypatch.setattr(preference_pairs, "open_run_judge", lambda _: self.judge)

    def write(self, name: str, rows: list[dict[str, Any]]) -> str:
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return name

    def recipe(self, methods: str, more: str = "") -> Any:
        path = self.folder / "mine.yaml"
        path.write_text(
            f"extends: refinedweb\ninstructions: {{{self.instructions}}}\npreferences:\n  methods: {methods}\n{more}",
            encoding="utf-8",
        )
        recipe = load_recipe(str(path))
        # what is written beside the rows is a recipe again, with the same digests
        again = self.folder / "again.yaml"
        again.write_text(recipe.dump(), encoding="utf-8")
        for section in ("preferences", "ratings", "release"):
            assert load_recipe(str(again)).digest_section(section) == recipe.digest_section(section)
        return recipe

    def make(self, methods: str, script: Script = lambda _: "", judge: Script = lambda _: "") -> Manifest:
        self.teacher = ScriptedTeacher(script, self.teacher.name)
        self.judge = ScriptedTeacher(judge, self.judge.name)
        knobs = Knobs(cache_folder=str(self.folder / "cache"), device="cpu", teachers=self.teachers)
        made = run_stages(self.lake, DUMP, STAGES, recipe=self.recipe(methods), knobs=knobs)
        for stage in STAGES:
            self.lake.dataset(stage.table, DUMP).record_verdict([])
        manifest = made["preference_pairs"].manifest
        assert all(commit.rows_in == commit.rows_out + commit.rows_removed for commit in manifest.commits)
        return manifest

    def read(self, table: Any) -> pl.DataFrame:
        return self.lake.dataset(table, DUMP).scan().collect()

    @property
    def pairs(self) -> pl.DataFrame:
        return self.read(PREFERENCE_PAIRS)

    def release(self, methods: str, release: str = "") -> tuple[Manifest, pl.DataFrame]:
        recipe = self.recipe(methods, f"release: {release}\n" if release else "")
        knobs = Knobs(cache_folder=str(self.folder / "cache"))
        made = run_stages(self.lake, None, [PREFERENCE_STAGE], recipe=recipe, knobs=knobs)
        return made["preference_dataset"].manifest, self.lake.dataset(PREFERENCE_DATASET).scan().collect()


def _give(frame: pl.DataFrame) -> ShardResult:
    return ShardResult(frame, frame.height, accounts_for_rows=False)


def ask_of(request: ChatRequest) -> str:
    return str(request.messages[-1].content)


def answer(request: ChatRequest) -> str:
    """Say three different things: the number of the sample."""
    return f"Answer {request.sample_index}."


def mark(request: ChatRequest) -> str:
    """Mark `Answer N.` with N + 1."""
    text = ask_of(request).rpartition("Answer: ")[2]
    return json.dumps({"rationale": "So it is.", "score": int(text.split("Answer ")[-1][0]) + 1})
