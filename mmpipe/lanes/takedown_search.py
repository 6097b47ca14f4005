"""Finds what a takedown means: the rows that are named, and all that was made of them, in every dump and lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.storage.dumps import list_dumps
from mmpipe.storage.lake import scan_files
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.published import OVER_ALL_DUMPS, PUBLISHED_TABLES
from mmpipe.tables.takedowns import BLANKED, MINTED, TAKEN_DOWN
from mmpipe.tables.text import DEDUPED_CORPUS, TEXT_DUPLICATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmpipe.storage.commits import Commit
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.places import Place
    from mmpipe.tables.columns import Table
    from mmpipe.tables.takedowns import Takedowns

#: Columns that name the row itself or a row that it is made of. Those of the row that stays for it (`kept_doc_id`, …)
#: are not among them: what repeats a page is another page.
_LINKS = (
    "doc_id", "image_doc_id", "pair_id", "caption_id", "rephrased_id", "instruction_id", "response_id", "judgement_id",
    "revision_id", "chosen_id", "rejected_id", "id", "parents", "images", "doc_ids",
)  # fmt: skip
#: Columns that hold URLs.
URL_COLUMNS = ("url", "page_url", "image_url", "source_urls")
_MINTED_TABLES = tuple(table for table in PUBLISHED_TABLES if table.name in MINTED)
#: Ids that are named as examples.
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class FoundShard:
    """The rows of one published file that go.

    Attributes:
        table: its table.
        dump: None for a dataset over all dumps.
        shard: id of the shard.
        file_digest: of the file before.
        rows: rows of it that go, or lose their content.
        examples: keys of a few.
    """

    table: str
    dump: str | None
    shard: str
    file_digest: str
    rows: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """What a takedown means.

    Attributes:
        ids: of every row that goes.
        minted: id, table and dump of each, as `storage.takedowns.ROWS_SCHEMA`.
        shards: published files that hold such a row's content.
        near: ids of pages and pairs that repeat one that goes, by table.
    """

    ids: pl.Series
    minted: pl.DataFrame
    shards: tuple[FoundShard, ...]
    near: dict[str, list[str]]


def list_datasets(lake: Lake) -> Iterator[Dataset]:
    """Yield every dataset that is published, in the order of the line."""
    for table in PUBLISHED_TABLES:
        for dump in [None] if table in OVER_ALL_DUMPS else list_dumps(lake):
            dataset = lake.dataset(table, dump)
            if dataset.find_manifest() is not None:
                yield dataset


def name_links(table: Table) -> list[str]:
    """Return the columns of a table that hold ids of the row, or of rows that it is made of."""
    # sft_dataset's images are bytes, and no ids
    kinds = (pl.String, pl.List(pl.String), pl.List(pl.Struct({"table": pl.String, "id": pl.String})))
    schema = table.schema
    return [name for name in _LINKS if schema.get(name) in kinds]


def match_links(table: Table, frame: pl.DataFrame, ids: pl.Series) -> pl.Series:
    """Return for each row whether it is one of the ids, or is made of one."""
    found = pl.repeat(value=False, n=frame.height, eager=True)
    wanted = ids.implode()
    for name in name_links(table):
        if name not in frame.columns:
            # a file that an earlier version made
            continue
        column = frame.get_column(name)
        if column.dtype == pl.String:
            found |= column.is_in(wanted).fill_null(value=False)
            continue
        flat = pl.DataFrame({"row": pl.Series(range(frame.height), dtype=pl.Int64), "id": column}).explode("id")
        if name == "parents":
            flat = flat.with_columns(pl.col("id").struct.field("id"))
        rows = flat.filter(pl.col("id").is_in(wanted)).get_column("row").unique()
        found |= pl.Series(range(frame.height), dtype=pl.Int64).is_in(rows.implode())
    return found


def search(lake: Lake, takedowns: Takedowns, known: pl.DataFrame | None = None) -> Search:
    """Return every row that a takedown means, however far from what is named.

    Args:
        lake: where the datasets are; nothing is changed.
        takedowns: what is named.
        known: rows that a search before this one found, as `Search.minted`: some of them may be gone by now.
    """
    seeds = find_seeds(lake, takedowns)
    minted = _follow(lake, seeds if known is None else pl.concat([known, seeds]).unique("id", maintain_order=True))
    ids = minted.get_column("id").sort()
    return Search(ids, minted.sort("table", "id"), tuple(find_shards(lake, ids)), find_near(lake, ids))


def find_seeds(lake: Lake, takedowns: Takedowns) -> pl.DataFrame:
    """Return the rows that are named themselves: id, table, dump."""
    rows: list[tuple[str, str, str | None]] = []
    for table in _MINTED_TABLES:
        columns = [*dict.fromkeys([table.key[0], *(["doc_id"] if "doc_id" in table.schema else []),
                                   *MINTED[table.name]])]  # fmt: skip
        for dataset, _, frame in read_stored(lake, table, columns):
            named = frame.filter(takedowns.match_rows(table, frame)).get_column(table.key[0])
            rows += ((row_id, table.name, dataset.dump) for row_id in named)
    return _frame_ids(rows)


def _frame_ids(rows: Iterable[tuple[str, str, str | None]]) -> pl.DataFrame:
    schema = {"id": pl.String, "table": pl.String, "dump": pl.String}
    return pl.DataFrame(list(rows), schema=schema, orient="row").unique("id", maintain_order=True)


def _follow(lake: Lake, seeds: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with everything below them: rounds over the tables that bring ids, until no id is new."""
    known = seeds
    while True:
        before = known.height
        for table in _MINTED_TABLES[1:]:
            for dataset, _, frame in read_stored(lake, table, list_keys(table)):
                below = frame.filter(match_links(table, frame, known.get_column("id"))).get_column(table.key[0])
                fresh = below.filter(~below.is_in(known.get_column("id").implode()))
                if len(fresh):
                    known = pl.concat([known, _frame_ids((row_id, table.name, dataset.dump) for row_id in fresh)])
        if known.height == before:
            return known


