"""Says how an image-text pair fares where only so many pairs of a subject stay: its chance, its draw, its subject."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

#: How subjects are told: entries found in the caption, its noun phrases, clusters of the picture's embedding.
BALANCE_METHODS = ("queries", "noun_phrases", "concepts")

IMAGE_BALANCE = Table(
    name="image_balance",
    description="One row per pair that passes the rules and repeats none: its chance to stay, and its draw.",
    key=("pair_id",),
    columns=(
        Column("pair_id", pl.String, "Id of the pair.", parents=("image_candidates.pair_id",)),
        Column("method", pl.String, f"How subjects are told: one of {', '.join(BALANCE_METHODS)}."),
        Column(
            "subjects_from",
            pl.String,
            "What told them: digest of the entries, name of the chunker, or number of clusters.",
        ),
        Column("keep_probability", pl.Float64, "Chance that any of the pair's subjects keeps it."),
        Column(
            "draw",
            pl.Float64,
            "In [0, 1), by keyed hash of the id; the pair is kept if and only if it is below keep_probability.",
            parents=("image_candidates.pair_id",),
        ),
        Column(
            "rarest_entry",
            pl.String,
            "Its subject with the fewest pairs; null without a subject.",
            nullable=True,
            parents=("image_candidates.caption", "image_signals.image_embedding"),
        ),
        Column("rarest_entry_pairs", pl.Int64, "Pairs of the dump with that subject.", nullable=True),
        Column("entries_matched", pl.Int64, "Subjects of the pair (for noun phrases: those that reach the floor)."),
        Column("is_kept", pl.Boolean, "Whether it stays."),
    ),
)
