"""What a method alone knows of a row reaches the lake: the tree of thoughts, how a rationale was found, CodeBLEU, …"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.filtering.instruction_signals import measure_instructions
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.code_methods import read_inputs
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.method_inputs import MethodRun
from mmpipe.lanes.stage import Knobs, StageRun
from mmpipe.lanes.synthesis_estimates import estimate_synthesis
from mmpipe.storage.shards import Engine
from mmpipe_tests.lanes.test_synthesis_methods import CASES, DUMP, House, house, plan
from mmpipe_tests.lanes.test_text_methods import SUMS, read_sum, solve

if TYPE_CHECKING:
    from mmpipe.tables.chat import ChatRequest

__all__ = ["house"]


def read_details(house: House) -> list[dict[str, Any]]:
    return [json.loads(text) for text in house.rows["details"]]


def test_a_row_keeps_the_tree_that_was_searched(house: House) -> None:
    file = house.write("problems.jsonl", SUMS[:1])

    def script(request: ChatRequest) -> str:
        if "thoughts" not in json.dumps(request.schema):
            return json.dumps({"value": "likely"})
        thoughts = [{"thought": "One more.", "answer": "1"}, {"thought": "Guess.", "answer": ""}]
        return json.dumps({"thoughts": thoughts})

    house.make(f"[{{method: thought_trees, problems: {file}, votes: 2, beam: 1, depth: 1}}]", script)

    (details,) = read_details(house)
    assert (details["rationale"], details["answer"]) == ("One more.", "1")
    told = [(node["thought"], node["status"], node["likely"], node["value"]) for node in details["nodes"]]
    assert told == [("One more.", "path", 2, 2.0), ("Guess.", "leaf", 2, 2.0)]
    assert details["path"] == [details["nodes"][0]["node_id"]]


def test_a_row_of_star_says_whether_it_had_the_hint(house: House) -> None:
    file = house.write("problems.jsonl", SUMS)
    house.make(f"[{{method: star, problems: {file}, round: 2}}]", solve)

    told = {row["problem_id"]: (row["origin"], row["round"], row["answer"]) for row in read_details(house)}
    assert told == {"p0": ("direct", 2, "1"), "p1": ("rationalised", 2, "2"), "p2": ("direct", 2, "3")}


def test_a_row_of_rest_has_its_reward_and_threshold(house: House) -> None:
    file = house.write("problems.jsonl", SUMS)
    house.make(f"[{{method: rest, problems: {file}, samples: 1}}]", solve)

    assert {(row["reward"], row["threshold"], row["grow_step"]) for row in read_details(house)} == {(1.0, 0.0, 0)}


def test_a_plan_keeps_the_verdicts_of_both_critics(house: House) -> None:
    tools = [{"name": "Transcriber", "takes": ["audio"], "gives": ["text"]}]
    file = house.write("tools.jsonl", tools)
    house.make(f"[{{method: tool_plans, tools: {file}, plans: 1, shapes: {{node: 1}}}}]", plan)

    (details,) = read_details(house)
    assert (details["rule_verdict"], details["critic_verdict"], details["critic_why"]) == (
        "yes",
        "yes",
        "All is there.",
    )
    assert (details["shape"], details["tools"]) == ("node", ["Transcriber"])


def test_a_translation_has_its_code_bleu_and_its_examples(house: House) -> None:
    pair = {"id": "p", "source": "program p\nprint *, 1\nend program", "target": "int x;"}
    reference = "int main() { int n; std::cin >> n; std::cout << n; }"
    queries = [
        {"id": "same", "source": "program q\nread *, n\nprint *, n\nend program", "reference": reference},
        {"id": "none", "source": "program r\nread *, m\nend program"},
    ]
    files = f"pairs: {house.write('pairs.jsonl', [pair])}, queries: {house.write('queries.jsonl', queries)}"
    house.make(
        f"[{{method: code_translation, {files}, requires_run: false}}]",
        lambda _: json.dumps({"translation": f"```cpp\n{reference}\n```"}),
    )

    told = {row["query_id"]: row for row in read_details(house)}
    assert told["same"]["code_bleu"] == 1.0
    # nothing to compare with is no score
    assert "code_bleu" not in told["none"]
    assert [example["pair_id"] for example in told["same"]["examples"]] == ["p"]
    assert told["same"]["verification"] == "unverified"
    assert len(told["same"]["index_digest"]) > 8


def test_case2code_keeps_every_case_and_which_were_shown(house: House) -> None:
    house.make("[{method: case2code, inputs: 3, shown: 2}]", lambda _: CASES)

    (details,) = read_details(house)
    assert (details["inputs"], details["outputs"]) == (["1", "2", "30"], ["2", "4", "60"])
    assert len(details["shown"]) == 2


def test_a_rendered_row_keeps_its_template_and_rationale(house: House) -> None:
    rows = [{"question": f"What is {n} + 1?", "answer": str(n + 1), "why": f"{n} and one"} for n in range(3)]
    task = "{name: sums, family: closed_book_qa, fields: {question: question}, rationale: why}"
    house.make(f"[{{method: flan, rows: {house.write('rows.jsonl', rows)}, task: {task}}}]", lambda _: "")

    assert sorted((row["rationale"], row["answer"]) for row in read_details(house)) == [
        (row["why"], row["answer"]) for row in rows
    ]
    assert all(row["template"].startswith("closed_book_qa/") for row in read_details(house))


def test_chains_keep_reasoning_and_answer_apart(house: House) -> None:
    file = house.write("problems.jsonl", SUMS[:1])

    def script(request: ChatRequest) -> str:
        return json.dumps({"rationale": "One more than nought is one.", "answer": str(read_sum(request) + 1)})

    house.make(f"[{{method: reasoning_rows, problems: {file}}}]", script)
    (details,) = read_details(house)
    assert (details["rationale"], details["answer"]) == ("One more than nought is one.", "1")


def test_an_estimate_compiles_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.write("pairs.jsonl", [{"source": "print *, 1", "target": "int x;"}])
    house.write("queries.jsonl", [{"source": f"print *, {n}"} for n in range(3)])
    recipe = load_recipe(str(house.recipe("[{method: code_translation, pairs: pairs.jsonl, queries: queries.jsonl}]")))
    monkeypatch.setattr(MethodRun, "open_runner", lambda _: pytest.fail("a program was to be run"))
    knobs = Knobs(cache_folder=str(house.folder / "cache"), device="cpu")
    run = StageRun(INSTRUCTION_LANE[0], house.lake, recipe, knobs, Engine(), DUMP)
    (made,) = estimate_synthesis(run)
    assert made.estimate is not None
    assert made.estimate.requests == 3


@pytest.mark.parametrize("method", ["tiny_gsm", "case2code", "api_rows", "tool_plans", "code_translation"])
def test_code_and_calls_rest_on_no_passage_that_rules_could_hold_them_to(house: House, method: str) -> None:
    house.write("problems.jsonl", SUMS[:1])
    house.write("tools.jsonl", [{"name": "Transcriber", "takes": ["audio"], "gives": ["text"]}])
    house.write("pairs.jsonl", [{"source": "print *, 1", "target": "int x;"}])
    house.write("queries.jsonl", [{"source": "read *, n"}])
    card = {"domain": "vision", "functionality": "Sorts", "api_name": "Sorter", "api_call": "sort(by='kind')"}
    house.write("cards.jsonl", [{**card, "description": "Puts photos in order."}])
    options = {
        "tiny_gsm": "problems: problems.jsonl, variant: solve",
        "case2code": "inputs: 3, shown: 2",
        "api_rows": "cards: cards.jsonl, instructions: 1",
        "tool_plans": "tools: tools.jsonl, plans: 1, shapes: {node: 1}, critic: false",
        "code_translation": "pairs: pairs.jsonl, queries: queries.jsonl, requires_run: false",
    }

    def script(request: ChatRequest) -> str:
        said = {
            "solution": json.dumps({"solution": "def solve():\n    total = 0 + 1\n    return total"}),
            "translation": json.dumps({"translation": "int main() { return 0; }"}),
            "instructions": json.dumps({"instructions": ["How can I tidy my holiday album?"]}),
            "tasks": plan(request) if method == "tool_plans" else "",
            "inputs": CASES,
        }
        return next(text for name, text in said.items() if name in str((request.schema or {}).get("required")))

    house.make(f"[{{method: {method}, {options[method]}}}]", script)

    assert house.rows["evidence"].to_list() == [""]
    assert measure_instructions(house.rows)["response_grounding"].to_list() == [1.0]


@pytest.mark.parametrize(
    ("inputs", "read"),
    [
        (["3\n", None], [["3\n"], []]),
        ([["1", "2"], None], [["1", "2"], None]),
        ([7, 8], [["7"], ["8"]]),
        ([[1, 2], []], [["1", "2"], []]),
    ],
)
def test_one_input_may_stand_without_a_list(inputs: list[Any], read: list[Any]) -> None:
    assert read_inputs(pl.DataFrame({"inputs": inputs}))["inputs"].to_list() == read
