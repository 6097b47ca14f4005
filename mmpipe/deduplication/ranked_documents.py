"""Puts the documents of one search in their order of preference, those of earlier dumps among them."""

# ruff: noqa: S608 - queries are made of paths of our own and of quoted names

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.bands import mark_touched, read_ranges
from mmpipe.deduplication.external_sort import copy_query, quote_path, stream_rows, write_rows
from mmpipe.deduplication.pair_files import PairLog, cut_evenly
from mmpipe.deduplication.stored_ids import StoredIds
from mmpipe.deduplication.survivors import DOCUMENT_METHOD, METHODS
from mmpipe.errors import ConfigurationError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.duplicate_index import DuplicateIndex
    from mmpipe.deduplication.pair_files import Scratch
    from mmpipe.deduplication.survivors import KeepPolicy

#: Pairs of documents that any method found, by id; which of the two is better is decided by rank.
PAIR_SCHEMA = pl.Schema({"better": pl.String, "worse": pl.String, "similarity": pl.Float64, "method": pl.String})

# rows of which the arrays of one block are held
BLOCK_ROWS = 1 << 18
_HASH_BYTES = 160
_MOST_DOCUMENTS = 2**32


@dataclass(frozen=True, slots=True)
class RankedDocuments:
    """The documents of a search; their place in the order of preference (0 the best) is their number in all arrays.

    Attributes:
        indexes: of the earlier dumps in their order, then of the current one.
        nodes: for each index, by document number, the document's place plus one; 0 if it takes no part.
        ids: ids and dumps by place.
        groups: the best document with the same text up to case and white space.
        is_published: documents that stay whatever they are like.
        is_settled: documents that earlier searches compared with one another.
        file: Parquet of their rows, in this order.
    """

    indexes: Sequence[DuplicateIndex]
    nodes: Sequence[NDArray[np.int64]]
    ids: StoredIds
    groups: NDArray[np.int64]
    is_published: NDArray[np.bool_]
    is_settled: NDArray[np.bool_]
    file: Path

    @property
    def count(self) -> int:
        """Documents of the search."""
        return len(self.groups)


def rank_together(
    current: DuplicateIndex,
    earlier: Sequence[DuplicateIndex],
    removed: pl.LazyFrame | None,
    pairs: pl.LazyFrame | None,
    policy: KeepPolicy,
    scratch: Scratch,
    *,
    is_compared: bool,
) -> RankedDocuments:
    """Return the documents that a search must look at, best first.

    Those of the current dump all are. Of earlier dumps, the `stable` policy needs the published ones that share a key
    with the current dump or stand in `pairs`; the `canonical` one needs all, since what comes may give back what went.

    Args:
        current: index of the current dump.
        earlier: of the dumps before it, in their order.
        removed: `doc_id` of the documents of earlier dumps that are removed now.
        pairs: PAIR_SCHEMA; see above.
        policy: the order of preference.
        scratch: for 20 bytes per document of the search and 8 per document of the dumps, and the ids.
        is_compared: whether the kept documents of earlier dumps have been compared with one another.

    Raises:
        SchemaError: an index lacks a column of the policy, or there are 2^32 documents or more.
    """
    indexes = [*earlier, current]
    for index in indexes:
        missing = sorted(set(policy.columns) - set(index.rank_columns))
        if missing:
            raise SchemaError(
                f"Duplicate index {index.folder} has no column {missing[0]!r}, by which the keep policy ranks "
                f"documents. Build it again with that column, or leave it out of the policy."
            )
    parts = [_select_rows(index, source, current, pairs, policy, scratch) for source, index in enumerate(indexes)]
    gone = pl.LazyFrame(schema={"doc_id": pl.String}) if removed is None else removed.select("doc_id")
    is_stable = policy.across == "stable"
    query = (
        f"SELECT rows.*, source < {len(earlier)} AND gone.doc_id IS NOT NULL AS is_removed "
        f"FROM read_parquet([{', '.join(map(quote_path, parts))}]) AS rows LEFT JOIN "
        f"(SELECT DISTINCT doc_id FROM read_parquet({quote_path(write_rows(gone, scratch, 'removed'))})) AS gone "
        f"ON rows.doc_id = gone.doc_id "
        + (f"WHERE source = {len(earlier)} OR gone.doc_id IS NULL " if is_stable else "")
        + f"ORDER BY {policy.order_sql()}"
    )
    file = scratch.name_file("ranked.parquet")
    copy_query(scratch, query, file)
    count = pl.scan_parquet(file).select(pl.len()).collect().item()
    if count >= _MOST_DOCUMENTS:
        raise SchemaError(
            f"A search of {count} documents: a pair is told by one 64-bit code, enough for {_MOST_DOCUMENTS} of them. "
            f"Cut the dump into parts, or search it under the stable policy."
        )
    ids = StoredIds(stream_rows(pl.scan_parquet(file).select("doc_id", "dump"), scratch), count, scratch)
    nodes = [scratch.make_array("nodes.i64", index.rows, np.int64) for index in indexes]
    is_published, is_settled = (scratch.make_array("flags.bool", count, np.bool_) for _ in range(2))
    begin = 0
    for batch in stream_rows(pl.scan_parquet(file).select("source", "number", "is_removed"), scratch):
        sources, numbers, went = (batch.get_column(name).to_numpy() for name in ("source", "number", "is_removed"))
        places = np.arange(begin, begin + batch.height)
        for source, of_source in enumerate(nodes):
            mine = sources == source
            of_source[numbers[mine]] = places[mine] + 1
        is_published[places] = is_stable & (sources < len(earlier))
        is_settled[places] = (is_stable | is_compared) & (sources < len(earlier)) & ~went
        begin += batch.height
    groups = _group_texts(indexes, nodes, count, scratch)
    return RankedDocuments(indexes, nodes, ids, groups, is_published, is_settled, file)


