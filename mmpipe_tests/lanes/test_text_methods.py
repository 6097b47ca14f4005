"""Methods of reasoning, rounds and tools through the stage itself: a recipe on disk, a lake, a scripted teacher."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from mmpipe.errors import RecipeError, ShardError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.synthesis_methods import check_methods
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.test_synthesis_methods import DUMP, House, ask_of, house

if TYPE_CHECKING:
    from mmpipe.tables.chat import ChatRequest

__all__ = ["house"]

SUMS = [{"id": f"p{number}", "question": f"What is {number} + 1?", "answer": number + 1} for number in range(4)]


def read_sum(request: ChatRequest) -> int:
    """Return the first number of the sum asked for last."""
    return int(re.findall(r"What is (\d+) \+ 1", ask_of(request))[-1])


# thought_trees --------------------------------------------------------------------------------------------------------


def test_trees_of_thought_become_rows_where_the_answer_is_right(house: House) -> None:
    file = house.write("problems.jsonl", SUMS[:2])

    def script(request: ChatRequest) -> str:
        if "thoughts" not in json.dumps(request.schema):
            return json.dumps({"value": "sure"})
        # right for 0 + 1 alone
        return json.dumps({"thoughts": [{"thought": f"One more than {read_sum(request)}.", "answer": "1"}]})

    options = "thoughts: 1, votes: 1, beam: 1, depth: 2"
    made = house.make(f"[{{method: thought_trees, problems: {file}, {options}}}]", script)

    assert house.rows["response"].to_list() == ["One more than 0.\nThe answer is 1."]
    assert house.rows["parents"].to_list() == [[{"table": "problems", "id": "p0"}]]
    assert made.manifest.rows_in == 2


# star -----------------------------------------------------------------------------------------------------------------


def solve(request: ChatRequest) -> str:
    """Solve even problems alone, p1 with the hint only, and p3 never."""
    number = read_sum(request)
    has_hint = ask_of(request).endswith(f"[{number + 1}]")
    is_right = number % 2 == 0 or (has_hint and number == 1)
    return f"One more than {number} is reached. The answer is {number + 1 if is_right else 99}."


def test_a_round_of_star_keeps_its_own_and_rationalised_solutions(house: House) -> None:
    file = house.write("problems.jsonl", SUMS)
    made = house.make(f"[{{method: star, problems: {file}, round: 2}}]", solve)

    assert {parent["id"] for row in house.rows["parents"] for parent in row} == {"p0", "p1", "p2"}
    assert not house.rows["instruction"].str.contains(r"\[2\]").any()
    assert (made.manifest.rows_in, made.manifest.counts["requests"]) == (4, 6)
    rows = set(house.rows["instruction_id"])
    house.make(f"[{{method: star, problems: {file}, round: 3}}]", solve)
    assert not rows & set(house.rows["instruction_id"])


def test_star_trains_on_no_more_rows_than_it_may(house: House) -> None:
    file = house.write("problems.jsonl", SUMS)
    made = house.make(f"[{{method: star, problems: {file}, training_rows: 2}}]", solve)
    assert (house.rows.height, made.manifest.rows_in) == (2, 4)


# rest -----------------------------------------------------------------------------------------------------------------


def test_rest_samples_problems_and_keeps_the_right_ones(house: House) -> None:
    file = house.write("problems.jsonl", [*SUMS, {"id": "empty", "question": "", "answer": 1}])

    def script(request: ChatRequest) -> str:
        return "" if request.sample_index == 2 else solve(request)

    methods = f"[{{method: rest, problems: {file}, samples: 3}}]"
    made = house.make(methods, script)

    # two equal solutions of each even problem: one is a row
    assert sorted(row[0]["id"] for row in house.rows["parents"]) == ["p0", "p2"]
    assert (made.manifest.rows_in, made.manifest.counts["requests"]) == (15, 12)


def test_stored_samples_are_rows_above_the_threshold_of_the_step(house: House) -> None:
    samples = [
        {"id": f"s{place}", "problem_id": f"p{place % 2}", "question": "Q?", "solution": f"Try {place}.",
         "reward": reward}
        for place, reward in enumerate([0.2, 0.4, 0.6, None, 0.8])
    ]  # fmt: skip
    file = house.write("samples.jsonl", samples)

    def keep(step: int) -> set[str]:
        methods = f"[{{method: rest, stored: {file}, thresholds: [0.3, 0.7], improve_step: {step}}}]"
        house.make(methods, lambda _: "never asked")
        assert not house.teacher.asked
        return set(house.rows["instruction_id"])

    assert keep(0) == {"s1", "s2", "s4"}
    assert keep(1) == {"s4"}
    with pytest.raises(ShardError, match="improve_step is 2, and there are 2 thresholds"):
        keep(2)


def test_a_reward_that_is_no_number_stops(house: House) -> None:
    file = house.write(
        "samples.jsonl", [{"id": "s", "problem_id": "p", "question": "Q?", "solution": "A.", "reward": "good"}]
    )
    with pytest.raises(ShardError, match=r"samples\.jsonl: the reward 'good' is no number"):
        house.make(f"[{{method: rest, stored: {file}}}]", lambda _: "")


# llm2llm --------------------------------------------------------------------------------------------------------------


def write_new(request: ChatRequest) -> str:
    """Write a problem that stands apart from the seed, by the seed and what the pupil said."""
    number, said = read_sum(request), len(ask_of(request))
    first = 100 * (number + 1) + said
    reply = {
        "question": f"Ann has {first} pears and buys {number + 7} more. How many pears has she?",
        "solution": f"She has {first} + {number + 7} pears. The answer is {first + number + 7}.",
        "answer": str(first + number + 7),
    }
    return json.dumps(reply)


def test_llm2llm_augments_what_the_student_got_wrong_in_every_round(house: House) -> None:
    problems = house.write("problems.jsonl", SUMS)
    first = [{"id": "p0", "said": "The answer is 1."}, {"id": "p1", "said": "Perhaps 3?"}, {"id": "p2", "said": None}]
    answers = house.write("answers.jsonl", [{**row, "round": 0} for row in first])
    methods = f"[{{method: llm2llm, problems: {problems}, answers: {answers}}}]"
    made = house.make(methods, write_new)
    assert [row[0]["id"] for row in house.rows["parents"]] == ["p1"]
    assert made.manifest.counts["requests"] == 1
    earlier = set(house.rows["instruction_id"])

    second = [{"id": "p0", "said": "It is 44.", "round": 1}, {"id": "p1", "said": "The answer is 2.", "round": 1}]
    house.write("answers.jsonl", [*({**row, "round": 0} for row in first), *second])
    house.make(methods, write_new)
    assert earlier < set(house.rows["instruction_id"])
    assert sorted(row[0]["id"] for row in house.rows["parents"]) == ["p0", "p1"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"id": "p9", "said": "1"}], "no problem has the id 'p9'"),
        ([{"id": "p1", "say": "1"}], "no column 'said'"),
        ([{"id": "p1", "said": "1"}, {"id": "p1", "said": "2"}], "answered once in a round"),
    ],
)
def test_answers_that_fit_no_problem_stop(house: House, rows: list[dict[str, Any]], said: str) -> None:
    problems, answers = house.write("problems.jsonl", SUMS), house.write("answers.jsonl", rows)
    with pytest.raises(ShardError) as caught:
        house.make(f"[{{method: llm2llm, problems: {problems}, answers: {answers}}}]", write_new)
    assert said in str(caught.value)


# toolformer -----------------------------------------------------------------------------------------------------------

#: Sums that no model guesses: what the tool says is worth much.
HALL = "A hall of 127 rows of 431 seats has 54737."


def test_toolformer_keeps_calls_by_the_losses_of_the_embedded_model(house: House) -> None:
    rows = [
        {"doc_id": "hall", "dump": DUMP, "text": HALL, "date": "2024-05-06"},
        {"doc_id": "prose", "dump": DUMP, "text": "The sea was calm.", "date": None},
    ]
    publish(house.lake, DEDUPED_CORPUS, DUMP, fill_rows(DEDUPED_CORPUS, rows))

    def script(request: ChatRequest) -> str:
        return "Calculator(127 * 431)" if "Tool Calculator" in ask_of(request) else "Calendar()"

    options = "tools: [calculator, calendar], calls_per_place: 1, places: 60, call_probability: 0.0"
    made = house.make(f"[{{method: toolformer, {options}}}]", script)

    assert made.manifest.rows_in == 4
    (row,) = [row for row in house.rows.rows(named=True) if "Calculator" in row["response"]]
    assert row["response"].endswith("[Calculator(127 * 431) → 54737] 54737.")
    assert row["response"].count("[") == 1
    assert row["parents"] == [{"table": "deduped_corpus", "id": "hall"}]
    assert row["context"] == HALL


def test_toolformer_translates_by_the_teacher_that_writes_the_calls(house: House) -> None:
    text = "Over the gate stood Sonnenuntergangsfahrt, which is German for sunset ride."
    rows = [{"doc_id": "gate", "dump": DUMP, "text": text, "date": None}]
    publish(house.lake, DEDUPED_CORPUS, DUMP, fill_rows(DEDUPED_CORPUS, rows))

    def script(request: ChatRequest) -> str:
        return "MT(Sonnenuntergangsfahrt)" if "Tool MT" in ask_of(request) else "sunset ride"

    made = house.make("[{method: toolformer, tools: [translation], calls_per_place: 1, places: 60}]", script)

    (row,) = house.rows.rows(named=True)
    call = "[MT(Sonnenuntergangsfahrt) → sunset ride] "
    assert row["response"].endswith(f"{call}sunset ride.")
    assert row["response"].replace(call, "") == text
    # one call for each place, and one translation for all of them
    asked = [ask_of(request) for request in house.teacher.asked]
    assert asked.count("Sonnenuntergangsfahrt") == 1
    assert made.manifest.counts["requests"] == len(asked)


# flan_mixture ---------------------------------------------------------------------------------------------------------

TASKS = """tasks: {
    sums: {family: closed_book_qa, fields: {question: question}},
    facts: {family: closed_book_qa, fields: {question: asked}, answer: said}}"""

BOTH = "rows_sums: problems.jsonl, rows_facts: problems.jsonl"


def write_tasks(house: House, sums: int, facts: int) -> str:
    house.write("sums.jsonl", [{"id": f"s{n}", "question": f"What is {n} + 1?", "answer": n + 1} for n in range(sums)])
    house.write(
        "facts.jsonl", [{"id": f"f{n}", "asked": f"Who was number {n}?", "said": f"He {n}"} for n in range(facts)]
    )
    return "rows_sums: sums.jsonl, rows_facts: facts.jsonl"


def count_tasks(house: House) -> dict[str, int]:
    tables = [row[0]["table"] for row in house.rows["parents"]]
    return {name: tables.count(name) for name in sorted(set(tables))}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        # in proportion to their rows
        ("", {"facts": 4, "sums": 12}),
        # neither counts as more than 4: as many of both as there are without a row twice
        (", rate_maximum: 4", {"facts": 4, "sums": 4}),
        (", examples_cap: 2", {"facts": 2, "sums": 2}),
        # twenty draws of both: the four facts come up twice and a half
        (", rate_maximum: 4, total: 20", {"facts": 10, "sums": 10}),
        (", collections: {a: [sums], b: [facts]}, weights: {a: 0.25, b: 0.75}, total: 4", {"facts": 3, "sums": 1}),
    ],
)
def test_a_mixture_of_labelled_files_has_the_shares_asked_for(
    house: House, options: str, wanted: dict[str, int]
) -> None:
    files = write_tasks(house, 12, 4)
    made = house.make(f"[{{method: flan_mixture, {files}, {TASKS}{options}}}]", lambda _: "never asked")

    assert count_tasks(house) == wanted
    assert house.rows["instruction_id"].n_unique() == sum(wanted.values())
    assert set(house.rows["dump"]) == {DUMP}
    assert not house.teacher.asked
    left = made.manifest.removed_by_rule.get("not_drawn", 0)
    assert made.manifest.rows_in == sum(wanted.values()) + left


# recipes that cannot work ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("[rest]", "reads one of problems, stored: name one"),
        ("[{method: rest, problems: problems.jsonl, grow_step: -1}]", "grow_step counts from 0"),
        ("[{method: rest, problems: problems.jsonl, thresholds: [1, 0]}]", "must rise"),
        ("[{method: star, problems: problems.jsonl, round: -1}]", "round counts from 0"),
        ("[star]", "write `{method: star, problems: FILE}`"),
        ("[{method: llm2llm, problems: problems.jsonl}]", "write `{method: llm2llm, answers: FILE}`"),
        ("[{method: llm2llm, problems: problems.jsonl, answers: problems.jsonl, epochs: 3}]", "no option 'epochs'"),
        ("[flan_mixture]", "write `{method: flan_mixture, rows_*: FILE}`"),
        (f"[{{method: flan_mixture, rows_sum: problems.jsonl, {TASKS}}}]", "rows_sum is no task's file. Did you mean"),
        (f"[{{method: flan_mixture, rows_sums: problems.jsonl, {TASKS}}}]", "facts needs its file"),
        ("[{method: flan_mixture, rows_a: problems.jsonl, tasks: {a: {famly: x}}}]", "Did you mean 'family'"),
        ("[{method: flan_mixture, rows_a: problems.jsonl, tasks: {a: {family: closed_book, fields: {}}}}]", "_qa'"),
        ("[{method: flan_mixture, rows_a: problems.jsonl, weights: {a: x}}]", "is no number"),
        (f"[{{method: flan_mixture, {BOTH}, {TASKS}, weights: {{c: 1}}, collections: {{b: [sums]}}}}]", "t for 'b'"),
        ("[toolformer]", "needs `tools:`"),
        ("[{method: toolformer, tools: [calculater]}]", "Did you mean 'calculator'"),
        ("[{method: toolformer, tools: [search, search]}]", "name each tool once"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_work_stops_before_anything_runs(house: House, methods: str, said: str) -> None:
    house.write("problems.jsonl", SUMS)
    with pytest.raises(RecipeError) as caught:
        check_methods(load_recipe(str(house.recipe(methods))))
    assert said in str(caught.value)
