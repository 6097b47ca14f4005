"""Says what a try at revising a response is: what its author found wanting, what it wrote, and whether it counts."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table
from mmpipe.tables.instructions import PARENT, RESPONSES

_AS_IN_RESPONSES = (
    "teacher", "prompt_version", "sampling", "seed", "attempts", "prompt_tokens", "completion_tokens",
)  # fmt: skip

RESPONSE_REVISIONS = Table(
    name="response_revisions",
    description="Every try of a model at revising its own response, round by round, with its critique.",
    key=("revision_id",),
    columns=(
        Column("revision_id", pl.String, "Stable id: hash of the first response, its model and the round."),
        Column("instruction_id", pl.String, "Instruction answered.", parents=("responses.instruction_id",)),
        Column("dump", pl.String, "Dump of the instruction.", parents=("responses.dump",)),
        Column(
            "response_id", pl.String, "The response that the rounds began with.", parents=("responses.response_id",)
        ),
        Column("round", pl.Int64, "1, 2, … of this response."),
        Column("revision_status", pl.String, "ok, or why this try is no revision and the rounds ended."),
        Column(
            "critique", pl.String, "What the model found wanting in the answer before.", parents=("responses.response",)
        ),
        Column(
            "revision",
            pl.String,
            "The whole new answer; empty where none was written.",
            parents=("responses.response",),
        ),
        Column("parents", pl.List(PARENT), "The answer that was revised: a response, or the revision before."),
        *(column for column in RESPONSES.columns if column.name in _AS_IN_RESPONSES),
    ),
)
