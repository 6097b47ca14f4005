"""Graphs of tools by what goes in and comes out, sub-graphs drawn from them, and the checks of a plan over them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.tables.identity import make_id

Shape = Literal["node", "chain", "graph"]

#: How a plan's argument names what a task before gives: `<task-0>`.
REFERENCE = re.compile(r"<task-(\d{1,6})>")


@dataclass(frozen=True, slots=True)
class PlanTool:
    """A tool: what it takes, in order, and what it gives; types are plain names such as `image` or `text`."""

    name: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """One task of a drawn sub-graph: its tool, and for each thing the tool takes the task that gives it, or None."""

    tool: str
    sources: tuple[int | None, ...]


@dataclass(frozen=True)
class ToolGraph:
    """Tools; one leads to another where something it gives is something the other takes.

    Raises:
        ConfigurationError: two tools of one name, or a tool that gives nothing.
    """

    tools: tuple[PlanTool, ...]

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(tool.name for tool in self.tools).items() if count > 1]
        if twice:
            raise ConfigurationError(f"The tool {twice[0]!r} stands twice in the graph.")
        for tool in self.tools:
            if not tool.gives:
                raise ConfigurationError(f"The tool {tool.name!r} gives nothing, so no task can follow it.")

    @cached_property
    def by_name(self) -> dict[str, PlanTool]:
        """Tools by name."""
        return {tool.name: tool for tool in self.tools}

    def find(self, name: str) -> PlanTool:
        """Return a tool.

        Raises:
            ConfigurationError: there is none of that name.
        """
        if name not in self.by_name:
            raise ConfigurationError(f"Unknown tool {name!r}.{name_nearest(name, self.by_name)}")
        return self.by_name[name]

    def draw(self, subgraph_id: str, shape: Shape, tasks: int, seed: int = 0) -> tuple[PlannedTask, ...]:
        """Return a connected sub-graph, drawn by hash of its id; fewer tasks where none can follow.

        `node` is one task; in a `chain` each task takes what the one before gives; in a `graph` it takes what any
        gives, and as many of its inputs as can be had come from tasks. Tasks stand in an order in which they can run,
        and each tool stands once (TaskBench, Shen et al. 2023, arXiv 2311.18760, section 3.2: nodes, chains and
        directed acyclic graphs).
        """

        def rank(names: Sequence[str], *parts: str | int) -> list[str]:
            return sorted(names, key=lambda name: make_id("subgraph", seed, subgraph_id, *parts, name))

        wanted = 1 if shape == "node" else tasks
        drawn: list[PlannedTask] = []
        left = sorted(self.by_name)
        while left and len(drawn) < wanted:
            givers = drawn[-1:] if shape == "chain" else drawn
            given = {kind for task in givers for kind in self.by_name[task.tool].gives}
            able = [name for name in left if not drawn or given & set(self.by_name[name].takes)]
            if not able:
                break
            name = rank(able, len(drawn))[0]
            drawn.append(PlannedTask(name, self._choose_sources(name, drawn, shape, rank)))
            left.remove(name)
        return tuple(drawn)

    def _choose_sources(
        self, name: str, drawn: Sequence[PlannedTask], shape: Shape, rank: Any
    ) -> tuple[int | None, ...]:
        sources: list[int | None] = []
        used: set[int] = set()
        first = len(drawn) - 1 if shape == "chain" else 0
        for position, kind in enumerate(self.by_name[name].takes):
            givers = [
                str(place)
                for place in range(max(first, 0), len(drawn))
                if kind in self.by_name[drawn[place].tool].gives and place not in used
            ]
            source = int(rank(givers, "source", name, position)[0]) if givers else None
            sources.append(source)
            if source is not None:
                used.add(source)
        return tuple(sources)


def describe_tasks(graph: ToolGraph, drawn: Sequence[PlannedTask]) -> list[dict[str, Any]]:
    """Return a drawn sub-graph as a teacher is shown it: id, tool, and for each input its type and source."""
    return [
        {
            "id": number,
            "tool": task.tool,
            "takes": [
                {"type": kind, "from": "user" if source is None else f"<task-{source}>"}
                for kind, source in zip(graph.find(task.tool).takes, task.sources, strict=True)
            ],
            "gives": list(graph.find(task.tool).gives),
        }
        for number, task in enumerate(drawn)
    ]


def find_plan_fault(tasks: Sequence[Mapping[str, Any]], graph: ToolGraph) -> tuple[str, str] | None:
    """Return (reason, detail) of the first thing wrong with a plan; None if it can be run.

    Args:
        tasks: each with `id` (integer), `tool`, `dependencies` (ids) and `arguments` (each `type` and `value`, which is
            a text or names a task: `<task-0>`).
        graph: the tools there are.

    Reasons: no_tasks, repeated_id, unknown_tool, argument_count, unresolvable_reference, dependency_mismatch, cyclic,
    type_mismatch.
    """
    if not tasks:
        return "no_tasks", ""
    by_id = {task["id"]: task for task in tasks}
    if len(by_id) < len(tasks):
        return "repeated_id", ""
    fault = next((fault for task in tasks if (fault := _find_task_fault(task, set(by_id), graph)) is not None), None)
    if fault is None:
        cycle = find_cycle({task["id"]: list_references(task) for task in tasks})
        fault = None if cycle is None else ("cyclic", " → ".join(str(number) for number in cycle))
    return fault or _find_type_fault(tasks, graph)


def _find_task_fault(task: Mapping[str, Any], ids: set[int], graph: ToolGraph) -> tuple[str, str] | None:
    tool = graph.by_name.get(task["tool"])
    if tool is None:
        return "unknown_tool", str(task["tool"])
    where = f"task {task['id']}"
    if len(task["arguments"]) != len(tool.takes):
        return "argument_count", f"{where}: {len(task['arguments'])}, not {len(tool.takes)}"
    named = set(list_references(task))
    missing = sorted((named | set(task["dependencies"])) - ids)
    if missing:
        return "unresolvable_reference", f"{where}: {missing[0]}"
    return None if named == set(task["dependencies"]) else ("dependency_mismatch", where)


def list_references(task: Mapping[str, Any]) -> list[int]:
    """Return the ids of the tasks that a task's arguments name."""
    return [int(number) for argument in task["arguments"] for number in REFERENCE.findall(argument["value"])]


