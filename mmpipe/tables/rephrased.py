"""What a row of rephrasing is: every attempt to say a document in other words, and those that became documents."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from mmpipe.tables.columns import Column, Table
from mmpipe.tables.instructions import PARENT
from mmpipe.tables.removals import describe_removals

#: A guard that a piece failed in its last attempt: the piece, counted from 1, what was measured, found and allowed.
FAULT = pl.Struct(
    {
        "piece": pl.Int64,
        "rule": pl.String,
        "value": pl.Float64,
        "found": pl.String,
        "low": pl.Float64,
        "high": pl.Float64,
        "allowed": pl.List(pl.String),
    }
)

#: What a rephrased document holds beside its text.
_DOCUMENT_COLUMNS = (
    Column("rephrased_id", pl.String, "Stable id: hash of document and style."),
    Column("doc_id", pl.String, "Document it says again.", parents=("deduped_corpus.doc_id",)),
    Column("dump", pl.String, "Dump of the document.", parents=("deduped_corpus.dump",)),
    Column("language", pl.String, "Language of the document.", parents=("deduped_corpus.language",)),
    Column("style", pl.String, "easy, medium, hard or question_answer."),
)
_WRITER_COLUMNS = (
    Column("pieces", pl.Int64, "Pieces the document was cut into, each written again on its own."),
    Column("method", pl.String, "Synthesis method, the file's name in mmpipe/synthesis."),
    Column("stage", pl.String, "Life-cycle stage of the survey's taxonomy."),
    Column("mode", pl.String, "Mode of the survey's taxonomy."),
    Column("parents", pl.List(PARENT), "The document."),
    Column("teacher", pl.String, "Model that wrote it, as `engine:model@digest`."),
    Column("prompt_version", pl.String, "Name and digest of the prompt template."),
    Column("sampling", pl.String, "Sampling parameters of the first request, canonical JSON."),
    Column("seed", pl.Int64, "Seed of the first request."),
    Column("attempts", pl.Int64, "Requests made for all pieces."),
    Column("prompt_tokens", pl.Int64, "Tokens of the prompts, failed attempts included."),
    Column("completion_tokens", pl.Int64, "Tokens of the completions, failed attempts included."),
)

REPHRASED_CANDIDATES = Table(
    name="rephrased_candidates",
    description="Every document that a teacher was to write again, once per style: its text, or why a piece failed.",
    key=("rephrased_id",),
    columns=(
        *_DOCUMENT_COLUMNS,
        Column("candidate_status", pl.String, "ok, or the first guard that its first failed piece failed."),
        Column(
            "text",
            pl.String,
            "The document in that style; of a refused one the last reply for its first failed piece, cut to 20,000.",
            parents=("deduped_corpus.text",),
        ),
        Column("failed_pieces", pl.Int64, "Pieces of which every attempt failed; one takes the whole document."),
        Column("faults", pl.List(FAULT), "Every guard that a failed piece failed in its last attempt."),
        *_WRITER_COLUMNS,
    ),
)

REPHRASED_REMOVALS = describe_removals("rephrased_removals", "rephrased_id", "rephrased_candidates")

REPHRASED_DOCUMENTS = Table(
    name="rephrased_documents",
    description="Documents of deduped_corpus that a teacher wrote again in another style, for pretraining beside them.",
    key=("rephrased_id",),
    columns=tuple(
        replace(column, parents=(f"rephrased_candidates.{column.name}",))
        for column in (
            *_DOCUMENT_COLUMNS,
            Column("text", pl.String, "The document in that style."),
            *_WRITER_COLUMNS,
        )
    ),
)
