"""Rules of instructions in the lane: limits by method, rows drawn again, and that order and shards say nothing."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mmpipe.errors import RecipeError
from mmpipe.filtering.recipe_overrides import apply_overrides
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.filtering.rules import Limits
from mmpipe.lanes.instruction_candidates import STATUS, keep_instructions
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.report_figures import write_limit
from mmpipe.lanes.stage import Knobs
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe_tests.lanes.pair_lake import fill_rows
from mmpipe_tests.lanes.running import run_stages
from mmpipe_tests.lanes.test_synthesis_methods import DUMP, House

JUDGING = INSTRUCTION_LANE[2:6]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def judge(lake: Lake, recipe: Recipe, dump: str = DUMP) -> pl.DataFrame:
    knobs = Knobs(cache_folder=str(Path(lake.root).parent / "cache"), device="cpu")
    assert JUDGING[-1].table is INSTRUCTION_REMOVALS
    run_stages(lake, dump, JUDGING, recipe=recipe, knobs=knobs)
    return lake.dataset(INSTRUCTION_REMOVALS, dump).scan().filter(pl.col("signal") != STATUS).collect()


# limits by method -----------------------------------------------------------------------------------------------------

LONG = " ".join(f"word{number}" for number in range(200))


def write_rules(folder: Path, rules: str) -> Recipe:
    (folder / "rules.yaml").write_text(f"extends: refinedweb\ninstructions:\n  rules: {rules}\n", encoding="utf-8")
    return load_recipe(str(folder / "rules.yaml"))


def make_flan(house: House, options: str = "", rows: int = 6, asked: str = "What is {} + 1?") -> None:
    told = [{"id": f"s{n}", "question": asked.format(n), "answer": f"It is {n + 1}."} for n in range(rows)]
    task = "tasks: {sums: {family: closed_book_qa, fields: {question: question}}}"
    house.make(
        f"[{{method: flan_mixture, rows_sums: {house.write('sums.jsonl', told)}, {task}{options}}}]", lambda _: ""
    )


def test_refinedweb_holds_questions_of_files_to_no_limit_of_teachers(house: House) -> None:
    make_flan(house, asked=f"What is {{}} + 1? {LONG}")
    assert judge(house.lake, load_recipe("refinedweb")).is_empty()

    # the rule itself takes every one
    plain = judge(house.lake, write_rules(house.folder, "[self_instruct_instruction_words]"))
    assert set(plain["rule"]) == {"self_instruct_instruction_words"}
    assert plain.height == house.rows.height == 6


def test_a_method_is_held_to_the_limits_a_recipe_gives_it(house: House) -> None:
    make_flan(house)
    for method, low, taken in (("flan_mixture", 100, 6), ("flan", 100, 0), ("flan_mixture", 1, 0)):
        rule = f"{{rule: self_instruct_instruction_words, by_method: {{{method}: {{low: {low}, source: so}}}}}}"
        removals = judge(house.lake, write_rules(house.folder, f"[{rule}]"))
        assert removals.select("low", "high").unique().rows() == ([(low, 150)] if taken else [])
        assert removals.height == taken


def test_the_reason_of_a_limit_moves_no_digest_and_its_written_form_loads_again(tmp_path: Path) -> None:
    def write(limits: str) -> Recipe:
        rule = f"{{rule: self_instruct_instruction_words, by_method: {{flan: {{{limits}}}}}}}"
        return write_rules(tmp_path, f"[{rule}]")

    recipe, other = write("high: null, source: it shows examples"), write("high: null, source: another reason")
    assert recipe.instructions.rules[0].by_method == {"flan": Limits(low=3, source="it shows examples")}
    assert recipe.digest_section("instruction_rules") == other.digest_section("instruction_rules")
    assert recipe.digest_section("instruction_rules") != write("high: 9").digest_section("instruction_rules")
    (tmp_path / "again.yaml").write_text(recipe.dump(), encoding="utf-8")
    again = load_recipe(str(tmp_path / "again.yaml"))
    assert again.resolve()["instructions"] == recipe.resolve()["instructions"]
    moved = apply_overrides(recipe, ["self_instruct_instruction_words.flan.high=700"])
    assert moved.instructions.rules[0].by_method["flan"].high == 700


def test_a_report_says_who_is_held_to_other_limits_and_why(tmp_path: Path) -> None:
    methods = "{flan: {source: it shows examples}, rest: {source: it shows examples}, raft: {high: 400}}"
    rule = f"{{rule: self_instruct_instruction_words, by_method: {methods}}}"
    (resolved,) = write_rules(tmp_path, f"[{rule}]").resolve()["instructions"]["rules"]
    said = "at least 3 and at most 150; flan, rest: no limit (it shows examples); raft: at least 3 and at most 400"
    assert write_limit(resolved) == said
    assert write_limit({"low": 5.0, "by_language": {"de": {"low": 1.0, "high": None}}}) == "at least 5; de: at least 1"
    assert write_limit({"low": None, "high": None, "by_language": {"de": {"high": 0.0}}}) == "de: at most 0"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("by_method: {flann: {}}", r"rules.yaml:3: unknown key 'flann'. Did you mean 'flan'"),
        ("by_method: {flan: {hgh: 3}}", r"rules.yaml:3: unknown key 'hgh'. Did you mean 'high'"),
        ("by_method: {flan: {low: 900}}", r"rules.yaml:3: .*method 'flan', keeps nothing"),
        ("by_language: {en: {low: 1}}", r"rules.yaml:3: unknown key 'by_language'"),
    ],
)
def test_wrong_limits_by_method_stop_at_load(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        write_rules(tmp_path, f"[{{rule: self_instruct_instruction_words, {entry}}}]")


# rows drawn again -----------------------------------------------------------------------------------------------------


def test_what_a_mixture_draws_again_stays_and_names_the_first_draw(house: House) -> None:
    make_flan(house, ", total: 15")
    rows = house.rows.with_columns(pl.col("details").str.json_path_match("$.repeats").alias("first"))
    again = rows.filter(pl.col("first").is_not_null())

    assert (rows.height, again.height, rows["instruction"].n_unique()) == (15, 9, 6)
    first = rows.filter(pl.col("first").is_null()).select("instruction_id", "instruction")
    assert again.join(first, left_on="first", right_on="instruction_id").filter(
        pl.col("instruction") == pl.col("instruction_right")
    ).height == 9  # fmt: skip
    assert judge(house.lake, load_recipe("refinedweb")).is_empty()
    kept = keep_instructions(
        house.lake.dataset(SYNTHESIZED_INSTRUCTIONS, DUMP), house.lake.dataset(INSTRUCTION_REMOVALS, DUMP)
    )
    assert kept.frame.height == 15


# order and shards -----------------------------------------------------------------------------------------------------

ROW = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["raft", "rest", "flan_rows", "self_instruct"]),
        "instruction": st.sampled_from(
            [
                "Name the largest sea of Europe.",
                "name the LARGEST sea of Europe",
                "Name the largest sea of Asia.",
                "Why?",
            ]
        ),
        "response": st.sampled_from(["The Caspian Sea.", "It is the Mediterranean.", "sea sea sea sea sea sea"]),
        "context": st.sampled_from([None, "A passage on seas."]),
        "evidence": st.sampled_from(["", "The Mediterranean Sea is large."]),
        "draw": st.sampled_from([None, None, 0, 1]),
    }
)


def publish_shards(lake: Lake, rows: list[dict[str, Any]], cuts: list[int], method: str = "grounded_questions") -> None:
    """Publish candidates and instructions of one method, cut into shards behind the given places."""
    frame = fill_rows(SYNTHESIZED_INSTRUCTIONS, [{"dump": DUMP, "images": [], "parents": [], **row} for row in rows])
    every = frame.with_columns(
        pl.lit("ok").alias(STATUS), pl.col("instruction_id").alias("candidate"), pl.lit("").alias("text")
    )
    places = [0, *sorted(cuts), frame.height]
    for table, whole in ((SYNTHESIZED_INSTRUCTIONS, frame), (INSTRUCTION_CANDIDATES, every)):
        parts = [whole.select(table.column_names)[low:high] for low, high in pairwise(places)]
        work = [ShardWork(f"{method}-{number:05d}", str(part.to_dicts()), (part,)) for number, part in enumerate(parts)]
        dataset = lake.dataset(table, DUMP)
        produce(dataset, work, _give, code_version="1", recipe_yaml="", inputs={}, engine=Engine())
        dataset.record_verdict([])


def _give(frame: pl.DataFrame) -> ShardResult:
    return ShardResult(frame, frame.height)


# two lanes a try: what fails is shown as it was drawn
@settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(ROW, min_size=1, max_size=9), st.randoms(use_true_random=False), st.data())
def test_shuffled_and_cut_anew_a_dump_has_the_same_removals(
    rows: list[dict[str, Any]], random: Random, data: st.DataObject
) -> None:
    named: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        draw = row.pop("draw")
        named.append({"instruction_id": f"r{number}", "details": "{}", **row})
        if draw is not None:
            repeat = {
                "instruction_id": f"a{number}",
                "details": json.dumps({"repeats": f"r{number}", "epoch": draw + 1}),
            }
            named.append({**named[-1], **repeat})
    recipe = load_recipe("refinedweb")
    section = {"rouge_l": 0.7, "minhash_jaccard": 0.6}
    found = []
    for cuts in ([], data.draw(st.lists(st.integers(0, len(named)), max_size=3))):
        with tempfile.TemporaryDirectory() as folder:
            lake = Lake(str(Path(folder) / "lake"))
            publish_shards(lake, named, cuts)
            found.append(judge(lake, _compare_more(recipe, section)).sort("instruction_id", "rule"))
        named = random.sample(named, len(named))
    assert found[0].equals(found[1])
    # draws of one row stay or go together, for the same reasons
    reasons = {row["instruction_id"]: [] for row in named}
    for row_id, rule in found[0].select("instruction_id", "rule").iter_rows():
        reasons[row_id].append(rule)
    for row_id, rules in reasons.items():
        assert rules == reasons[f"r{row_id[1:]}"]


def _compare_more(recipe: Recipe, section: dict[str, float]) -> Recipe:
    assert recipe.instructions.duplicates is not None
    duplicates = replace(recipe.instructions.duplicates, **section)
    return replace(recipe, instructions=replace(recipe.instructions, duplicates=duplicates))


def test_a_shard_is_judged_again_where_another_brings_an_equal_question(tmp_path: Path) -> None:
    recipe = load_recipe("refinedweb")
    recipe = replace(recipe, instructions=replace(recipe.instructions, duplicates=None))
    plain = {"instruction": "Name the largest sea of Europe.", "evidence": "", "context": None, "details": "{}"}
    rows = [{**plain, "instruction_id": name, "response": f"Sea {name}."} for name in "abcdef"]
    other = {**rows[0], "instruction": "Name the smallest lake of Asia."}
    (tmp_path / "old").mkdir()
    lake = Lake(str(tmp_path / "old" / "lake"))
    publish_shards(lake, [rows[0], {**other, "instruction_id": "z"}], [1])
    assert judge(lake, recipe).is_empty()
    publish_shards(lake, [rows[0], *rows[1:]], [1])
    removals = judge(lake, recipe)
    assert removals["value"].sort().to_list() == [1, 2, 3, 4, 5]


def test_an_equal_row_that_another_reason_takes_comes_before_nobody(tmp_path: Path) -> None:
    recipe = load_recipe("refinedweb")
    plain = {"instruction": "Name the largest sea of Europe.", "evidence": "", "context": None, "details": "{}"}
    rows = [{**plain, "instruction_id": name, "response": "sea " * 9} for name in "abcdef"]
    rows[3]["response"] = "The Mediterranean Sea."
    lake = Lake(str(tmp_path / "lake"))
    publish_shards(lake, rows, [2, 4])
    removals = judge(lake, recipe)
    assert set(removals["rule"]) == {"mmpipe_response_repetition"}
    assert sorted(removals["instruction_id"]) == ["a", "b", "c", "e", "f"]
