"""Chooses pairs by the entries in their captions: a frequent entry keeps about its limit, a rare one all (CLIP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmpipe.sampling.keyed_draws import combine_draws, describe_draws, hash_texts, mix_hashes, scale_to_unit

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from mmpipe.sampling.entry_matching import EntryMatcher, Matches

#: Pairs per entry of MetaCLIP's 400 M pairs (arXiv 2309.16671, §3.3).
QUERY_LIMIT = 20_000


def count_entries(captions: pl.Series, matcher: EntryMatcher) -> NDArray[np.int64]:
    """Return in how many captions each entry of the matcher stands; counts of several shards are added."""
    return count_matches(matcher.match(captions), matcher)


def count_matches(found: Matches, matcher: EntryMatcher) -> NDArray[np.int64]:
    """Return in how many captions each entry stands, of matches that are there already."""
    return np.bincount(found.entries, minlength=len(matcher.names)).astype(np.int64)


def draw_by_entries(
    pairs: pl.DataFrame,
    matcher: EntryMatcher,
    counts: NDArray[np.int64],
    *,
    limit: int,
    seed: int,
    keeps_unmatched: bool = False,
    found: Matches | None = None,
) -> pl.DataFrame:
    """Return how each pair fares: the columns `keyed_draws.DRAWN_COLUMNS`, rows as in `pairs`.

    Each entry in a caption keeps it with p = min(1, limit / count), independently (MetaCLIP, arXiv 2309.16671, section
    3, its balancing). A pair without any entry is not kept, as in MetaCLIP, unless asked for. A draw depends on seed,
    pair and entry alone.

    Args:
        pairs: `pair_id`, `caption`.
        matcher: the entries.
        counts: captions of the whole dump that hold each entry (`count_entries`); these pairs among them.
        limit: MetaCLIP's t.
        seed: key of the hash.
        keeps_unmatched: whether pairs without any entry are kept.
        found: the matches of these captions, where the first pass kept them; None to match again.
    """
    found = matcher.match(pairs.get_column("caption")) if found is None else found
    rows, entries = found.rows.astype(np.int64), found.entries.astype(np.int64)
    hashes = hash_texts(pairs.get_column("pair_id"))
    drawn = combine_draws(
        rows,
        np.minimum(1.0, limit / counts[entries]),
        scale_to_unit(mix_hashes(hashes[rows], np.asarray(matcher.hashes)[entries], seed)),
        scale_to_unit(mix_hashes(hashes, np.zeros(1, np.uint64), seed)),
        keeps_lone=keeps_unmatched,
    )
    return describe_draws(drawn, rows, counts[entries], entries, matcher.names)
