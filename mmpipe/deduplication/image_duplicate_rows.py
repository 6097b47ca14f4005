"""Tells what a search for duplicate pictures decided: rows of image_duplicates, and the removals they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.image_search import NORMALIZED_CAPTION
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATE_METHODS, IMAGE_DUPLICATES
from mmpipe.tables.removals import IMAGE_REMOVALS

if TYPE_CHECKING:
    from mmpipe.deduplication.image_search import ImageSearch
    from mmpipe.deduplication.star_kernels import Stars


def describe_stars(pairs: pl.DataFrame, stars: Stars, search: ImageSearch) -> pl.DataFrame:
    """Return IMAGE_DUPLICATES of this dump's pairs in clusters of two or more."""
    words = pairs.select(pair_id="pair_id", dump="dump", caption=NORMALIZED_CAPTION)
    kept = words[stars.keepers].rename({"pair_id": "kept_pair_id", "dump": "kept_dump", "caption": "kept_caption"})
    names = pl.Series([*IMAGE_DUPLICATE_METHODS[:4], None], dtype=pl.String)
    similarity_limit = None if search.embedding_similarity is None else float(search.embedding_similarity)
    distance_limit = None if search.phash_distance is None else float(search.phash_distance)
    found = {
        "keeper": stars.keepers,
        "method": names[np.minimum(stars.methods, 4).astype(np.int64)],
        "distance": stars.bits,
        "similarity": stars.similarities,
        "is_published": pairs.get_column("dump_sequence").is_not_null(),
    }
    return (
        pl.concat([words, kept, pl.DataFrame(found)], how="horizontal")
        .with_columns(
            cluster_id=pl.col("pair_id").min().over("keeper"),
            cluster_pairs=pl.len().over("keeper").cast(pl.Int64),
            distance=pl.when(pl.col("distance") >= 0).then("distance"),
            similarity=pl.when(pl.col("similarity") >= -1).then("similarity"),
            near_limit=pl.when(pl.col("method") == "embedding")
            .then(pl.lit(similarity_limit, dtype=pl.Float64))
            .when(pl.col("method").is_not_null())
            .then(pl.lit(distance_limit, dtype=pl.Float64)),
            is_same_caption=pl.col("caption") == pl.col("kept_caption"),
            evaluation_hash=pl.lit(None, dtype=pl.String),
            is_kept=pl.col("pair_id") == pl.col("kept_pair_id"),
        )
        .filter((pl.col("cluster_pairs") > 1) & ~pl.col("is_published"))
        .select(IMAGE_DUPLICATES.column_names)
    )


def describe_hits(hits: pl.DataFrame, pairs: pl.DataFrame, search: ImageSearch) -> pl.DataFrame:
    """Return IMAGE_DUPLICATES of pairs of evaluation images."""
    nothing = {name: pl.lit(None, dtype=dtype) for name, dtype in IMAGE_DUPLICATES.schema.items()}
    told = {
        "method": pl.lit("evaluation_set"),
        "near_limit": pl.when(pl.col("distance").is_not_null()).then(float(search.evaluation_distance)),
        "cluster_pairs": pl.lit(1, dtype=pl.Int64),
        "is_kept": pl.lit(value=False),
    }
    own = {name: pl.col(name) for name in ("pair_id", "dump", "distance", "evaluation_hash")}
    return hits.join(pairs.select("pair_id", "dump"), on="pair_id").select(
        **{name: (nothing | told | own)[name] for name in IMAGE_DUPLICATES.column_names}
    )


def cite_duplicates(duplicates: pl.DataFrame) -> pl.DataFrame:
    """Return the removals that IMAGE_DUPLICATES asks for: columns of IMAGE_REMOVALS, sorted by pair_id.

    COYO-700M removes pairs with an equal (phash, text) and, by phash, images of evaluation sets; SemDeDup (Abbas et al.
    2023, arXiv 2303.09540) removes near embeddings; removals by a near hash, or whatever the captions, are our own.
    `low` is the fewest bits at which two pictures are two, `high` the cosine from which they are one. `value_text` is
    the pair kept, or the hash of the evaluation image.
    """
    is_coyos = (pl.col("method") == "phash") & (pl.col("distance") == 0) & pl.col("is_same_caption")
    is_by_embedding = pl.col("method") == "embedding"
    is_by_file = (pl.col("method") == "evaluation_set") & pl.col("distance").is_null()
    return IMAGE_REMOVALS.conform(
        duplicates.filter(~pl.col("is_kept"))
        .select(
            "pair_id",
            rule=pl.when(pl.col("method") == "evaluation_set")
            .then(pl.lit("coyo_evaluation_image"))
            .when(is_by_embedding)
            .then(pl.lit("semdedup_embedding"))
            .when(is_coyos)
            .then(pl.lit("coyo_duplicate_pair"))
            .otherwise(pl.lit("mmpipe_near_duplicate_image")),
            signal=pl.when(is_by_file)
            .then(pl.lit("image_sha256"))
            .when(is_by_embedding)
            .then(pl.lit("embedding_similarity"))
            .otherwise(pl.lit("phash_distance")),
            value=pl.when(is_by_embedding).then("similarity").otherwise(pl.col("distance").cast(pl.Float64)),
            value_text=pl.coalesce("evaluation_hash", "kept_pair_id"),
            low=pl.when(~is_by_embedding & ~is_by_file).then(pl.col("near_limit") + 1),
            high=pl.when(is_by_embedding).then("near_limit"),
            allowed=pl.lit(None, dtype=pl.List(pl.String)),
        )
        .sort("pair_id")
    )
