"""Writes what a search for duplicates found: a row per duplicate, per cluster and per pair."""

# ruff: noqa: S608 - queries are made of paths of our own and of quoted names

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.clusters import measure_diameters
from mmpipe.deduplication.external_sort import copy_query, quote_path, write_rows
from mmpipe.deduplication.pair_files import cut_evenly, list_neighbours
from mmpipe.deduplication.ranked_documents import BLOCK_ROWS, PAIR_SCHEMA
from mmpipe.deduplication.survivors import DOCUMENT_METHOD, METHODS
from mmpipe.tables.text import TEXT_DUPLICATES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.pair_files import Neighbours, PairLog, Scratch
    from mmpipe.deduplication.ranked_documents import RankedDocuments
    from mmpipe.deduplication.survivors import KeepPolicy, Survivors

#: One row per connected component of two documents or more. The diameter counts distinct texts (1: all texts are
#: pairs or a chain of two); where it was not measured exactly it lies between `diameter` and `diameter_at_most`.
CLUSTER_SCHEMA = pl.Schema(
    {
        "cluster_id": pl.String,
        "documents": pl.Int64,
        "kept_documents": pl.Int64,
        "diameter": pl.Int64,
        "diameter_at_most": pl.Int64,
    }
)

#: One row per document of a cluster of two or more: TEXT_DUPLICATES without what holds of the cluster.
DUPLICATE_SCHEMA = pl.Schema(
    {
        name: TEXT_DUPLICATES.schema[name]
        for name in ("doc_id", "dump", "cluster_id", "kept_doc_id", "kept_dump", "method", "similarity")
    }
)

_EXACT, _NO_METHOD = METHODS.index("exact"), 255


def write_tables(
    folder: Path,
    ranked: RankedDocuments,
    survivors: Survivors,
    neighbours: Neighbours,
    labels: NDArray[np.int64],
    log: PairLog,
    policy: KeepPolicy,
    scratch: Scratch,
) -> None:
    """Write `duplicates.parquet`, `clusters.parquet` and `pairs.parquet`, each in the order of its ids.

    Args:
        folder: to write to.
        ranked: the documents.
        survivors: who stays.
        neighbours: rows of all pairs.
        labels: (documents,) the best document of each one's cluster.
        log: all pairs.
        policy: what a cluster is.
        scratch: memory and where to spill.
    """
    sizes = _count_members(labels, scratch)
    members = _quote_parts(_write_members(ranked, survivors, neighbours, labels, sizes, scratch))
    columns = ", ".join(DUPLICATE_SCHEMA.names())
    copy_query(
        scratch,
        f"SELECT {columns} FROM (SELECT *, min(doc_id) OVER (PARTITION BY cluster) AS cluster_id FROM {members}) "
        f"WHERE NOT is_published ORDER BY doc_id",
        folder / "duplicates.parquet",
    )
    diameters = _quote_parts(_write_diameters(ranked, neighbours, labels, sizes, log, policy, scratch))
    copy_query(
        scratch,
        f"SELECT min(doc_id) AS cluster_id, count(*) AS documents, sum(is_kept::BIGINT)::BIGINT AS kept_documents, "
        f"min(diameter) AS diameter, min(diameter_at_most) AS diameter_at_most "
        f"FROM {members} AS members JOIN {diameters} AS diameters ON members.cluster = diameters.cluster "
        f"GROUP BY members.cluster ORDER BY cluster_id",
        folder / "clusters.parquet",
    )
    pairs = _quote_parts(_write_pairs(ranked, log, scratch))
    columns = ", ".join(PAIR_SCHEMA.names())
    copy_query(scratch, f"SELECT DISTINCT {columns} FROM {pairs} ORDER BY {columns}", folder / "pairs.parquet")


def _count_members(labels: NDArray[np.int64], scratch: Scratch) -> NDArray[np.int64]:
    sizes: NDArray[np.int64] = scratch.make_array("sizes.i64", len(labels), np.int64)
    for begin, end in cut_evenly(len(labels), BLOCK_ROWS):
        np.add.at(sizes, labels[begin:end], 1)
    return sizes


