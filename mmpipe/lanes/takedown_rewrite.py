"""Takes rows out of what is published: tables row by row, each file with a true record; releases and reports whole."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.instruction_reviews import FOLDER as REVIEWS
from mmpipe.lanes.takedown_search import (
    has_content,
    is_unsure,
    list_datasets,
    list_keys,
    list_stored,
    match_links,
    read_files,
)
from mmpipe.storage.commits import write_commit, write_manifest
from mmpipe.storage.image_cache import ImageCache
from mmpipe.storage.lake import scan_files
from mmpipe.storage.places import Place
from mmpipe.storage.shards import ROW_GROUP_ROWS, digest_file
from mmpipe.storage.taken_counts import account_for_taken
from mmpipe.tables.images import IMAGE_CANDIDATES
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES
from mmpipe.tables.published import OVER_ALL_DUMPS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, TEXT_REMOVALS
from mmpipe.tables.takedowns import BLANKED, TAKEN_DOWN, blank
from mmpipe.tables.text import EXTRACTED_TEXT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mmpipe.storage.commits import Commit
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.tables.columns import Table

#: Tables of removals whose rows stay accounted for: the table that they are of, and its status.
_BY_STATUS = {
    TEXT_REMOVALS.name: (EXTRACTED_TEXT, "extraction_status"),
    INSTRUCTION_REMOVALS.name: (INSTRUCTION_CANDIDATES, "candidate_status"),
}
#: Pages with samples of rows, made anew with their table.
_PAGES = (".html", ".md")


@dataclass(frozen=True, slots=True)
class TouchedFile:
    """A file of the lake that was written anew, or is gone.

    Attributes:
        file: its path in the lake.
        digest_after: of its bytes now; None if it is gone.
        rows_taken: rows of it that went, or lost their content.
    """

    file: str
    digest_after: str | None
    rows_taken: int


def rewrite_tables(
    lake: Lake, ids: pl.Series, unsure: Mapping[str, Collection[str]], *, is_resumed: bool
) -> list[TouchedFile]:
    """Take the rows out of every table of a dump, file by file; whoever calls holds the datasets.

    A file is replaced whole, then its record, then the manifest. Cut off anywhere, the next call ends the same.

    Args:
        lake: where the datasets are.
        ids: of the rows that go.
        unsure: by dump, shards whose refused candidates lose their text (`takedown_search.find_unsure`).
        is_resumed: whether a call before this one was cut off, so that a file may not be what its record says.
    """
    touched = []
    for dataset in list_stored(lake):
        touched += _clear_unpublished(dataset, ids)
        if dataset.find_manifest() is not None:
            touched += _rewrite_dataset(lake, dataset, ids, unsure, is_resumed=is_resumed)
    return touched


def _rewrite_dataset(
    lake: Lake, dataset: Dataset, ids: pl.Series, unsure: Mapping[str, Collection[str]], *, is_resumed: bool
) -> list[TouchedFile]:
    manifest, recorded = dataset.find_manifest(), dataset.find_commits()
    assert manifest is not None
    touched, commits = [], []
    for published in manifest.commits:
        before = recorded.get(published.key, published)
        after, taken = _rewrite_part(lake, dataset, before, ids, unsure, is_resumed=is_resumed)
        commits.append(after)
        if after != before:
            touched.append(TouchedFile(_name(dataset, after.file), after.file_digest, taken))
    if tuple(commits) != manifest.commits:
        dataset.folder.join("manifest.json").write_text(write_manifest(replace(manifest, commits=tuple(commits))))
    return touched


def _rewrite_part(
    lake: Lake,
    dataset: Dataset,
    commit: Commit,
    ids: pl.Series,
    unsure: Mapping[str, Collection[str]],
    *,
    is_resumed: bool,
) -> tuple[Commit, int]:
    table, place = dataset.table, dataset.folder.join(commit.file)
    added = _list_taken(lake, dataset, commit, ids)
    links = scan_files([place], table)
    has = links.collect_schema().names()
    is_met = match_links(table, links.select([name for name in list_keys(table) if name in has]).collect(), ids).any()
    may_be_unsure = commit.shard in unsure.get(dataset.dump or "", ()) and table in (
        INSTRUCTION_CANDIDATES,
        INSTRUCTION_REMOVALS,
    )
    taken = 0
    if is_met or added or may_be_unsure:
        frame = scan_files([place], table).collect()
        kept = _take_out(table, frame, ids, added)
        if may_be_unsure:
            kept = _empty_unsure(table, kept)
        if not kept.equals(frame):
            taken = int((match_links(table, frame, ids) & has_content(table, frame)).sum())
            with place.replace_file() as path:
                kept.write_parquet(path, compression="zstd", row_group_size=ROW_GROUP_ROWS, statistics=True)
    elif not is_resumed:
        return commit, 0
    after = _record(dataset, commit)
    return after, taken


def _record(dataset: Dataset, commit: Commit) -> Commit:
    """Return the record of a file as it is now, written if it is another one."""
    place = dataset.folder.join(commit.file)
    if place.local_path is not None:
        digest, size = digest_file(place.local_path), place.size()
    else:
        import xxhash

        data = place.read_bytes()
        digest, size = xxhash.xxh3_128_hexdigest(data), len(data)
    if digest == commit.file_digest and size == commit.bytes:
        return commit
    frame = scan_files([place], dataset.table).collect()
    after = replace(account_for_taken(dataset.table, commit, frame), file_digest=digest, bytes=size)
    stem = commit.file.removeprefix("part-").removesuffix(".parquet")
    dataset.folder.join("commits", f"{stem}.json").write_text(write_commit(after))
    return after


def _take_out(table: Table, frame: pl.DataFrame, ids: pl.Series, added: Sequence[str]) -> pl.DataFrame:
    """Return the rows of a table without those that go, or with what accounts for them alone."""
    if table.name in BLANKED:
        is_own = frame.get_column(table.key[0]).is_in(ids.implode())
        return blank(table, frame, is_own & has_content(table, frame))
    kept = frame.filter(~match_links(table, frame, ids))
    if table.name not in _BY_STATUS:
        return kept
    told = {"rule": TAKEN_DOWN, "signal": _BY_STATUS[table.name][1], "value_text": TAKEN_DOWN}
    rows = [dict.fromkeys(frame.columns) | told | {table.key[0]: row_id} for row_id in added]
    return pl.concat([kept, pl.DataFrame(rows, schema=frame.schema)])


def _empty_unsure(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Return candidates, or their removals, without what quotes a candidate that names nothing it was made of."""
    if table is INSTRUCTION_REMOVALS:
        is_refused = (pl.col("signal") == "candidate_status") & pl.col("value_text").is_not_null()
        return frame.with_columns(value_text=pl.when(is_refused).then("rule").otherwise("value_text"))
    emptied = {"text": pl.lit(""), "details": pl.lit(None, dtype=pl.String)}
    return frame.with_columns(
        [pl.when(is_unsure()).then(value).otherwise(pl.col(name)).alias(name) for name, value in emptied.items()]
    )


