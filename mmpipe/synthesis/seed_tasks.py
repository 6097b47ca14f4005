"""Says what a task is, an instruction with instances, and reads those people wrote from the lines of a JSONL file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The table that parents of grown instructions stand in, where people wrote them.
SEED_TABLE = "seed_tasks"

#: Why a line is no task.
SEED_FAULTS = (
    "seed_not_json",
    "seed_not_an_object",
    "seed_without_instruction",
    "seed_instances_unreadable",
    "seed_classification_unclear",
    "seed_id_repeated",
)


@dataclass(frozen=True, slots=True)
class Instance:
    """One input, empty where the instruction needs none, and the output that fits it."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Task:
    """An instruction with its instances.

    Attributes:
        task_id: stable id.
        instruction: what is asked.
        instances: inputs and outputs; there may be none.
        is_classification: whether the output is one of few labels.
        table: where the task stands, for those made from it.
    """

    task_id: str
    instruction: str
    instances: tuple[Instance, ...] = ()
    is_classification: bool = False
    table: str = SEED_TABLE


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that is no task: its number from 1, one of SEED_FAULTS, and how it begins."""

    line: int
    reason: str
    beginning: str


@dataclass(frozen=True, slots=True)
class SeedTasks:
    """The tasks of a file, in its order, and the lines that are none."""

    tasks: tuple[Task, ...]
    broken: tuple[BrokenLine, ...]


def parse_seed_tasks(lines: Iterable[str]) -> SeedTasks:
    """Return the tasks of JSON lines as Self-Instruct publishes its 175; blank lines count and are no tasks.

    A line has `instruction`, and may have `instances` (objects of `input` and `output`), `is_classification` and `id`;
    without an id it is known by its instruction. A broken line is data: it is named, and the others are taken.
    """
    tasks: list[Task] = []
    broken: list[BrokenLine] = []
    known: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        read = _read_line(line)
        if isinstance(read, Task) and read.task_id in known:
            read = "seed_id_repeated"
        if isinstance(read, str):
            broken.append(BrokenLine(number, read, line.strip()[:60]))
            continue
        known.add(read.task_id)
        tasks.append(read)
    return SeedTasks(tuple(tasks), tuple(broken))


def require_seeds(seeds: SeedTasks, least: int, name: str) -> tuple[Task, ...]:
    """Return the tasks.

    Args:
        seeds: what a file held.
        least: so many tasks a prompt needs.
        name: of the file, for the message.

    Raises:
        ConfigurationError: there are fewer; the message names the first broken lines.
    """
    if len(seeds.tasks) >= least:
        return seeds.tasks
    faults = ", ".join(f"line {fault.line}: {fault.reason}" for fault in seeds.broken[:5])
    raise ConfigurationError(
        f"{name}: {len(seeds.tasks)} seed tasks, a prompt needs {least}. "
        + (f"{len(seeds.broken)} lines are broken ({faults}). Mend them." if faults else "Write more of them.")
    )


def _read_line(line: str) -> Task | str:
    try:
        content: Any = json.loads(line)
    except ValueError:
        return "seed_not_json"
    return _read_task(content) if isinstance(content, dict) else "seed_not_an_object"


def _read_task(content: dict[str, Any]) -> Task | str:
    instruction = content.get("instruction")
    if not isinstance(instruction, str) or not instruction.strip():
        return "seed_without_instruction"
    instances = _read_instances(content.get("instances", []))
    if instances is None:
        return "seed_instances_unreadable"
    is_classification = content.get("is_classification", False)
    if not isinstance(is_classification, bool):
        return "seed_classification_unclear"
    task_id = str(content["id"]) if content.get("id") is not None else make_id(SEED_TABLE, instruction.strip())
    return Task(task_id, instruction.strip(), instances, is_classification)


def _read_instances(entries: Any) -> tuple[Instance, ...] | None:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    pairs = [(entry.get("input", ""), entry.get("output")) for entry in entries]
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        return None
    return tuple(Instance(*pair) for pair in pairs)
