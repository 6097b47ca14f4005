"""Retrieval-augmented translation of Fortran to C++: examples found by likeness, results compiled, run and compared.

Bhattarai et al. 2024, "Enhancing Code Translation in Language Models with Few-Shot Learning via Retrieval-Augmented
Generation" (arXiv 2407.19619): pairs embedded, the most like by cosine as one, two or three examples, CodeBLEU against
a reference where there is one. Both sides are compiled and run by `code_runs`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.code_runs import COMPILERS, Build, build_and_run, find_compilers, outputs_agree
from mmpipe.synthesis.drafts import Parent, Planned
from mmpipe.synthesis.joined_syntheses import join_syntheses
from mmpipe.synthesis.judged_drafts import Accepted, Refused, judge_drafts
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.row_account import CANDIDATES_SCHEMA
from mmpipe.tables.chat import Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from mmpipe.synthesis.code_pairs import FoundPair, PairStore
    from mmpipe.synthesis.row_account import Judged
    from mmpipe.tables.chat import Teacher
    from mmpipe.tables.programs import ProgramLimits, ProgramRunner

METHOD = "code_translation"

#: Why a translation goes. `source_…`: the query itself does not compile, run or print, so nothing could be said of a
#: translation, and nobody is asked for one.
REASONS = (
    "no_code",
    "source_does_not_compile",
    "source_does_not_run",
    "source_prints_nothing",
    "does_not_compile",
    "does_not_run",
    "outputs_differ",
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
    wanted, faults = _run_sources(rows, runner, settings)
    asked = {number: row for number, row in rows.items() if number not in faults}
    queries_asked = [(row["query_id"], row["source"], row["reference"]) for row in asked.values()]
    shown = dict(zip(asked, store.find_all(queries_asked, settings.shots), strict=True))
    planned = [_plan(number, rows[number], pairs, settings) for number, pairs in shown.items()]

    def judge(replies: Sequence[tuple[Planned, Mapping[str, Any]]]) -> list[Accepted | Refused]:
        numbers = [plan.instruction_id for plan, _ in replies]
        codes = [read_code(str(reply["translation"])) for _, reply in replies]
        jobs = {number: code for number, code in zip(numbers, codes, strict=True) if code is not None}
        made: dict[str, Build] = {}
        if settings.requires_run and runner is not None:
            listed = [(code, list_inputs(rows[number])) for number, code in jobs.items()]
            made = dict(zip(jobs, build_and_run(runner, "cpp", listed, settings.run_limits), strict=True))
        judged: list[Accepted | Refused] = []
        for number, code in zip(numbers, codes, strict=True):
            if code is None:
                judged.append(Refused("no_code"))
                continue
            fault = _compare(wanted[number], made[number], settings) if number in made else None
            judged.append(fault or _accept(rows[number], code, shown[number], store, settings, measure_code_bleu))
        return judged

    made = judge_drafts(planned, teacher, judge, details_schema=DETAILS_SCHEMA, attempts=settings.attempts)
    unasked = [{"id": number, "text": fault.detail, "reason": fault.reason} for number, fault in faults.items()]
    candidates = pl.DataFrame(unasked, schema=CANDIDATES_SCHEMA)
    synthesis = join_syntheses([made.synthesis], candidates)
    return replace(made, synthesis=synthesis, candidates=pl.concat([candidates, made.candidates]))


def list_inputs(row: Mapping[str, Any]) -> list[str]:
    """Return the standard inputs of a query: an empty one where it names none."""
    return list(row["inputs"] or []) or [""]


def _run_sources(
    rows: Mapping[str, Mapping[str, Any]], runner: ProgramRunner | None, settings: CodeTranslationSettings
) -> tuple[dict[str, Build], dict[str, Refused]]:
    """Return what became of each query's own program, and why nothing could be said of a translation of it.

    It is known before a teacher is paid.
    """
    if not settings.requires_run or runner is None:
        return {}, {}
    jobs = [(row["source"] or "", list_inputs(row)) for row in rows.values()]
    built = dict(zip(rows, build_and_run(runner, "fortran", jobs, settings.run_limits), strict=True))
    faults = {number: fault for number, build in built.items() if (fault := _find_source_fault(build)) is not None}
    return built, faults


def _find_source_fault(build: Build) -> Refused | None:
    if build.said:
        return Refused("source_does_not_compile", build.said)
    failed = next((run for run in build.runs if run.status != "ok"), None)
    if failed is not None:
        return Refused("source_does_not_run", failed.status)
    # whatever prints nothing would agree with it
    return None if any(run.stdout.strip() for run in build.runs) else Refused("source_prints_nothing")


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
        evidence="",
        parents=(
            Parent("code_queries", row["query_id"]),
            *(Parent("code_pairs", pair.pair_id) for pair in examples),
        ),
    )


def _compare(wanted: Build, made: Build, settings: CodeTranslationSettings) -> Refused | None:
    if made.said:
        return Refused("does_not_compile", made.said)
    for run, other in zip(made.runs, wanted.runs, strict=True):
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
            "runs": len(list_inputs(row)) if settings.requires_run else 0,
            "code_bleu": measure_code_bleu(code, reference) if has_score and measure_code_bleu else None,
        },
    )
