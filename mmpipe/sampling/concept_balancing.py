"""Chooses pairs by the visual concept of their picture: of a cluster of embeddings, a cap of pairs stays."""

from __future__ import annotations

import polars as pl

from mmpipe.sampling.capped_subjects import hash_links

#: Pairs of one concept where a recipe states none: as many as a cluster has on average, so that only larger ones are
#: cut. EMU (arXiv 2309.15807) balances by the concepts of a classifier and publishes no number.
CONCEPT_CAP = 1_000


def list_concept_links(labels: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """Return a row per pair with its cluster, for `rank_links` and `draw_by_ranks` of capped_subjects.

    A pair without a cluster (its picture has no embedding) has no row: it was not measured, and is not kept.

    Args:
        labels: `pair_id` and `cluster` (integer, null for none).
        seed: key of the hash.

    Returns:
        `pair_id`, `subject` (`concept 17`), `subject_hash`, `link_hash`.
    """
    return hash_links(labels.drop_nulls("cluster").select("pair_id", subject=pl.format("concept {}", "cluster")), seed)
