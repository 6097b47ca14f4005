"""Says what a row of image_duplicates is: a pair that is like another, or like an evaluation image, and how it is."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

#: How a pair was tied to the one kept for it; where several ways would do, the first counts. `phash`: the perceptual
#: hashes of both pictures; `orientation`: those of one of them mirrored or turned; `border`: of one without its
#: border; `embedding`: cosine of the embeddings; `evaluation_set`: an image of an evaluation set, no pair is kept.
IMAGE_DUPLICATE_METHODS = ("phash", "orientation", "border", "embedding", "evaluation_set")

IMAGE_DUPLICATES = Table(
    name="image_duplicates",
    description="Every passing pair whose picture another pair has, with the pair kept for it; and evaluation images.",
    key=("pair_id",),
    columns=(
        Column("pair_id", pl.String, "Id of the pair.", parents=("image_signals.pair_id",)),
        Column("dump", pl.String, "Its dump.", parents=("image_candidates.dump",)),
        Column(
            "cluster_id",
            pl.String,
            "Id of the cluster, a kept pair and those it is kept for: the smallest pair_id in it. Null for an "
            "evaluation image.",
            nullable=True,
        ),
        Column(
            "kept_pair_id",
            pl.String,
            "Id of the pair kept for it; its own if it stays. Null for an evaluation image.",
            nullable=True,
            parents=("image_signals.pair_id",),
        ),
        Column("kept_dump", pl.String, "Dump of the kept pair.", nullable=True, parents=("image_candidates.dump",)),
        Column(
            "method",
            pl.String,
            f"How it was tied to the kept pair: {', '.join(IMAGE_DUPLICATE_METHODS)}. Null for a pair that stays.",
            nullable=True,
        ),
        Column(
            "distance",
            pl.Int64,
            "Bits in which the hashes differ, of 64; null where none were compared.",
            nullable=True,
            parents=("image_signals.phash", "image_signals.phash_orientations", "image_signals.phash_trimmed"),
        ),
        Column(
            "similarity",
            pl.Float64,
            "Cosine of the embeddings; null where none were compared.",
            nullable=True,
            parents=("image_signals.image_embedding",),
        ),
        Column(
            "near_limit",
            pl.Float64,
            "Most bits, or least cosine, at which the two count as alike; null for a pair that stays.",
            nullable=True,
        ),
        Column(
            "is_same_caption",
            pl.Boolean,
            "Whether the kept pair has the same caption, but for white space.",
            nullable=True,
            parents=("image_candidates.caption",),
        ),
        Column("evaluation_hash", pl.String, "The hash of the evaluation image, as its list has it.", nullable=True),
        Column("cluster_pairs", pl.Int64, "Pairs of the cluster, the kept one and those of other dumps counted."),
        Column("is_kept", pl.Boolean, "Whether the pair stays."),
    ),
)
