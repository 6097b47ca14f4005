"""Takes rows down: finds them, puts them on the lake's list, removes them and what was made of them, and proves it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.takedown_proof import cut_slices, prove
from mmpipe.lanes.takedown_report import name_next, write_page
from mmpipe.lanes.takedown_rewrite import (
    clear_pictures,
    clear_reviews,
    list_fetched,
    rewrite_tables,
    withdraw_pages,
    withdraw_releases,
)
from mmpipe.lanes.takedown_search import Search, find_releases, find_unsure, list_datasets, list_stored, search
from mmpipe.storage.dumps import list_dumps, read_dump
from mmpipe.storage.lake import scan_files
from mmpipe.storage.takedowns import add_takedowns, list_open, name_record
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.published import OVER_ALL_DUMPS
from mmpipe.tables.takedowns import Entry, Takedowns, make_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.storage.lake import Lake
    from mmpipe.storage.takedowns import Record


@dataclass(frozen=True, slots=True)
class Plan:
    """What a takedown means, before anything is changed.

    Attributes:
        entries: what is named; with those that were named for them (duplicates, the URL of a picture).
        search: rows and files.
        unsure: by dump and shard, refused candidates that lose their text: they name nothing they were made of.
        records: crawl records that still hold the bytes.
        fetched: address and SHA-256 of pictures in the cache.
        still_used: SHA-256 of fetched pictures that stay.
        releases: datasets over all dumps that are withdrawn.
    """

    entries: tuple[Entry, ...]
    search: Search
    unsure: dict[str, dict[str, int]]
    records: pl.DataFrame
    fetched: list[tuple[str, str]]
    still_used: set[str]
    releases: tuple[str, ...]

    @property
    def dumps(self) -> list[str]:
        """Dumps that lose rows, by name."""
        return sorted({shard.dump for shard in self.search.shards if shard.dump is not None})

    @property
    def unsure_rows(self) -> int:
        """Refused candidates that lose their text."""
        return sum(rows for shards in self.unsure.values() for rows in shards.values())


def plan_takedown(lake: Lake, entries: Sequence[Entry], *, with_duplicates: bool = False) -> Plan:
    """Return what a takedown means; nothing is changed.

    Args:
        lake: where the datasets are.
        entries: what is named, at least one.
        with_duplicates: whether pages and pairs that repeat one that goes are named as well.
    """
    named = [*entries, *_name_pictures(lake, entries)]
    found = search(lake, Takedowns(tuple(named)))
    near = [row_id for ids in found.near.values() for row_id in ids]
    if with_duplicates and near:
        first = entries[0]
        reason = f"repeats what was taken down{f': {first.reason}' if first.reason else ''}"
        named += [Entry("id", row_id, row_id, first.date, reason) for row_id in near]
        found = search(lake, Takedowns(tuple(named)))
    fetched, still_used = list_fetched(lake, found.ids)
    return Plan(
        tuple(named),
        found,
        find_unsure(lake, found.ids),
        find_records(lake, found.ids),
        fetched,
        still_used,
        find_releases(lake, Takedowns(tuple(named)), found.ids),
    )


def _name_pictures(lake: Lake, entries: Sequence[Entry]) -> list[Entry]:
    """Return an entry for the URL of every picture that is named by the id of its record: pairs name it by URL."""
    ids = pl.Series([entry.value for entry in entries if entry.kind == "id"], dtype=pl.String)
    rows = find_records(lake, ids).filter(pl.col("kind") == "image")
    urls = rows.get_column("url").drop_nulls().unique().sort()
    return [make_entry("url", url, entries[0].date, entries[0].reason) for url in urls if "://" in url]


def find_records(lake: Lake, ids: pl.Series) -> pl.DataFrame:
    """Return where the crawl still holds the bytes: dump, doc_id, url, kind, file, offset and length of each record."""
    columns = ("dump", "doc_id", "url", "kind", "warc_file", "warc_offset", "warc_length")
    found = [RAW_CRAWL.make_empty().select(columns)]
    for dump in list_dumps(lake):
        dataset = lake.dataset(RAW_CRAWL, dump)
        manifest = dataset.find_manifest()
        files = [dataset.folder.join(commit.file) for commit in manifest.commits] if manifest is not None else []
        rows = scan_files(files, RAW_CRAWL).select(columns).filter(pl.col("doc_id").is_in(ids.implode()))
        found.append(rows.collect())
    return pl.concat(found)


def take_down(lake: Lake, plan: Plan, cache_folder: str) -> dict[str, Any]:
    """Carry a plan out, and return its report.

    The plan is written first, then the list that every run obeys; then files change. Cut off at any moment,
    `finish_open` ends it in the same state.

    Raises:
        DatasetNotReady: a run is writing one of the datasets; nothing was changed.
    """
    with _hold(lake):
        record = name_record(lake, plan.entries)
        record.begin(_write_plan(lake, plan), plan.search.minted, cut_slices(lake, plan.search.ids))
        return _carry_out(lake, record, cache_folder, is_resumed=False)


def finish_open(lake: Lake, cache_folder: str) -> list[dict[str, Any]]:
    """End the takedowns that were cut off, and return their reports.

    Raises:
        DatasetNotReady: a run is writing one of the datasets; nothing was changed.
    """
    if not list_open(lake):
        return []
    with _hold(lake):
        return [_carry_out(lake, record, cache_folder, is_resumed=True) for record in list_open(lake)]


def _hold(lake: Lake) -> ExitStack:
    held = ExitStack()
    try:
        for dataset in (*list_stored(lake), *(lake.dataset(table) for table in OVER_ALL_DUMPS)):
            held.enter_context(dataset.lock(patience_seconds=0))
    except BaseException:
        held.close()
        raise
    return held


def _write_plan(lake: Lake, plan: Plan) -> dict[str, Any]:
    digests: dict[str, str] = {}
    for dataset in list_datasets(lake):
        manifest = dataset.find_manifest()
        if dataset.dump in plan.dumps and manifest is not None:
            prefix = f"{dataset.table.name}/dump={dataset.dump}/"
            digests |= {f"{prefix}{commit.file}": commit.file_digest for commit in manifest.commits}
    first = plan.entries[0]
    return {
        "date": first.date,
        "reason": first.reason,
        "entries": [asdict(entry) for entry in plan.entries],
        "rows_named": plan.search.minted.height,
        "found": [asdict(shard) for shard in plan.search.shards],
        "refused_candidates_without_parents": plan.unsure,
        "releases": list(plan.releases),
        "dumps": plan.dumps,
        "digests_before": digests,
        "near_duplicates": plan.search.near,
        "records": plan.records.to_dicts(),
        "crawl_folders": {dump: read_dump(lake, dump).root for dump in plan.records["dump"].unique().sort()},
        "fetched_pictures": [list(picture) for picture in plan.fetched],
        "pictures_still_used": sorted({sha for _, sha in plan.fetched} & plan.still_used),
    }


def _carry_out(lake: Lake, record: Record, cache_folder: str, *, is_resumed: bool) -> dict[str, Any]:
    plan = record.read_plan()
    takedowns = Takedowns(tuple(Entry(**entry) for entry in plan["entries"]))
    # first of all: a run that begins after a kill publishes nothing of it again
    add_takedowns(lake, takedowns.entries)
    if is_resumed:
        # and one that went on from files that still had it, made more of it
        again = search(lake, takedowns, record.read_rows())
        record.add_rows(again.minted)
        plan["releases"] = sorted({*plan["releases"], *find_releases(lake, takedowns, again.ids)})
        plan["dumps"] = sorted({*plan["dumps"], *(shard.dump for shard in again.shards if shard.dump is not None)})
    ids = record.read_rows().get_column("id")
    # what trainers read without asking anybody goes first
    withdraw_releases(lake, plan["releases"])
    withdraw_pages(lake, plan["dumps"])
    rewrite_tables(lake, ids, plan["refused_candidates_without_parents"], is_resumed=is_resumed)
    clear_reviews(lake, ids)
    clear_pictures(cache_folder, [(url, sha) for url, sha in plan["fetched_pictures"]], plan["pictures_still_used"])
    proof = prove(lake, takedowns, ids, record.read_slices())
    report = plan | {
        "takedown": record.name,
        "files": _compare(lake, plan),
        "proof": proof.to_json(),
        "next": name_next(plan["dumps"], plan["releases"]),
    }
    report.pop("digests_before")
    record.end(report, write_page(report, proof))
    return report


def _compare(lake: Lake, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every file that is another one now, with both digests and the rows of it that went."""
    rows = {(shard["table"], shard["dump"], shard["shard"]): shard["rows"] for shard in plan["found"]}
    now = {}
    for dataset in list_datasets(lake):
        manifest = dataset.find_manifest()
        for commit in manifest.commits if manifest is not None else ():
            path = f"{dataset.table.name}/dump={dataset.dump}/{commit.file}"
            now[path] = (commit.file_digest, rows.get((dataset.table.name, dataset.dump, commit.shard), 0))
    return [
        {"file": path, "digest_before": digest, "digest_after": now[path][0], "rows": now[path][1]}
        for path, digest in plan["digests_before"].items()
        if path in now and now[path][0] != digest
    ]
