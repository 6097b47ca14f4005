"""Tool plans: a graph of tools is drawn, a teacher writes the request that needs it, and the plan that answers it.

Shen et al. 2023, "HuggingGPT" (arXiv 2303.17580) for the plan; "TaskBench" (arXiv 2311.18760, section 3) for the way
back from a drawn graph to the request, and for the two critics, a model and rules, whose verdicts stay with the rows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.drafts import Planned, make_seed
from mmpipe.synthesis.judged_drafts import Accepted, Refused, judge_drafts
from mmpipe.synthesis.tool_graphs import (
    PlannedTask,
    Shape,
    ToolGraph,
    describe_tasks,
    find_plan_fault,
    list_edges,
)
from mmpipe.synthesis.tool_plan_prompts import CRITIC, PROMPT, SCHEMA, VERDICT_SCHEMA
from mmpipe.synthesis.tool_schemas import choose_tools, make_tool, write_json
from mmpipe.tables.chat import ChatFailure, ChatRequest, Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.teacher_families import describe_judge, refuse_own_judge

if TYPE_CHECKING:
    from mmpipe.synthesis.row_account import Judged
    from mmpipe.tables.chat import ChatReply, Teacher

METHOD = "tool_plans"

#: Why a plan is refused: those of `find_plan_fault`, and these.
REASONS = ("request_names_tool", "tools_differ", "edges_differ", "critic_refused")

DETAILS_SCHEMA = {
    "shape": pl.String(),
    "tools": pl.List(pl.String),
    "rule_verdict": pl.String(),
    "critic": pl.String(),
    "critic_is_own_family": pl.Boolean(),
    "critic_verdict": pl.String(),
    "critic_why": pl.String(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPlanSettings:
    """What is drawn and what passes.

    Attributes:
        plans: sub-graphs drawn.
        shapes: weights of the shapes (3 : 7 : 8, `method_weights` of TaskBench's data_engine.py: single, chain, dag).
        tasks: fewest and most tasks of a chain or graph.
        tools_shown: tools that a row lists, which the plan may use: its own, and others of the graph by hash (ours).
        requires_critic: whether a plan that the critic refused goes; else its verdict is only kept.
        judges_own_family: whether the critic may be of the family that writes, as TaskBench's is; the rows say who it
            was.
        families: those that names do not tell, see `tables.teacher_families.find_family`.
        temperature: of the teacher.
        top_p: nucleus.
        max_tokens: of a plan.
        attempts: most requests for one plan.
        dump: what the rows say as their dump: they have no document behind them.
        seed: of the drawing and of the requests.
    """

    plans: int = 100
    shapes: tuple[tuple[Shape, int], ...] = (("node", 3), ("chain", 7), ("graph", 8))
    tasks: tuple[int, int] = (2, 6)
    tools_shown: int = 8
    requires_critic: bool = True
    judges_own_family: bool = True
    families: Mapping[str, str] = field(default_factory=dict)
    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 1024
    attempts: int = 1
    dump: str = "tool_graph"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.tasks[0] <= self.tasks[1]:
            raise ConfigurationError(f"tool_plans.tasks are two ascending numbers from 2 on, not {self.tasks}.")
        if not self.shapes or any(weight < 1 for _, weight in self.shapes):
            raise ConfigurationError("tool_plans.shapes need a weight of 1 or more each.")


def draw_subgraph(graph: ToolGraph, number: int, settings: ToolPlanSettings) -> tuple[Shape, tuple[PlannedTask, ...]]:
    """Return the shape and the tasks of sub-graph 0, 1, …: its number, the seed and the tools alone decide."""

    def draw(part: str, count: int) -> int:
        return int(make_id(METHOD, part, settings.seed, number)[:12], 16) % count

    shapes = [shape for shape, weight in settings.shapes for _ in range(weight)]
    shape = shapes[draw("shape", len(shapes))]
    low, high = settings.tasks
    return shape, graph.draw(str(number), shape, low + draw("tasks", high - low + 1), settings.seed)


def make_tool_plans(
    graph: ToolGraph, teacher: Teacher, settings: ToolPlanSettings, critic: Teacher | None = None
) -> Judged:
    """Return rows of a request and its plan as JSON; details keep both critics' verdicts.

    A plan passes the rules if it can be run (acyclic, references resolvable, types agree) and is the graph drawn: the
    same tools, linked the same way. The critic judges only what passed the rules.

    Args:
        graph: the tools.
        teacher: who writes request and plan.
        settings: what is drawn.
        critic: who judges; None for no model's judgement, then `critic_verdict` is null.

    Raises:
        ConfigurationError: the graph has no tools, or the critic is of the teacher's family and may not be.
        TeacherError: the teacher cannot answer any more.
    """
    if not graph.tools:
        raise ConfigurationError("A tool graph without tools gives no plans.")
    if critic is not None:
        is_allowed = settings.judges_own_family
        refuse_own_judge(critic, teacher, settings.families, method=METHOD, is_own_allowed=is_allowed)
    judged_by = None if critic is None else describe_judge(critic, teacher, settings.families)
    drawn = {_make_id(number, settings): draw_subgraph(graph, number, settings) for number in range(settings.plans)}
    planned = [_plan(number, tasks, graph, settings) for number, (_, tasks) in drawn.items()]
    costs: list[ChatReply | ChatFailure] = []

    def judge(replies: Sequence[tuple[Planned, Mapping[str, Any]]]) -> list[Accepted | Refused]:
        faults = [_find_fault(reply, drawn[plan.instruction_id][1], graph) for plan, reply in replies]
        passed = [place for place, fault in enumerate(faults) if fault is None]
        verdicts = _ask_critic([replies[place] for place in passed], critic, settings, costs)
        judged: list[Accepted | Refused] = []
        said = dict(zip(passed, verdicts, strict=True))
        for place, ((plan, reply), fault) in enumerate(zip(replies, faults, strict=True)):
            shape, tasks = drawn[plan.instruction_id]
            judged.append(fault or _accept(reply, shape, tasks, said[place], judged_by, settings))
        return judged

    made = judge_drafts(planned, teacher, judge, details_schema=DETAILS_SCHEMA, attempts=settings.attempts)
    for outcome in costs:
        made.synthesis.spent.add(outcome)
    own = {number: [task.tool for task in tasks] for number, (_, tasks) in drawn.items()}
    frame = made.synthesis.frame
    shown = [list_tools(number, own[number], graph, settings) for number in frame.get_column("instruction_id")]
    listed = frame.with_columns(tools=pl.Series(shown, dtype=pl.String))
    return replace(made, synthesis=replace(made.synthesis, frame=listed))


def list_tools(instruction_id: str, own: Sequence[str], graph: ToolGraph, settings: ToolPlanSettings) -> str:
    """Return the tools that a row lists, JSON: without them nobody could know what a plan may use.

    A parameter is what a tool takes: a text that names it, or the task that gives it. Two of one kind are numbered.
    """
    tools = []
    for name in choose_tools(own, graph.by_name, settings.tools_shown, settings.seed, instruction_id):
        tool = graph.find(name)
        takes = [kind if tool.takes.count(kind) == 1 else f"{kind}_{n}" for n, kind in enumerate(tool.takes)]
        gives = f"gives {', '.join(tool.gives)}"
        described = f"{tool.description}; {gives}" if tool.description else gives
        tools.append(make_tool(name, described, dict.fromkeys(takes, "string"), takes))
    return write_json(tools)


def render_plan(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Return a plan as canonical JSON: tasks by id, dependencies ascending."""
    ordered = [
        {
            "id": task["id"],
            "tool": task["tool"],
            "dependencies": sorted(set(task["dependencies"])),
            "arguments": [{"type": argument["type"], "value": argument["value"]} for argument in task["arguments"]],
        }
        for task in sorted(tasks, key=lambda task: int(task["id"]))
    ]
    return json.dumps({"tasks": ordered}, ensure_ascii=False, indent=1)


def _make_id(number: int, settings: ToolPlanSettings) -> str:
    return make_id(METHOD, settings.seed, number)


def _plan(number: str, tasks: Sequence[PlannedTask], graph: ToolGraph, settings: ToolPlanSettings) -> Planned:
    described = [{"name": task.tool, "description": graph.find(task.tool).description} for task in tasks]
    shown = json.dumps(describe_tasks(graph, tasks), ensure_ascii=False)
    return Planned(
        instruction_id=number,
        dump=settings.dump,
        method=METHOD,
        stage="instruction_tuning",
        mode="general_distillation.controllable",
        prompt_version=PROMPT.version,
        messages=PROMPT.render(tools=json.dumps(described, ensure_ascii=False), tasks=shown),
        schema=SCHEMA,
        sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed),
        retry_temperature=settings.temperature,
        evidence="",
    )


