"""Runs the synthesis methods that a recipe names with options and files, each as one shard with the run's teacher."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.recipe_nodes import read_mapping, read_value
from mmpipe.filtering.synthesis_sections import SynthesisMethod, name_method
from mmpipe.lanes.synthesis_inputs import identify_rows, read_options, read_records, read_text, refuse
from mmpipe.lanes.teacher_watch import WatchedTeacher, refuse_outage
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    import yaml

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.synthesis.drafts import Synthesis
    from mmpipe.tables.chat import Teacher
    from mmpipe.tables.programs import ProgramRunner

_log = logging.getLogger(__name__)

#: Methods whose rows Evol-Instruct evolves, where the recipe names no file.
EVOLVED = ("grounded_questions", "self_instruct")


@dataclass(frozen=True, slots=True)
class MethodRun:
    """What a method is called with.

    Attributes:
        entry: as the recipe names it.
        settings: the method's own.
        beside: options that are no settings.
        dump: what its rows say.
        teacher: who is asked.
        rows: documents of the corpus, or instructions of this run; no rows where the method reads a file.
        workers: programs run at once.
        tokenizer: where the tokenizer lies; empty for the embedded one.
    """

    entry: SynthesisMethod
    settings: Any
    beside: Mapping[str, Any]
    dump: str
    teacher: Teacher
    rows: pl.DataFrame
    workers: int = 1
    tokenizer: str = ""

    def read_file(self, name: str, key: str, *columns: str, **renamed: str) -> pl.DataFrame:
        """Return the rows of a file, at most as many as the recipe says, with id and dump; see `identify_rows`."""
        frame = read_records(self.entry.files[name])
        frame = frame.rename({old: new for new, old in renamed.items() if new not in frame.columns}, strict=False)
        label = self.entry.files[name].list
        return self.choose(identify_rows(frame, key, *columns, file=label, dump=self.dump), key)

    def choose(self, frame: pl.DataFrame, key: str) -> pl.DataFrame:
        """Return at most `most` rows, chosen by a keyed hash of their ids, in the order of their ids."""
        ids = frame.get_column(key).to_list()
        chosen = sorted(ids, key=lambda row_id: make_id("chosen", self.settings.seed, row_id))
        return frame.filter(pl.col(key).is_in(chosen[: self.beside.get("most")])).sort(key)

    def open_counter(self) -> Callable[[Sequence[str]], list[int]]:
        """Return what counts the tokens of texts; the tokenizer is loaded once, here."""
        from mmpipe.models.tokenizer import load_tokenizer

        tokenizer = load_tokenizer(self.tokenizer or None)
        return lambda texts: [len(ids) for ids in tokenizer.encode_batch(list(texts))]

    def open_runner(self) -> ProgramRunner:
        """Return what runs programs a teacher wrote; which walls stand goes to the log."""
        from mmpipe.storage.program_sandbox import ProgramSandbox

        sandbox = ProgramSandbox(workers=self.workers)
        _log.info("%s: programs run behind walls: %s", self.entry.method, sandbox.describe())
        return sandbox


@dataclass(frozen=True, slots=True)
class FileMethod:
    """A method that runs as one shard.

    Attributes:
        open_settings: its settings where the recipe is silent, by the preset, if there are some.
        make: runs it.
        source: what it reads besides its files: documents, documents with Python, or instructions of this run. It is
            read only where the recipe names no file.
        extra: options beside its settings, and the type of each; all methods have `dump`.
        hidden: settings that a recipe does not set.
        required: options that must be there.
        readers: how settings are read whose type says not how.
        check: refuses options that the types let pass; raises ConfigurationError.
    """

    open_settings: Callable[[str], Any]
    make: Callable[[MethodRun], Synthesis]
    source: Literal["", "documents", "python", "instructions"] = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    hidden: tuple[str, ...] = ("dump",)
    required: tuple[str, ...] = ()
    readers: Mapping[str, Callable[[yaml.Node, str], Any]] = field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], object] | None = None

    def reads(self, entry: SynthesisMethod) -> Literal["", "documents", "python", "instructions"]:
        """Return what it reads besides its files."""
        return "" if entry.files else self.source


def check_methods(recipe: Recipe) -> None:
    """Refuse a recipe whose methods have options that they cannot take: said before anything runs.

    Raises:
        RecipeError: an option that a method has not, of the wrong type, or missing; with file, line and nearest name.
    """
    names = [name_method(entry) for entry in recipe.instructions.methods]
    for entry in list_entries(recipe):
        if entry.method not in FILE_METHODS:
            if entry.options:
                refuse(entry, f"the method {entry.method} has no options; the keys beside `methods:` are its settings.")
            continue
        read_method(entry, recipe)
        if entry.method == "evol_instruct" and not entry.files and not set(names) & set(EVOLVED):
            refuse(entry, f"evol_instruct needs `instructions: FILE`, or one of {', '.join(EVOLVED)} beside it.")


def list_entries(recipe: Recipe) -> list[SynthesisMethod]:
    """Return the methods of a recipe, in order; a plain name has neither options nor files."""
    return [
        SynthesisMethod(method=entry, file=recipe.name) if isinstance(entry, str) else entry
        for entry in recipe.instructions.methods
    ]


def read_method(entry: SynthesisMethod, recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """Return the settings of a method and its options beside them.

    Raises:
        RecipeError: as `check_methods`.
    """
    method = FILE_METHODS[entry.method]
    preset = entry.options.get("preset")
    base = method.open_settings(preset if isinstance(preset, str) else "")
    base = replace(base, seed=recipe.instructions.seed)
    extra = {"dump": str, **method.extra}
    settings, beside = read_options(entry, base, extra=extra, hidden=method.hidden, readers=method.readers)
    for name in method.required:
        if name not in beside:
            refuse(entry, f"the method {entry.method} needs `{name}:`.")
    if beside.get("most", 1) < 1 or beside.get("wanted", 1) < 1:
        refuse(entry, f"{entry.method}: wanted and most must be 1 or more.")
    if method.check is not None:
        try:
            method.check(beside)
        except ConfigurationError as error:
            refuse(entry, str(error))
    return settings, beside


def run_method(run: MethodRun) -> Synthesis:
    """Return what a method made.

    Raises:
        ConfigurationError: a file that does not hold what the method needs.
        TeacherError: the teacher cannot answer any more, or too many requests failed for reasons that pass.
    """
    watched = WatchedTeacher(run.teacher)
    synthesis = FILE_METHODS[run.entry.method].make(replace(run, teacher=watched))
    refuse_outage(watched.asked, watched.failures)
    _log.info(
        "%s: %d rows of %d candidates, %d missing; %d requests, %.1f tokens and %.6f of money per row.",
        run.entry.method, synthesis.frame.height, synthesis.planned, synthesis.missing, watched.asked,
        synthesis.tokens_per_row, synthesis.cost_per_row,
    )  # fmt: skip
    return synthesis


# settings and runs, method by method ----------------------------------------------------------------------------------


def _open_self_instruct(preset: str) -> Any:
    from mmpipe.synthesis.self_instruct_settings import ALPACA_SETTINGS, BELLE_SETTINGS, SELF_INSTRUCT

    return {"alpaca": ALPACA_SETTINGS, "belle": BELLE_SETTINGS}.get(preset, SELF_INSTRUCT)


def _run_self_instruct(run: MethodRun) -> Synthesis:
    from mmpipe.deduplication.rouge_pool import RougePool
    from mmpipe.synthesis.seed_tasks import parse_seed_tasks, require_seeds
    from mmpipe.synthesis.self_instruct import grow_instructions

    file = run.entry.files["seeds"]
    settings = replace(run.settings, dump=run.dump)
    parsed = parse_seed_tasks(read_text(file).splitlines())
    for fault in parsed.broken:
        _log.warning("%s, line %d: %s (%s).", file.list, fault.line, fault.reason, fault.beginning)
    seeds = require_seeds(parsed, settings.demonstrations, file.list)
    pool = RougePool(settings.pool_threshold, tokenizer=settings.pool_tokenizer)
    wanted = run.beside["wanted"]
    growth = grow_instructions(seeds, run.teacher, pool, settings, wanted)
    tasks = growth.tasks.filter(pl.col("instances").list.len() > 0).height
    # tasks are wanted, and rows are instances: what is missing is told in rows, one for a task
    return replace(growth.synthesis, wanted=growth.synthesis.frame.height + max(0, wanted - tasks))


def _open_evol(_: str) -> Any:
    from mmpipe.synthesis.evol_pool import EvolInstructSettings

    return EvolInstructSettings()


def _run_evol(run: MethodRun) -> Synthesis:
    from mmpipe.synthesis.evol_instruct import evolve_instructions

    if run.entry.files:
        seeds = run.read_file("instructions", "instruction_id", "instruction").with_columns(
            table=pl.lit("instructions")
        )
    else:
        seeds = run.choose(run.rows.select("instruction_id", "instruction", "context", "dump"), "instruction_id")
    return evolve_instructions(seeds, run.teacher, replace(run.settings, dump=run.dump)).synthesis


def _open_raft(_: str) -> Any:
    from mmpipe.synthesis.grounded_questions import GroundedQuestionSettings
    from mmpipe.synthesis.raft import RaftSettings

    # which languages stay is the text lane's rule
    return RaftSettings(questions=GroundedQuestionSettings(languages=()))


def _run_raft(run: MethodRun) -> Synthesis:
    from mmpipe.synthesis.raft import make_raft_rows

    return make_raft_rows(run.rows, run.teacher, run.settings, run.open_counter()).synthesis


def _open_chains(_: str) -> Any:
    from mmpipe.synthesis.reasoning_rows import ChainSettings

    return ChainSettings()


def _run_chains(run: MethodRun) -> Synthesis:
    from mmpipe.synthesis.reasoning_rows import make_chain_rows

    problems = run.read_file("problems", "problem_id", "question", "answer")
    return make_chain_rows(problems, run.teacher, run.settings).synthesis


def _open_tiny_gsm(_: str) -> Any:
    from mmpipe.synthesis.tiny_gsm import TinyGsmSettings

    return TinyGsmSettings()


def _run_tiny_gsm(run: MethodRun) -> Synthesis:
    from mmpipe.synthesis.tiny_gsm import make_tiny_gsm

    seeds = run.read_file("problems", "problem_id", "problem", problem="question")
    said = seeds.get_column("answer").cast(pl.String) if "answer" in seeds.columns else pl.Series([None] * seeds.height)
    numbers = said.cast(pl.Float64, strict=False)
    if run.settings.variant == "solve" and numbers.null_count() > said.null_count():
        wrong = said.filter(numbers.is_null() & said.is_not_null())[0]
        raise ConfigurationError(f"{run.entry.files['problems'].list}: the answer {wrong!r} is no number.")
    return make_tiny_gsm(
        seeds.with_columns(answer=numbers), run.teacher, run.open_runner(), run.settings
    ).synthesis  # fmt: skip


def _open_case2code(_: str) -> Any:
    from mmpipe.synthesis.case2code import Case2CodeSettings

    return Case2CodeSettings()


def _run_case2code(run: MethodRun) -> Synthesis:
    from mmpipe.synthesis.case2code import find_function_table, make_case2code

    if not run.entry.files:
        functions = run.choose(find_function_table(run.rows), "function_id")
        return make_case2code(functions, run.teacher, run.open_runner(), run.settings).synthesis
    functions = run.read_file("functions", "function_id", "code").with_columns(doc_id="function_id")
    made = make_case2code(functions, run.teacher, run.open_runner(), run.settings).synthesis
    # they come from no document
    element = pl.element().struct
    parents = pl.struct(table=pl.lit("functions"), id=element.field("id"))
    return replace(made, frame=made.frame.with_columns(pl.col("parents").list.eval(parents)))


def _open_api_rows(_: str) -> Any:
    from mmpipe.synthesis.api_rows import ApiRowSettings

    return ApiRowSettings()


def _run_api_rows(run: MethodRun) -> Synthesis:
    from mmpipe.synthesis.api_rows import make_api_rows

    return make_api_rows(run.read_file("cards", "api_id", "api_call"), run.teacher, run.settings).synthesis


def _open_tool_plans(_: str) -> Any:
    from mmpipe.synthesis.tool_plans import ToolPlanSettings

    return ToolPlanSettings()


def _read_shapes(node: yaml.Node, file: str) -> tuple[tuple[str, int], ...]:
    weights = read_mapping(node, file, ("node", "chain", "graph"))
    return tuple((shape, read_value(weight, file, int)) for shape, weight in weights.items())


def _run_tool_plans(run: MethodRun) -> Synthesis:
    from mmpipe.synthesis.tool_graphs import PlanTool, ToolGraph
    from mmpipe.synthesis.tool_plans import make_tool_plans

    file = run.entry.files["tools"]
    tools = []
    for row in read_records(file).rows(named=True):
        name, takes, gives = row.get("name"), row.get("takes"), row.get("gives")
        if not (isinstance(name, str) and isinstance(takes, list) and isinstance(gives, list)):
            raise ConfigurationError(f"{file.list}: a tool needs `name`, and lists `takes` and `gives`, not {row}.")
        tools.append(PlanTool(name, tuple(map(str, takes)), tuple(map(str, gives)), row.get("description") or ""))
    critic = run.teacher if run.beside.get("critic", True) else None
    settings = replace(run.settings, dump=run.dump)
    return make_tool_plans(ToolGraph(tuple(tools)), run.teacher, settings, critic).synthesis


def _open_flan(_: str) -> Any:
    from mmpipe.synthesis.flan_rows import FlanSettings

    return FlanSettings()


def _check_flan(beside: Mapping[str, Any]) -> object:
    from mmpipe.synthesis.flan_templates import load_templates

    return load_templates().find(beside["task"].family)


def _run_flan(run: MethodRun) -> Synthesis:
    from mmpipe.synthesis.flan_rows import render_task

    rows = read_records(run.entry.files["rows"]).with_columns(dump=pl.lit(run.dump))
    return render_task(rows, run.beside["task"], run.settings, count_tokens=run.open_counter()).synthesis


def _open_code_translation(_: str) -> Any:
    from mmpipe.synthesis.code_translation import CodeTranslationSettings

    return CodeTranslationSettings()


def _run_code_translation(run: MethodRun) -> Synthesis:
    from mmpipe.synthesis.code_pairs import PairStore
    from mmpipe.synthesis.code_translation import make_code_translations

    label = run.entry.files["pairs"].list
    pairs = identify_rows(
        read_records(run.entry.files["pairs"]), "pair_id", "source", "target", file=label, dump=run.dump
    )
    queries = run.read_file("queries", "query_id", "source")
    if "inputs" not in queries.columns:
        queries = queries.with_columns(inputs=pl.lit([], dtype=pl.List(pl.String)))
    if "reference" not in queries.columns:
        queries = queries.with_columns(reference=pl.lit(None, dtype=pl.String))
    runner = run.open_runner() if run.settings.requires_run else None
    return make_code_translations(queries, PairStore(pairs), run.teacher, runner, run.settings).synthesis


def _make_flan_extra() -> dict[str, Any]:
    from mmpipe.synthesis.flan_tasks import Task

    return {"task": Task}


_MOST = {"most": int}

#: Every method of `filtering.synthesis_sections.SYNTHESIS_METHODS` that runs as one shard.
FILE_METHODS: Mapping[str, FileMethod] = {
    "self_instruct": FileMethod(
        _open_self_instruct,
        _run_self_instruct,
        extra={"wanted": int, "preset": Literal["self_instruct", "alpaca", "belle"]},
        hidden=("dump", "prompt", "blocks"),
        required=("wanted",),
    ),
    "evol_instruct": FileMethod(_open_evol, _run_evol, "instructions", _MOST),
    "raft": FileMethod(_open_raft, _run_raft, "documents"),
    "reasoning_rows": FileMethod(_open_chains, _run_chains, extra=_MOST),
    "tiny_gsm": FileMethod(_open_tiny_gsm, _run_tiny_gsm, extra=_MOST),
    "case2code": FileMethod(_open_case2code, _run_case2code, "python", _MOST),
    "api_rows": FileMethod(_open_api_rows, _run_api_rows),
    "tool_plans": FileMethod(
        _open_tool_plans, _run_tool_plans, extra={"critic": bool}, readers={"shapes": _read_shapes}
    ),
    "flan": FileMethod(_open_flan, _run_flan, extra=_make_flan_extra(), required=("task",), check=_check_flan),
    "code_translation": FileMethod(_open_code_translation, _run_code_translation, extra=_MOST),
}
