"""Every method a recipe may name with files, through the stage itself: a recipe on disk, a lake, a scripted teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError, RecipeError, ShardError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes import instructions
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.synthesis_methods import check_methods
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.lake import Lake
from mmpipe.synthesis.python_functions import find_function_table, hash_function
from mmpipe.tables.chat import ChatFailure
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.storage.shards import Production
    from mmpipe.tables.chat import ChatReply, ChatRequest

    Script = Callable[[ChatRequest], str | ChatReply | ChatFailure]

DUMP = "d1"
PYTHON = "def double(number):\n    return number * 2\n\n\ndef hello():\n    return 1\n"
PROSE = "The harbour museum opened in 1931. "


class House:
    """A lake with two documents, a folder for recipes and their files, and the teacher that the next run has."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, converted_weights: Path | None = None) -> None:
        self.folder, self.lake = folder, Lake(str(folder / "lake"))
        if converted_weights:
            (folder / "cache").mkdir()
            (folder / "cache" / "weights").symlink_to(converted_weights)
        self.teacher = ScriptedTeacher(lambda _: "")
        rows = [{"doc_id": "code", "dump": DUMP, "text": PYTHON}, {"doc_id": "prose", "dump": DUMP, "text": PROSE * 9}]
        publish(self.lake, DEDUPED_CORPUS, DUMP, fill_rows(DEDUPED_CORPUS, rows))
        publish(self.lake, FILTERED_IMAGE_PAIRS, DUMP, FILTERED_IMAGE_PAIRS.make_empty())
        monkeypatch.setattr(instructions, "open_run_teacher", lambda _: self.teacher)

    def write(self, name: str, rows: list[dict[str, Any]]) -> str:
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return name

    def recipe(self, methods: str) -> Path:
        path = self.folder / "mine.yaml"
        path.write_text(f"extends: refinedweb\ninstructions:\n  methods: {methods}\n", encoding="utf-8")
        return path

    def make(self, methods: str, script: Script) -> Production:
        self.teacher = ScriptedTeacher(script)
        recipe = load_recipe(str(self.recipe(methods)))
        # what is written beside the rows is a recipe again, with the same digest
        again = self.folder / "again.yaml"
        again.write_text(recipe.dump(), encoding="utf-8")
        assert load_recipe(str(again)).digest_section("instructions") == recipe.digest_section("instructions")
        knobs = Knobs(cache_folder=str(self.folder / "cache"), device="cpu")
        made = run_stages(self.lake, DUMP, INSTRUCTION_LANE[:2], recipe=recipe, knobs=knobs)
        manifest = made["synthesized_instructions"].manifest
        assert manifest.rows_in == manifest.rows_out + manifest.rows_removed
        assert made["instruction_candidates"].made_shards >= made["synthesized_instructions"].made_shards
        if not made["instruction_candidates"].resumed_shards:
            assert manifest.counts.get("requests", 0) == len(self.teacher.asked)
        return made["synthesized_instructions"]

    @property
    def rows(self) -> pl.DataFrame:
        return self.lake.dataset(SYNTHESIZED_INSTRUCTIONS, DUMP).scan().collect()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, converted_weights: Path) -> House:
    return House(tmp_path, monkeypatch, converted_weights)


def ask_of(request: ChatRequest) -> str:
    return str(request.messages[-1].content)


# self_instruct, evol_instruct -----------------------------------------------------------------------------------------


def grow(request: ChatRequest) -> str:
    """Answer a round of Self-Instruct with one new task, and its instance."""
    if "\n16." in request.sampling.stop:
        number = request.sampling.seed
        return f" alpha{number} beta{number} gamma{number} delta{number}."
    return "Output: done" if request.sampling.max_tokens > 100 else "No"


def write_seeds(house: House) -> str:
    words = ["river", "bridge", "violin", "castle", "engine", "garden", "island", "market"]
    rows = [
        {"id": f"s{place}", "instruction": f"Write about the {word} of {place}.",
         "instances": [{"input": "", "output": word}]}
        for place, word in enumerate(words)
    ]  # fmt: skip
    return house.write("seeds.jsonl", rows)


