"""Retrieval-augmented translation of Fortran to C++: examples found by likeness, results compiled, run and compared.

Bhattarai et al. 2024, "Enhancing Code Translation in Language Models with Few-Shot Learning via Retrieval-Augmented
Generation" (arXiv 2407.19619): pairs embedded, the most like by cosine as one, two or three examples, CodeBLEU against
a reference where there is one. Compiling and running both sides is "Fortran2CPP" (arXiv 2412.19770).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.code_pairs import is_fixed_form
from mmpipe.synthesis.drafts import Parent, Planned
from mmpipe.synthesis.judged_drafts import Accepted, Refused, judge_drafts
from mmpipe.synthesis.prompts import Prompt
from mmpipe.tables.chat import Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.programs import Program, ProgramLimits, ProgramRun

if TYPE_CHECKING:
    from mmpipe.synthesis.code_pairs import FoundPair, PairStore
    from mmpipe.synthesis.row_account import Judged
    from mmpipe.tables.chat import Teacher
    from mmpipe.tables.programs import ProgramRunner

METHOD = "code_translation"

#: Why a translation goes. `source_…`: the query itself does not compile or run, so nothing can be said of it.
REASONS = (
    "no_code",
    "source_does_not_compile",
    "source_does_not_run",
    "does_not_compile",
    "does_not_run",
    "outputs_differ",
)

#: Compilers by language; the last argument is the source file.
COMPILERS = {
    "fortran": ("/usr/bin/gfortran", "-O1", "-o", "program", "source.f90"),
    "cpp": ("/usr/bin/g++", "-std=c++17", "-O1", "-o", "program", "source.cpp"),
}

#: A compiler starts its own processes and writes; templates may take memory.
COMPILE_LIMITS = ProgramLimits(
    cpu_seconds=20,
    wall_seconds=120,
    memory_bytes=2 << 30,
    processes=16,
    disk_bytes=64 << 20,
    open_files=256,
    output_bytes=1 << 20,
)

PROMPT = Prompt(
    "code_translation/fortran_to_cpp",
    "You translate Fortran to C++17. The program you write reads the same input and prints the same values in the same "
    "order; it is whole, compiles by itself with the standard library alone, and comes in one code block.",
    "{examples}Fortran:\n```fortran\n{source}\n```",
)

DETAILS_SCHEMA = {
    "query_id": pl.String(),
    "index_digest": pl.String(),
    "examples": pl.List(pl.Struct({"pair_id": pl.String, "similarity": pl.Float64})),
    "verification": pl.String(),
    "runs": pl.Int64(),
    "code_bleu": pl.Float64(),
}

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)```", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[edED][+-]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTranslationSettings:
    """What is shown and what passes.

    Attributes:
        shots: examples shown (the paper tries 0, 1, 2 and 3).
        requires_run: whether both sides must compile, run and agree; else rows say `unverified`.
        relative_tolerance: by how much two printed numbers may differ (single precision prints seven digits).
        absolute_tolerance: likewise.
        temperature: of the teacher; 0 is greedy.
        max_tokens: of a translation.
        attempts: most requests for one query.
        run_limits: of a compiled program.
        seed: of the requests.
    """

    shots: int = 3
    requires_run: bool = True
    relative_tolerance: float = 1e-5
    absolute_tolerance: float = 1e-8
    temperature: float = 0.0
    max_tokens: int = 4096
    attempts: int = 1
    run_limits: ProgramLimits | None = None
    seed: int = 0


def find_compilers(runner: ProgramRunner) -> dict[str, str]:
    """Return the first line of what each compiler says of itself, by language; those that are absent are left out."""
    programs = [Program(argv=(compiler[0], "--version"), limits=COMPILE_LIMITS) for compiler in COMPILERS.values()]
    runs = runner.run_all(programs)
    return {
        language: run.stdout.decode("utf-8", "replace").partition("\n")[0]
        for language, run in zip(COMPILERS, runs, strict=True)
        if run.status == "ok"
    }


def make_code_translations(
    queries: pl.DataFrame,
    store: PairStore,
    teacher: Teacher,
    runner: ProgramRunner | None,
    settings: CodeTranslationSettings,
    measure_code_bleu: Callable[[str, str], float] | None = None,
) -> Judged:
    """Return rows of Fortran and its C++; details hold the examples shown and what was verified.

    Args:
        queries: columns query_id, dump, source, inputs (list of standard inputs; one empty input where the list is
            empty), reference (C++, null where there is none).
        store: where examples come from; a query's own pair and near-duplicates are never shown.
        teacher: who translates.
        runner: who compiles and runs; None only where `requires_run` is off.
        settings: how.
        measure_code_bleu: scores (translation, reference) from 0 to 1.

    Raises:
        ConfigurationError: runs are required, and there is no runner, or a compiler is absent in it.
        TeacherError: the teacher cannot answer any more.
    """
    if settings.requires_run:
        absent = sorted(set(COMPILERS) - set(find_compilers(runner))) if runner is not None else sorted(COMPILERS)
        if absent:
            names = ", ".join(COMPILERS[language][0] for language in absent)
            raise ConfigurationError(
                f"Translations are to be run, but {names} is absent. Install it (Debian: gfortran, g++), or set "
                "code_translation.requires_run to false: rows then say `unverified`."
            )
    rows = {make_id(METHOD, row["query_id"], settings.shots): row for row in queries.rows(named=True)}
    shown = {number: store.find(row["query_id"], row["source"], settings.shots) for number, row in rows.items()}
    planned = [_plan(number, row, shown[number], settings) for number, row in rows.items()]
    verified: dict[str, tuple[str, list[ProgramRun]]] = {}

    def judge(replies: Sequence[tuple[Planned, Mapping[str, Any]]]) -> list[Accepted | Refused]:
        judged: list[Accepted | Refused] = []
        for plan, reply in replies:
            number, code = plan.instruction_id, read_code(str(reply["translation"]))
            if code is None:
                judged.append(Refused("no_code"))
                continue
            row = rows[number]
            inputs = list(row["inputs"] or []) or [""]
            fault = None
            if settings.requires_run and runner is not None:
                if number not in verified:
                    verified[number] = build_and_run(runner, "fortran", row["source"], inputs, settings)
                translate = partial(build_and_run, runner, "cpp", code, inputs, settings)
                fault = _compare(verified[number], translate, settings)
            judged.append(fault or _accept(row, code, shown[number], store, inputs, settings, measure_code_bleu))
        return judged

    return judge_drafts(planned, teacher, judge, details_schema=DETAILS_SCHEMA, attempts=settings.attempts)


def build_and_run(
    runner: ProgramRunner, language: str, source: str, inputs: Sequence[str], settings: CodeTranslationSettings
) -> tuple[str, list[ProgramRun]]:
    """Return ("", one run per input) of a program compiled behind walls, or (what the compiler said, [])."""
    compiler = COMPILERS[language]
    form = ("-ffixed-form",) if language == "fortran" and is_fixed_form(source) else ()
    program = Program(
        argv=(*compiler[:1], *form, *compiler[1:]),
        files={compiler[-1]: source.encode("utf-8", "replace")},
        collect=("program",),
        limits=COMPILE_LIMITS,
    )
    built = runner.run_all([program])[0]
    if built.status != "ok" or "program" not in built.collected:
        return (built.stderr.decode("utf-8", "replace") or built.detail or built.status)[:2000], []
    limits = settings.run_limits
    runs = [
        Program(argv=("./program",), files=built.collected, stdin=text.encode("utf-8", "replace"), limits=limits)
        for text in inputs
    ]
    return "", runner.run_all(runs)


def outputs_agree(one: str, other: str, *, relative: float = 1e-5, absolute: float = 1e-8) -> bool:
    """Return whether two outputs have the same words and, within the tolerance, the same numbers, in order.

    White space does not count, for Fortran and C++ set it in their own ways; `1.5D+00` is a number, and `T` or `F` are
    not C++'s 1 or 0.
    """
    first, second = one.split(), other.split()
    if len(first) != len(second):
        return False
    for said, wanted in zip(first, second, strict=True):
        numbers = [_NUMBER.fullmatch(word) is not None for word in (said, wanted)]
        if all(numbers):
            values = [float(word.replace("D", "e").replace("d", "e")) for word in (said, wanted)]
            if not math.isclose(*values, rel_tol=relative, abs_tol=absolute):
                return False
        elif said.casefold() != wanted.casefold():
            return False
    return True


def read_code(text: str) -> str | None:
    """Return the code of a reply: its only or longest fenced block, else all of it; None if it is empty."""
    blocks = _FENCE.findall(text)
    code = max(blocks, key=len) if blocks else text
    return str(code).strip("\n") or None if code.strip() else None


def _plan(
    number: str, row: Mapping[str, Any], examples: Sequence[FoundPair], settings: CodeTranslationSettings
) -> Planned:
    # the likest stands last, next to the query
    shown = "".join(
        f"Fortran:\n```fortran\n{pair.source}\n```\nC++:\n```cpp\n{pair.target}\n```\n\n" for pair in reversed(examples)
    )
    return Planned(
        instruction_id=number,
        dump=row["dump"],
        method=METHOD,
        stage="applications.code",
        mode="general_distillation.controllable",
        prompt_version=PROMPT.version,
        messages=PROMPT.render(examples=shown, source=row["source"]),
        schema={
            "type": "object",
            "properties": {"translation": {"type": "string"}},
            "required": ["translation"],
            "additionalProperties": False,
        },
        sampling=Sampling(settings.temperature, 1.0, settings.max_tokens, settings.seed),
        retry_temperature=0.7,
        evidence=row["source"],
        parents=(
            Parent("code_queries", row["query_id"]),
            *(Parent("code_pairs", pair.pair_id) for pair in examples),
        ),
    )


def _compare(
    wanted: tuple[str, list[ProgramRun]],
    translate: Callable[[], tuple[str, list[ProgramRun]]],
    settings: CodeTranslationSettings,
) -> Refused | None:
    said, runs = wanted
    if said:
        return Refused("source_does_not_compile", said)
    failed = next((run for run in runs if run.status != "ok"), None)
    if failed is not None:
        return Refused("source_does_not_run", failed.status)
    said, ours = translate()
    if said:
        return Refused("does_not_compile", said)
    for run, other in zip(ours, runs, strict=True):
        if run.status != "ok":
            return Refused("does_not_run", run.status)
        texts = [one.stdout.decode("utf-8", "replace") for one in (run, other)]
        if not outputs_agree(*texts, relative=settings.relative_tolerance, absolute=settings.absolute_tolerance):
            return Refused("outputs_differ", f"{texts[0][:200]!r}, not {texts[1][:200]!r}")
    return None


def _accept(
    row: Mapping[str, Any],
    code: str,
    examples: Sequence[FoundPair],
    store: PairStore,
    inputs: Sequence[str],
    settings: CodeTranslationSettings,
    measure_code_bleu: Callable[[str, str], float] | None,
) -> Accepted:
    reference = row["reference"]
    has_score = measure_code_bleu is not None and reference is not None
    return Accepted(
        instruction=f"Translate this Fortran program to C++.\n\n```fortran\n{row['source']}\n```",
        response=f"```cpp\n{code}\n```",
        details={
            "query_id": row["query_id"],
            "index_digest": store.digest,
            "examples": [{"pair_id": pair.pair_id, "similarity": pair.similarity} for pair in examples],
            "verification": "same_output" if settings.requires_run else "unverified",
            "runs": len(inputs) if settings.requires_run else 0,
            "code_bleu": measure_code_bleu(code, reference) if has_score and measure_code_bleu else None,
        },
    )
