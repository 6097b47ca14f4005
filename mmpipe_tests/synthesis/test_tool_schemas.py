"""Tools as trainers take them: calls in Python become names and arguments of JSON, and rows list what may be called."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.api_rows import ApiRowSettings, make_api_rows
from mmpipe.synthesis.tool_plans import ToolPlanSettings, make_tool_plans
from mmpipe.synthesis.tool_schemas import choose_tools, describe_call, read_tool_call
from mmpipe_tests.synthesis.test_tool_plans import GRAPH, write

NAMES = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True)


@pytest.mark.parametrize(
    ("call", "name", "arguments"),
    [
        ("hub.load(repo='a/b', deep=True, n=3)", "hub_load", {"repo": "a/b", "deep": True, "n": 3}),
        ("load('x', [1, 2], rate=0.5)", "load", {"argument_0": "x", "argument_1": [1, 2], "rate": 0.5}),
        ("m = Model.get(make(2), device=cuda)", "Model_get", {"argument_0": "make(2)", "device": "cuda"}),
        ("pipeline('sum', model='a')(text)", "pipeline", {"argument_0": "sum", "model": "a"}),
        ("f(b'x', {1: 2}, {'a': None}, **more)", "f",
         {"argument_0": "b'x'", "argument_1": "{1: 2}", "argument_2": {"a": None}, "arguments": "more"}),
        ("f(1e999)", "f", {"argument_0": "1e309"}),
    ],
)  # fmt: skip
def test_a_call_in_python_is_a_name_and_arguments_of_json(call: str, name: str, arguments: dict[str, Any]) -> None:
    assert read_tool_call(call) == (name, arguments)


def test_long_names_are_cut_and_what_is_no_call_alone_stops() -> None:
    assert read_tool_call("a" * 80 + ".b()")[0] == "a" * 62 + "_b"
    for text in ("no call", "First do:\nf(1)\nthen rest."):
        with pytest.raises(ConfigurationError):
            read_tool_call(text)


def test_a_tool_states_the_type_of_each_argument() -> None:
    tool = describe_call("f('x', n=3, deep=False, rate=0.5, of=[1], more={})", "Does it.")["function"]
    assert (tool["name"], tool["description"]) == ("f", "Does it.")
    assert {name: item["type"] for name, item in tool["parameters"]["properties"].items()} == {
        "argument_0": "string", "n": "integer", "deep": "boolean", "rate": "number", "of": "array", "more": "object",
    }  # fmt: skip
    assert tool["parameters"]["required"] == ["argument_0", "n", "deep", "rate", "of", "more"]


@given(own=NAMES, others=NAMES, shown=st.integers(1, 6), seed=st.integers(0, 9), order=st.randoms())
def test_needed_tools_are_shown_and_the_order_of_others_counts_not(
    own: list[str], others: list[str], shown: int, seed: int, order: Any
) -> None:
    chosen = choose_tools(own, others, shown, seed, "row")
    assert set(own) <= set(chosen) <= {*own, *others}
    assert len(chosen) == len(set(chosen)) == max(len(own), min(shown, len({*own, *others})))
    shuffled = order.sample(others, len(others))
    assert choose_tools(own, shuffled, shown, seed, "row") == chosen


CARDS = pl.DataFrame(
    [
        {"api_id": number, "dump": "d", "domain": "vision", "functionality": "Sees", "api_name": name,
         "api_call": call, "description": f"Model {number}."}
        for number, name, call in (
            ("a", "Seer-1", "hub.load(model='seer1')"),
            ("b", "Seer-2", "hub.load(model='seer2')"),
            ("c", "Listener", "audio.listen(rate=8000)"),
            ("d", "Speaker", "audio.speak(voice='ann')"),
        )
    ]
)  # fmt: skip
WISHES = json.dumps({"instructions": ["Which animal is on my photo, please?"]})


def test_an_answer_that_is_a_call_stands_beside_the_tools_that_may_be_called() -> None:
    settings = ApiRowSettings(instructions=1, answer="call", tools_shown=2)
    rows = make_api_rows(CARDS, ScriptedTeacher(lambda _: WISHES), settings).synthesis.frame
    again = make_api_rows(CARDS.reverse(), ScriptedTeacher(lambda _: WISHES), settings).synthesis.frame
    assert rows.height == 4
    assert rows.sort("instruction_id").equals(again.sort("instruction_id"))
    for row, card in zip(rows.rows(named=True), CARDS.rows(named=True), strict=True):
        name, arguments = read_tool_call(card["api_call"])
        assert json.loads(row["tool_calls"]) == [{"name": name, "arguments": arguments}]
        assert json.loads(row["response"]) == {"name": name, "arguments": arguments}
        shown = {tool["function"]["name"]: tool["function"] for tool in json.loads(row["tools"])}
        assert len(shown) == 2
        assert shown[name]["description"] == f"Sees: {card['description']}"
        assert set(shown[name]["parameters"]["properties"]) == set(arguments)


def test_an_answer_in_code_has_no_tools() -> None:
    settings = ApiRowSettings(instructions=1)
    rows = make_api_rows(CARDS, ScriptedTeacher(lambda _: WISHES), settings).synthesis.frame
    assert rows.select("tools", "tool_calls").null_count().row(0) == (4, 4)
    assert "```python\nhub.load" in rows["response"][0]
    with pytest.raises(ConfigurationError, match="tools_shown must be 1 or more"):
        ApiRowSettings(tools_shown=0)


def test_a_plan_stands_beside_its_tools_and_others() -> None:
    settings = ToolPlanSettings(plans=12, tools_shown=4, tasks=(2, 3))
    rows = make_tool_plans(GRAPH, ScriptedTeacher(write), settings).synthesis.frame
    assert rows.height > 5
    for row in rows.rows(named=True):
        shown = {tool["function"]["name"]: tool["function"] for tool in json.loads(row["tools"])}
        planned = json.loads(row["response"])["tasks"]
        assert {task["tool"] for task in planned} <= set(shown)
        assert len(shown) == 4
        for task in planned:
            assert len(shown[task["tool"]]["parameters"]["required"]) == len(task["arguments"])
        assert row["tool_calls"] is None
    described = json.loads(rows["tools"].filter(rows["tools"].str.contains("Answerer"))[0])
    (answerer,) = (tool["function"] for tool in described if tool["function"]["name"] == "Answerer")
    assert answerer["description"] == "answers a question about an image; gives text"
    assert answerer["parameters"]["required"] == ["image", "text"]
