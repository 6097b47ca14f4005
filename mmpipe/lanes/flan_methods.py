"""Calls FLAN's templates over several labelled files of a recipe, and mixes what they render."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.filtering.recipe_methods import write_tree
from mmpipe.filtering.recipe_nodes import read_mapping, read_value
from mmpipe.lanes.synthesis_inputs import read_part, read_records
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    import yaml

    from mmpipe.filtering.list_references import ListReference
    from mmpipe.filtering.synthesis_sections import SynthesisMethod
    from mmpipe.lanes.method_inputs import MethodRun
    from mmpipe.synthesis.drafts import Synthesis

_log = logging.getLogger(__name__)

#: How the key of a task's file begins: `rows_NAME`.
ROWS = "rows_"


def open_mixture(_: str) -> Any:
    """Return the settings of FLAN's mixtures."""
    from mmpipe.synthesis.flan_mixtures import FlanMixtureSettings

    return FlanMixtureSettings()


def read_tasks(node: yaml.Node, file: str) -> tuple[Any, ...]:
    """Return the tasks of `{NAME: {family: …, fields: …}, …}`, by name.

    Raises:
        RecipeError: a key that a task has not, or lacks.
    """
    from mmpipe.synthesis.flan_tasks import Task

    tasks = []
    for name, item in sorted(read_mapping(node, file).items()):
        line = item.start_mark.line + 1
        tasks.append(read_part(Task, {"name": write_tree(name, line), **read_mapping(item, file)}, file, line))
    return tuple(tasks)


def read_collections(node: yaml.Node, file: str) -> dict[str, str]:
    """Return the collection of each task, of `{COLLECTION: [TASK, …]}`."""
    named = {name: read_value(item, file, tuple[str, ...], name) for name, item in read_mapping(node, file).items()}
    return {task: name for name, tasks in named.items() for task in tasks}


def check_mixture(entry: SynthesisMethod, settings: Any) -> object:
    """Refuse tasks without a file, files without a task, unknown families, and weights that name no collection.

    Raises:
        ConfigurationError: naming it.
    """
    from mmpipe.synthesis.flan_templates import load_templates

    tasks, files = [task.name for task in settings.tasks], [key.removeprefix(ROWS) for key in entry.files]
    for name in files:
        if name not in tasks:
            raise ConfigurationError(f"{ROWS}{name} is no task's file.{name_nearest(name, tasks)}")
    for task in settings.tasks:
        if task.name not in files:
            raise ConfigurationError(f"the task {task.name} needs its file: `{ROWS}{task.name}: FILE`.")
        load_templates().find(task.family)
    if (settings.weights is None) != (not settings.collections):
        raise ConfigurationError("weights and collections go together.")
    for task_name, collection in settings.collections.items():
        if task_name not in tasks:
            raise ConfigurationError(f"collections name no task {task_name!r}.{name_nearest(task_name, tasks)}")
        if collection not in settings.weights:
            raise ConfigurationError(f"no weight for {collection!r}.{name_nearest(collection, settings.weights)}")
    missing = sorted(set(tasks) - set(settings.collections)) if settings.weights is not None else []
    if missing:
        raise ConfigurationError(f"no collection holds {', '.join(missing)}.")
    return settings


def read_labelled(file: ListReference, task: Any) -> pl.DataFrame:
    """Return the rows of a labelled file; without ids they get a hash of their content, and each is taken once.

    Raises:
        ConfigurationError: as `read_records`.
    """
    rows = read_records(file)
    if task.id == "id" and task.id not in rows.columns:
        made = [make_id("flan", json.dumps(row, sort_keys=True, default=str)) for row in rows.rows(named=True)]
        known = rows.with_columns(id=pl.Series(made, dtype=pl.String)).unique("id", keep="first", maintain_order=True)
        if known.height < rows.height:
            _log.info("%s: %d rows stand there twice, and are taken once.", file.list, rows.height - known.height)
        rows = known
    return rows


def run_mixture(run: MethodRun) -> Synthesis:
    """Render the rows of all labelled files, and draw the mixture; nobody is asked."""
    from mmpipe.synthesis.flan_mixtures import mix_rendered
    from mmpipe.synthesis.flan_rows import render_task

    rendering = replace(run.settings.rendering, seed=run.settings.seed)
    count_tokens = run.open_counter()
    rendered = {}
    for task in run.settings.tasks:
        rows = read_labelled(run.entry.files[f"{ROWS}{task.name}"], task)
        rendered[task.name] = render_task(rows, task, rendering, count_tokens=count_tokens).synthesis
    mixed = mix_rendered(rendered, run.settings)
    for name, made in rendered.items():
        _log.info("flan_mixture, %s: %d rows rendered.", name, made.frame.height)
    # tasks stand in `parents`
    return replace(mixed, frame=mixed.frame.with_columns(dump=pl.lit(run.dump)))
