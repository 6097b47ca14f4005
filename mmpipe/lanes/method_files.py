"""Checks the files of every method of a recipe before any method asks: a wrong column costs no request of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.lanes.flan_methods import ROWS, read_labelled
from mmpipe.lanes.synthesis_inputs import read_lines, read_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.filtering.synthesis_sections import SynthesisMethod

_PROBLEMS = {"problems": ("question", "answer")}

#: Columns that a method's file must have; `a|b` is one of two. Files that are not named here need only be readable.
NEEDED_COLUMNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "evol_instruct": {"instructions": ("instruction",)},
    "reasoning_rows": _PROBLEMS,
    "thought_trees": _PROBLEMS,
    "star": _PROBLEMS,
    "rest": {**_PROBLEMS, "stored": ("problem_id", "question", "solution", "reward")},
    "llm2llm": _PROBLEMS,
    "tiny_gsm": {"problems": ("problem|question",)},
    "case2code": {"functions": ("code",)},
    "api_rows": {"cards": ("domain", "functionality", "api_name", "api_call", "description")},
    "tool_plans": {"tools": ("name", "takes", "gives")},
    "code_translation": {"pairs": ("source", "target"), "queries": ("source",)},
    "toolformer": {"passages": ("text",)},
}


def check_files(entry: SynthesisMethod, settings: Any, beside: Mapping[str, Any]) -> None:
    """Read every file of a method, and refuse one that it cannot use.

    Args:
        entry: the method, as the recipe names it.
        settings: the method's own.
        beside: options that are no settings.

    Raises:
        ConfigurationError: naming the method, the file, and the line or the column.
    """
    try:
        for name, file in entry.files.items():
            if entry.method == "self_instruct":
                _check_seeds(entry, settings.demonstrations)
            elif entry.method in ("flan", "flan_mixture"):
                _check_labelled(entry, name, settings, beside)
            else:
                columns = read_records(file).columns
                for needed in NEEDED_COLUMNS.get(entry.method, {}).get(name, ()):
                    if not set(needed.split("|")) & set(columns):
                        nearest = name_nearest(needed.partition("|")[0], columns)
                        raise ConfigurationError(f"{file.list}: no column {needed.replace('|', ' or ')!r}.{nearest}")
    except ConfigurationError as error:
        raise ConfigurationError(f"{entry.place}: {entry.method}: {error}") from error


def _check_seeds(entry: SynthesisMethod, least: int) -> None:
    from mmpipe.synthesis.seed_tasks import parse_seed_tasks, require_seeds

    file = entry.files["seeds"]
    require_seeds(parse_seed_tasks(read_lines(file)), least, file.list)


def _check_labelled(entry: SynthesisMethod, name: str, settings: Any, beside: Mapping[str, Any]) -> None:
    from mmpipe.synthesis.flan_tasks import check_task
    from mmpipe.synthesis.flan_templates import load_templates

    tasks = {f"{ROWS}{task.name}": task for task in settings.tasks} if name != "rows" else {"rows": beside["task"]}
    task, file = tasks[name], entry.files[name]
    try:
        check_task(read_labelled(file, task), task, load_templates().find(task.family))
    except ConfigurationError as error:
        # a fault of reading names the file itself
        raise error if file.list in str(error) else ConfigurationError(f"{file.list}: {error}") from error
