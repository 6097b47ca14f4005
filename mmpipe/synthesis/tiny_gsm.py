"""TinyGSM: word problems with a Python function as solution, kept if it runs and returns a number.

Liu et al. 2023, "TinyGSM: achieving > 80% on GSM8k with small language models" (arXiv 2312.09241, section 3): a teacher
writes grade-school problems like given ones, each with a function; what does not execute or returns no number goes, and
so does what shares n-grams with the test set. Where a problem's answer is known, the function must return it.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from mmpipe.synthesis.answer_checks import read_right
from mmpipe.synthesis.answer_numbers import read_quantity
from mmpipe.synthesis.drafts import Parent, Planned
from mmpipe.synthesis.judged_drafts import Accepted, Refused, judge_drafts
from mmpipe.synthesis.prompts import Prompt
from mmpipe.tables.chat import Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.programs import make_python_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.synthesis.row_account import Judged
    from mmpipe.tables.chat import Teacher
    from mmpipe.tables.programs import Program, ProgramLimits, ProgramRun, ProgramRunner

METHOD = "tiny_gsm"

#: The function every solution defines; it takes nothing.
FUNCTION = "solve"

#: Why a problem goes, in the order looked for.
REASONS = (
    "empty_problem",
    "not_python",
    "imports",
    "no_function",
    "no_end",
    "failed",
    "unequal_runs",
    "not_a_number",
    "not_finite",
    "wrong_answer",
    "no_steps",
    "duplicate_problem",
    "contaminated",
)

#: Says of each text whether it shares n-grams with an evaluation set.
FindContaminated = Callable[[Sequence[str]], Sequence[bool]]

_SOLUTION = (
    "def solve():\n    eggs_a_week = 3 * 7\n    sold = eggs_a_week - 5\n    price = 0.5\n    return sold * price"
)

PROMPTS = {
    "new": Prompt(
        "tiny_gsm/new",
        "You write word problems for pupils of ten years and solve them in Python. Like the problem you are given, "
        "yours takes a few steps of arithmetic, but it is about other things, has other numbers and another question. "
        f"The solution is a function {FUNCTION}() without arguments: one line for each step, names that say what they "
        "hold, no imports, no printing; it returns the answer as a number.",
        "Problem: {problem}",
        (
            (
                {"problem": "A train has 8 cars with 40 seats. 250 seats are taken. How many are free?"},
                {
                    "problem": "Ida's hens lay 3 eggs a day. She keeps 5 eggs a week and sells the others at half a "
                    "dollar each. How many dollars does she earn in a week?",
                    "solution": _SOLUTION,
                },
            ),
        ),
    ),
    "solve": Prompt(
        "tiny_gsm/solve",
        f"You solve a word problem in Python, with a function {FUNCTION}() without arguments: one line for each step, "
        "names that say what they hold, no imports, no printing; it returns the answer as a number.",
        "Problem: {problem}",
        (
            (
                {"problem": "Ida's hens lay 3 eggs a day. She keeps 5 a week and sells the others at $0.50. Earned?"},
                {"solution": _SOLUTION},
            ),
        ),
    ),
}

DETAILS_SCHEMA = {"seed_id": pl.String(), "answer": pl.Float64(), "is_checked": pl.Boolean()}

_HARNESS = f"""\
import io, json, sys
source = json.load(sys.stdin)
real, sys.stdout, sys.stderr = sys.stdout, io.StringIO(), io.StringIO()
sys.stdin = io.StringIO()
scope = {{"__name__": "solution"}}
exec(compile(source, "solution.py", "exec"), scope)
value = scope[{FUNCTION!r}]()
kind = "number" if type(value) in (int, float) else type(value).__name__
try:
    said = repr(float(value)) if kind == "number" else repr(value)[:200]
except OverflowError:
    said = "inf"