def refuse_unknown_methods(pairs: pl.LazyFrame) -> None:
    """Raise ConfigurationError if pairs are of a method that is not one of `survivors.METHODS`."""
    methods = pairs.select(pl.col("method").unique()).collect().get_column("method").to_list()
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise ConfigurationError(f"Pairs of unknown method {unknown[0]!r}. Known methods: {', '.join(METHODS)}.")


def log_pairs(
    pairs: pl.LazyFrame, methods: Sequence[str], ranked: RankedDocuments, log: PairLog, scratch: Scratch
) -> None:
    """Append pairs of ids to the log, by place; a pair of a document that takes no part is left out.

    Args:
        pairs: PAIR_SCHEMA, in any order.
        methods: whose pairs to take.
        ranked: the documents.
        log: to append to.
        scratch: memory, and where to spill.
    """
    taken = pairs.select(PAIR_SCHEMA.names()).filter(pl.col("method").is_in(methods))
    ranks = f"read_parquet({quote_path(ranked.file)}, file_row_number = true)"
    of_place = f"(SELECT doc_id, file_row_number AS place FROM {ranks})"
    given = quote_path(write_rows(taken.cast(PAIR_SCHEMA), scratch, "pairs"))
    file = scratch.name_file("placed.parquet")
    copy_query(
        scratch,
        f"SELECT DISTINCT least(a.place, b.place) AS better, greatest(a.place, b.place) AS worse, similarity, method "
        f"FROM read_parquet({given}) AS given JOIN {of_place} AS a ON given.better = a.doc_id "
        f"JOIN {of_place} AS b ON given.worse = b.doc_id WHERE a.place <> b.place "
        f"ORDER BY better, worse, method, similarity",
        file,
    )
    for batch in stream_rows(pl.scan_parquet(file), scratch):
        for (method,), rows in sorted(batch.partition_by("method", as_dict=True, maintain_order=True).items()):
            ends = np.stack([rows.get_column(name).to_numpy() for name in ("better", "worse")])
            similarities = rows.get_column("similarity").to_numpy()
            if method != DOCUMENT_METHOD:
                # it holds of every copy of the text
                ends = np.sort(ranked.groups[ends], axis=0)
                is_other = ends[0] < ends[1]
                ends, similarities = ends[:, is_other], similarities[is_other]
            log.append(ends[0], ends[1], similarities, METHODS.index(str(method)))


def _select_rows(
    index: DuplicateIndex,
    source: int,
    current: DuplicateIndex,
    pairs: pl.LazyFrame | None,
    policy: KeepPolicy,
    scratch: Scratch,
) -> Path:
    """Write the documents of one dump that take part, with what ranks them."""
    is_current = index is current
    documents = (
        index.scan_documents()
        .select("doc_id", "dump", *policy.columns)
        .with_row_index("number")
        .with_columns(
            pl.col("number").cast(pl.Int64),
            source=pl.lit(source, dtype=pl.Int64),
            # the current dump comes after all earlier ones, and ranking puts nulls last
            dump_sequence=pl.lit(None if is_current else source, dtype=pl.Int64),
        )
    )
    if is_current or policy.across == "canonical":
        return write_rows(documents, scratch, "rows")
    touched = scratch.make_array("touched.bool", index.rows, np.bool_)
    mark_touched(index, current, touched, scratch)
    if pairs is not None:
        named = pl.concat([pairs.select(doc_id="better"), pairs.select(doc_id="worse")])
        listed = documents.select("doc_id", "number").join(named, on="doc_id", how="semi").select("number")
        for batch in listed.collect_batches(maintain_order=False):
            touched[batch.get_column("number").to_numpy()] = True
    files = [write_rows(documents.limit(0), scratch, "rows")]
    for batch in stream_rows(documents, scratch):
        begin = batch.item(0, "number")
        mask = pl.Series(touched[begin : begin + batch.height])
        if mask.any():
            files.append(write_rows(batch.filter(mask).lazy(), scratch, "rows"))
    return write_rows(pl.scan_parquet(files), scratch, "rows")


def _group_texts(
    indexes: Sequence[DuplicateIndex], nodes: Sequence[NDArray[np.int64]], count: int, scratch: Scratch
) -> NDArray[np.int64]:
    groups: NDArray[np.int64] = scratch.make_array("groups.i64", count, np.int64)
    for begin, end in cut_evenly(count, BLOCK_ROWS):
        groups[begin:end] = np.arange(begin, end)
    hashes = [index.open_exact() for index in indexes]
    for (high, low), found in read_ranges(hashes, nodes, scratch.memory_bytes, _HASH_BYTES):
        is_next = np.zeros(len(high) + 1, dtype=np.bool_)
        is_next[1:-1] = high[1:] == high[:-1]
        shared = np.flatnonzero(is_next[1:] | is_next[:-1])
        order = shared[np.lexsort((found[shared], low[shared], high[shared]))]
        is_first = np.ones(len(order), dtype=np.bool_)
        is_first[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
        best = found[order][np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
        groups[found[order]] = best
    return groups
