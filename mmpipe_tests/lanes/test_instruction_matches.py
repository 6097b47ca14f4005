"""Instructions of a dump against evaluation sets, each other and verdicts: removals with item, twin and name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.commands.explain import explain
from mmpipe.errors import RecipeError
from mmpipe.filtering.instruction_duplicate_sections import InstructionDuplicates
from mmpipe.filtering.recipe_sections import ContaminationSettings
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.lanes.instruction_candidates import STATUS, keep_instructions, scan_kept
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.instruction_reviews import VERDICTS, apply_corrections, write_review_file
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.storage.lake import Lake
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instruction_matches import (
    INSTRUCTION_CONTAMINATION,
    INSTRUCTION_DUPLICATES,
    INSTRUCTION_REVIEWS,
    PREFERENCE_CONTAMINATION,
)
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SFT_DATASET, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import add_dump, run_stages

if TYPE_CHECKING:
    from collections.abc import Sequence

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
MATCHING = [
    stage
    for stage in INSTRUCTION_LANE
    if stage.table in (INSTRUCTION_CONTAMINATION, INSTRUCTION_REVIEWS, INSTRUCTION_DUPLICATES, INSTRUCTION_REMOVALS)
]

ROWS = [
    {"instruction_id": "clean", "method": "flan_rows", "instruction": "Name the largest sea on the map of Europe."},
    {"instruction_id": "asked", "method": "self_instruct", "instruction": f"Solve this: {QUESTION}"},
    {"instruction_id": "told", "method": "wrap", "instruction": "Who was it that sold clips?",
     "response": f"It says: {QUESTION}"},
    {"instruction_id": "talk", "method": "llava", "instruction": "Hello there, you over yonder.", "turns": [
        {"role": "user", "content": "Hello there, you over yonder."}, {"role": "assistant", "content": QUESTION}]},
    {"instruction_id": "near", "method": "evol_instruct", "instruction": "Name the largest sea on the map of Asia."},
    {"instruction_id": "same", "method": "raft", "instruction": "Name the largest sea on the map of Europe!"},
    {"instruction_id": "wrong", "method": "raft", "instruction": "Say which colour the grass has in autumn."},
]  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "gsm8k.jsonl").write_text(json.dumps({"id": "7", "question": QUESTION}) + "\n")
    (tmp_path / "own.yaml").write_text(
        "extends: refinedweb\ncontamination: {sets: [{name: gsm8k, list: gsm8k.jsonl, fields: [question]}]}\n"
        "instructions: {rules: [self_instruct_instruction_words], duplicates: {rouge_l: 0.7}}\n"
    )
    return load_recipe(str(tmp_path / "own.yaml"))


def make_lake(folder: Path, rows: Sequence[dict[str, Any]] = ROWS, shards: int = 1) -> Lake:
    lake = Lake(str(folder / "lake"))
    plain = {"dump": "a", "response": "The Mediterranean.", "images": [], "parents": []}
    frame = fill_rows(SYNTHESIZED_INSTRUCTIONS, [{**plain, **row} for row in rows])
    candidates = frame.with_columns(
        pl.lit("ok").alias(STATUS), pl.col("instruction_id").alias("candidate"), pl.lit("").alias("text")
    )
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", frame)
    publish(lake, INSTRUCTION_CANDIDATES, "a", candidates.select(INSTRUCTION_CANDIDATES.column_names))
    return lake


def judge(lake: Lake, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Return the removals by instruction; each has one at most here."""
    run_stages(lake, "a", MATCHING, recipe=recipe)
    rows = lake.dataset(INSTRUCTION_REMOVALS, "a").scan().collect().to_dicts()
    return {row["instruction_id"]: row for row in rows}


def test_rows_of_every_method_are_held_against_evaluation_sets(tmp_path: Path, recipe: Recipe) -> None:
    lake = make_lake(tmp_path)
    removals = judge(lake, recipe)

    for name, field in (("asked", "instruction"), ("told", "response"), ("talk", "turn_1")):
        assert removals[name]["rule"] == "contamination_gsm8k"
        assert removals[name]["value_text"].startswith(f"item 7: {field}, characters ")
    assert lake.dataset(INSTRUCTION_CONTAMINATION, "a").require_manifest().counts == {"gsm8k": 3}


def test_a_repeat_across_methods_names_the_row_that_stays(tmp_path: Path, recipe: Recipe) -> None:
    removals = judge(make_lake(tmp_path), recipe)
    alike = {"clean", "near", "same"}
    gone = alike & set(removals)
    (stays,) = alike - gone
    assert {removals[name]["value_text"] for name in gone} == {stays}
    assert "wrong" not in removals