real.write("\\n" + json.dumps([kind, said]) + "\\n")
real.flush()
"""

_WORDS = re.compile(r"\w+")
#: What computes something.
_STEPS = (ast.BinOp, ast.AugAssign, ast.BoolOp, ast.Call, ast.Compare, ast.comprehension, ast.For, ast.While)


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyGsmSettings:
    """What is asked and what passes.

    Attributes:
        variant: `new` problems like the seeds, or `solve` the seeds themselves.
        problems_per_seed: rows planned for a seed.
        temperature: above 0, or all problems of a seed are alike.
        top_p: nucleus.
        max_tokens: of a reply.
        relative_tolerance: by how much a returned number may miss a known answer.
        absolute_tolerance: likewise.
        attempts: most requests for one row.
        limits: of one run; None for the sandbox's own.
        seed: of the requests.
    """

    variant: Literal["new", "solve"] = "new"
    problems_per_seed: int = 1
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 768
    relative_tolerance: float = 1e-6
    absolute_tolerance: float = 1e-6
    attempts: int = 1
    limits: ProgramLimits | None = None
    seed: int = 0


def plan_tiny_gsm(seeds: pl.DataFrame, settings: TinyGsmSettings) -> list[Planned]:
    """Return `problems_per_seed` plans for each seed, in their order.

    Args:
        seeds: columns problem_id, dump, problem, answer (a number, null where it is not known).
        settings: what is asked.
    """
    prompt = PROMPTS[settings.variant]
    wanted = ("problem", "solution") if settings.variant == "new" else ("solution",)
    schema = {
        "type": "object",
        "properties": {name: {"type": "string", "minLength": 1, "maxLength": 2000} for name in wanted},
        "required": list(wanted),
        "additionalProperties": False,
    }
    return [
        Planned(
            instruction_id=make_id(METHOD, settings.variant, row["problem_id"], number),
            dump=row["dump"],
            method=METHOD,
            stage="finetuning",
            mode="general_distillation.from_seeds"
            if settings.variant == "new"
            else "general_distillation.reasoning_steps",
            prompt_version=prompt.version,
            messages=prompt.render(problem=row["problem"]),
            schema=schema,
            # problems of one seed differ by their seeds: the id has the number
            sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed),
            retry_temperature=settings.temperature,
            evidence="",
            instruction=row["problem"] if settings.variant == "solve" else None,
            parents=(Parent("problems", row["problem_id"]),),
        )
        for row in seeds.rows(named=True)
        for number in range(settings.problems_per_seed)
    ]


def make_tiny_gsm(
    seeds: pl.DataFrame,
    teacher: Teacher,
    runner: ProgramRunner,
    settings: TinyGsmSettings,
    find_contaminated: FindContaminated | None = None,
) -> Judged:
    """Return problems with solutions that ran; of problems alike in their words the one of the smallest id stays.

    Args:
        seeds: columns problem_id, dump, problem, answer.
        teacher: who writes.
        runner: who runs solutions; each runs twice.
        settings: how.
        find_contaminated: n-gram decontamination of the problems; None where they will be held against evaluation sets
            later on.

    Raises:
        TeacherError: the teacher cannot answer any more.
        ConfigurationError: untrusted programs cannot be run here.
    """
    answers = dict(seeds.select("problem_id", "answer").iter_rows())

    def judge(replies: Sequence[tuple[Planned, Mapping[str, Any]]]) -> list[Accepted | Refused]:
        sources = [_read_solution(plan, reply) for plan, reply in replies]
        programs: list[Program] = []
        for source in sources:
            if isinstance(source, str):
                program = make_python_program(_HARNESS, stdin=json.dumps(source), limits=settings.limits)
                programs += [program, program]
        runs = iter(runner.run_all(programs))
        verdicts: list[Accepted | Refused] = []
        for (plan, reply), source in zip(replies, sources, strict=True):
            if isinstance(source, Refused):
                verdicts.append(source)
                continue
            value = _read_value(next(runs), next(runs))
            known = answers[plan.parents[0].id] if settings.variant == "solve" else None
            verdicts.append(
                value if isinstance(value, Refused) else _accept(plan, reply, source, value, known, settings)
            )
        return verdicts

    def compare(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        kinds = {} if settings.variant == "solve" else {_normalize(problem): "" for problem in seeds["problem"]}
        gone: dict[str, str] = {}
        for row in sorted(rows, key=lambda row: str(row["instruction_id"])):
            words = _normalize(row["instruction"])
            # of a seed's own problem there may be several solutions, but not of a seed that stands twice
            owner = row["parents"][0]["id"] if settings.variant == "solve" else row["instruction_id"]
            if kinds.setdefault(words, owner) != owner:
                gone[row["instruction_id"]] = "duplicate_problem"
        if find_contaminated is not None:
            kept = [row for row in rows if row["instruction_id"] not in gone]
            hits = find_contaminated([row["instruction"] for row in kept])
            gone |= {row["instruction_id"]: "contaminated" for row, hit in zip(kept, hits, strict=True) if hit}
        return gone

    return judge_drafts(
        plan_tiny_gsm(seeds, settings),
        teacher,
        judge,
        details_schema=DETAILS_SCHEMA,
        attempts=settings.attempts,
        compare=compare,
    )


def read_known(text: str) -> float | None:
    """Return a known answer as the number that a solution returns: of a whole solution its end; None if it is none.

    A percentage is none: a solution may return it or its hundredth.
    """
    quantity = read_quantity(read_right(text))
    return None if quantity is None or quantity.is_percent else float(quantity.value)


def _normalize(problem: str) -> str:
    """Return the words and numbers of a problem: case, spaces and punctuation make no other problem."""
    return " ".join(_WORDS.findall(problem.casefold()))


def _read_solution(plan: Planned, reply: Mapping[str, Any]) -> str | Refused:
    """Return the source of a solution that may be run."""
    if not _normalize(plan.instruction or str(reply["problem"])):
        return Refused("empty_problem")
    source = _strip_fence(str(reply["solution"]))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Refused("not_python", str(error))
    if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree)):
        return Refused("imports")
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == FUNCTION]
    if len(found) != 1 or any(ast.iter_child_nodes(found[0].args)):
        return Refused("no_function")
    return source


def _strip_fence(text: str) -> str:
    match = re.fullmatch(r"\s*```(?:python)?\n(.*?)\n?```\s*", text, re.DOTALL)
    return (match[1] if match else text).strip("\n")


def _read_value(first: ProgramRun, second: ProgramRun) -> float | Refused:
    for run in (first, second):
        if run.status in {"cpu_time", "wall_time"}:
            return Refused("no_end", run.status)
        if run.status != "ok":
            return Refused("failed", f"{run.status}: {run.stderr[-200:].decode('utf-8', 'replace')}")
    try:
        kind, said = json.loads(first.stdout.splitlines()[-1])
        same = json.loads(second.stdout.splitlines()[-1]) == [kind, said]
    except (ValueError, IndexError, TypeError):
        return Refused("failed", "no outcome")
    if not same:
        return Refused("unequal_runs", str(said))
    if kind != "number":
        return Refused("not_a_number", f"{kind} {said}")
    value = float(said)
    return value if math.isfinite(value) else Refused("not_finite", str(said))


def _accept(
    plan: Planned,
    reply: Mapping[str, Any],
    source: str,
    value: float,
    known: float | None,
    settings: TinyGsmSettings,
) -> Accepted | Refused:
    if known is not None and not math.isclose(
        value, known, rel_tol=settings.relative_tolerance, abs_tol=settings.absolute_tolerance
    ):
        return Refused("wrong_answer", f"{value!r}, not {known!r}")
    if not any(isinstance(node, _STEPS) for node in ast.walk(ast.parse(source))):
        # a number that is written down and not computed is an answer and no solution
        return Refused("no_steps", repr(value))
    return Accepted(
        instruction=plan.instruction or str(reply["problem"]).strip(),
        response=f"```python\n{source}\n```",
        details={"seed_id": plan.parents[0].id, "answer": value, "is_checked": known is not None},
    )
