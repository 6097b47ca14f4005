"""Holds documents against evaluation items: which spans of a document an item also has, and which documents go."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.contamination_index import ContaminationIndex, build_word_table, join_codes
from mmpipe.tables.removals import describe_removals
from mmpipe.tables.text import TEXT_CONTAMINATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


_REMOVALS = describe_removals("text_contamination", "doc_id", "filtered_text")

#: Characters of text that are held against the index at a time: some 20 bytes each.
_BATCH_CHARACTERS = 4_000_000


def find_contamination(documents: pl.DataFrame, index: ContaminationIndex) -> pl.DataFrame:
    """Return TEXT_CONTAMINATION: every maximal span whose words are n-grams of an evaluation item, one row per item.

    Words are compared one by one behind the hashes, so that no hit is chance. The result depends neither on the order
    of the documents nor on how they are cut into shards.

    Args:
        documents: `doc_id`, `dump`, `text`; texts may be null.
        index: the evaluation items.
    """
    parts = [TEXT_CONTAMINATION.make_empty()]
    documents = documents.select("doc_id", "dump", "text").filter(pl.col("text").is_not_null())
    for batch in _cut(documents):
        texts = batch.get_column("text").to_list()
        hits = _find_hits(texts, index)
        if len(hits):
            parts.append(_describe(batch, texts, _spread(hits, index), index))
    return TEXT_CONTAMINATION.conform(pl.concat(parts).sort(TEXT_CONTAMINATION.key))


def removals_of_contamination(contamination: pl.DataFrame, *, remove: bool) -> pl.DataFrame:
    """Return the removals that TEXT_CONTAMINATION asks for, in the columns of every table of removals.

    Rules: `contamination_{set}` on the signal `item_ratio`; `value` is the largest of the document's items of that set,
    `value_text` that item, and `high` 0: one shared n-gram is enough.

    Args:
        contamination: what `find_contamination` returned.
        remove: the recipe's `contamination.remove`; False removes nothing.
    """
    hits = contamination if remove else contamination.clear()
    worst = hits.sort(["item_ratio", "item"], descending=[True, False]).group_by("doc_id", "evaluation_set").first()
    return _REMOVALS.conform(
        worst.select(
            "doc_id",
            pl.format("contamination_{}", "evaluation_set").alias("rule"),
            pl.lit("item_ratio").alias("signal"),
            pl.col("item_ratio").alias("value"),
            pl.col("item").alias("value_text"),
            pl.lit(None, dtype=pl.Float64).alias("low"),
            pl.lit(0.0).alias("high"),
            pl.lit(None, dtype=pl.List(pl.String)).alias("allowed"),
        ).sort("doc_id", "rule")
    )


def _cut(documents: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the documents in batches of bounded text; a longer document is a batch."""
    if documents.is_empty():
        return
    batch = documents.get_column("text").str.len_bytes().cast(pl.Int64).cum_sum() // _BATCH_CHARACTERS
    edges = [0, *(batch.rle_id().diff() > 0).fill_null(value=False).arg_true().to_list(), documents.height]
    for begin, end in pairwise(edges):
        yield documents[begin:end]


def _find_hits(texts: list[str], index: ContaminationIndex) -> NDArray[np.int64]:
    """Return (hits, 6): document, first word, n-gram (short ones behind all others), first character, end, words."""
    from mmpipe.deduplication import contamination_index
    from mmpipe.deduplication.contamination_kernels import find_hits

    codes, offsets = join_codes(texts)
    kinds = (index.full, index.ngram_words), (index.short, index.least_words)
    words = index.characters, index.word_start
    return find_hits(codes, offsets, build_word_table(), kinds, contamination_index.HASH_MASK, *words)


def _spread(hits: NDArray[np.int64], index: ContaminationIndex) -> pl.DataFrame:
    """Return a row per hit and item that holds the n-gram, sorted by document, item and word."""
    full, short = index.full, index.short
    starts = np.concatenate([full.posting_start[:-1], short.posting_start[:-1] + len(full.postings)])
    counts = np.concatenate([np.diff(full.posting_start), np.diff(short.posting_start)])[hits[:, 2]]
    postings = np.concatenate([full.postings, short.postings])
    row = np.repeat(np.arange(len(hits)), counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = dict(zip(("document", "word", "gram", "start", "end", "words"), hits[row].T, strict=True))
    return pl.DataFrame({**columns, "row_item": postings[starts[hits[row, 2]] + within]}).sort(
        "document", "row_item", "word", "words"
    )


def _describe(batch: pl.DataFrame, texts: list[str], hits: pl.DataFrame, index: ContaminationIndex) -> pl.DataFrame:
    from mmpipe.deduplication.contamination_kernels import merge_hits

    words = hits.get_column("word").to_numpy()
    spans = merge_hits(
        hits.get_column("document").to_numpy(),
        hits.get_column("row_item").to_numpy(),
        words,
        words + hits.get_column("words").to_numpy(),
    )
    shared = hits.group_by("document", "row_item").agg(pl.col("gram").n_unique().alias("shared"))
    merged = (
        hits.with_columns(span=pl.Series(spans))
        .group_by("span")
        .agg(pl.col("document", "row_item").first(), pl.col("start").min(), pl.col("end").max())
        .join(shared, on=["document", "row_item"])
        .sort("span")
    )
    of = merged.get_column("document").to_list()
    items = index.items[merged.get_column("row_item").to_list()]
    edges = merged.select("start", "end").iter_rows()
    matched = [texts[document][start:end] for document, (start, end) in zip(of, edges, strict=True)]
    return pl.DataFrame(
        {
            "doc_id": batch.get_column("doc_id")[of],
            "dump": batch.get_column("dump")[of],
            "evaluation_set": items.get_column("evaluation_set"),
            "item": items.get_column("item"),
            "start": merged.get_column("start"),
            "end": merged.get_column("end"),
            "matched_text": pl.Series(matched, dtype=pl.String),
            "item_ratio": merged.get_column("shared").cast(pl.Float64) / items.get_column("ngrams"),
        }
    )
