"""Case2Code: a function is to be written from examples of what it returns, which were found by running it.

Shao et al. 2024, "Case2Code: Scalable Synthetic Data for Code Generation": functions with arguments and a return and
without imports; a teacher writes ten example inputs; each is run; rows show some of the cases and answer with the code.
Beyond it, as its published rows call for: every case runs twice in a fresh process and must return the same, and memory
addresses, missing names and functions that always return the same are refused.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.case_templates import Case, render_cases
from mmpipe.synthesis.drafts import Parent, Planned
from mmpipe.synthesis.joined_syntheses import join_syntheses
from mmpipe.synthesis.judged_drafts import Accepted, Refused, judge_drafts
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.python_functions import find_functions, hash_function
from mmpipe.tables.chat import Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.programs import make_python_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.row_account import Judged
    from mmpipe.tables.chat import Teacher
    from mmpipe.tables.programs import Program, ProgramLimits, ProgramRun, ProgramRunner

METHOD = "case2code"

#: Why a function goes, in the order looked for; of the first two no inputs are asked for.
REASONS = (
    "unusable_function",
    "function_too_long",
    "count_mismatch",
    "input_not_literal",
    "repeated_input",
    "no_status",
    "unequal_runs",
    "missing_name",
    "memory_address",
    "output_too_long",
    "all_exceptions",
    "constant_output",
)

PROMPT = Prompt(
    "case2code/inputs",
    "You are given a Python function. You write example inputs for it: arguments that show what it does, ordinary ones "
    "and corner cases, no two alike. Each input is the text that would stand between the brackets of a call, and is "
    "made of literals only: numbers, strings, lists, tuples, dictionaries, sets, True, False, None.",
    "Inputs wanted: {inputs}\n\n{code}",
    (
        (
            {"inputs": "3", "code": "def clip(value, low, high):\n    return max(low, min(value, high))"},
            {"inputs": ["5, 0, 10", "-3, 0, 10", "99, 0, high=10"]},
        ),
    ),
)

DETAILS_SCHEMA = {
    # the file's own id where it has one; the hash of the code, which is that of functions found in documents
    "function_id": pl.String(),
    "function_hash": pl.String(),
    "name": pl.String(),
    "inputs": pl.List(pl.String),
    "outputs": pl.List(pl.String),
    "shown": pl.List(pl.Int64),
}

#: What runs beside the function: its own prints go nowhere, the last line is the outcome.
_HARNESS = """\
import io, json, sys
source, call = json.load(sys.stdin)
real, sys.stdout, sys.stderr = sys.stdout, io.StringIO(), io.StringIO()
sys.stdin = io.StringIO()
scope = {"__name__": "function"}
try:
    exec(compile(source, "function.py", "exec"), scope)
    outcome = ["returned", repr(eval(compile(call, "call.py", "eval"), scope))]
except Exception as error:
    outcome = ["raised", type(error).__name__ + ": " + str(error)]
