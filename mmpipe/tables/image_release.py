"""What a row of image_dataset is: one released image-text pair, where its files are, and what stands beside it."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

#: A further caption of a released pair.
OTHER_CAPTION = pl.Struct({"caption": pl.String, "method": pl.String, "match_probability": pl.Float64})

#: Why a kept pair is not released: its bytes are gone since it was kept, or are others.
RELEASE_REASONS = ("vanished_image", "changed_image")


def _from_pairs(name: str, description: str, dtype: type[pl.DataType] = pl.String, *, nullable: bool = False) -> Column:
    return Column(name, dtype, description, nullable, (f"filtered_image_pairs.{name}",))


IMAGE_DATASET = Table(
    name="image_dataset",
    description="Image-text pairs of all dumps, released as files that trainers read; one row per released pair.",
    key=("pair_id",),
    columns=(
        _from_pairs("pair_id", "Id of the pair."),
        Column("key", pl.String, "Name of its files: number of the shard, then place in it; no dots."),
        _from_pairs("dump", "Dump it comes from."),
        _from_pairs("doc_id", "Page the picture stands on."),
        _from_pairs("page_url", "URL of the page, if known.", nullable=True),
        _from_pairs("image_url", "URL of the picture."),
        Column(
            "caption",
            pl.String,
            "Text that is released with the picture.",
            parents=("filtered_image_pairs.caption", "image_captions.caption"),
        ),
        Column(
            "caption_origin",
            pl.String,
            "Where that text comes from: a text of the page (caption_source), or a method of image_captions.",
            parents=("filtered_image_pairs.caption_source", "image_captions.method"),
        ),
        Column("crawl_caption", pl.String, "The crawl's own caption.", parents=("filtered_image_pairs.caption",)),
        Column(
            "other_captions",
            pl.List(OTHER_CAPTION),
            "Kept captions that are consistent with the picture, without the released one.",
            parents=("image_captions.caption", "image_captions.match_probability"),
        ),
        _from_pairs("image_format", "Format of the bytes."),
        _from_pairs("image_sha256", "SHA-256 of the bytes."),
        _from_pairs("image_width", "Pixels, after EXIF orientation.", pl.Int64),
        _from_pairs("image_height", "Pixels, after EXIF orientation.", pl.Int64),
        Column(
            "image_bytes", pl.Int64, "Bytes of the file.", parents=("filtered_image_pairs.image_sha256",)
        ),
        _from_pairs("clip_similarity", "CLIP similarity of picture and crawl's caption.", pl.Float64, nullable=True),
        Column("licence", pl.String, "Licence of the picture: `unknown`, for a crawl states none."),
    ),
)  # fmt: skip
