"""What a row of the image lane is: an image-text pair, its signals, and the pair that is kept."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

#: Where a pair's image bytes were found.
IMAGE_ORIGINS = ("dump", "cache", "fetched", "missing")

#: What became of the bytes when they were read. All but `ok` are removals of the same name.
DECODE_STATUSES = (
    "ok",
    "missing_image",
    "fetch_refused",
    "fetch_failed",
    "not_an_image",
    "oversized_image",
    "undecodable_image",
)

IMAGE_CANDIDATES = Table(
    name="image_candidates",
    description="One row per <img> of a page that has an alt text or a figcaption, with where its bytes are.",
    key=("pair_id",),
    columns=(
        Column("pair_id", pl.String, "Stable id of the pair: hash of page, image URL and position."),
        Column("doc_id", pl.String, "Page the image stands on.", parents=("raw_crawl.doc_id",)),
        Column("dump", pl.String, "Name of the dump.", parents=("raw_crawl.dump",)),
        Column("page_url", pl.String, "URL of the page.", parents=("raw_crawl.url",)),
        Column("image_url", pl.String, "Absolute URL of the image.", parents=("raw_crawl.warc_offset",)),
        Column("position", pl.Int64, "Place among the page's images, from 0."),
        Column("caption", pl.String, "Text of the pair.", parents=("raw_crawl.warc_offset",)),
        Column("caption_source", pl.String, "alt or figcaption: where the caption comes from."),
        Column("alt", pl.String, "alt attribute.", nullable=True),
        Column("figcaption", pl.String, "Text of the enclosing figure's figcaption.", nullable=True),
        Column("image_origin", pl.String, f"One of {', '.join(IMAGE_ORIGINS)}."),
        Column("image_detail", pl.String, "Why the bytes are missing.", nullable=True),
        Column(
            "image_doc_id",
            pl.String,
            "Record of the dump that holds the bytes.",
            nullable=True,
            parents=("raw_crawl.doc_id",),
        ),
        Column("image_warc_file", pl.String, "File of that record.", nullable=True, parents=("raw_crawl.warc_file",)),
        Column(
            "image_warc_offset", pl.Int64, "Offset of that record.", nullable=True, parents=("raw_crawl.warc_offset",)
        ),
        Column("image_sha256", pl.String, "SHA-256 of fetched bytes, their name in the image cache.", nullable=True),
    ),
)


def _signal(name: str, description: str, parent: str = "image_candidates.image_warc_offset") -> Column:
    return Column(name, pl.Float64, description, nullable=True, parents=(parent,))


IMAGE_SIGNALS = Table(
    name="image_signals",
    description="One row per row of image_candidates: every measured value of the picture, its caption and their fit.",
    key=("pair_id",),
    columns=(
        Column("pair_id", pl.String, "Id of the pair.", parents=("image_candidates.pair_id",)),
        Column("decode_status", pl.String, f"One of {', '.join(DECODE_STATUSES)}; all but ok are removals."),
        Column("decode_detail", pl.String, "What the decoder said, if it failed.", nullable=True),
        Column("image_format", pl.String, "jpeg, png, webp, gif, … as sniffed from the bytes.", nullable=True),
        Column("image_sha256", pl.String, "SHA-256 of the bytes.", nullable=True),
        Column("phash", pl.String, "64-bit perceptual hash, 16 hex digits.", nullable=True),
        Column("phash_algorithm", pl.String, "Name of the algorithm behind phash.", nullable=True),
        Column("clip_weights", pl.String, "Digest of the weights behind clip_similarity.", nullable=True),
        _signal("image_bytes", "Bytes of the file."),
        _signal("image_width", "Pixels, after EXIF orientation."),
        _signal("image_height", "Pixels, after EXIF orientation."),
        _signal("image_min_side", "Shorter side, pixels."),
        _signal("image_aspect_ratio", "Longer side divided by shorter side."),
        _signal("caption_chars", "Characters of the caption.", "image_candidates.caption"),
        _signal("caption_words", "Words of the caption, Unicode word boundaries.", "image_candidates.caption"),
        _signal("clip_similarity", "Cosine of the CLIP embeddings of picture and caption, -1 to 1."),
    ),
)

FILTERED_IMAGE_PAIRS = Table(
    name="filtered_image_pairs",
    description="Image-text pairs that passed every rule of the image recipe; the bytes are read by reference.",
    key=("pair_id",),
    columns=(
        *(column for column in IMAGE_CANDIDATES.columns if column.name not in ("image_detail", "image_sha256")),
        Column("image_sha256", pl.String, "SHA-256 of the bytes.", parents=("image_signals.image_sha256",)),
        Column("image_format", pl.String, "Format of the bytes.", parents=("image_signals.image_format",)),
        Column("image_width", pl.Int64, "Pixels.", parents=("image_signals.image_width",)),
        Column("image_height", pl.Int64, "Pixels.", parents=("image_signals.image_height",)),
        Column("phash", pl.String, "Perceptual hash.", parents=("image_signals.phash",)),
        Column(
            "clip_similarity",
            pl.Float64,
            "CLIP similarity of picture and caption.",
            nullable=True,
            parents=("image_signals.clip_similarity",),
        ),
    ),
)
