"""Calls each synthesis method that a recipe names with files: its settings, its files as it takes them, its rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.recipe_nodes import read_mapping, read_value
from mmpipe.lanes.flan_methods import read_labelled
from mmpipe.lanes.method_inputs import MethodRun
from mmpipe.lanes.synthesis_inputs import read_lines, read_records

if TYPE_CHECKING:
    import yaml

    from mmpipe.synthesis.drafts import Synthesis

_log = logging.getLogger(__name__)


def open_self_instruct(preset: str) -> Any:
    """Return the settings of Self-Instruct, or of a variant."""
    from mmpipe.synthesis.self_instruct_settings import ALPACA_SETTINGS, BELLE_SETTINGS, SELF_INSTRUCT

    return {"alpaca": ALPACA_SETTINGS, "belle": BELLE_SETTINGS}.get(preset, SELF_INSTRUCT)


def run_self_instruct(run: MethodRun) -> Synthesis:
    """Grow tasks from the seeds of a file; broken lines of it go to the log."""
    from mmpipe.deduplication.rouge_pool import RougePool
    from mmpipe.synthesis.seed_tasks import parse_seed_tasks, require_seeds
    from mmpipe.synthesis.self_instruct import grow_instructions

    file = run.entry.files["seeds"]
    settings = replace(run.settings, dump=run.dump)
    parsed = parse_seed_tasks(read_lines(file))
    for fault in parsed.broken:
        _log.warning("%s, line %d: %s (%s).", file.list, fault.line, fault.reason, fault.beginning)
    seeds = require_seeds(parsed, settings.demonstrations, file.list)
    pool = RougePool(settings.pool_threshold, tokenizer=settings.pool_tokenizer)
    wanted = run.beside["wanted"]
    growth = grow_instructions(seeds, run.teacher, pool, settings, wanted)
    tasks = growth.tasks.filter(pl.col("instances").list.len() > 0).height
    if not growth.is_complete:
        _log.warning(
            "self_instruct ended with %d of %d tasks after %d requests in %d rounds (most_requests, fruitless_rounds). "
            "Look at the refused candidates for why.", tasks, wanted, growth.requests, growth.rounds,
        )  # fmt: skip
    # tasks are wanted, and rows are instances: what is missing is told in rows, one for a task
    return replace(growth.synthesis, wanted=growth.synthesis.frame.height + max(0, wanted - tasks))


def open_evol(_: str) -> Any:
    """Return the settings of Evol-Instruct."""
    from mmpipe.synthesis.evol_pool import EvolInstructSettings

    return EvolInstructSettings()


def run_evol(run: MethodRun) -> Synthesis:
    """Evolve the instructions of a file, or those made before in this run."""
    from mmpipe.synthesis.evol_instruct import evolve_instructions

    if run.entry.files:
        seeds = run.read_file("instructions", "instruction_id", "instruction").with_columns(
            table=pl.lit("instructions")
        )
    else:
        seeds = run.choose(run.rows.select("instruction_id", "instruction", "context", "dump"), "instruction_id")
    settings = replace(run.settings, dump=run.dump, families=run.knobs.families)
    return evolve_instructions(seeds, run.teacher, settings, judge=run.critic).synthesis


def open_raft(_: str) -> Any:
    """Return the settings of RAFT."""
    from mmpipe.synthesis.grounded_questions import GroundedQuestionSettings
    from mmpipe.synthesis.raft_settings import RaftSettings

    # which languages stay is the text lane's rule
    return RaftSettings(questions=GroundedQuestionSettings(languages=()))


def run_raft(run: MethodRun) -> Synthesis:
    """Ask about documents of the dump."""
    from mmpipe.synthesis.raft import make_raft_rows

    return make_raft_rows(run.rows, run.teacher, run.settings, run.open_counter()).synthesis


def open_chains(_: str) -> Any:
    """Return the settings of chains of thought."""
    from mmpipe.synthesis.reasoning_rows import ChainSettings

    return ChainSettings()


def run_chains(run: MethodRun) -> Synthesis:
    """Have the problems of a file reasoned through."""
    from mmpipe.synthesis.reasoning_rows import make_chain_rows

    problems = run.read_file("problems", "problem_id", "question", "answer")
    return make_chain_rows(problems, run.teacher, run.settings).synthesis


def open_tiny_gsm(_: str) -> Any:
    """Return the settings of TinyGSM."""
    from mmpipe.synthesis.tiny_gsm import TinyGsmSettings

    return TinyGsmSettings()


def run_tiny_gsm(run: MethodRun) -> Synthesis:
    """Have programs written for the problems of a file, or for problems like them."""
    from mmpipe.synthesis.tiny_gsm import make_tiny_gsm, read_known

    seeds = run.read_file("problems", "problem_id", "problem", problem="question")
    said = seeds.get_column("answer").cast(pl.String) if "answer" in seeds.columns else pl.Series([None] * seeds.height)
    numbers = pl.Series([None if text is None else read_known(text) for text in said], dtype=pl.Float64)
    if run.settings.variant == "solve" and numbers.null_count() > said.null_count():
        wrong = said.filter(numbers.is_null() & said.is_not_null())[0]
        raise ConfigurationError(f"{run.entry.files['problems'].list}: the answer {wrong!r} is no number.")
    return make_tiny_gsm(
        seeds.with_columns(answer=numbers), run.teacher, run.open_runner(), run.settings
    ).synthesis  # fmt: skip


def open_api_rows(_: str) -> Any:
    """Return the settings of API rows."""
    from mmpipe.synthesis.api_rows import ApiRowSettings

    return ApiRowSettings()


def run_api_rows(run: MethodRun) -> Synthesis:
    """Have wishes written for the API cards of a file."""
    from mmpipe.synthesis.api_rows import make_api_rows

    return make_api_rows(run.read_file("cards", "api_id", "api_call"), run.teacher, run.settings).synthesis


def open_tool_plans(_: str) -> Any:
    """Return the settings of tool plans."""
    from mmpipe.synthesis.tool_plans import ToolPlanSettings

    return ToolPlanSettings()


def read_shapes(node: yaml.Node, file: str) -> tuple[tuple[str, int], ...]:
    """Return the weights of shapes, as `{node: 3, chain: 7}`."""
    weights = read_mapping(node, file, ("node", "chain", "graph"))
    return tuple((shape, read_value(weight, file, int, shape)) for shape, weight in weights.items())


def run_tool_plans(run: MethodRun) -> Synthesis:
    """Draw plans over the tools of a file."""
    from mmpipe.synthesis.tool_graphs import PlanTool, ToolGraph
    from mmpipe.synthesis.tool_plans import make_tool_plans

    file = run.entry.files["tools"]
    tools = []
    for row in read_records(file).rows(named=True):
        name, takes, gives = row.get("name"), row.get("takes"), row.get("gives")
        if not (isinstance(name, str) and isinstance(takes, list) and isinstance(gives, list)):
            raise ConfigurationError(f"{file.list}: a tool needs `name`, and lists `takes` and `gives`, not {row}.")
        tools.append(PlanTool(name, tuple(map(str, takes)), tuple(map(str, gives)), row.get("description") or ""))
    critic = (run.critic or run.teacher) if run.beside.get("critic", True) else None
    settings = replace(run.settings, dump=run.dump, families=run.knobs.families)
    return make_tool_plans(ToolGraph(tuple(tools)), run.teacher, settings, critic).synthesis


def open_flan(_: str) -> Any:
    """Return the settings of FLAN's templates."""
    from mmpipe.synthesis.flan_rows import FlanSettings

    return FlanSettings()


def check_flan(beside: Mapping[str, Any]) -> object:
    """Refuse a task of an unknown family."""
    from mmpipe.synthesis.flan_templates import load_templates

    return load_templates().find(beside["task"].family)


def run_flan(run: MethodRun) -> Synthesis:
    """Render the rows of a labelled file; nobody is asked."""
    from mmpipe.synthesis.flan_rows import render_task

    rows = read_labelled(run.entry.files["rows"], run.beside["task"]).with_columns(dump=pl.lit(run.dump))
    made = render_task(rows, run.beside["task"], run.settings, count_tokens=run.open_counter()).synthesis
    # the task stands in `parents`
    return replace(made, frame=made.frame.with_columns(dump=pl.lit(run.dump)))


def make_flan_extra() -> dict[str, Any]:
    """Return the option that says what a labelled file is."""
    from mmpipe.synthesis.flan_tasks import Task

    return {"task": Task}
