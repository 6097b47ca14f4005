"""Tool plans: drawn graphs, every check of a plan, both critics, and properties that hold for any graph."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.tool_graphs import PlanTool, ToolGraph, describe_tasks, find_cycle, find_plan_fault
from mmpipe.synthesis.tool_plans import (
    REASONS,
    ToolPlanSettings,
    draw_subgraph,
    make_tool_plans,
    names_tool,
    render_plan,
)
from mmpipe.tables.chat import ChatFailure, ChatRequest

GRAPH = ToolGraph(
    (
        PlanTool("Transcriber", ("audio",), ("text",), "writes down speech"),
        PlanTool("Translator", ("text",), ("text",), "translates"),
        PlanTool("Painter", ("text",), ("image",), "paints what a text says"),
        PlanTool("Captioner", ("image",), ("text",), "describes an image"),
        PlanTool("Answerer", ("image", "text"), ("text",), "answers a question about an image"),
        PlanTool("Speaker", ("text",), ("audio",), "reads aloud"),
    )
)


def solve(described: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The plan that a teacher shown these tasks should write."""
    return [
        {
            "id": task["id"],
            "tool": task["tool"],
            "dependencies": sorted({int(one["from"][6:-1]) for one in task["takes"] if one["from"] != "user"}),
            "arguments": [
                {"type": one["type"], "value": "mine.dat" if one["from"] == "user" else one["from"]}
                for one in task["takes"]
            ],
        }
        for task in described
    ]


def read_tasks(request: ChatRequest) -> list[dict[str, Any]]:
    return list(json.loads(str(request.messages[-1].content).split("Tasks: ")[1]))


def write(request: ChatRequest) -> str:
    return json.dumps({"request": "Do it with mine.dat, please.", "tasks": solve(read_tasks(request))})


def task(
    number: int, tool: str, *values: str, kinds: tuple[str, ...] | None = None, waits: Any = None
) -> dict[str, Any]:
    kinds = kinds or GRAPH.by_name[tool].takes
    named = [int(value[6:-1]) for value in values if value.startswith("<task-")]
    return {
        "id": number,
        "tool": tool,
        "dependencies": named if waits is None else waits,
        "arguments": [{"type": kind, "value": value} for kind, value in zip(kinds, values, strict=True)],
    }


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        ([], "no_tasks"),
        ([task(0, "Speaker", "a"), task(0, "Speaker", "b")], "repeated_id"),
        ([{**task(0, "Speaker", "a"), "tool": "Speeker"}], "unknown_tool"),
        ([task(0, "Answerer", "a.png", kinds=("image",))], "argument_count"),
        ([task(0, "Speaker", "<task-7>")], "unresolvable_reference"),
        ([task(0, "Speaker", "a", waits=[3])], "unresolvable_reference"),
        ([task(0, "Captioner", "a"), task(1, "Speaker", "<task-0>", waits=[])], "dependency_mismatch"),
        ([task(0, "Captioner", "a"), task(1, "Speaker", "a", waits=[0])], "dependency_mismatch"),
        ([task(0, "Translator", "<task-0>")], "cyclic"),
        ([task(0, "Translator", "<task-1>"), task(1, "Translator", "<task-0>")], "cyclic"),
        ([task(0, "Captioner", "a"), task(1, "Captioner", "<task-0>")], "type_mismatch"),
        ([task(0, "Speaker", "a", kinds=("image",))], "type_mismatch"),
        ([task(5, "Captioner", "a"), task(2, "Speaker", "<task-5>")], None),
        ([task(0, "Captioner", "a"), task(1, "Answerer", "b", "Is it <task-0>?", waits=[0])], None),
    ],
)
def test_a_plan_must_be_one_that_can_run(tasks: list[dict[str, Any]], reason: str | None) -> None:
    fault = find_plan_fault(tasks, GRAPH)
    assert (fault and fault[0]) == reason


