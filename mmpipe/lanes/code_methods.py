"""Calls the methods about programs: Case2Code, and the translation of Fortran with examples that are like it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.synthesis_inputs import identify_rows, read_records

if TYPE_CHECKING:
    from mmpipe.lanes.method_inputs import MethodRun
    from mmpipe.synthesis.code_pairs import Embed
    from mmpipe.synthesis.drafts import Synthesis


def open_case2code(_: str) -> Any:
    """Return the settings of Case2Code."""
    from mmpipe.synthesis.case2code import Case2CodeSettings

    return Case2CodeSettings()


def run_case2code(run: MethodRun) -> Synthesis:
    """Show cases of functions: those of a file, or those found in documents."""
    from mmpipe.synthesis.case2code import make_case2code
    from mmpipe.synthesis.python_functions import find_function_table

    if not run.entry.files:
        functions = run.choose(find_function_table(run.rows), "function_id")
        return make_case2code(functions, run.teacher, run.open_runner(), run.settings).synthesis
    functions = run.read_file("functions", "function_id", "code").with_columns(doc_id="function_id")
    made = make_case2code(functions, run.teacher, run.open_runner(), run.settings).synthesis
    # they come from no document
    element = pl.element().struct
    parents = pl.struct(table=pl.lit("functions"), id=element.field("id"))
    return replace(made, frame=made.frame.with_columns(pl.col("parents").list.eval(parents)))


def open_code_translation(_: str) -> Any:
    """Return the settings of code translation."""
    from mmpipe.synthesis.code_translation import CodeTranslationSettings

    return CodeTranslationSettings()


def run_code_translation(run: MethodRun) -> Synthesis:
    """Have the queries of a file translated, with pairs of another as examples."""
    from mmpipe.filtering.code_bleu import measure_code_bleu
    from mmpipe.synthesis.code_pairs import PairStore
    from mmpipe.synthesis.code_translation import make_code_translations

    label = run.entry.files["pairs"].list
    pairs = identify_rows(
        read_records(run.entry.files["pairs"]), "pair_id", "source", "target", file=label, dump=run.dump
    )
    queries = run.read_file("queries", "query_id", "source")
    runner = run.open_runner() if run.settings.requires_run else None
    return make_code_translations(
        read_inputs(queries), PairStore(pairs, open_embedder(run)), run.teacher, runner, run.settings,
        lambda program, reference: measure_code_bleu(program, reference).score,
    ).synthesis  # fmt: skip


def open_embedder(run: MethodRun) -> Embed:
    """Return what finds pairs that are like a query: the sentence encoder of the knobs, else hashed tokens of code."""
    from mmpipe.lanes.duplicates import open_text_embedder
    from mmpipe.synthesis.code_pairs import embed_by_hashing

    return open_text_embedder(run.knobs).embed if run.knobs.embedder_weights else embed_by_hashing


def read_inputs(queries: pl.DataFrame) -> pl.DataFrame:
    """Return queries with a list of standard inputs, of which a text is one, and a reference: null where none is."""
    if "inputs" not in queries.columns:
        queries = queries.with_columns(inputs=pl.lit([], dtype=pl.List(pl.String)))
    if not isinstance(queries.schema["inputs"], pl.List):
        one = pl.concat_list(pl.col("inputs").cast(pl.String))
        queries = queries.with_columns(inputs=pl.when(pl.col("inputs").is_null()).then(pl.lit([])).otherwise(one))
    if "reference" not in queries.columns:
        queries = queries.with_columns(reference=pl.lit(None, dtype=pl.String))
    return queries.with_columns(pl.col("inputs").cast(pl.List(pl.String)), pl.col("reference").cast(pl.String))
