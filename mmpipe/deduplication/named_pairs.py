"""Names the documents of pairs that were found by rank, so that pairs of several methods can be brought together."""

from __future__ import annotations

import polars as pl

from mmpipe.errors import InvariantBroken

#: Pairs as clustering takes them: `url`, `simhash` and `semantic` are methods; which of two is better it decides.
NAMED_PAIRS = pl.Schema({"better": pl.String, "worse": pl.String, "similarity": pl.Float64, "method": pl.String})


def name_pairs(pairs: pl.DataFrame, documents: pl.DataFrame | pl.LazyFrame, method: str) -> pl.DataFrame:
    """Return NAMED_PAIRS of pairs by rank, in their order.

    Args:
        pairs: `better`, `worse` (ranks), `similarity`: of `find_simhash_pairs` or `find_semantic_pairs`.
        documents: `rank` and `doc_id`; only those of pairs are read.
        method: how the pairs were found.

    Raises:
        InvariantBroken: a rank is no document's, or more than one's.
    """
    ranks = pl.concat([pairs.get_column("better"), pairs.get_column("worse").alias("better")]).unique().alias("rank")
    rows = documents.lazy().select(pl.col("rank").cast(pl.Int64), "doc_id")
    names = rows.join(ranks.to_frame().lazy(), on="rank", how="semi").collect(engine="streaming")
    if names.height != len(ranks) or names.get_column("rank").n_unique() != len(ranks):
        raise InvariantBroken(
            f"Pairs by {method} name {len(ranks)} ranks, of which documents have {names.get_column('rank').n_unique()} "
            f"in {names.height} rows. Give the documents that the pairs were found among, each with a rank of its own."
        )
    named = pairs
    for column in ("better", "worse"):
        ids = names.select(pl.col("rank").alias(column), pl.col("doc_id").alias(f"{column}_id"))
        named = named.join(ids, on=column, how="left", maintain_order="left")
    return named.select(better="better_id", worse="worse_id", similarity="similarity", method=pl.lit(method))


def name_url_pairs(duplicates: pl.DataFrame) -> pl.DataFrame:
    """Return NAMED_PAIRS of what `find_url_duplicates` returned."""
    return duplicates.select(
        better="kept_doc_id", worse="doc_id", similarity=pl.lit(1.0, dtype=pl.Float64), method=pl.lit("url")
    )
