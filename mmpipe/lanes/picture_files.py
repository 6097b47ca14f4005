"""Reads what a recipe's file says of kept pictures: annotations of other models, kinds of scene."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.lanes.synthesis_inputs import read_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.lanes.method_inputs import MethodRun

_log = logging.getLogger(__name__)

#: Columns of a file that may say which picture a row is about, the first that is there.
PICTURE_KEYS = ("pair_id", "image_sha256", "image_url")

ANNOTATION_SCHEMA = pl.Schema(
    {
        "pair_id": pl.String,
        "source": pl.String,
        "kind": pl.String,
        "words": pl.String,
        "left": pl.Float64,
        "top": pl.Float64,
        "right": pl.Float64,
        "bottom": pl.Float64,
        "confidence": pl.Float64,
    }
)


def read_pictured_rows(
    run: MethodRun, name: str, columns: Mapping[str, pl.DataType | type[pl.DataType]]
) -> pl.DataFrame:
    """Return pair_id and columns of the rows of a file that are about kept pictures of the dump.

    A row about no kept picture, or with an empty field, is left out and counted in the log.

    Args:
        run: the method's run.
        name: of the file, as the recipe's key.
        columns: that must be there, and their types.

    Raises:
        ConfigurationError: no column says which picture a row is about, a column is missing, or holds another type.
    """
    file = run.entry.files[name].list
    frame = read_records(run.entry.files[name])
    key = next((key for key in PICTURE_KEYS if key in frame.columns), None)
    if key is None:
        raise ConfigurationError(
            f"{file}: no column says which picture a row is about: one of {', '.join(PICTURE_KEYS)}."
        )
    for column in columns:
        if column not in frame.columns:
            raise ConfigurationError(f"{file}: no column {column!r}.{name_nearest(column, frame.columns)}")
    try:
        frame = frame.select(pl.col(key).cast(pl.String), *(pl.col(n).cast(kind) for n, kind in columns.items()))
    except pl.exceptions.PolarsError as error:
        said = str(error).partition("\n")[0]
        raise ConfigurationError(f"{file}: a value does not fit its column: {said}") from error
    pairs = run.take_pictures().pairs.select(*dict.fromkeys(("pair_id", key)))
    found = frame.drop_nulls().join(pairs, on=key, how="inner")
    if found.height < frame.height:
        _log.warning(
            "%s: %d of %d rows are about kept pictures of %s and whole.", file, found.height, frame.height, run.dump
        )
    return found.select("pair_id", *columns)


def read_labels(run: MethodRun) -> dict[str, str]:
    """Return what kind of scene each picture of the file `labels` shows, by pair_id; of several, the first by name.

    Raises:
        ConfigurationError: as `read_pictured_rows`.
    """
    rows = read_pictured_rows(run, "labels", {"label": pl.String})
    return dict(rows.group_by("pair_id").agg(pl.col("label").min()).iter_rows())


def read_annotations(run: MethodRun) -> pl.DataFrame:
    """Return the rows of the file `annotations`, `ANNOTATION_SCHEMA`.

    Raises:
        ConfigurationError: as `read_pictured_rows`.
    """
    columns = {name: kind for name, kind in ANNOTATION_SCHEMA.items() if name != "pair_id"}
    return read_pictured_rows(run, "annotations", columns)


def list_box_annotations(grounded: pl.DataFrame) -> pl.DataFrame:
    """Return the boxes of grounded_pairs as annotations of objects; their source says where boxes come from.

    Args:
        grounded: pair_id, caption, noun_chunks, box_origin (grounded_pairs).
    """
    rows = []
    for row in grounded.iter_rows(named=True):
        for start, end, left, top, right, bottom, confidence in row["noun_chunks"] or ():
            words = " ".join(row["caption"][int(start) : int(end)].split())
            source = f"grounded_pairs:{row['box_origin']}"
            rows.append((row["pair_id"], source, "object", words, left, top, right, bottom, confidence))
    return pl.DataFrame(rows, schema=ANNOTATION_SCHEMA, orient="row")