def test_self_instruct_grows_the_tasks_of_a_file(house: House) -> None:
    seeds = write_seeds(house)
    made = house.make(f"[{{method: self_instruct, seeds: {seeds}, wanted: 3, requests_per_round: 1}}]", grow)

    rows = house.rows
    assert rows["method"].to_list() == ["self_instruct"] * 3
    assert set(rows["dump"]) == {DUMP}
    assert rows["response"].to_list() == ["done"] * 3
    # three rounds of one request: new task, its kind, its instance
    assert (made.manifest.counts["requests"], made.manifest.counts["missing"]) == (9, 0)
    assert made.manifest.commits[0].shard == "self_instruct-00000"


def test_what_growth_could_not_find_is_missing(house: House) -> None:
    seeds = write_seeds(house)
    method = f"{{method: self_instruct, seeds: {seeds}, wanted: 5, most_requests: 2}}"
    made = house.make(f"[{method}]", grow)

    assert (made.manifest.rows_out, made.manifest.counts["missing"]) == (2, 3)


def test_changed_seeds_make_the_rows_again_and_equal_ones_none(house: House) -> None:
    seeds = write_seeds(house)
    methods = f"[{{method: self_instruct, seeds: {seeds}, wanted: 1}}]"
    house.make(methods, grow)
    assert house.make(methods, grow).made_shards == 0

    with (house.folder / seeds).open("a") as file:
        file.write(json.dumps({"instruction": "Name a ninth thing to write."}) + "\n")
    assert house.make(methods, grow).made_shards == 1


def evolve(request: ChatRequest) -> str:
    if request.schema is not None:
        return json.dumps({"verdict": "not_equal"})
    if request.sampling.max_tokens != 2048:
        return grow(request)
    return f"Explain carefully and with three examples what number {request.sampling.seed} is good for."


def test_evol_instruct_evolves_what_self_instruct_grew_in_the_same_run(house: House) -> None:
    seeds = write_seeds(house)
    methods = f"[{{method: evol_instruct, rounds: 2}}, {{method: self_instruct, seeds: {seeds}, wanted: 2}}]"
    made = house.make(methods, evolve)

    rows = {name: part for (name,), part in house.rows.partition_by("method", as_dict=True).items()}
    grown = set(rows["self_instruct"]["instruction_id"])
    parents = {parent["id"] for row in rows["evol_instruct"]["parents"] for parent in row}
    assert rows["evol_instruct"].height == 4
    assert grown < parents
    assert [commit.shard for commit in made.manifest.commits] == ["self_instruct-00000", "evol_instruct-00000"]
    # the second run reads what the first committed
    assert house.make(methods, evolve).made_shards == 0
    assert not house.teacher.asked


def test_evol_instruct_evolves_a_file_and_most_limits_it(house: House) -> None:
    rows = [{"id": str(place), "instruction": f"Say {place}."} for place in range(5)]
    file = house.write("mine.jsonl", rows)
    house.make(f"[{{method: evol_instruct, instructions: {file}, rounds: 1, most: 3}}]", evolve)

    assert house.rows.height == 3
    assert {parent["table"] for row in house.rows["parents"] for parent in row} == {"instructions"}


# reasoning_rows, tiny_gsm, case2code ----------------------------------------------------------------------------------


def test_reasoning_rows_keep_right_answers(house: House) -> None:
    problems = house.write(
        "problems.jsonl",
        [{"question": "What is 2 + 3?", "answer": 5}, {"question": "What is 2 + 9?", "answer": 11}],
    )

    def script(_: ChatRequest) -> str:
        return json.dumps({"rationale": "Two and three more make five.", "answer": "5"})

    methods = f"[{{method: reasoning_rows, problems: {problems}, attempts: 1, check: {{kind: number}}}}]"
    made = house.make(methods, script)

    assert house.rows["instruction"].to_list() == ["What is 2 + 3?"]
    assert made.manifest.removed_by_rule == {"wrong_answer": 1}


def test_tiny_gsm_runs_the_programs(house: House) -> None:
    problems = house.write(
        "problems.jsonl",
        # GSM8K has the whole solution in its answer
        [
            {"id": "a", "question": "What is 2 + 3?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"},
            {"id": "b", "question": "2 + 9?", "answer": "$11"},
        ],
    )

    def script(_: ChatRequest) -> str:
        return json.dumps({"solution": "def solve():\n    total = 2 + 3\n    return total"})

    made = house.make(f"[{{method: tiny_gsm, problems: {problems}, variant: solve}}]", script)

    assert [row[0]["id"] for row in house.rows["parents"]] == ["a"]
    assert made.manifest.removed_by_rule == {"wrong_answer": 1}


