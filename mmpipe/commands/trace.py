"""`mmpipe trace`: walks from a training row back to the crawl records it was made from, with file, offset and URL."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.commands.fates import shorten
from mmpipe.commands.file_rows import describe_file_row
from mmpipe.commands.lookup import Found, RowNotFound, complete_id, find_id, find_rows
from mmpipe.lanes.pretraining_sources import REPHRASED
from mmpipe.storage.dumps import find_removed_dump
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.published import PUBLISHED_TABLES
from mmpipe.tables.rephrased import REPHRASED_DOCUMENTS

if TYPE_CHECKING:
    from mmpipe.storage.lake import Lake

_BY_NAME = {table.name: table for table in PUBLISHED_TABLES}
#: Tables that tell of a kept pair, and rest on it.
_ABOUT_PAIRS = (GROUNDED_PAIRS.name, IMAGE_CAPTIONS.name)
#: Columns that say what a row was made by, worth showing on the way back.
_SHOWN = (
    "url", "page_url", "image_url", "warc_file", "warc_offset", "warc_length", "crawled_at", "method", "teacher",
    "prompt_version", "seed", "criterion", "score",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """One row and the rows it was made from."""

    asset: str
    id: str
    dump: str | None
    made_by: dict[str, Any]
    parents: tuple[Origin, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    def list_records(self) -> list[Origin]:
        """Return the crawl records at the end of the walk."""
        if self.asset == RAW_CRAWL.name:
            return [self]
        return [record for parent in self.parents for record in parent.list_records()]


def trace(lake: Lake, row_id: str, recipe: str | None = None) -> Origin:
    """Return a row with everything it was made from, down to records of the crawl or rows of a recipe's files.

    Args:
        lake: where the datasets are.
        row_id: of the row, or how its id begins.
        recipe: of now, which says where those files lie; None looks into none.

    Raises:
        RowNotFound: nothing published has it, several ids begin so, or a parent is gone (a dump that was materialized
            again).
    """
    return _walk(lake, find_id(lake, complete_id(lake, row_id)), recipe)


def _walk(lake: Lake, found: Found, recipe: str | None) -> Origin:
    shown = shorten({name: found.row[name] for name in _SHOWN if name in found.row})
    if found.row.get("list_file") and "position" in found.row:
        # a pair of a list rests on no record of the crawl but on a row
        shown |= {"list_file": found.row["list_file"], "list_row": found.row["position"]}
    parents = tuple(
        _walk(lake, _find_parent(lake, found, *parent), recipe)
        if parent[0] in _BY_NAME
        else _end(lake, found, *parent, recipe)
        for parent in list_parents(found)
    )
    return Origin(found.table.name, found.row[found.table.key[0]], found.dump, shown, parents)


def _end(lake: Lake, child: Found, name: str, row_id: str, recipe: str | None) -> Origin:
    """Return a row of a file that a recipe named: nothing published holds it, and the walk ends there."""
    dataset = lake.dataset(child.table, child.dump)
    told = describe_file_row(dataset, child.row.get("method"), row_id, recipe)
    return Origin(name, row_id, None, shorten(told), ())


def list_parents(found: Found) -> list[tuple[str, str]]:
    """Return the table and id of every row that a row was made from; none for a record of the crawl."""
    row = found.row
    if found.table.name == RAW_CRAWL.name:
        return []
    if "parents" in row:
        # a refused candidate has none
        return [(parent["table"], parent["id"]) for parent in row["parents"] or ()]
    if "doc_ids" in row:
        # what was rephrased stands in a source of its own
        origin = REPHRASED_DOCUMENTS if row["source"].endswith(f"/{REPHRASED}") else RAW_CRAWL
        return [(origin.name, doc_id) for doc_id in dict.fromkeys(row["doc_ids"])]
    for key, table, column in (
        ("judgement_id", "responses", "response_id"),
        ("response_id", "synthesized_instructions", "instruction_id"),
    ):
        if key in row:
            return [(table, row[column])]
    if found.table.name in _ABOUT_PAIRS:
        return [(FILTERED_IMAGE_PAIRS.name, row["pair_id"])]
    # a pair rests on its page and on the record of its image; one of a list of pairs has no page; all else, one record
    page = None if row.get("list_file") else row["doc_id"]
    records = [page, row.get("image_doc_id")]
    return [(RAW_CRAWL.name, doc_id) for doc_id in records if doc_id is not None]


def _find_parent(lake: Lake, child: Found, table_name: str, row_id: str) -> Found:
    import polars as pl

    table = _BY_NAME[table_name]
    found = find_rows(lake, table, pl.col(table.key[0]) == row_id, limit=1)
    if not found:
        dump = child.dump or child.row.get("dump")
        removed = find_removed_dump(lake, dump) if dump is not None else None
        gone = "" if removed is None else f": its dump {dump} was removed {removed.tell_when()}"
        return_ = "" if removed is None else f" {removed.tell_return()}"
        raise RowNotFound(
            f"{child.table.name} {child.row[child.table.key[0]]} was made from {table_name} {row_id}, which is not "
            f"there any more{gone}. Make {child.table.name} again, without it: mmpipe backfill {child.table.name}"
            f"{'' if child.dump is None else f' --partitions {child.dump}'}.{return_}"
        )
    return found[0]
