"""Compiles programs of two languages behind walls, runs them on the same inputs, and says whether they print the same.

Compiling and running both sides of a translation is "Fortran2CPP" (arXiv 2412.19770).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.synthesis.code_pairs import is_fixed_form
from mmpipe.tables.programs import Program, ProgramLimits, ProgramRun

if TYPE_CHECKING:
    from mmpipe.tables.programs import ProgramRunner

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

#: Programs that are compiled before the first of them runs: so many binaries are in memory.
_BUILT_AT_ONCE = 128
#: Signs between values are words of their own: `x= 1.5` and `x=1.5` say the same, and so do (1.0,2.0) and (1,2).
_WORD = re.compile(r"[(),;:=%]|[^\s(),;:=%]+")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[ed]([+-]?\d+))?", re.IGNORECASE)
#: An exponent of three digits takes the place of Fortran's letter: `0.1000-122`. Without a point it is none: `10-200`.
_LETTERLESS = re.compile(r"([+-]?(?:\d+\.\d*|\.\d+))([+-]\d{3})")
_UNBOUND = re.compile(r"([+-]?)(?:(inf)(?:inity)?|nan)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Build:
    """What became of a source.

    Attributes:
        said: what the compiler said, where it made no program; else empty.
        runs: one per input; none without a program.
    """

    said: str
    runs: tuple[ProgramRun, ...] = ()


def find_compilers(runner: ProgramRunner) -> dict[str, str]:
    """Return the first line of what each compiler says of itself, by language; those that are absent are left out."""
    programs = [Program(argv=(compiler[0], "--version"), limits=COMPILE_LIMITS) for compiler in COMPILERS.values()]
    runs = runner.run_all(programs)
    return {
        language: run.stdout.decode("utf-8", "replace").partition("\n")[0]
        for language, run in zip(COMPILERS, runs, strict=True)
        if run.status == "ok"
    }


def build_and_run(
    runner: ProgramRunner, language: str, jobs: Sequence[tuple[str, Sequence[str]]], limits: ProgramLimits | None
) -> list[Build]:
    """Return what became of each (source, its inputs), in order; as many at once as the runner runs.

    Args:
        runner: who compiles and runs, behind walls.
        language: of `COMPILERS`.
        jobs: sources, each with the standard inputs its program is run on.
        limits: of a compiled program; None for the runner's own.
    """
    builds = []
    for start in range(0, len(jobs), _BUILT_AT_ONCE):
        builds += _build_some(runner, language, jobs[start : start + _BUILT_AT_ONCE], limits)
    return builds


def _build_some(
    runner: ProgramRunner, language: str, jobs: Sequence[tuple[str, Sequence[str]]], limits: ProgramLimits | None
) -> list[Build]:
    built = runner.run_all([_compile(language, source) for source, _ in jobs])
    programs = [
        Program(argv=("./program",), files=made.collected, stdin=text.encode("utf-8", "replace"), limits=limits)
        for made, (_, inputs) in zip(built, jobs, strict=True)
        if _is_built(made)
        for text in inputs
    ]
    ran = iter(runner.run_all(programs))
    return [
        Build("", tuple(next(ran) for _ in inputs))
        if _is_built(made)
        else Build((made.stderr.decode("utf-8", "replace") or made.detail or made.status)[:2000])
        for made, (_, inputs) in zip(built, jobs, strict=True)
    ]


def _compile(language: str, source: str) -> Program:
    compiler = COMPILERS[language]
    form = ("-ffixed-form",) if language == "fortran" and is_fixed_form(source) else ()
    return Program(
        argv=(*compiler[:1], *form, *compiler[1:]),
        files={compiler[-1]: source.encode("utf-8", "replace")},
        collect=("program",),
        limits=COMPILE_LIMITS,
    )


def _is_built(made: ProgramRun) -> bool:
    return made.status == "ok" and "program" in made.collected


def outputs_agree(one: str, other: str, *, relative: float = 1e-5, absolute: float = 1e-8) -> bool:
    """Return whether two outputs have the same words and, within the tolerance, the same numbers, in order.

    White space does not count, for Fortran and C++ set it in their own ways; `1.5D+00`, `0.1000-122` and `Infinity` are
    numbers, `NaN` is `-nan`, and `T` or `F` are not C++'s 1 or 0.
    """
    first, second = _WORD.findall(one), _WORD.findall(other)
    if len(first) != len(second):
        return False
    for said, wanted in zip(first, second, strict=True):
        value, due = _read_number(said), _read_number(wanted)
        if value is not None and due is not None:
            # nan is near nothing, itself included
            is_near = math.isclose(value, due, rel_tol=relative, abs_tol=absolute)
            if not is_near and not (math.isnan(value) and math.isnan(due)):
                return False
        elif said.casefold() != wanted.casefold():
            return False
    return True


def _read_number(word: str) -> float | None:
    if found := _NUMBER.fullmatch(word) or _LETTERLESS.fullmatch(word):
        return float(f"{found[1]}e{found[2] or 0}")
    if found := _UNBOUND.fullmatch(word):
        return float(f"{found[1]}inf") if found[2] else math.nan
    return None