CASES = json.dumps({"inputs": ["1", "2", "30"]})


def test_case2code_takes_the_functions_of_documents(house: House) -> None:
    house.make("[{method: case2code, inputs: 3, shown: 2}]", lambda _: CASES)

    (row,) = house.rows.rows(named=True)
    assert row["parents"] == [{"table": "deduped_corpus", "id": "code"}]
    assert "number * 2" in row["response"]
    details = json.loads(row["details"])
    (known,) = find_function_table(house.lake.dataset(DEDUPED_CORPUS, DUMP).scan().collect())["function_id"]
    assert details["function_id"] == details["function_hash"] == known


def test_case2code_takes_the_functions_of_a_file(house: House) -> None:
    file = house.write("functions.jsonl", [{"id": "f", "code": "def triple(number):\n    return number * 3"}])
    house.make(f"[{{method: case2code, inputs: 3, shown: 2, functions: {file}}}]", lambda _: CASES)

    (row,) = house.rows.rows(named=True)
    assert row["parents"] == [{"table": "functions", "id": "f"}]
    assert "number * 3" in row["response"]
    # by the hash it is found among functions of documents
    details = json.loads(row["details"])
    code = "def triple(number):\n    return number * 3"
    assert (details["function_id"], details["function_hash"]) == ("f", hash_function(code))


# api_rows, tool_plans, flan -------------------------------------------------------------------------------------------


def test_api_rows_come_from_cards(house: House) -> None:
    card = {
        "api_id": "resnet", "domain": "vision", "functionality": "Classifies images", "api_name": "ResNet-50",
        "api_call": "torch.hub.load(repo_or_dir='pytorch/vision', model='resnet50')", "description": "Knows things.",
    }  # fmt: skip
    said = ["Tell me which animal is in my photo.", "Is it a wolf or a dog in this picture?", "Too short."]
    made = house.make(
        f"[{{method: api_rows, cards: {house.write('cards.jsonl', [card])}, instructions: 3}}]",
        lambda _: json.dumps({"instructions": said}),
    )

    assert sorted(house.rows["instruction"]) == sorted(said[:2])
    assert made.manifest.removed_by_rule == {"too_short": 1}


def plan(request: ChatRequest) -> str:
    if "Tasks: " not in ask_of(request):
        return json.dumps({"why": "All is there.", "verdict": "yes"})
    tasks = [
        {
            "id": task["id"],
            "tool": task["tool"],
            "dependencies": sorted({int(one["from"][6:-1]) for one in task["takes"] if one["from"] != "user"}),
            "arguments": [
                {"type": one["type"], "value": "mine.dat" if one["from"] == "user" else one["from"]}
                for one in task["takes"]
            ],
        }
        for task in json.loads(ask_of(request).split("Tasks: ")[1])
    ]
    return json.dumps({"request": "Do it with mine.dat, please.", "tasks": tasks})


@pytest.mark.parametrize(("critic", "requests"), [("true", 8), ("false", 4)])
def test_tool_plans_come_from_a_list_of_tools(house: House, critic: str, requests: int) -> None:
    tools = [
        {"name": "Transcriber", "takes": ["audio"], "gives": ["text"], "description": "writes down speech"},
        {"name": "Speaker", "takes": ["text"], "gives": ["audio"]},
    ]
    options = f"plans: 4, tasks: [2, 2], shapes: {{chain: 1}}, critic: {critic}"
    house.make(f"[{{method: tool_plans, tools: {house.write('tools.jsonl', tools)}, {options}}}]", plan)

    assert house.rows.height == 4
    assert set(house.rows["dump"]) == {DUMP}
    assert len(house.teacher.asked) == requests


def test_flan_renders_a_file_and_asks_nobody(house: House) -> None:
    rows = [{"id": str(place), "question": f"What is {place} + 1?", "answer": str(place + 1)} for place in range(6)]
    task = "{name: sums, family: closed_book_qa, fields: {question: question}}"
    file = house.write("rows.jsonl", [*rows, {"id": "x", "question": "", "answer": "1"}])
    made = house.make(f"[{{method: flan, rows: {file}, task: {task}}}]", lambda _: "")

    assert (house.rows.height, made.manifest.removed_by_rule) == (6, {"missing_field": 1})
    assert not house.teacher.asked