def find_near(lake: Lake, ids: pl.Series) -> dict[str, list[str]]:
    """Return the ids of rows that repeat one that goes and do not go themselves, by the table that says so."""
    near = {}
    for table in (TEXT_DUPLICATES, IMAGE_DUPLICATES):
        key = table.key[0]
        columns = [key, "cluster_id", f"kept_{key}"]
        rows = pl.concat(
            [table.make_empty().select(columns), *(frame for _, _, frame in read_files(lake, table, columns))]
        )
        wanted = ids.implode()
        is_taken = pl.any_horizontal(pl.col(key).is_in(wanted), pl.col(f"kept_{key}").is_in(wanted))
        # clusters are named alike in every dump that has a part of them
        clusters = rows.filter(is_taken).select("cluster_id").unique()
        alike = rows.join(clusters, on="cluster_id", how="semi")
        both = pl.concat([alike.get_column(key), alike.get_column(f"kept_{key}").drop_nulls()]).unique()
        near[table.name] = both.filter(~both.is_in(wanted)).sort().to_list()
    return near


def find_shards(lake: Lake, ids: pl.Series) -> Iterator[FoundShard]:
    """Yield the published files that hold content of a row that goes."""
    for dataset in list_datasets(lake):
        table = dataset.table
        for _, commit, links in read_files(lake, table, list_keys(table), dataset.dump):
            if not match_links(table, links, ids).any():
                continue
            frame = scan_files([dataset.folder.join(commit.file)], table).collect()
            found = frame.filter(match_links(table, frame, ids) & has_content(table, frame))
            if found.height:
                keys = found.get_column(table.key[0]).unique(maintain_order=True).head(_EXAMPLES).to_list()
                yield FoundShard(table.name, dataset.dump, commit.shard, commit.file_digest, found.height, tuple(keys))


def list_keys(table: Table) -> list[str]:
    """Return the columns by which the rows of a table are found: its first key and its links."""
    return [*dict.fromkeys([table.key[0], *name_links(table)])]


def has_content(table: Table, frame: pl.DataFrame) -> pl.Series:
    """Return for each row whether it says more than that it was taken down, or left without any value."""
    if "rule" in table.schema:
        return frame.get_column("rule") != TAKEN_DOWN
    if table.name not in BLANKED:
        return pl.repeat(value=True, n=frame.height, eager=True)
    status, kept = BLANKED[table.name]
    if status is not None:
        return frame.get_column(status) != TAKEN_DOWN
    values = [pl.col(name).is_not_null() for name in frame.columns if name not in kept]
    return frame.select(pl.any_horizontal(values)).to_series()


def find_releases(lake: Lake, takedowns: Takedowns, ids: pl.Series) -> tuple[str, ...]:
    """Return the datasets over all dumps with a file that holds a row that goes, or tells of one that they leave out.

    Files that are not published count too: a run that was cut off leaves some, in `release/` too. What is named itself
    is looked for beside the rows found, as a dump that was removed has rows in no other table.
    """
    named = pl.concat([ids, pl.Series(sorted(takedowns.ids), dtype=pl.String)]).unique()
    met = set()
    for table in OVER_ALL_DUMPS:
        folder = lake.dataset(table).folder
        for path in list(folder.list_files()):
            if table.name in met or not path.endswith(".parquet"):
                continue
            frame = _read_columns(folder.join(path), table, [*list_keys(table), *URL_COLUMNS])
            # files for trainers may have a column of that name and another kind
            frame = frame.select(name for name, dtype in frame.schema.items() if dtype == table.schema.get(name))
            if match_links(table, frame, named).any() or match_url_columns(frame, takedowns).any():
                met.add(table.name)
    return tuple(sorted(met))