def _find_fault(reply: Mapping[str, Any], drawn: Sequence[PlannedTask], graph: ToolGraph) -> Refused | None:
    fault = find_plan_fault(reply["tasks"], graph)
    if fault is not None:
        return Refused(*fault)
    request = str(reply["request"])
    named = next((task.tool for task in drawn if names_tool(request, task.tool)), None)
    if named is not None:
        return Refused("request_names_tool", named)
    if Counter(task["tool"] for task in reply["tasks"]) != Counter(task.tool for task in drawn):
        return Refused("tools_differ")
    wanted = sorted(
        (drawn[source].tool, task.tool, position)
        for task in drawn
        for position, source in enumerate(task.sources)
        if source is not None
    )
    return None if list_edges(reply["tasks"]) == wanted else Refused("edges_differ")


def names_tool(request: str, tool: str) -> bool:
    """Return whether a tool's name stands in a request; one that is part of a longer word (OCR, mediocre) does not."""
    return re.search(rf"(?<!\w){re.escape(tool)}(?!\w)", request, re.IGNORECASE) is not None


def _ask_critic(
    replies: Sequence[tuple[Planned, Mapping[str, Any]]],
    critic: Teacher | None,
    settings: ToolPlanSettings,
    costs: list[ChatReply | ChatFailure],
) -> list[tuple[str | None, str]]:
    """Return (yes, no, or None where there is no judgement; why) for each plan."""
    if critic is None:
        return [(None, "")] * len(replies)
    requests = [
        ChatRequest(
            CRITIC.render(request=str(reply["request"]), plan=render_plan(reply["tasks"])),
            Sampling(max_tokens=200, seed=make_seed(settings.seed, plan.instruction_id, "critic")),
            VERDICT_SCHEMA,
        )
        for plan, reply in replies
    ]
    outcomes = list(critic.answer(requests))
    costs += outcomes
    return [
        (None, f"teacher_{outcome.kind}")
        if isinstance(outcome, ChatFailure)
        else (json.loads(outcome.text)["verdict"], json.loads(outcome.text)["why"])
        for outcome in outcomes
    ]


def _accept(
    reply: Mapping[str, Any],
    shape: Shape,
    drawn: Sequence[PlannedTask],
    said: tuple[str | None, str],
    judged_by: Mapping[str, Any] | None,
    settings: ToolPlanSettings,
) -> Accepted | Refused:
    verdict, why = said
    # a judgement that could not be had is no yes
    if settings.requires_critic and judged_by is not None and verdict != "yes":
        return Refused("critic_refused", why)
    return Accepted(
        instruction=str(reply["request"]).strip(),
        response=render_plan(reply["tasks"]),
        details={
            "shape": shape,
            "tools": [task.tool for task in drawn],
            "rule_verdict": "yes",
            "critic": None if judged_by is None else judged_by["judge"],
            "critic_is_own_family": None if judged_by is None else judged_by["judge_is_own_family"],
            "critic_verdict": verdict,
            "critic_why": why,
        },
    )