# raft, code_translation -----------------------------------------------------------------------------------------------

TOWNS = ["Aldby", "Brack", "Corfe", "Dunham", "Ember", "Frome"]


def test_raft_asks_about_documents_of_the_corpus(house: House) -> None:
    texts = {town: f"Clara built the bridge of {town} in 18{place}7. Then {town} grew." for place, town in
             enumerate(TOWNS)}  # fmt: skip
    rows = [{"doc_id": town, "dump": DUMP, "text": text} for town, text in texts.items()]
    publish(house.lake, DEDUPED_CORPUS, DUMP, fill_rows(DEDUPED_CORPUS, rows))

    def script(request: ChatRequest) -> str:
        town = next(town for town in TOWNS if town in ask_of(request))
        if "Question: " not in ask_of(request):
            return json.dumps({"questions": [f"Who built the bridge of {town}?"]})
        quote = f"##begin_quote##Clara built the bridge of {town}##end_quote##"
        return json.dumps({"reasoning": f"It says {quote}.", "answer": f"Clara built the bridge of {town}."})

    options = "questions_per_chunk: 1, least_chunk_tokens: 5, distractors: 2, near_duplicate: 1.0"
    made = house.make(f"[{{method: raft, {options}}}]", script)

    assert {parent["id"] for row in house.rows["parents"] for parent in row} >= set(TOWNS)
    assert (house.rows.height, made.manifest.counts["requests"]) == (6, 12)


def test_code_translation_shows_pairs_and_translates_queries(house: House) -> None:
    pairs = house.write(
        "pairs.jsonl", [{"id": "p", "source": "program p\nprint *, 1\nend program", "target": "int x;"}]
    )
    queries = house.write("queries.jsonl", [{"id": "q", "source": "program q\nread *, n\nprint *, n\nend program"}])
    methods = f"[{{method: code_translation, pairs: {pairs}, queries: {queries}, requires_run: false}}]"
    house.make(methods, lambda _: json.dumps({"translation": "```cpp\nint main() { return 0; }\n```"}))

    assert house.rows["response"].str.contains("int main").to_list() == [True]
    assert "int x;" in ask_of(house.teacher.asked[0])


# recipes that cannot work, and outages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("[self_instuct]", "mine.yaml:3: unknown synthesis method 'self_instuct'. Did you mean 'self_instruct'"),
        ("[self_instruct]", "reads a file: write `{method: self_instruct, seeds: FILE}`"),
        ("[{method: self_instruct, seeds: gone.jsonl, wanted: 1}]", "gone.jsonl."),
        ("[{method: self_instruct, seeds: seedz.jsonl, wanted: 1}]", "seedz.jsonl. Did you mean 'seeds.jsonl'?"),
        ("[{method: self_instruct, seeds: 'https://x.example/s.jsonl'}]", "no URL"),
        ("[{method: self_instruct, seeds: seeds.jsonl}]", "needs `wanted:`"),
        ("[{method: self_instruct, seeds: seeds.jsonl, wanted: 0}]", "must be 1 or more"),
        ("[{method: self_instruct, seeds: seeds.jsonl, wanted: x}]", "`wanted`: expected a whole number, found 'x'"),
        ("[{method: self_instruct, seeds: seeds.jsonl, wanted: 1, prompt: x}]", "has no option 'prompt'"),
        ("[{method: self_instruct, seeds: seeds.jsonl, wanted: 1, demonstration: 3}]", "'demonstrations'"),
        ("[{method: self_instruct, seeds: seeds.jsonl, wanted: 1, demonstrations: 99}]", "mine.yaml:3: Self-Instruct"),
        ("[{method: self_instruct, seeds: seeds.jsonl, wanted: 1, preset: alpacca}]", "Did you mean 'alpaca'"),
        ("[{method: self_instruct, seeds: seeds.jsonl, wanted: 1, filters: {lest: 3}}]", "Did you mean 'least'"),
        ("[{method: tiny_gsm, problems: seeds.jsonl, variant: old}]", "`variant`: unknown value 'old'"),
        ("[{method: flan, rows: seeds.jsonl}]", "needs `task:`"),
        ("[{method: flan, rows: seeds.jsonl, task: {name: x}}]", "Task lacks a key; given: name"),
        ("[{method: flan, rows: seeds.jsonl, task: {name: x, family: closed_book, fields: {}}}]", "'closed_book_qa'"),
        ("[{method: tool_plans, tools: seeds.jsonl, tasks: [2]}]", "expected 2 values, found 1"),
        ("[evol_instruct]", "evol_instruct needs `instructions: FILE`"),
        ("[raft, {method: raft, distractors: 2}]", "a method stands twice"),
        ("[{method: grounded_questions, seed: 3}]", "has no option 'seed'"),
        ("[{distractors: 2}]", "the name is missing"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_work_stops_before_anything_runs(house: House, methods: str, said: str) -> None:
    write_seeds(house)
    with pytest.raises(RecipeError) as caught:
        check_methods(load_recipe(str(house.recipe(methods))))
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_told_of_with_the_place_that_was_looked_at(house: House) -> None:
    recipe = house.recipe("[{method: self_instruct, seeds: gone.jsonl, wanted: 1}]")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(recipe))
    # no packaged list is offered, nor a file whose ending alone is alike
    assert str(caught.value) == f"{recipe}:3: `seeds`: No file {recipe.parent / 'gone.jsonl'}."