def test_rows_hold_request_plan_and_verdicts() -> None:
    critic = ScriptedTeacher(lambda _: json.dumps({"why": "All is there.", "verdict": "yes"}), name="scripted:critic@0")
    settings = ToolPlanSettings(plans=30)
    made = make_tool_plans(GRAPH, ScriptedTeacher(write), settings, critic)
    assert (made.synthesis.planned, made.synthesis.frame.height, made.synthesis.rejected) == (30, 30, {})
    assert set(made.details["critic_verdict"]) == {"yes"}
    assert set(made.details["critic"]) == {"scripted:critic@0"}
    assert made.synthesis.spent.requests == 60
    assert set(made.details["shape"]) == {"node", "chain", "graph"}
    for row, tools in zip(made.synthesis.frame.rows(named=True), made.details["tools"].to_list(), strict=True):
        tasks = json.loads(row["response"])["tasks"]
        assert find_plan_fault(tasks, GRAPH) is None
        assert [one["tool"] for one in tasks] == tools
        assert (row["stage"], row["mode"]) == ("instruction_tuning", "general_distillation.controllable")


def test_each_refusal_is_counted() -> None:
    settings = ToolPlanSettings(plans=60, shapes=(("chain", 1),), tasks=(3, 3))
    order = [draw_subgraph(GRAPH, number, settings)[1] for number in range(60)]
    kinds = {"name": 0, "fewer": 1, "cut": 2, "critic": 3, "mute": 4, "broken": 5, "slow": 6}
    long = [place for place, tasks in enumerate(order) if len(tasks) == 3][: len(kinds)]
    assert len(long) == len(kinds)
    calls = iter(range(60))

    def script(request: ChatRequest) -> str | ChatFailure:
        place = next(calls)
        tasks, said = solve(read_tasks(request)), "Do it with mine.dat, please."
        kind = next((kind for kind, number in kinds.items() if long[number] == place), None)
        if kind == "name":
            said = f"Use the {tasks[0]['tool'].lower()} on mine.dat"
        if kind == "fewer":
            tasks = tasks[:-1]
        if kind == "cut":
            tasks[-1]["dependencies"] = []
            for argument in tasks[-1]["arguments"]:
                argument["value"] = "mine.dat"
        if kind in {"critic", "mute"}:
            said = f"{kind} please"
        if kind == "broken":
            tasks[0]["arguments"][0]["value"] = "<task-9>"
        return ChatFailure("server", "500") if kind == "slow" else json.dumps({"request": said, "tasks": tasks})

    def judge(request: ChatRequest) -> str | ChatFailure:
        said = str(request.messages[-1].content)
        if "mute please" in said:
            return ChatFailure("timeout", "late")
        return json.dumps({"why": "I say so.", "verdict": "no" if "critic please" in said else "yes"})

    made = make_tool_plans(GRAPH, ScriptedTeacher(script), settings, ScriptedTeacher(judge))
    assert made.synthesis.rejected == {
        "critic_refused": 2, "edges_differ": 1, "request_names_tool": 1, "teacher_server": 1, "tools_differ": 1,
        "unresolvable_reference": 1,
    }  # fmt: skip
    assert set(REASONS) <= set(made.synthesis.rejected)
    assert made.synthesis.frame.height == 53
    assert made.candidates.height == 7


def test_a_critic_of_the_own_family_says_so_in_the_rows_or_may_not_judge() -> None:
    yes = json.dumps({"why": "All is there.", "verdict": "yes"})
    writer = ScriptedTeacher(write, "scripted:gpt-4o@1")
    for name, is_own in (("scripted:gpt-4.1@1", True), ("scripted:qwen2.5@1", False)):
        made = make_tool_plans(GRAPH, writer, ToolPlanSettings(plans=3), ScriptedTeacher(lambda _: yes, name))
        assert made.details["critic_is_own_family"].to_list() == [is_own] * 3
    strict = ToolPlanSettings(plans=3, judges_own_family=False)
    assert make_tool_plans(GRAPH, writer, strict, ScriptedTeacher(lambda _: yes, name)).details.height == 3
    with pytest.raises(ConfigurationError, match="tool_plans: scripted:gpt-4o@1 would judge what its own family 'gpt'"):
        make_tool_plans(GRAPH, writer, strict, writer)
    # rules alone are of no family
    assert make_tool_plans(GRAPH, writer, strict).details["critic_is_own_family"].null_count() == 3