def _list_taken(lake: Lake, dataset: Dataset, commit: Commit, ids: pl.Series) -> list[str]:
    """Return the rows that a file of removals has to tell of: those that go of the same shard of the table judged."""
    if dataset.table.name not in _BY_STATUS:
        return []
    judged, _ = _BY_STATUS[dataset.table.name]
    manifest = lake.dataset(judged, dataset.dump).find_manifest()
    files = [item.file for item in manifest.commits if item.shard == commit.shard] if manifest is not None else []
    rows = scan_files([lake.dataset(judged, dataset.dump).folder.join(file) for file in files], judged)
    keys = rows.select(judged.key[0]).collect().to_series()
    return keys.filter(keys.is_in(ids.implode())).to_list()


def _clear_unpublished(dataset: Dataset, ids: pl.Series) -> list[TouchedFile]:
    """Remove files that the manifest does not name and that hold a row that goes: of runs before, or cut off."""
    manifest = dataset.find_manifest()
    dataset.folder.remove_temporary_files()
    named = {commit.file for commit in manifest.commits} if manifest is not None else set()
    touched = []
    for path in list(dataset.folder.list_files()):
        if not path.startswith("part-") or path in named:
            continue
        rows = scan_files([dataset.folder.join(path)], dataset.table)
        has = rows.collect_schema().names()
        links = rows.select([name for name in list_keys(dataset.table) if name in has]).collect()
        met = int(match_links(dataset.table, links, ids).sum())
        if met:
            # the record first: without it nobody takes the file for made
            stem = path.removeprefix("part-").removesuffix(".parquet")
            dataset.folder.join("commits", f"{stem}.json").remove()
            dataset.folder.join(path).remove()
            touched.append(TouchedFile(_name(dataset, path), None, met))
    return touched