def test_what_another_reason_takes_is_nobodys_twin(tmp_path: Path, recipe: Recipe) -> None:
    row = {"instruction_id": "copy", "method": "raft", "instruction": f"Solve this: {QUESTION}"}
    strict = replace(recipe, contamination=replace(recipe.contamination, remove=False))
    twins = [ROWS[1], row]
    # both hold the question: with removal both go for it, without it one goes for the other
    removals = judge(make_lake(tmp_path / "removed", twins), recipe)
    assert {row["rule"] for row in removals.values()} == {"contamination_gsm8k"}
    listed = judge(make_lake(tmp_path / "listed", twins), strict)
    assert [row["rule"] for row in listed.values()] == ["self_instruct_equal_row"]


def test_pairs_of_every_method_are_held_against_evaluation_sets(tmp_path: Path, recipe: Recipe) -> None:
    lake = Lake(str(tmp_path / "lake"))
    plain = {
        "dump": "a",
        "prompt": "Say.",
        "chosen": "Yes.",
        "rejected": "No.",
        "parents": [],
        "tags": [],
        "source_urls": [],
    }
    pairs = [{**plain, "pair_id": name, **texts} for name, texts in (
        ("fine", {}), ("asked", {"prompt": QUESTION}), ("good", {"chosen": QUESTION}), ("bad", {"rejected": QUESTION})
    )]  # fmt: skip
    publish(lake, PREFERENCE_PAIRS, "a", fill_rows(PREFERENCE_PAIRS, pairs))
    stages = {stage.table: stage for stage in INSTRUCTION_LANE}
    run_stages(lake, "a", [stages[PREFERENCE_CONTAMINATION]], recipe=recipe)
    lake.dataset(PREFERENCE_CONTAMINATION, "a").record_verdict([])

    hits = lake.dataset(PREFERENCE_CONTAMINATION, "a")
    found = hits.scan().select("pair_id", "field", "item").collect().rows()
    assert found == [("asked", "prompt", "7"), ("bad", "rejected", "7"), ("good", "chosen", "7")]
    run_stages(lake, "a", [stages[PREFERENCE_REMOVALS]], recipe=recipe)
    removals = lake.dataset(PREFERENCE_REMOVALS, "a")
    assert set(removals.scan().collect()["pair_id"]) == {"asked", "good", "bad"}
    assert removals.require_manifest().removed_by_rule == {"contamination_gsm8k": 3}
    listed = replace(recipe, contamination=replace(recipe.contamination, remove=False))
    run_stages(lake, "a", [stages[PREFERENCE_REMOVALS]], recipe=listed)
    assert "contamination_gsm8k" not in removals.scan().collect()["rule"].to_list()


def test_comparisons_are_off_where_the_recipe_says_so(tmp_path: Path, recipe: Recipe) -> None:
    off = replace(
        recipe, instructions=replace(recipe.instructions, duplicates=None), contamination=ContaminationSettings()
    )
    assert set(judge(make_lake(tmp_path), off)) == set()


def test_embeddings_and_minhash_find_what_the_recipe_asks_for(tmp_path: Path, recipe: Recipe) -> None:
    for name, settings in (
        ("minhash", InstructionDuplicates(exact=False, minhash_jaccard=0.5)),
        ("embedding", InstructionDuplicates(exact=False, cosine=0.8)),
    ):
        asked = replace(recipe, instructions=replace(recipe.instructions, duplicates=settings))
        lake = make_lake(tmp_path / name)
        judge(lake, asked)
        found = lake.dataset(INSTRUCTION_DUPLICATES, "a").scan().collect()
        assert set(found["comparison"]) == {name}


def test_verdicts_of_people_remove_and_correct(tmp_path: Path, recipe: Recipe) -> None:
    lake = make_lake(tmp_path)
    plain = {"dump": "a", "labelled_by": "people", "people_labels": 2, "model_label": None, "entropy": None,
             "corrected_response": None, "corrected_by": None}  # fmt: skip
    verdicts = [
        {**plain, "instruction_id": "wrong", "verdict": "remove", "annotators": ["ann", "bo"],
         "labels": ["bad", "bad"]},
        {**plain, "instruction_id": "talk", "verdict": "keep", "annotators": ["ann"], "labels": ["good"],
         "corrected_response": "Good day.", "corrected_by": "ann"},
        {**plain, "instruction_id": "gone", "verdict": "keep", "annotators": ["ann"], "labels": ["good"]},
    ]  # fmt: skip
    write_review_file(lake, "a", VERDICTS, fill_rows(INSTRUCTION_REVIEWS, verdicts))
    removals = judge(lake, replace(recipe, contamination=ContaminationSettings()))

    assert removals["wrong"]["rule"] == "coannotating_verdict"
    assert removals["wrong"]["value_text"] == "remove, by ann, bo"
    reviews = lake.dataset(INSTRUCTION_REVIEWS, "a")
    assert reviews.require_manifest().counts == {
        "unknown_rows": 1, "changed_rows": 0, "keep": 1, "remove": 1, "corrected": 1,
    }  # fmt: skip
    kept = keep_instructions(lake.dataset(SYNTHESIZED_INSTRUCTIONS, "a"), lake.dataset(INSTRUCTION_REMOVALS, "a"))
    lazy = scan_kept(lake.dataset(SYNTHESIZED_INSTRUCTIONS, "a"), lake.dataset(INSTRUCTION_REMOVALS, "a"))
    assert lazy.collect().equals(kept.frame)
    corrected = apply_corrections(kept.frame, reviews.scan().collect()).filter(instruction_id="talk").to_dicts()[0]
    assert corrected["response"] == "Good day."
    assert [turn["content"] for turn in corrected["turns"]] == ["Hello there, you over yonder.", "Good day."]
    assert apply_corrections(kept.frame, reviews.scan().collect()).drop("response", "turns").equals(
        kept.frame.drop("response", "turns")
    )  # fmt: skip