def test_a_critic_may_only_be_heard() -> None:
    critic = ScriptedTeacher(lambda _: json.dumps({"why": "Too short.", "verdict": "no"}))
    made = make_tool_plans(GRAPH, ScriptedTeacher(write), ToolPlanSettings(plans=5, requires_critic=False), critic)
    assert made.details["critic_verdict"].to_list() == ["no"] * 5
    alone = make_tool_plans(GRAPH, ScriptedTeacher(write), ToolPlanSettings(plans=5))
    assert alone.details["critic_verdict"].null_count() == 5
    assert alone.synthesis.frame.drop("details").equals(made.synthesis.frame.drop("details"))


KINDS = st.sampled_from(["text", "image", "audio", "video"])


@st.composite
def graphs(draw: st.DrawFn) -> ToolGraph:
    parts = draw(
        st.lists(
            st.tuples(st.lists(KINDS, max_size=3), st.lists(KINDS, min_size=1, max_size=2)), min_size=1, max_size=8
        )
    )
    return ToolGraph(tuple(PlanTool(f"tool{n}", tuple(takes), tuple(gives)) for n, (takes, gives) in enumerate(parts)))


@given(graphs(), st.integers(0, 50), st.integers(0, 3))
def test_every_drawn_graph_can_run_and_hangs_together(graph: ToolGraph, number: int, seed: int) -> None:
    settings = ToolPlanSettings(seed=seed)
    shape, tasks = draw_subgraph(graph, number, settings)
    assert (shape, tasks) == draw_subgraph(ToolGraph(graph.tools[::-1]), number, settings)
    assert 1 <= len(tasks) <= (1 if shape == "node" else 6)
    assert len({one.tool for one in tasks}) == len(tasks)
    assert find_plan_fault(solve(describe_tasks(graph, tasks)), graph) is None
    for place, one in enumerate(tasks[1:], start=1):
        sources = {source for source in one.sources if source is not None}
        assert sources
        assert all(source < place for source in sources)
        if shape == "chain":
            assert sources == {place - 1}


@given(st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 7), max_size=4), max_size=8))
def test_a_cycle_is_found_if_and_only_if_there_is_one(needs: dict[int, list[int]]) -> None:
    left = {node: {other for other in others if other in needs} for node, others in needs.items()}
    while free := [node for node, others in left.items() if not others & left.keys()]:
        for node in free:
            del left[node]
    cycle = find_cycle(needs)
    assert (cycle is not None) == bool(left)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(other in needs[one] for one, other in pairwise(cycle))


def test_what_cannot_be_a_graph_stops() -> None:
    with pytest.raises(ConfigurationError, match="stands twice"):
        ToolGraph((PlanTool("a", (), ("text",)), PlanTool("a", (), ("text",))))
    with pytest.raises(ConfigurationError, match="gives nothing"):
        ToolGraph((PlanTool("a", ("text",), ()),))
    with pytest.raises(ConfigurationError, match="without tools"):
        make_tool_plans(ToolGraph(()), ScriptedTeacher(write), ToolPlanSettings())
    with pytest.raises(ConfigurationError, match="Did you mean 'Speaker'"):
        GRAPH.find("Speeker")
    with pytest.raises(ConfigurationError, match="two ascending numbers"):
        ToolPlanSettings(tasks=(1, 3))
    with pytest.raises(ConfigurationError, match="weight of 1"):
        ToolPlanSettings(shapes=())


def test_a_rendered_plan_does_not_depend_on_the_order_written() -> None:
    one = [task(0, "Captioner", "a"), task(1, "Speaker", "<task-0>")]
    assert render_plan(one) == render_plan(one[::-1])


@pytest.mark.parametrize(
    ("request_", "tool", "is_named"),
    [
        ("Run the ocr on page.png.", "OCR", True),
        ("This photo is mediocre, mend it.", "OCR", False),
        ("What do readers say?", "Reader", False),
        ("Use Text-to-Speech!", "Text-to-Speech", True),
        ("Turn my text to speech.", "Text-to-Speech", False),
        ("call a.b(c)", "a+b", False),
    ],
)
def test_a_name_within_a_word_names_no_tool(request_: str, tool: str, is_named: bool) -> None:
    assert names_tool(request_, tool) is is_named