def withdraw_releases(lake: Lake, names: Collection[str]) -> list[TouchedFile]:
    """Remove datasets over all dumps whole, with what was rendered of them: readers are told to make them first."""
    touched = []
    for table in OVER_ALL_DUMPS:
        folder = lake.dataset(table).folder
        files = [path for path in folder.list_files() if not path.endswith(".lock")]
        if table.name not in names or not files:
            continue
        # readers trust the manifest alone
        folder.join("manifest.json").remove()
        for path in files:
            folder.join(path).remove()
            touched.append(TouchedFile(f"{table.name}/{path}", None, 0))
        folder.remove_empty_folders()
    return touched


def withdraw_pages(lake: Lake, dumps: Collection[str]) -> list[TouchedFile]:
    """Remove the reports of dumps: they show samples of rows, and are made anew with their table."""
    touched = []
    for dataset in list_datasets(lake):
        if dataset.dump not in dumps:
            continue
        for path in list(dataset.folder.list_files()):
            if path.endswith(_PAGES):
                dataset.folder.join(path).remove()
                touched.append(TouchedFile(_name(dataset, path), None, 0))
    return touched


def clear_reviews(lake: Lake, ids: pl.Series) -> list[TouchedFile]:
    """Remove what people said of rows that go: it may quote them."""
    touched = []
    folder = Place(lake.root).join(REVIEWS)
    for path in list(folder.list_files()):
        if not path.endswith(".parquet"):
            continue
        rows = pl.read_parquet(io.BytesIO(folder.join(path).read_bytes()))
        key = next((name for name in ("instruction_id", "item_id") if name in rows.columns), None)
        kept = rows if key is None else rows.filter(~pl.col(key).is_in(ids.implode()))
        if kept.height < rows.height:
            with folder.join(path).replace_file() as written:
                kept.write_parquet(written)
                digest = digest_file(written)
            touched.append(TouchedFile(f"{REVIEWS}/{path}", digest, rows.height - kept.height))
    return touched


def clear_pictures(cache_folder: str, pictures: Sequence[tuple[str, str]], still_used: Collection[str]) -> list[str]:
    """Remove fetched pictures from the cache and return their addresses; bytes that another pair has stay.

    Args:
        cache_folder: of the project.
        pictures: address and SHA-256 of each picture that goes.
        still_used: SHA-256 of pictures that stay.
    """
    cache = ImageCache(Place(cache_folder).join("images"))
    return [url for url, sha256 in pictures if cache.forget(url, None if sha256 in still_used else sha256)]


def list_fetched(lake: Lake, ids: pl.Series) -> tuple[list[tuple[str, str]], set[str]]:
    """Return address and SHA-256 of fetched pictures of pairs that go, and the SHA-256 of those that stay."""
    columns = [*list_keys(IMAGE_CANDIDATES), "image_url", "image_sha256"]
    rows = [frame for _, _, frame in read_files(lake, IMAGE_CANDIDATES, columns)]
    found = pl.concat([IMAGE_CANDIDATES.make_empty().select(columns), *rows])
    fetched = found.filter(pl.col("image_sha256").is_not_null())
    goes = match_links(IMAGE_CANDIDATES, fetched, ids)
    gone = fetched.filter(goes).select("image_url", "image_sha256").unique().sort("image_url", "image_sha256")
    return gone.rows(), set(fetched.filter(~goes).get_column("image_sha256"))


def _name(dataset: Dataset, path: str) -> str:
    part = "" if dataset.dump is None else f"dump={dataset.dump}/"
    return f"{dataset.table.name}/{part}{path}"