def test_a_better_answer_that_is_of_an_evaluation_set_takes_its_row_out(tmp_path: Path, recipe: Recipe) -> None:
    lake = make_lake(tmp_path)
    publish(lake, FILTERED_IMAGE_PAIRS, "a", FILTERED_IMAGE_PAIRS.make_empty())
    plain = {"dump": "a", "verdict": "keep", "labelled_by": "people", "annotators": ["ann"], "labels": ["good"],
             "people_labels": 1, "corrected_by": "ann"}  # fmt: skip
    said = [{**plain, "instruction_id": "wrong", "corrected_response": f"It is: {QUESTION}"},
            {**plain, "instruction_id": "near", "corrected_response": "The Caspian."}]  # fmt: skip
    write_review_file(lake, "a", VERDICTS, fill_rows(INSTRUCTION_REVIEWS, said))
    plain_recipe = replace(recipe, instructions=replace(recipe.instructions, duplicates=None, rules=()))
    judge(lake, plain_recipe)
    for stage in MATCHING:
        lake.dataset(stage.table, "a").record_verdict([])
    made = run_stages(lake, None, RELEASE_LANE[:1], recipe=plain_recipe, knobs=Knobs(cache_folder=str(tmp_path / "c")))

    manifest = made["sft_dataset"].manifest
    answers = {
        row["id"]: row["messages"][-1]["content"] for row in lake.dataset(SFT_DATASET).scan().collect().to_dicts()
    }
    assert set(answers) == {"clean", "near", "same"}
    assert answers["near"] == "The Caspian."
    assert manifest.removed_by_rule == {"contamination_gsm8k": 4}
    assert manifest.rows_in == manifest.rows_out + manifest.rows_removed


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{rouge: 0.7}", "Did you mean 'rouge_l'"),
        ("{rouge_l: 70}", "rouge_l must be above 0"),
        ("{within: contexts}", "context"),
        ("{exact: maybe}", "exact|true or false|maybe"),
    ],
)
def test_wrong_settings_stop_with_file_and_line(tmp_path: Path, section: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"extends: refinedweb\ninstructions:\n  duplicates: {section}\n")
    with pytest.raises(RecipeError, match=said) as error:
        load_recipe(str(path))
    assert "own.yaml:3" in str(error.value)


def test_explain_tells_spans_verdict_and_the_row_that_stays(tmp_path: Path, recipe: Recipe) -> None:
    lake = make_lake(tmp_path)
    add_dump(lake, "a", tmp_path, [tmp_path / "own.yaml"])
    verdict = {
        "instruction_id": "wrong",
        "dump": "a",
        "verdict": "remove",
        "annotators": ["ann"],
        "labels": ["bad"],
        "people_labels": 1,
    }
    write_review_file(lake, "a", VERDICTS, fill_rows(INSTRUCTION_REVIEWS, [verdict]))
    removals = judge(lake, recipe)
    (repeated, *_) = [name for name in ("clean", "near", "same") if name in removals]

    told = {}
    for name in ("told", "wrong", repeated):
        (fate,) = explain(lake, name)
        told[name] = {step.asset: step for step in fate.steps}
    assert told["told"]["instruction_contamination"].fate == "1 contaminated span"
    assert told["told"]["instruction_contamination"].rows[0]["item"] == "7"
    assert told["wrong"]["instruction_reviews"].fate == "remove, by ann"
    assert told["wrong"]["instruction_duplicates"].fate == "not compared: another reason takes it"
    assert told[repeated]["instruction_duplicates"].fate.startswith(f"goes for {removals[repeated]['value_text']}")
    assert "coannotating_verdict" in told["wrong"]["instruction_removals"].fate
