"""Calls what reasons, goes in rounds or puts tools into texts: trees of thought, STaR, ReST, LLM2LLM, Toolformer."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.lanes.synthesis_inputs import identify_rows, read_records
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from mmpipe.lanes.method_inputs import MethodRun
    from mmpipe.synthesis.drafts import Synthesis
    from mmpipe.synthesis.text_tools import TextTool

_log = logging.getLogger(__name__)

#: Tools that a recipe may name, and whether they find something in other documents.
TEXT_TOOLS: Mapping[str, bool] = {
    "calculator": False,
    "calendar": False,
    "search": True,
    "question_answering": True,
    "translation": False,
}

#: A row that STaR found and does not train on: it has more than `training_rows`.
OVER_TRAINING_ROWS = "over_training_rows"


def check_counts(beside: Mapping[str, Any]) -> object:
    """Refuse a round or step below 0.

    Raises:
        ConfigurationError: naming it.
    """
    low = next((name for name in ("round", "grow_step", "improve_step") if beside.get(name, 0) < 0), None)
    if low is not None:
        raise ConfigurationError(f"{low} counts from 0, and is {beside[low]}.")
    return low


# thought_trees --------------------------------------------------------------------------------------------------------


def open_trees(_: str) -> Any:
    """Return the settings of trees of thought."""
    from mmpipe.synthesis.thought_trees import TreeSettings

    return TreeSettings()


def run_trees(run: MethodRun) -> Synthesis:
    """Search the problems of a file thought by thought; what became of the nodes goes to the log."""
    from mmpipe.synthesis.thought_trees import grow_trees

    made = grow_trees(run.read_file("problems", "problem_id", "question", "answer"), run.teacher, run.settings)
    told = made.nodes.group_by("status").len().sort("status").rows()
    _log.info("thought_trees: %d nodes: %s.", made.nodes.height, ", ".join(f"{name} {count}" for name, count in told))
    return made.judged.synthesis


# star -----------------------------------------------------------------------------------------------------------------


def open_star(_: str) -> Any:
    """Return the settings of STaR."""
    from mmpipe.synthesis.star import StarSettings

    return StarSettings()


def run_star(run: MethodRun) -> Synthesis:
    """Make the rows of one round with the model that the run's knob names; training between rounds is the user's."""
    from mmpipe.synthesis.joined_syntheses import drop_rows
    from mmpipe.synthesis.star import run_star_round

    number = run.beside.get("round", 0)
    problems = run.read_file("problems", "problem_id", "question", "answer")
    made = run_star_round(problems, run.teacher, run.settings, number)
    told = ", ".join(f"{name} {count}" for name, count in made.numbers.items())
    _log.info("star, round %d by %s: %s.", number, run.teacher.name, told)
    _log.info(
        "star, round %d: train the base model, not the last round's, for %d steps on these rows, serve it as the "
        "teacher, and write `round: %d`.", number, made.steps, number + 1,
    )  # fmt: skip
    ids = made.judged.synthesis.frame.get_column("instruction_id").to_list()
    return drop_rows(made.judged.synthesis, sorted(set(ids) - set(made.training_ids)), OVER_TRAINING_ROWS)


# rest -----------------------------------------------------------------------------------------------------------------


def open_rest(_: str) -> Any:
    """Return the settings of ReST."""
    from mmpipe.synthesis.rest import RestSettings

    return RestSettings()


def run_rest(run: MethodRun) -> Synthesis:
    """Sample the problems of a file, or take stored samples, and keep those above the Improve step's threshold.

    Samples asked for lie in the reply cache, so a later step with a higher threshold asks for none.
    """
    from mmpipe.synthesis.joined_syntheses import join_syntheses
    from mmpipe.synthesis.rest import grow, improve

    step = run.beside.get("improve_step", 0)
    if not 0 <= step < len(run.settings.thresholds):
        raise ConfigurationError(
            f"rest: improve_step is {step}, and there are {len(run.settings.thresholds)} thresholds; "
            f"write a number from 0 to {len(run.settings.thresholds) - 1}, or more thresholds."
        )
    threshold = run.settings.thresholds[step]
    if "stored" in run.entry.files:
        return improve(read_samples(run), run.settings, threshold).synthesis
    problems = run.read_file("problems", "problem_id", "question", "answer")
    grown = grow(problems, run.teacher, run.settings, grow_step=run.beside.get("grow_step", 0))
    improved = improve(grown.frame, run.settings, threshold).synthesis
    # every sample that came is judged by `improve`; the others are candidates of the Grow step
    missed = replace(grown, frame=SYNTHESIZED_INSTRUCTIONS.make_empty(), planned=grown.planned - grown.frame.height)
    return join_syntheses([missed, improved])


def read_samples(run: MethodRun) -> pl.DataFrame:
    """Return the stored samples of a file as `rest.SAMPLES_SCHEMA`; what the file does not say is empty or 0.

    Raises:
        ConfigurationError: a column is missing, or a reward is no number.
    """
    from mmpipe.synthesis.rest import SAMPLES_SCHEMA

    label = run.entry.files["stored"].list
    rows = run.read_file("stored", "sample_id", "problem_id", "question", "solution", "reward")
    rewards = rows.get_column("reward").cast(pl.Float64, strict=False)
    unread = rows.filter(rewards.is_null() & pl.col("reward").is_not_null())
    if unread.height:
        raise ConfigurationError(f"{label}: the reward {unread['reward'][0]!r} is no number.")
    # not a number is not measured
    rows = rows.with_columns(reward=rewards.fill_nan(None))
    defaults = {"table": "problems", "reward_name": label, "teacher": f"stored:{label}", "sampling": "{}"}
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(defaults.get(name, "" if dtype == pl.String else 0)))
        .cast(dtype)
        .alias(name)
        for name, dtype in SAMPLES_SCHEMA.items()
    )


# llm2llm --------------------------------------------------------------------------------------------------------------


def open_llm2llm(_: str) -> Any:
    """Return the settings of LLM2LLM."""
    from mmpipe.synthesis.llm2llm import Llm2llmSettings

    return Llm2llmSettings()


def run_llm2llm(run: MethodRun) -> Synthesis:
    """Have problems written like those that the student of each round got wrong, by its answers in a file.

    The answers of all rounds stand in the file, and all rounds are made: what earlier ones asked is in the cache.
    """
    from mmpipe.synthesis.joined_syntheses import join_syntheses
    from mmpipe.synthesis.llm2llm import augment_wrong
    from mmpipe.synthesis.llm2llm_rounds import start_pool
    from mmpipe.synthesis.row_account import CANDIDATES_SCHEMA, RowAccount

    account = RowAccount()
    pool = start_pool(run.read_file("problems", "problem_id", "question", "answer"), run.settings, account)
    parts = []
    for number, evaluation in read_evaluations(run, pool):
        wrong = evaluation.get_column("is_right").not_().sum()
        _log.info("llm2llm, round %d: %d of %d answers are wrong.", number, wrong, evaluation.height)
        judged, pool = augment_wrong(pool, evaluation, run.teacher, run.settings, number)
        parts.append(judged.synthesis)
    return join_syntheses(parts, pl.DataFrame(account.refused, schema=CANDIDATES_SCHEMA))


def read_evaluations(run: MethodRun, pool: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
    """Return how the student fared in each round of a file of answers: its number and `llm2llm.EVALUATION_SCHEMA`.

    Answers to problems outside the seed items chosen (`seed_share`) are left out; an answer that is null never came.

    Raises:
        ConfigurationError: a column is missing, no problem has that id, or a problem is answered twice in a round.
    """
    from mmpipe.synthesis.llm2llm import EVALUATION_SCHEMA
    from mmpipe.synthesis.problems import read_problems

    label = run.entry.files["answers"].list
    rows = read_records(run.entry.files["answers"])
    for column in ("id", "said"):
        if column not in rows.columns:
            raise ConfigurationError(f"{label}: no column {column!r}.{name_nearest(column, rows.columns)}")
    if "round" not in rows.columns:
        rows = rows.with_columns(round=pl.lit(0))
    rows = rows.with_columns(pl.col("id", "said").cast(pl.String), pl.col("round").cast(pl.Int64, strict=False))
    # of all problems: those that `most` leaves out were answered too
    problems_file = run.entry.files["problems"]
    every = identify_rows(
        read_records(problems_file), "problem_id", "question", "answer", file=problems_file.list, dump=run.dump
    )
    known = every.get_column("problem_id").to_list()
    stray = rows.filter(~pl.col("id").is_in(known)).get_column("id").to_list()
    if stray:
        raise ConfigurationError(f"{label}: no problem has the id {stray[0]!r}.{name_nearest(str(stray[0]), known)}")
    if rows.get_column("round").null_count() or rows.select(pl.struct("id", "round").is_duplicated().any()).item():
        raise ConfigurationError(f"{label}: each problem is answered once in a round, and each `round` is a number.")
    problems = {problem.problem_id: problem for problem in read_problems(pool, run.settings.check)}
    made = []
    for number in sorted(rows.get_column("round").unique()):
        evaluated = []
        for row in rows.filter(pl.col("round") == number).sort("id").rows(named=True):
            problem, said = problems.get(row["id"]), row["said"]
            if problem is not None:
                verdict = problem.judge(said or "", run.settings.check)
                is_right, reason = (None, "not_answered") if said is None else (verdict.is_right, verdict.reason)
                evaluated.append((row["id"], number, said or "", is_right, reason))
        made.append((number, pl.DataFrame(evaluated, schema=EVALUATION_SCHEMA, orient="row")))
    return made


# toolformer -----------------------------------------------------------------------------------------------------------


def open_toolformer(_: str) -> Any:
    """Return the settings of Toolformer."""
    from mmpipe.synthesis.toolformer import ToolformerSettings

    return ToolformerSettings()


def check_tools(beside: Mapping[str, Any]) -> object:
    """Refuse a tool that is not known, or none.

    Raises:
        ConfigurationError: naming it.
    """
    names = beside["tools"]
    unknown = next((name for name in names if name not in TEXT_TOOLS), None)
    if unknown is not None:
        raise ConfigurationError(f"toolformer: unknown tool {unknown!r}.{name_nearest(unknown, TEXT_TOOLS)}")
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(f"toolformer: name each tool once: {', '.join(TEXT_TOOLS)}.")
    return names


def run_toolformer(run: MethodRun) -> Synthesis:
    """Put calls of tools into documents of the dump, where a language model finds that they help.

    The numbers of section 4.1 for calculator and translation hold for them where the recipe says nothing else. Who
    writes calls translates too.
    """
    from mmpipe.synthesis.joined_syntheses import join_syntheses
    from mmpipe.synthesis.text_translation import Translator, make_translation
    from mmpipe.synthesis.toolformer import CALCULATOR_SETTINGS, ToolformerSettings, make_toolformer_rows

    scorer = run.open_scorer()
    translator = Translator(run.teacher, run.settings.seed)
    said = {item.name: getattr(run.settings, item.name) for item in dataclasses.fields(ToolformerSettings)
            if item.name in run.entry.options or item.name == "seed"}  # fmt: skip
    parts = []
    for name in run.beside["tools"]:
        is_rare = name in ("calculator", "translation")
        settings = replace(CALCULATOR_SETTINGS if is_rare else ToolformerSettings(), **said)
        tool = make_translation(translator) if name == "translation" else open_tool(name, run)
        made = make_toolformer_rows(run.rows, tool, run.teacher, scorer, settings).synthesis
        _log.info("toolformer, %s: %d rows of %d documents.", name, made.frame.height, made.planned)
        parts.append(made)
    joined = join_syntheses(parts)
    joined.spent.join(translator.spent)
    return joined


def open_tool(name: str, run: MethodRun) -> TextTool:
    """Return a tool; those that find something look in the file of passages, or in the dump's own documents."""
    from mmpipe.synthesis import text_tools

    if name == "calculator":
        return text_tools.make_calculator()
    if name == "calendar":
        return text_tools.make_calendar()
    if "passages" in run.entry.files:
        label = run.entry.files["passages"].list
        passages = identify_rows(
            read_records(run.entry.files["passages"]), "passage_id", "text", file=label, dump=run.dump
        )
        texts = passages.get_column("text").to_list()
    else:
        texts = run.rows.get_column("text").to_list()
    return text_tools.make_search(texts) if name == "search" else text_tools.make_question_answering(texts)
