"""What a row of interleaved_dataset is: one released document of text and pictures, and the files of its pictures."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table


def _from_documents(name: str, description: str, dtype: pl.DataType | type[pl.DataType] = pl.String) -> Column:
    return Column(name, dtype, description, parents=(f"interleaved_documents.{name}",))


INTERLEAVED_DATASET = Table(
    name="interleaved_dataset",
    description="Documents of text and pictures of all dumps, released as files that trainers read.",
    key=("doc_id",),
    columns=(
        _from_documents("doc_id", "The page."),
        _from_documents("dump", "Dump it comes from."),
        _from_documents("url", "URL of the page."),
        _from_documents("order", "What the order of the nodes follows: `page` or `similarity`."),
        _from_documents("texts", "Nodes of text, null where a picture stands.", pl.List(pl.String)),
        _from_documents("images", "Pictures by pair_id, null where a text stands.", pl.List(pl.String)),
        Column(
            "image_files",
            pl.List(pl.String),
            "File of each picture below `release/`, in parallel to `images`; null where a text stands, or where the "
            "picture could not be read any more.",
            parents=("filtered_image_pairs.image_sha256",),
        ),
    ),
)
