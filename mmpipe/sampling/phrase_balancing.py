"""Chooses pairs by the noun phrases of their captions: rare phrases pass, frequent ones give a cap of pairs (LLaVA)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.sampling.capped_subjects import hash_links

if TYPE_CHECKING:
    from mmpipe.sampling.noun_phrases import PhraseChunker

#: LLaVA-CC3M-Pretrain-595K takes a random 100 pairs of a phrase that has more; its floor, 3, is the recipe's default
#: (Liu et al. 2023, arXiv 2304.08485, appendix on pre-training data).
PHRASE_CAP = 100


def list_phrase_links(pairs: pl.DataFrame, chunker: PhraseChunker, *, seed: int) -> pl.DataFrame:
    """Return a row per pair and noun phrase of its caption, for `rank_links` and `draw_by_ranks` of capped_subjects.

    LLaVA walks the phrases from the rarest and adds all pairs of each to a pool, where a pair is once; of a phrase with
    more pairs than the cap, a random choice among *all* its pairs. As that choice does not ask who is in the pool, the
    pool is the same in any order of the walk and whatever breaks its ties: a pair is in it if and only if it is among
    the chosen ones of any of its phrases. So each phrase is decided by itself, by keyed hash. A pair none of whose
    phrases reaches the floor is in no pool.

    Args:
        pairs: `pair_id`, `caption`; any shard of them.
        chunker: finds the phrases.
        seed: key of the hash.

    Returns:
        `pair_id`, `subject` (the phrase), `subject_hash`, `link_hash`.
    """
    captions = pairs.get_column("caption").fill_null("").to_list()
    phrases = pl.Series("subject", chunker.chunk(captions), dtype=pl.List(pl.String))
    links = pairs.select("pair_id").with_columns(phrases).explode("subject").drop_nulls("subject")
    return hash_links(links, seed)
