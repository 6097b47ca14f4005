"""Finds rows by id in published datasets, those whose checks failed included: it must be possible to ask why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import MmpipeError
from mmpipe.storage.dumps import list_dumps, list_removed_dumps
from mmpipe.storage.lake import scan_files
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.images import IMAGE_CANDIDATES
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES
from mmpipe.tables.published import OVER_ALL_DUMPS, PUBLISHED_TABLES

if TYPE_CHECKING:
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.tables.columns import Table


#: How an id begins; a whole one has 32 digits.
_BEGINNING = re.compile("[0-9a-f]{6,31}")
#: Ids that are named where a beginning means several.
_LISTED = 8


class RowNotFound(MmpipeError):
    """An id or URL that stands in no published dataset."""


@dataclass(frozen=True, slots=True)
class Found:
    """A row, where it stands."""

    table: Table
    dump: str | None
    row: dict[str, Any]


def read_rows(dataset: Dataset, wanted: pl.Expr, limit: int | None = None) -> list[dict[str, Any]] | None:
    """Return the rows of a dataset for which an expression holds; None if the dataset is not published yet."""
    manifest = dataset.find_manifest()
    if manifest is None:
        return None
    frame = scan_files([dataset.folder.join(commit.file) for commit in manifest.commits], dataset.table).filter(wanted)
    return (frame if limit is None else frame.head(limit)).collect(engine="streaming").to_dicts()


def find_rows(lake: Lake, table: Table, wanted: pl.Expr, limit: int | None = None) -> list[Found]:
    """Return the rows of a table, in any dump, for which an expression holds."""
    dumps = [None] if table in OVER_ALL_DUMPS else list_dumps(lake)
    return [
        Found(table, dump, row) for dump in dumps for row in read_rows(lake.dataset(table, dump), wanted, limit) or ()
    ]


def complete_id(lake: Lake, wanted: str) -> str:
    """Return the id that begins as told; what is no beginning of an id, or of none that is published, as it is.

    A beginning is six hexadecimal digits or more. Only key columns are read, and of files whose lowest and highest
    key leave room for it: about what a full id costs that is found last.

    Raises:
        RowNotFound: several ids begin so; the message has the first of them.
    """
    beginning = wanted.removesuffix("…").removesuffix("...")
    if not _BEGINNING.fullmatch(beginning):
        return wanted
    found: dict[str, str] = {}
    for table in PUBLISHED_TABLES:
        if len(table.key) != 1:
            continue
        key = pl.col(table.key[0])
        # "g" follows every hexadecimal digit; limits, unlike starts_with, are held against a file's statistics
        within = (key >= beginning) & (key < f"{beginning}g")
        for dump in [None] if table in OVER_ALL_DUMPS else list_dumps(lake):
            for row_id in _list_keys(lake.dataset(table, dump), within):
                found.setdefault(row_id, table.name)
    if len(found) > 1:
        listed = [f"{row_id} ({table})" for row_id, table in sorted(found.items())]
        more = f", … {len(listed)} in all" if len(listed) > _LISTED else ""
        raise RowNotFound(f"Several ids begin with {beginning}: {', '.join(listed[:_LISTED])}{more}. Give more digits.")
    return next(iter(found), wanted)


def _list_keys(dataset: Dataset, within: pl.Expr) -> list[str]:
    manifest = dataset.find_manifest()
    if manifest is None:
        return []
    frame = scan_files([dataset.folder.join(commit.file) for commit in manifest.commits], dataset.table)
    keys = frame.select(dataset.table.key[0]).filter(within).unique().collect(engine="streaming")
    return keys.to_series().to_list()


def find_id(lake: Lake, row_id: str) -> Found:
    """Return the row that an id names, in the first table of the line that it is the key of.

    Raises:
        RowNotFound: there is none.
    """
    for table in PUBLISHED_TABLES:
        if len(table.key) == 1:
            found = find_rows(lake, table, pl.col(table.key[0]) == row_id, limit=1)
            if found:
                return found[0]
    known = ", ".join(list_dumps(lake)) or "none"
    raise RowNotFound(
        f"No published dataset in {lake.root} has a row {row_id!r} (dumps: {known}). Ids are the doc_id, pair_id, "
        f"instruction_id, … of a row, or the URL of a page or image.{_tell_removed(lake)}"
    )


def _tell_removed(lake: Lake) -> str:
    """Return which dumps were removed: whose rows are asked for in vain."""
    gone = [f"{removed.dump.name} {removed.tell_when()}" for removed in list_removed_dumps(lake)]
    if not gone:
        return ""
    return f" Rows of removed dumps are not known: {', '.join(gone)}. How to have one again: mmpipe crawl list"


def find_named(lake: Lake, name: str) -> list[Found]:
    """Return the row that an id names, or the refused candidates that their method calls so.

    Raises:
        RowNotFound: as `find_id`.
    """
    try:
        return [find_id(lake, name)]
    except RowNotFound:
        found = find_rows(lake, INSTRUCTION_CANDIDATES, pl.col("candidate") == name)
        if not found:
            raise
        return found


def find_url(lake: Lake, url: str) -> list[Found]:
    """Return the records of a URL in every dump, or else the image pairs of that image URL.

    Raises:
        RowNotFound: there are none.
    """
    found = find_rows(lake, RAW_CRAWL, pl.col("url") == url) or find_rows(
        lake, IMAGE_CANDIDATES, pl.col("image_url") == url
    )
    if not found:
        told = f"No record and no image pair of {url} in {lake.root}. The URL must be as in the crawl."
        raise RowNotFound(told + _tell_removed(lake))
    return found