def find_cycle(needs: Mapping[int, Sequence[int]]) -> list[int] | None:
    """Return tasks that wait for one another, the first one again at the end; None if there are none."""
    done: set[int] = set()
    for start in sorted(needs):
        path: list[int] = []
        stack: list[tuple[int, int]] = [(start, 0)]
        while stack:
            node, place = stack.pop()
            if place == 0:
                if node in done:
                    continue
                if node in path:
                    return [*path[path.index(node) :], node]
                path.append(node)
            following = needs.get(node, ())
            if place < len(following):
                stack += [(node, place + 1), (following[place], 0)]
            else:
                path.remove(node)
                done.add(node)
    return None


def list_edges(tasks: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """Return (tool that gives, tool that takes, which of its inputs) of every reference of a plan, sorted."""
    by_id = {task["id"]: task["tool"] for task in tasks}
    return sorted(
        (by_id[int(number)], task["tool"], position)
        for task in tasks
        for position, argument in enumerate(task["arguments"])
        for number in REFERENCE.findall(argument["value"])
    )


def _find_type_fault(tasks: Sequence[Mapping[str, Any]], graph: ToolGraph) -> tuple[str, str] | None:
    by_id = {task["id"]: graph.by_name[task["tool"]] for task in tasks}
    for task in tasks:
        for kind, argument in zip(by_id[task["id"]].takes, task["arguments"], strict=True):
            where = f"task {task['id']}: {kind} wanted"
            if argument["type"] != kind:
                return "type_mismatch", f"{where}, {argument['type']} said"
            for number in REFERENCE.findall(argument["value"]):
                gives = by_id[int(number)].gives
                if kind not in gives:
                    return "type_mismatch", f"{where}, <task-{number}> gives {', '.join(gives)}"
    return None
