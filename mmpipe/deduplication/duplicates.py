"""Finds the duplicates of a dump, within it and in what earlier dumps published, and says which documents go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.bands import DEFAULT_HUBS, find_candidates, select_touching, stack_band_keys
from mmpipe.deduplication.clusters import find_clusters
from mmpipe.deduplication.exact import find_representatives
from mmpipe.deduplication.survivors import choose_survivors, rank_documents
from mmpipe.deduplication.verification import Texts, measure_similarities
from mmpipe.errors import SchemaError
from mmpipe.tables.removals import describe_removals
from mmpipe.tables.text import TEXT_DUPLICATES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.minhash import MinHashSettings

_REMOVALS = describe_removals("text_duplicates", "doc_id", "text_signatures")


def find_duplicates(
    current: pl.DataFrame,
    earlier: pl.DataFrame | pl.LazyFrame | None,
    texts: Texts,
    settings: MinHashSettings,
    *,
    hubs: int = DEFAULT_HUBS,
    scratch: Path | None = None,
) -> pl.DataFrame:
    """Return TEXT_DUPLICATES: a row for every document of this dump in a cluster of two or more.

    Documents of earlier dumps are published and stay; they appear only as `kept_doc_id` and in `cluster_id`. A row
    whose `kept_doc_id` is its own id is a document that stays. A cluster (connected component) may keep several
    documents, where its ends are less alike than the limit: every removed document is as like its own kept document
    as the settings ask (see `survivors.choose_survivors`).

    The result depends on the documents alone, not on their order or on how they were sharded.

    Args:
        current: TEXT_SIGNATURES of this dump.
        earlier: TEXT_SIGNATURES of the documents kept by earlier dumps, with `dump_sequence` (the dump's place in the
            order of dumps); None if there are none. A lazy frame is streamed.
        texts: where the texts of documents to compare come from, by id, in this dump and earlier ones.
        settings: those the signatures were made with; the limit may differ.
        hubs: how many documents of a bucket each other one is compared with (`bands.DEFAULT_HUBS`).
        scratch: a file to lay the band keys in instead of memory; the caller removes it.

    Raises:
        SchemaError: signatures were made with other settings.
        InvariantBroken: a text is missing.
    """
    ranked = _rank_with_earlier(current, earlier, settings)
    has_words = (ranked.get_column("shingle_count") > 0).to_numpy()
    is_published = ranked.get_column("is_published").to_numpy()
    representatives = find_representatives(ranked).to_numpy()
    # of exact duplicates only the best is compared; what is published is always compared
    is_compared = has_words & (is_published | (representatives == np.arange(ranked.height)))
    keys = stack_band_keys(ranked.select("band_keys").filter(pl.Series(is_compared)), settings.bands, scratch)
    search = _Search(keys, np.flatnonzero(is_compared), is_published, ranked.get_column("doc_id"), texts, settings)
    return _describe_duplicates(ranked, representatives, search.find_pairs(hubs))


def removals_of(duplicates: pl.DataFrame, settings: MinHashSettings) -> pl.DataFrame:
    """Return the removals that TEXT_DUPLICATES asks for, in the columns of every table of removals.

    Rules: `exact_duplicate` and `near_duplicate`, both on the signal `similarity`; `value_text` is the document kept.

    Args:
        duplicates: what `find_duplicates` returned.
        settings: the settings it was given; `high` of a near-duplicate is their limit.
    """
    is_exact = pl.col("method") == "exact"
    near_limit = pl.lit(settings.verify_jaccard, dtype=pl.Float64)
    return _REMOVALS.conform(
        duplicates.filter(pl.col("doc_id") != pl.col("kept_doc_id")).select(
            "doc_id",
            pl.when(is_exact).then(pl.lit("exact_duplicate")).otherwise(pl.lit("near_duplicate")).alias("rule"),
            pl.lit("similarity").alias("signal"),
            pl.col("similarity").alias("value"),
            pl.col("kept_doc_id").alias("value_text"),
            pl.lit(None, dtype=pl.Float64).alias("low"),
            pl.when(is_exact).then(pl.lit(1.0)).otherwise(near_limit).alias("high"),
            pl.lit(None, dtype=pl.List(pl.String)).alias("allowed"),
        )
    )


def _rank_with_earlier(
    current: pl.DataFrame, earlier: pl.DataFrame | pl.LazyFrame | None, settings: MinHashSettings
) -> pl.DataFrame:
    """Return this dump's signatures and the earlier ones that touch them, best document first."""
    this_dump = current.with_columns(
        pl.lit(None, dtype=pl.Int64).alias("dump_sequence"), is_published=pl.lit(value=False)
    )
    if earlier is None:
        documents = this_dump
    else:
        touching = select_touching(earlier.lazy(), current, settings)
        documents = pl.concat(
            [
                touching.with_columns(pl.col("dump_sequence").cast(pl.Int64), is_published=pl.lit(value=True)).select(
                    this_dump.columns
                ),
                this_dump,
            ]
        )
    _refuse_other_settings(documents, settings)
    return rank_documents(documents)


