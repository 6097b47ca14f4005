"""Chooses pairs by the noun phrases of their captions: rare phrases pass, frequent ones give a cap of pairs (LLaVA)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.sampling.capped_subjects import draw_by_ranks, hash_links, rank_links

if TYPE_CHECKING:
    from mmpipe.sampling.noun_phrases import PhraseChunker

#: LLaVA-CC3M-Pretrain-595K: phrases of fewer pairs are skipped, of more than the cap a random 100 is taken
#: (Liu et al. 2023, arXiv 2304.08485, appendix on pre-training data).
PHRASE_FLOOR, PHRASE_CAP = 3, 100


def list_phrase_links(pairs: pl.DataFrame, chunker: PhraseChunker, *, seed: int) -> pl.DataFrame:
    """Return a row per pair and noun phrase of its caption: `pair_id`, `subject`, `subject_hash`, `link_hash`.

    Args:
        pairs: `pair_id`, `caption`; any shard of them.
        chunker: finds the phrases.
        seed: key of the hash.
    """
    captions = pairs.get_column("caption").fill_null("").to_list()
    links = pairs.select("pair_id", subject=pl.Series(chunker.chunk(captions), dtype=pl.List(pl.String)))
    return hash_links(links.explode("subject").drop_nulls("subject"), seed)


def draw_by_phrases(pairs: pl.DataFrame, ranked: pl.DataFrame, *, cap: int, seed: int) -> pl.DataFrame:
    """Return how each pair fares: the columns `keyed_draws.DRAWN_COLUMNS`, rows as in `pairs`.

    LLaVA walks the phrases from the rarest (of equally frequent ones, the first by code points), and adds all pairs of
    each to a pool, where a pair is once; of a phrase with more pairs than the cap a random choice of `cap` among *all*
    its pairs. As that choice does not ask who is in the pool already, the pool is the same in any order of the walk,
    and each phrase can be decided by itself: its pairs of least hash of seed, pair and phrase. A pair none of whose
    phrases reaches the floor is in no pool.

    Args:
        pairs: `pair_id`; any shard of them.
        ranked: `rank_phrases` of all pairs' links; those of other pairs are passed over.
        cap: pairs of one phrase.
        seed: key of the hash.
    """
    return draw_by_ranks(pairs, ranked, cap=cap, seed=seed)


def rank_phrases(links: pl.DataFrame, *, floor: int) -> pl.DataFrame:
    """Return the links of phrases that reach the floor, each with its rank among the phrase's pairs.

    Args:
        links: those of all pairs, or of all pairs and some phrases, as `list_phrase_links` returns them.
        floor: phrases of fewer pairs are left out.
    """
    return rank_links(links, floor=floor)
