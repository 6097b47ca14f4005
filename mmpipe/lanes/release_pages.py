"""Counts for a card the pages that released rows were made from: how many, of which hosts, and of what days."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.lanes.stage import StageRun

#: Hosts that are named; the others are counted.
_NAMED_HOSTS = 5
#: Tables whose rows are pages, or stand on one: column of the address, and of the day that the page states.
_PAGES = ((DEDUPED_CORPUS, "url", "date"), (FILTERED_IMAGE_PAIRS, "page_url", None))


def tell_pages(run: StageRun, dumps: Sequence[str]) -> list[str]:
    """Return a sentence on the pages that the rows name as parents or documents; nothing where they name none.

    Args:
        run: of the release.
        dumps: whose rows it has.
    """
    named = _list_named(run)
    # of a web of pages only hashes are held; a page has one host, so what is counted by host adds up
    frames = [pl.LazyFrame(schema={"page": pl.UInt64, "host": pl.String, "date": pl.String})]
    for dump in dumps:
        for table, address, day in _PAGES:
            dataset = run.lake.dataset(table, dump)
            if dataset.find_manifest() is not None:
                own = named.filter(pl.col("table") == table.name).lazy()
                rows = dataset.scan().with_columns(row=pl.col(table.key[0]).hash()).join(own, on="row", how="semi")
                frames.append(
                    rows.filter(pl.col(address).is_not_null()).select(
                        page=pl.col(address).hash(),
                        host=pl.col(address).str.extract(r"^[a-z]+://(?:[^/@]*@)?([^/:?#]+)"),
                        date=pl.col(day).str.head(10) if day else pl.lit(None, dtype=pl.String),
                    )
                )
    told = pl.concat(frames).group_by("host")
    counted = told.agg(pages=pl.col("page").n_unique(), first=pl.col("date").min(), last=pl.col("date").max()).collect(
        engine="streaming"
    )
    if counted.is_empty():
        return []
    hosts = counted.drop_nulls("host").sort(["pages", "host"], descending=[True, False])
    most = ", ".join(f"{host} ({pages:,})" for host, pages in hosts.head(_NAMED_HOSTS).select("host", "pages").rows())
    first, last = counted.select(pl.col("first").min(), pl.col("last").max()).row(0)
    line = f"Pages: {counted['pages'].sum():,} of {hosts.height:,} hosts"
    if first is not None:
        line += f", dated {first} to {last} where they state a day"
    which = "the hosts with most" if hosts.height > _NAMED_HOSTS else "the hosts"
    return [f"{line}; {which}: {most}" if most else line]


def _list_named(run: StageRun) -> pl.DataFrame:
    """Return `table` and `row`, a hash of its id, of what the released rows were made from."""
    rows = run.read(run.stage.table).scan()
    if "doc_ids" in run.stage.table.schema:
        named = rows.select(row=pl.col("doc_ids").explode(), table=pl.lit(DEDUPED_CORPUS.name))
    else:
        parent = pl.col("parents").explode().struct
        named = rows.select(row=parent.field("id"), table=parent.field("table"))
    return named.drop_nulls().with_columns(pl.col("row").hash()).unique().collect(engine="streaming")
