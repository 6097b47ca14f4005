"""What is told of a row that a release leaves out: of all its files, or of those of one format, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

#: One row per row, place and reason. `place` is RELEASE, MIXTURE, or a folder of `release/` whose files lack the row;
#: `details` says what was found, or stays null where the reason says it all.
LEFT_OUT = pl.Schema(
    [
        ("id", pl.String()),
        ("dump", pl.String()),
        ("place", pl.String()),
        ("reason", pl.String()),
        ("details", pl.String()),
    ]
)

#: File in `release/` that lists the rows which stand in none of its files, or not in every format.
LEFT_OUT_FILE = "left_out.parquet"

#: A row of LEFT_OUT: id, dump, place, reason, details.
LeftOut = tuple[str, str, str, str, str | None]

#: Place of rows that are not published, so that no file has them.
RELEASE = "release"
#: Place of published rows that the mixture reads in no epoch.
MIXTURE = "mixture"
#: Reason of rows that a format has no place for; `details` says which part of them.
NO_PLACE = "no_place_in_format"


def make_left_out(rows: Iterable[LeftOut]) -> pl.DataFrame:
    """Return LEFT_OUT rows in the order of place, id, reason and details, whatever order they come in.

    Args:
        rows: id, dump, place, reason and details of each.
    """
    frame = pl.DataFrame(list(rows), schema=LEFT_OUT, orient="row")
    return frame.sort("place", "id", "reason", "details", nulls_last=True)