def match_url_columns(frame: pl.DataFrame, takedowns: Takedowns) -> pl.Series:
    """Return for each row whether one of its URLs is named, or lies below a named domain."""
    found = pl.repeat(value=False, n=frame.height, eager=True)
    for name in URL_COLUMNS:
        if name not in frame.columns:
            continue
        column = frame.get_column(name)
        if column.dtype == pl.String:
            found |= takedowns.match_urls(column)
        else:
            flat = pl.DataFrame({"row": pl.Series(range(frame.height), dtype=pl.Int64), "url": column}).explode("url")
            rows = flat.filter(takedowns.match_urls(flat.get_column("url"))).get_column("row").unique()
            found |= pl.Series(range(frame.height), dtype=pl.Int64).is_in(rows.implode())
    return found


def find_unsure(lake: Lake, ids: pl.Series) -> dict[str, dict[str, int]]:
    """Return by dump and shard how many refused candidates may be made of a row that goes: nothing says of what.

    A method names no parents of what it refuses. What it accepted of the same shard tells which tables it read; where
    one of those loses a row of the dump, or nothing was accepted, what it refused goes too.
    """
    unsure: dict[str, dict[str, int]] = {}
    for dump in list_dumps(lake):
        losing = {
            name
            for table in _MADE_FROM
            if any(
                frame.to_series().is_in(ids.implode()).any()
                for _, _, frame in read_files(lake, table, [table.key[0]], dump)
            )
            for name in _NAMED_AS.get(table.name, (table.name,))
        }
        columns = ["instruction_id", "candidate_status", "parents", "text", "details"]
        for _, commit, frame in read_files(lake, INSTRUCTION_CANDIDATES, columns, dump) if losing else ():
            parents = frame.get_column("parents").drop_nulls().explode().drop_nulls()
            read = set(parents.struct.field("table")) if len(parents) else losing
            rows = frame.filter(is_unsure()).height if read & losing else 0
            if rows:
                unsure.setdefault(dump, {})[commit.shard] = rows
    return unsure


_MADE_FROM = (DEDUPED_CORPUS, FILTERED_IMAGE_PAIRS, INSTRUCTION_CANDIDATES)
#: What parents call a table, where that is not its name.
_NAMED_AS = {INSTRUCTION_CANDIDATES.name: (INSTRUCTION_CANDIDATES.name, SYNTHESIZED_INSTRUCTIONS.name)}


def is_unsure() -> pl.Expr:
    """Return the expression that says of a candidate whether it has text and names nothing that it was made of."""
    has_text = (pl.col("text") != "") | pl.col("details").is_not_null()
    return ~pl.col("candidate_status").is_in(["ok", TAKEN_DOWN]) & pl.col("parents").is_null() & has_text


def list_stored(lake: Lake) -> Iterator[Dataset]:
    """Yield every dataset of a dump that has files, published or not: a run that was cut off goes on from them."""
    for table in PUBLISHED_TABLES:
        for dump in [] if table in OVER_ALL_DUMPS else list_dumps(lake):
            dataset = lake.dataset(table, dump)
            if dataset.folder.exists():
                yield dataset


def read_stored(lake: Lake, table: Table, columns: list[str]) -> Iterator[tuple[Dataset, str, pl.DataFrame]]:
    """Yield some columns of every file of a table of a dump, with its name, also of files that are not published."""
    for dump in list_dumps(lake):
        dataset = lake.dataset(table, dump)
        for path in list(dataset.folder.list_files()):
            if path.startswith("part-") and path.endswith(".parquet"):
                yield dataset, path, _read_columns(dataset.folder.join(path), table, columns)


def _read_columns(place: Place, table: Table, columns: list[str]) -> pl.DataFrame:
    rows = scan_files([place], table)
    has = rows.collect_schema().names()
    return rows.select([column for column in columns if column in has]).collect()


def read_files(
    lake: Lake, table: Table, columns: list[str], dump: str | None = None
) -> Iterator[tuple[Dataset, Commit, pl.DataFrame]]:
    """Yield some columns of every published file of a table, of one dump or of all; what one version lacks is left."""
    dumps = [dump] if dump is not None else [None] if table in OVER_ALL_DUMPS else list_dumps(lake)
    for name in dumps:
        dataset = lake.dataset(table, name)
        manifest = dataset.find_manifest()
        for commit in manifest.commits if manifest is not None else ():
            yield dataset, commit, _read_columns(dataset.folder.join(commit.file), table, columns)