def _write_members(
    ranked: RankedDocuments,
    survivors: Survivors,
    neighbours: Neighbours,
    labels: NDArray[np.int64],
    sizes: NDArray[np.int64],
    scratch: Scratch,
) -> list[Path]:
    copies = _count_members(ranked.groups, scratch)
    names = pl.Series([*METHODS])
    files = []
    for begin, end in _cut_blocks(ranked.count):
        places = begin + np.flatnonzero(sizes[labels[begin:end]] > 1)
        keepers, methods = survivors.keepers[places], survivors.methods[places]
        is_kept = keepers == places
        # what ties a document that stays to its cluster: the first method by which anything is like it
        tied = _find_first_methods(neighbours, begin, end)[places - begin]
        tied = np.where(copies[ranked.groups[places]] > 1, np.minimum(tied, _EXACT), tied)
        rows = pl.LazyFrame(
            {
                "doc_id": ranked.ids.gather(places),
                "dump": ranked.ids.gather_dumps(places),
                "kept_doc_id": ranked.ids.gather(keepers),
                "kept_dump": ranked.ids.gather_dumps(keepers),
                "method": names.gather(np.where(is_kept, tied, methods)),
                "similarity": survivors.similarities[places],
                "cluster": labels[places],
                "is_kept": is_kept,
                "is_published": ranked.is_published[places],
            }
        )
        files.append(write_rows(rows, scratch, "members"))
    return files


def _find_first_methods(neighbours: Neighbours, begin: int, end: int) -> NDArray[np.uint8]:
    """Return the smallest method code in each row of neighbours; 255 for an empty row."""
    starts = neighbours.starts[begin : end + 1]
    first = np.full(end - begin, _NO_METHOD, dtype=np.uint8)
    filled = np.flatnonzero(np.diff(starts))
    if len(filled):
        first[filled] = np.minimum.reduceat(neighbours.methods[starts[0] : starts[-1]], starts[filled] - starts[0])
    return first


def _write_diameters(
    ranked: RankedDocuments,
    neighbours: Neighbours,
    labels: NDArray[np.int64],
    sizes: NDArray[np.int64],
    log: PairLog,
    policy: KeepPolicy,
    scratch: Scratch,
) -> list[Path]:
    texts: NDArray[np.int64] = scratch.make_array("texts.i64", ranked.count, np.int64)
    for begin, end in cut_evenly(ranked.count, BLOCK_ROWS):
        places = np.arange(begin, end)
        np.add.at(texts, labels[begin:end][ranked.groups[begin:end] == places], 1)
    if METHODS.index(DOCUMENT_METHOD) in log.methods:
        neighbours = list_neighbours(log, ranked.count, scratch, groups=ranked.groups)
    files = []
    for begin, end in _cut_blocks(ranked.count):
        roots = begin + np.flatnonzero((labels[begin:end] == np.arange(begin, end)) & (sizes[begin:end] > 1))
        if policy.clusters == "stars":
            least = most = np.clip(texts[roots] - 1, 0, 2)
        else:
            least, most = measure_diameters(roots, neighbours, ranked.groups, scratch)
        rows = pl.LazyFrame({"cluster": roots, "diameter": least, "diameter_at_most": most})
        files.append(write_rows(rows.cast(pl.Int64), scratch, "diameters"))
    return files


def _write_pairs(ranked: RankedDocuments, log: PairLog, scratch: Scratch) -> list[Path]:
    files = [write_rows(pl.LazyFrame(schema=PAIR_SCHEMA), scratch, "pairs")]
    ids, names = ranked.ids, pl.Series([*METHODS])
    for block in log.read_blocks():
        rows = pl.LazyFrame(
            {
                "better": ids.gather(np.ascontiguousarray(block["better"])),
                "worse": ids.gather(np.ascontiguousarray(block["worse"])),
                "similarity": np.ascontiguousarray(block["similarity"]),
                "method": names.gather(block["method"]),
            }
        )
        files.append(write_rows(rows, scratch, "pairs"))
    return files


def _cut_blocks(count: int) -> list[tuple[int, int]]:
    # no documents are one block, too: the files then have a schema
    return cut_evenly(count, BLOCK_ROWS) or [(0, 0)]


def _quote_parts(files: list[Path]) -> str:
    return f"read_parquet([{', '.join(map(quote_path, files))}])"