def _refuse_other_settings(documents: pl.DataFrame, settings: MinHashSettings) -> None:
    others = documents.filter(pl.col("signature_settings") != settings.signature_digest)
    if others.height:
        raise SchemaError(
            f"text_signatures: {others.height} of {documents.height} rows (first {others.item(0, 'doc_id')}, dump "
            f"{others.item(0, 'dump')}) were signed with other MinHash settings than this recipe's, so that duplicates "
            f"would be missed. Materialize text_signatures of that dump again."
        )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Near-duplicate pairs of documents by rank, with their similarity."""

    better: NDArray[np.int64]
    worse: NDArray[np.int64]
    similarities: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for near-duplicate pairs among the compared documents; `keys` has a column for each of them."""

    keys: NDArray[np.uint64]
    compared: NDArray[np.int64]
    is_published: NDArray[np.bool_]
    doc_ids: pl.Series
    texts: Texts
    settings: MinHashSettings

    def find_pairs(self, hubs: int) -> _Pairs:
        """Return all near-duplicate pairs that candidates and verification give.

        Where a bucket was too large to pair all of it, the search is made again among the documents that stay, until
        it gives no new pair: documents that were compared only with hubs that went are then compared with others.
        """
        count = self.doc_ids.len()
        searched = np.arange(len(self.compared))
        known = np.empty(0, dtype=np.uint64)
        found = _Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
        while True:
            better, worse, is_cut = find_candidates(self.keys, searched, self.is_published[self.compared], hubs=hubs)
            codes = better.astype(np.uint64) * np.uint64(len(self.compared)) + worse.astype(np.uint64)
            is_new = ~np.isin(codes, known)
            found = self._verify(found, self.compared[better[is_new]], self.compared[worse[is_new]])
            if not (is_cut and is_new.any()):
                return found
            known = np.union1d(known, codes)
            keepers, _ = choose_survivors(count, found.better, found.worse, found.similarities)
            searched = np.flatnonzero(keepers[self.compared] == self.compared)

    def _verify(self, found: _Pairs, better: NDArray[np.int64], worse: NDArray[np.int64]) -> _Pairs:
        similarities = measure_similarities(self.doc_ids, better, worse, self.texts, self.settings.shingle_words)
        limit = self.settings.verify_jaccard
        is_near = similarities >= limit if limit is not None else np.ones(len(similarities), dtype=np.bool_)
        return _Pairs(
            np.concatenate([found.better, better[is_near]]),
            np.concatenate([found.worse, worse[is_near]]),
            np.concatenate([found.similarities, similarities[is_near]]),
        )


def _describe_duplicates(ranked: pl.DataFrame, representatives: NDArray[np.int64], pairs: _Pairs) -> pl.DataFrame:
    every = np.arange(ranked.height)
    keepers, similarities = choose_survivors(ranked.height, pairs.better, pairs.worse, pairs.similarities)
    # an exact duplicate shares the fate of its representative, and has its shingles
    keepers, similarities = keepers[representatives], similarities[representatives]
    clusters = find_clusters(
        ranked.height, np.concatenate([pairs.better, every]), np.concatenate([pairs.worse, representatives])
    )
    doc_ids, dumps = ranked.get_column("doc_id"), ranked.get_column("dump")
    has_exact_twin = pl.len().over(pl.Series(representatives)) > 1
    described = ranked.select(
        "doc_id",
        "dump",
        "is_published",
        pl.Series("cluster", clusters),
        doc_ids.gather(keepers).alias("kept_doc_id"),
        dumps.gather(keepers).alias("kept_dump"),
        pl.Series("is_kept", keepers == every),
        pl.Series("is_exact", representatives == representatives[keepers]),
        has_exact_twin.alias("has_exact_twin"),
        pl.Series("similarity", similarities),
    )
    is_exact = pl.when("is_kept").then("has_exact_twin").otherwise("is_exact")
    return TEXT_DUPLICATES.conform(
        described.with_columns(
            pl.col("doc_id").min().over("cluster").alias("cluster_id"),
            pl.len().over("cluster").alias("cluster_size"),
            pl.when(is_exact).then(pl.lit("exact")).otherwise(pl.lit("minhash")).alias("method"),
        )
        .filter((pl.col("cluster_size") > 1) & ~pl.col("is_published"))
        .select(TEXT_DUPLICATES.column_names)
        .sort("doc_id")
    )
