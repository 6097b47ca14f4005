"""Says what only the whole dump tells of a pair: how often its caption, URL and picture occur, and its rank."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

IMAGE_COUNTS = Table(
    name="image_counts",
    description="One row per row of image_candidates: what only the whole dump tells of the pair.",
    key=("pair_id",),
    columns=(
        Column("pair_id", pl.String, "Id of the pair.", parents=("image_candidates.pair_id",)),
        Column(
            "caption_pairs",
            pl.Float64,
            "Pairs of the dump with this caption, runs of white space as one, letters as they are; itself included.",
            parents=("image_candidates.caption",),
        ),
        Column(
            "image_url_pairs",
            pl.Float64,
            "Pairs of the dump whose picture has this URL; itself included.",
            parents=("image_candidates.image_url",),
        ),
        Column(
            "image_url_documents",
            pl.Float64,
            "Pages of the dump that show a picture of this URL.",
            parents=("image_candidates.image_url", "image_candidates.doc_id"),
        ),
        Column(
            "phash_pairs",
            pl.Float64,
            "Pairs of the dump whose picture has this perceptual hash; null without one.",
            nullable=True,
            parents=("image_signals.phash",),
        ),
        Column(
            "clip_similarity_rank",
            pl.Float64,
            "Share of the dump's measured pairs with a greater CLIP similarity, 0 for the best; null if not measured.",
            nullable=True,
            parents=("image_signals.clip_similarity",),
        ),
    ),
)
