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
    frames = []
    for dump in dumps:
        for table, address, day in _PAGES:
            dataset = run.lake.dataset(table, dump)
            if dataset.find_manifest() is not None:
                days = pl.col(day) if day else pl.lit(None, dtype=pl.String)
                rows = dataset.scan().select(pl.col(address).alias("url"), days.alias("date"), row=table.key[0])
                own = named.filter(pl.col("table") == table.name).lazy()
                frames.append(rows.join(own, on="row", how="semi").select("url", "date").collect(engine="streaming"))
    pages = pl.concat([pl.DataFrame(schema={"url": pl.String, "date": pl.String}), *frames]).drop_nulls("url")
    if pages.is_empty():
        return []
    hosts = pages.unique("url").select(host=pl.col("url").str.extract(r"^[a-z]+://(?:[^/@]*@)?([^/:?#]+)"))
    counted = hosts.drop_nulls().group_by("host").len().sort(["len", "host"], descending=[True, False])
    first = ", ".join(f"{host} ({count:,})" for host, count in counted.head(_NAMED_HOSTS).iter_rows())
    dates = sorted(pages.get_column("date").drop_nulls().str.head(10).to_list())
    told = f"Pages: {hosts.height:,} of {counted.height:,} hosts"
    told += f", dated {dates[0]} to {dates[-1]} where they state a day" if dates else ""
    which = "the hosts with most" if counted.height > _NAMED_HOSTS else "the hosts"
    return [f"{told}; {which}: {first}" if first else told]


def _list_named(run: StageRun) -> pl.DataFrame:
    """Return `table` and `row` of what the released rows were made from."""
    rows = run.read(run.stage.table).scan()
    if "doc_ids" in run.stage.table.schema:
        named = rows.select(row=pl.col("doc_ids").explode(), table=pl.lit(DEDUPED_CORPUS.name))
    else:
        parent = pl.col("parents").explode().struct
        named = rows.select(row=parent.field("id"), table=parent.field("table"))
    return named.drop_nulls().unique().collect(engine="streaming")
