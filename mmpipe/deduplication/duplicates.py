"""Finds the duplicates of a dump, within it and in what earlier dumps published, and says which documents go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.bands import DEFAULT_HUBS, select_touching, stack_band_keys, stream_signed
from mmpipe.deduplication.clusters import find_clusters
from mmpipe.deduplication.exact import find_representatives
from mmpipe.deduplication.near_duplicates import NearDuplicates, find_near_duplicates
from mmpipe.deduplication.survivors import choose_survivors, rank_documents
from mmpipe.errors import SchemaError
from mmpipe.tables.removals import describe_removals
from mmpipe.tables.text import TEXT_DUPLICATES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.minhash import MinHashSettings
    from mmpipe.deduplication.verification import Texts

_REMOVALS = describe_removals("text_duplicates", "doc_id", "text_signatures")


def find_duplicates(
    current: pl.DataFrame | pl.LazyFrame,
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
        current: TEXT_SIGNATURES of this dump. Of a lazy frame only the columns beside `band_keys` are held.
        earlier: TEXT_SIGNATURES of the documents kept by earlier dumps, with `dump_sequence` (the dump's place in the
            order of dumps); None if there are none. A lazy frame is streamed.
        texts: where the texts of documents to compare come from, by id, in this dump and earlier ones.
        settings: those the signatures were made with; the limit may differ.
        hubs: how many documents of a bucket each other one is compared with (`bands.DEFAULT_HUBS`).
        scratch: a folder to lay band keys in instead of memory (3.6 KB per document at 450 bands, twice that with
            earlier dumps); the caller makes and removes it.

    Raises:
        SchemaError: signatures were made with other settings.
        InvariantBroken: a text is missing.
    """
    signatures = current.lazy()
    arriving = signatures.select(pl.exclude("band_keys")).collect()
    _refuse_other_settings(arriving, settings)
    keys, columns = stack_band_keys(
        stream_signed(signatures), settings.bands, _count_signed(arriving), _name_file(scratch, "band_keys")
    )
    if earlier is None:
        touching = signatures.limit(0).collect().with_columns(dump_sequence=pl.lit(0, dtype=pl.Int64))
    else:
        hashes = arriving.get_column("exact_hash")
        touching = select_touching(earlier.lazy(), keys, hashes, settings, _name_file(scratch, "sorted_band_keys"))
        _refuse_other_settings(touching, settings)
    touching_keys, touching_columns = stack_band_keys(
        stream_signed(touching.lazy()), settings.bands, _count_signed(touching)
    )
    columns = pl.concat([columns, touching_columns.with_columns(pl.col("column") + columns.height)])
    ranked = _rank_together(arriving, touching, columns)
    representatives = find_representatives(ranked).to_numpy()
    # of exact duplicates only the best is compared; the others share its fate
    is_representative = pl.Series(representatives == np.arange(ranked.height))
    is_compared = pl.col("column").is_not_null() & is_representative
    compared = (
        ranked.with_row_index("rank")
        .filter(is_compared)
        .select(pl.col("rank").cast(pl.Int64), pl.col("column").cast(pl.Int64), "doc_id", "is_published")
    )
    pairs = find_near_duplicates((keys, touching_keys), compared, texts, settings, hubs=hubs)
    return _describe_duplicates(ranked, representatives, pairs)


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


def _rank_together(arriving: pl.DataFrame, touching: pl.DataFrame, columns: pl.DataFrame) -> pl.DataFrame:
    """Return this dump's documents and the earlier ones that touch them, best first, with their `column` of keys."""
    published = touching.with_columns(pl.col("dump_sequence").cast(pl.Int64), is_published=pl.lit(value=True))
    # this dump comes after all earlier ones, and ranking puts nulls last
    now = arriving.with_columns(pl.lit(None, dtype=pl.Int64).alias("dump_sequence"), is_published=pl.lit(value=False))
    documents = pl.concat([published.select(now.columns), now])
    return rank_documents(documents.join(columns, on="doc_id", how="left"))


def _count_signed(signatures: pl.DataFrame) -> int:
    return int((signatures.get_column("shingle_count") > 0).sum())


def _name_file(scratch: Path | None, name: str) -> Path | None:
    return scratch / f"{name}.u64" if scratch is not None else None


def _refuse_other_settings(documents: pl.DataFrame, settings: MinHashSettings) -> None:
    others = documents.filter(pl.col("signature_settings") != settings.signature_digest)
    if others.height:
        raise SchemaError(
            f"text_signatures: {others.height} of {documents.height} rows (first {others.item(0, 'doc_id')}, dump "
            f"{others.item(0, 'dump')}) were signed with other MinHash settings than this recipe's, so that duplicates "
            f"would be missed. Materialize text_signatures of that dump again."
        )


def _describe_duplicates(
    ranked: pl.DataFrame, representatives: NDArray[np.int64], pairs: NearDuplicates
) -> pl.DataFrame:
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
