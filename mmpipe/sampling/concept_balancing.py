"""Chooses pairs by the visual concept of their picture: of a cluster of embeddings, a cap of pairs stays."""

from __future__ import annotations

import polars as pl

from mmpipe.sampling.capped_subjects import draw_by_ranks, hash_links, rank_links

#: Pairs per concept where a recipe states none: LLaVA's cap. EMU (arXiv 2309.15807) balances by concepts of a
#: classifier and publishes no number.
CONCEPT_CAP = 100


def draw_by_concepts(pairs: pl.DataFrame, labels: pl.DataFrame, *, cap: int, seed: int) -> pl.DataFrame:
    """Return how each pair fares: the columns `keyed_draws.DRAWN_COLUMNS`, rows as in `pairs`.

    Of a cluster with more pairs than the cap, those with the least hash of seed, pair and cluster stay. A pair without
    a cluster (its picture has no embedding) has a concept that was not measured, and is not kept.

    Args:
        pairs: `pair_id`; any part of the dump's.
        labels: `pair_id` and `cluster` (integer; null for none) of all pairs of the dump.
        cap: pairs of one cluster.
        seed: key of the hash.
    """
    links = labels.drop_nulls("cluster").select("pair_id", subject=pl.format("cluster {}", "cluster"))
    return draw_by_ranks(pairs, rank_links(hash_links(links, seed), floor=1), cap=cap, seed=seed)
