"""Makes lakes for the lanes that follow the kept pairs: pages in a WARC file, every described picture kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.demo.warc_writer import HttpReply, WarcWriter
from mmpipe.extraction.decoding import decode_page
from mmpipe.extraction.images import find_image_candidates
from mmpipe.lanes.pages import index_crawl, open_crawl
from mmpipe.lanes.stage import Stage, StageRun, fingerprint_inputs, follow_shards
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.storage.warc import read_payloads
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import make_id
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_SIGNALS
from mmpipe_tests.lanes.running import add_dump, run_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.tables.columns import Table

DUMP = "pages"

_ORDINARY: dict[Any, Any] = {pl.String: "word", pl.Int64: 400, pl.Float64: 0.5, pl.Boolean: True, pl.Binary: b""}


def write_pages(path: Path, pages: Mapping[str, str]) -> None:
    """Write a WARC file of pages by URL."""
    with WarcWriter(path) as writer:
        for url, html in pages.items():
            writer.write_response(HttpReply(url, datetime(2026, 5, 1, tzinfo=UTC), html.encode()))


def fill(table: Table, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of a table; columns that are not given are null, or an ordinary value where that may not be."""
    frame = pl.DataFrame(rows, schema_overrides=dict(table.schema)) if rows else table.make_empty()
    missing = [column for column in table.columns if column.name not in frame.columns]
    values = [
        pl.lit(None if column.nullable else _ORDINARY[column.dtype], column.dtype).alias(column.name)
        for column in missing
    ]
    return table.conform(frame.with_columns(values).select(table.column_names))


def make_lake(
    folder: Path,
    warc: Path,
    *,
    embed: Callable[[str], bytes] | None = None,
    clip_weights: str | None = None,
    range_bytes: int = 64 * 2**20,
) -> Lake:
    """Return a lake whose filtered_image_pairs are all described pictures of a WARC file's pages.

    Args:
        folder: of the lake.
        warc: the file.
        embed: embedding of a picture by its URL, for image_signals.
        clip_weights: digest of what embeds.
        range_bytes: of a shard.
    """
    from mmpipe.lanes.stage import Knobs

    lake = Lake(str(folder))
    add_dump(lake, DUMP, warc.parent, [warc])

    def keep_all(run: StageRun) -> Production:
        crawl = run.read(RAW_CRAWL)
        work = [ShardWork(item.shard, item.inputs, (*item.arguments, warc.parent)) for item in follow_shards(crawl)]
        return run.write(work, pairs_shard, inputs=fingerprint_inputs(crawl))

    def measure_all(run: StageRun) -> Production:
        pairs = run.read(FILTERED_IMAGE_PAIRS)
        work = [
            ShardWork(item.shard, item.inputs, (*item.arguments, embed, clip_weights)) for item in follow_shards(pairs)
        ]
        return run.write(work, signals_shard, inputs=fingerprint_inputs(pairs), is_in_process=True)

    stages = (
        Stage(RAW_CRAWL, (), index_crawl),
        Stage(FILTERED_IMAGE_PAIRS, (RAW_CRAWL,), keep_all),
        Stage(IMAGE_SIGNALS, (FILTERED_IMAGE_PAIRS,), measure_all),
    )
    run_stages(lake, DUMP, stages, knobs=Knobs(range_bytes=range_bytes))
    return lake


def pairs_shard(crawl: Dataset, shard: str, root: Path) -> ShardResult:
    """Keep every described picture of one shard's pages."""
    index = crawl.read_shard(shard).filter((pl.col("kind") == "html") & (pl.col("record_status") == "ok"))
    urls = dict(index.select("doc_id", "url").iter_rows())
    rows = [
        {
            "pair_id": make_id("pair", doc_id, image.image_url, image.position),
            "doc_id": doc_id,
            "dump": DUMP,
            "page_url": urls[doc_id],
            "image_url": image.image_url,
            "position": image.position,
            "caption": image.caption,
            "alt": image.alt,
            "image_sha256": make_id(image.image_url) * 2,
            "image_format": "jpeg",
        }
        for doc_id, payload in read_payloads(open_crawl(str(root), ""), index, 20_000_000)
        for image in find_image_candidates(decode_page(payload.body, payload.charset).text, urls[doc_id])
    ]
    return ShardResult(fill(FILTERED_IMAGE_PAIRS, rows), index.height, accounts_for_rows=False)


def signals_shard(
    pairs: Dataset, shard: str, embed: Callable[[str], bytes] | None, clip_weights: str | None
) -> ShardResult:
    """Give every pair of one shard its embedding."""
    rows = [
        {
            "pair_id": pair_id,
            "decode_status": "ok",
            "image_embedding": embed(url) if embed else None,
            "clip_weights": clip_weights,
        }
        for pair_id, url in pairs.read_shard(shard).select("pair_id", "image_url").iter_rows()
    ]
    return ShardResult(fill(IMAGE_SIGNALS, rows), len(rows))