@pytest.mark.parametrize(
    ("method", "place"), [("{method: toolformer, places: 3}", "mine.yaml:"), ("toolformer", "recipe mine: ")]
)
def test_a_message_tells_no_line_that_is_not_known(house: House, method: str, place: str) -> None:
    recipe = load_recipe(str(house.recipe(f"[{method}]")))
    with pytest.raises(RecipeError) as caught:
        check_methods(recipe)
    assert "the method toolformer needs `tools:`" in str(caught.value)
    told = str(caught.value).partition("the method")[0]
    assert place in told
    assert ":1:" not in told


def test_a_method_for_another_dump_is_left_out(house: House) -> None:
    seeds = write_seeds(house)
    made = house.make(f"[{{method: self_instruct, seeds: {seeds}, wanted: 1, dump: d2}}]", grow)
    assert (made.manifest.rows_out, house.teacher.asked) == (0, [])


def test_an_outage_ends_a_method_in_its_midst_and_commits_nothing(house: House) -> None:
    seeds = write_seeds(house)
    methods = f"[{{method: self_instruct, seeds: {seeds}, wanted: 1}}]"
    with pytest.raises(ShardError, match="The teacher scripted:script@0 failed on 5 of 5 requests"):
        house.make(methods, lambda _: ChatFailure("server", "503"))
    assert len(house.teacher.asked) == 5
    assert house.make(methods, grow).made_shards == 1


def test_a_file_that_changed_after_the_recipe_was_loaded_stops(house: House) -> None:
    seeds = write_seeds(house)
    methods = f"[{{method: self_instruct, seeds: {{list: {seeds}, sha256: {'0' * 64}}}, wanted: 1}}]"
    with pytest.raises(ConfigurationError, match=r"mine\.yaml:\d+: self_instruct: .*has another SHA-256"):
        house.make(methods, grow)


def test_plain_names_keep_their_digest(house: House) -> None:
    # of the recipe as it was before methods had options
    assert load_recipe("refinedweb").digest_section("instructions") == "19ab8176a7c7bf0c"
    named = load_recipe(str(house.recipe("[grounded_questions, {method: image_instructions}]")))
    assert named.digest_section("instructions") == "19ab8176a7c7bf0c"


def test_plain_names_are_planned_in_shards_as_ever(house: House) -> None:
    names = ["Clara Ashe", "Boris Lund", "Dana Voss", "Edith Marr", "Frank Oxley", "Greta Pohl"]
    text = " ".join(f"{name} built the stone bridge of {town} in 18{place}7, for {place}00 crowns."
                    for place, (name, town) in enumerate(zip(names, TOWNS, strict=True)))  # fmt: skip
    rows = [{"doc_id": "bridges", "dump": DUMP, "text": text, "language": "en"}]
    publish(house.lake, DEDUPED_CORPUS, DUMP, fill_rows(DEDUPED_CORPUS, rows))
    made = house.make("[grounded_questions]", lambda _: ChatFailure("refused", "no"))
    manifest = made.manifest
    assert [commit.shard for commit in manifest.commits] == ["grounded_questions-00000"]
    assert manifest.rows_in > 0
    assert manifest.removed_by_rule == {"teacher_refused": manifest.rows_in}