real.write("\\n" + json.dumps(outcome) + "\\n")
real.flush()
"""

_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]+")
_MISSING = ("NameError:", "UnboundLocalError:", "ImportError:", "ModuleNotFoundError:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case2CodeSettings:
    """What is asked, run and shown.

    Attributes:
        inputs: example inputs asked for (10, section 3.2).
        shown: cases in a row (8 of 10).
        temperature: of the teacher (0.2).
        top_p: of the teacher (0.95).
        max_tokens: of the teacher (2,048).
        output_characters: longest output of a case (ours).
        code_characters: longest function asked about (ours).
        attempts: most requests for one function.
        limits: of one run; None for the sandbox's own.
        seed: of requests, of cases shown and of templates.
    """

    inputs: int = 10
    shown: int = 8
    temperature: float = 0.2
    top_p: float = 0.95
    max_tokens: int = 2048
    output_characters: int = 2000
    code_characters: int = 4000
    attempts: int = 1
    limits: ProgramLimits | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.shown <= self.inputs:
            raise ConfigurationError(f"case2code shows from 2 to {self.inputs} cases, not {self.shown}.")


def plan_case2code(functions: pl.DataFrame, settings: Case2CodeSettings) -> list[Planned]:
    """Return one plan per function, in their order.

    Args:
        functions: columns function_id, dump, doc_id, code (what `find_function_table` returned).
        settings: what is asked.
    """
    schema = {
        "type": "object",
        "properties": {
            "inputs": {
                "type": "array",
                "items": {"type": "string", "maxLength": 300},
                "minItems": 1,
                "maxItems": settings.inputs,
            }
        },
        "required": ["inputs"],
        "additionalProperties": False,
    }
    return [
        Planned(
            instruction_id=_name_row(row["doc_id"], row["function_id"]),
            dump=row["dump"],
            method=METHOD,
            stage="finetuning",
            mode="general_distillation.reasoning_steps",
            prompt_version=PROMPT.version,
            messages=PROMPT.render(inputs=str(settings.inputs), code=row["code"]),
            schema=schema,
            sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed),
            retry_temperature=max(settings.temperature, 0.7),
            evidence=row["code"],
            parents=(Parent("deduped_corpus", row["doc_id"]),),
        )
        for row in functions.rows(named=True)
    ]


def make_case2code(
    functions: pl.DataFrame, teacher: Teacher, runner: ProgramRunner, settings: Case2CodeSettings
) -> Judged:
    """Return rows that ask for a function by its cases; details hold all cases and which were shown.

    Args:
        functions: columns function_id, dump, doc_id, code; of one that cannot be used nobody is asked for inputs.
        teacher: who writes inputs.
        runner: who runs them; each input runs twice, each time in a fresh process.
        settings: how.

    Raises:
        TeacherError: the teacher cannot answer any more.
        ConfigurationError: untrusted programs cannot be run here.
    """

    def judge(replies: Sequence[tuple[Planned, Mapping[str, Any]]]) -> list[Accepted | Refused]:
        read = [_read_inputs(plan, reply, settings) for plan, reply in replies]
        programs: list[Program] = []
        for (plan, _), inputs in zip(replies, read, strict=True):
            if isinstance(inputs, list):
                name = _name_function(plan.evidence)
                for text in inputs:
                    program = _make_program(plan.evidence, f"{name}({text})", settings)
                    programs += [program, program]
        runs = iter(runner.run_all(programs))
        return [
            inputs
            if isinstance(inputs, Refused)
            else _judge_runs(
                plan, named[plan.instruction_id], inputs, [(next(runs), next(runs)) for _ in inputs], settings
            )
            for (plan, _), inputs in zip(replies, read, strict=True)
        ]

    faults = [_find_unusable(code or "", settings) for code in functions.get_column("code")]
    checked = functions.with_columns(pl.Series("fault", faults, dtype=pl.String))
    usable, unusable = checked.filter(pl.col("fault") == ""), checked.filter(pl.col("fault") != "")
    planned = plan_case2code(usable, settings)
    named = {_name_row(*row): row[1] for row in usable.select("doc_id", "function_id").iter_rows()}
    made = judge_drafts(planned, teacher, judge, details_schema=DETAILS_SCHEMA, attempts=settings.attempts)
    unasked = unusable.select(id="function_id", text=pl.col("code").fill_null(""), reason="fault").with_columns(
        details=pl.lit(None, pl.String)
    )
    synthesis = join_syntheses([made.synthesis], unasked)
    return replace(made, synthesis=synthesis, candidates=pl.concat([unasked, made.candidates]))


def _name_row(doc_id: str, function_id: str) -> str:
    # documents of two dumps may hold one function, and its rows go into one release
    return make_id(METHOD, doc_id, function_id, "cases")


def _find_unusable(code: str, settings: Case2CodeSettings) -> str:
    if len(code) > settings.code_characters:
        return "function_too_long"
    # one function and nothing beside it: what else stands there would be missing in the row, or import
    return "" if [found.strip() for found in find_functions(code)] == [code.strip()] else "unusable_function"


def _name_function(code: str) -> str:
    first = ast.parse(code).body[0]
    assert isinstance(first, ast.FunctionDef)
    return first.name


def _read_inputs(plan: Planned, reply: Mapping[str, Any], settings: Case2CodeSettings) -> list[str] | Refused:
    """Return the inputs, each as the canonical text between the brackets of a call."""
    said = [str(text) for text in reply["inputs"]]
    if len(said) != settings.inputs:
        return Refused("count_mismatch", f"{len(said)} inputs")
    inputs = []
    for text in said:
        canonical = _read_arguments(text)
        if canonical is None:
            return Refused("input_not_literal", text[:200])
        inputs.append(canonical)
    if len(set(inputs)) < len(inputs):
        return Refused("repeated_input", plan.instruction_id)
    return inputs


def _read_arguments(text: str) -> str | None:
    try:
        call = ast.parse(f"f({text}\n)", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            return None
        for value in (*call.args, *(keyword.value for keyword in call.keywords)):
            ast.literal_eval(value)
        if any(keyword.arg is None for keyword in call.keywords):
            return None
        return ast.unparse(call)[2:-1]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def _make_program(code: str, call: str, settings: Case2CodeSettings) -> Program:
    return make_python_program(_HARNESS, stdin=json.dumps([code, call]), limits=settings.limits)


def _judge_runs(
    plan: Planned,
    function_id: str,
    inputs: list[str],
    runs: list[tuple[ProgramRun, ProgramRun]],
    settings: Case2CodeSettings,
) -> Accepted | Refused:
    cases = []
    for text, (first, second) in zip(inputs, runs, strict=True):
        one, other = _read_outcome(first), _read_outcome(second)
        if one is None or other is None:
            return Refused("no_status", f"{text}: {(first if one is None else second).status}")
        if one != other:
            return Refused("unequal_runs", f"{text}: {one[1][:100]} and {other[1][:100]}")
        cases.append(Case(text, one[1], has_raised=one[0] == "raised"))
    fault = _find_fault(cases, settings)
    if fault is not None:
        return fault
    code, name = plan.evidence, _name_function(plan.evidence)
    shown = _choose_cases(plan.instruction_id, cases, settings)
    return Accepted(
        instruction=render_cases(plan.instruction_id, settings.seed, name, [cases[place] for place in shown]),
        response=f"```python\n{code}\n```",
        details={
            "function_id": function_id,
            "function_hash": hash_function(code),
            "name": name,
            "inputs": inputs,
            "outputs": [case.output for case in cases],
            "shown": shown,
        },
        # the code is the answer, and rests on none
        evidence="",
    )


def _find_fault(cases: Sequence[Case], settings: Case2CodeSettings) -> Refused | None:
    raised = [case for case in cases if case.has_raised]
    for case in raised:
        if case.output.startswith(_MISSING):
            return Refused("missing_name", case.output[:200])
    for case in cases:
        if _ADDRESS.search(case.output):
            return Refused("memory_address", case.output[:200])
        if len(case.output) > settings.output_characters:
            return Refused("output_too_long", f"{len(case.output)} characters")
    if len(raised) == len(cases):
        return Refused("all_exceptions", cases[0].output[:200])
    if len({case.output for case in cases}) == 1:
        return Refused("constant_output", cases[0].output[:200])
    return None


def _choose_cases(instruction_id: str, cases: Sequence[Case], settings: Case2CodeSettings) -> list[int]:
    """Return which cases are shown, in their order: the first by hash, the last of them changed if all say the same."""
    ranked = sorted(range(len(cases)), key=lambda place: make_id("shown", settings.seed, instruction_id, place))
    chosen = ranked[: settings.shown]
    if len({cases[place].output for place in chosen}) == 1:
        chosen[-1] = next(place for place in ranked if cases[place].output != cases[chosen[0]].output)
    return sorted(chosen)


def _read_outcome(run: ProgramRun) -> tuple[str, str] | None:
    """Return (returned or raised, text); None where the run gave no outcome."""
    if run.status != "ok":
        return None
    try:
        kind, text = json.loads(run.stdout.splitlines()[-1])
    except (ValueError, IndexError, TypeError):
        return None
    return (str(kind), str(text)) if kind in {"returned", "raised"} else None
