"""What a row of image_captions is: one further text for a kept pair, beside the crawl's caption and never over it."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

#: Ways to another caption, as `captions.methods` of a recipe names them.
CAPTION_METHODS = ("recaption", "capfilt", "polish", "gender_swap")

#: Why a caption is in the table but not kept. `teacher_*` are the kinds of `tables.chat.FailureKind`.
CAPTION_REASONS = (
    "empty_caption",
    "repeated_caption",
    "unmatched_caption",
    "polish_leak",
    "polish_repetition",
    "polish_ungrounded",
)

IMAGE_CAPTIONS = Table(
    name="image_captions",
    description=(
        "One row per text that was written or judged for a kept pair: sampled by a captioner, judged by a matcher, "
        "polished by a teacher, or with its gendered words swapped. The crawl's caption stays in filtered_image_pairs."
    ),
    key=("caption_id",),
    columns=(
        Column("caption_id", pl.String, "Stable id: hash of pair, method and sample."),
        Column("pair_id", pl.String, "Pair it belongs to.", parents=("filtered_image_pairs.pair_id",)),
        Column("dump", pl.String, "Name of the dump.", parents=("filtered_image_pairs.dump",)),
        Column("method", pl.String, f"One of {', '.join(CAPTION_METHODS)}."),
        Column("caption", pl.String, "The text.", parents=("filtered_image_pairs.caption",)),
        Column(
            "is_crawl_caption", pl.Boolean, "Whether it is the crawl's own caption, judged (capfilt), and no new text."
        ),
        Column(
            "source_caption",
            pl.String,
            "Text it was made from; null where a captioner saw only the picture.",
            nullable=True,
            parents=("filtered_image_pairs.caption",),
        ),
        Column("sample_index", pl.Int64, "0, 1, … among the samples of one picture."),
        Column("model", pl.String, "Captioner, teacher or word list behind it; null for the crawl's.", nullable=True),
        Column("prompt_version", pl.String, "Prompt of the teacher.", nullable=True),
        Column("sampling", pl.String, "Sampling parameters, JSON.", nullable=True),
        Column("seed", pl.Int64, "Seed of the sampling.", nullable=True),
        Column("match_probability", pl.Float64, "Matcher's probability that picture and text match.", nullable=True),
        Column("match_weights", pl.String, "Digest of the matcher's weights.", nullable=True),
        Column("clip_similarity", pl.Float64, "CLIP similarity of picture and text.", nullable=True),
        Column("clip_weights", pl.String, "Digest of the weights behind clip_similarity.", nullable=True),
        Column(
            "image_consistent",
            pl.Boolean,
            "Whether the text may stand beside the picture; false where a swap may say what the picture denies.",
        ),
        Column("is_kept", pl.Boolean, "Whether its method kept it."),
        Column("reason", pl.String, "Why it is not kept.", nullable=True),
    ),
)  # fmt: skip
