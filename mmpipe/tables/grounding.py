"""What a row of grounded_pairs is: a kept pair whose caption's phrases have boxes in the picture."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

#: Where boxes come from: a detector looked for the phrases, or the data brought them.
BOX_ORIGINS = ("detector", "given")

#: A row per box: start and end character, left, top, right and bottom as shares of the picture, confidence.
GRIT_ROWS = pl.List(pl.List(pl.Float64))

_ROW = "start and end character, left, top, right, bottom (0 to 1), confidence"

GROUNDED_PAIRS = Table(
    name="grounded_pairs",
    description="Kept pairs whose caption has phrases with boxes in the picture, in the columns of GRIT.",
    key=("pair_id",),
    columns=(
        Column("pair_id", pl.String, "Id of the pair.", parents=("filtered_image_pairs.pair_id",)),
        Column("dump", pl.String, "Name of the dump.", parents=("filtered_image_pairs.dump",)),
        Column("url", pl.String, "URL of the picture.", parents=("filtered_image_pairs.image_url",)),
        Column("caption", pl.String, "Text of the pair.", parents=("filtered_image_pairs.caption",)),
        Column("width", pl.Int64, "Pixels.", parents=("filtered_image_pairs.image_width",)),
        Column("height", pl.Int64, "Pixels.", parents=("filtered_image_pairs.image_height",)),
        Column(
            "clip_similarity",
            pl.Float64,
            "CLIP similarity of picture and caption.",
            nullable=True,
            parents=("filtered_image_pairs.clip_similarity",),
        ),
        Column(
            "noun_chunks",
            GRIT_ROWS,
            f"Phrases with their boxes: {_ROW}.",
            parents=("filtered_image_pairs.caption", "filtered_image_pairs.image_sha256"),
        ),
        Column(
            "ref_exps",
            GRIT_ROWS,
            f"Expressions that the phrases head, none within another: {_ROW}.",
            parents=("filtered_image_pairs.caption", "filtered_image_pairs.image_sha256"),
        ),
        Column(
            "grounded_caption",
            pl.String,
            "The caption with its expressions and location tokens of a grid of 32 by 32 (Kosmos-2).",
            parents=("filtered_image_pairs.caption", "filtered_image_pairs.image_sha256"),
        ),
        Column("box_origin", pl.String, f"One of {', '.join(BOX_ORIGINS)}."),
        Column("detector_weights", pl.String, "Digest of the detector's weights.", nullable=True),
        Column("noun_chunker", pl.String, "What found the phrases.", nullable=True),
    ),
)
