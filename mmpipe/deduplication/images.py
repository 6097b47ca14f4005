"""Compares image-text pairs: which repeat the picture and the caption of an earlier pair."""

from __future__ import annotations

import polars as pl

#: COYO-700M keeps one pair of each (phash, text); its card gives the rule under "Image-Text level filtering".
REPEATED_PAIR_RULE = "coyo_duplicate_pair"
_SIGNAL = "earlier_phash_matches"


def count_earlier_matches(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return for each pair how many earlier pairs show the same picture with the same caption.

    The same picture is an equal perceptual hash, the same caption an equal one after white space is normalised.
    Earlier means a smaller `pair_id`, so that the counts depend neither on the order of the rows nor on shards.

    Args:
        pairs: `pair_id`, `phash` (16 hex digits; null where the picture could not be read) and `caption`.

    Returns:
        `pair_id` and `earlier_phash_matches` (Float64), in the order given; null where there is no phash.
    """
    caption = pl.col("caption").str.replace_all(r"\s+", " ").str.strip_chars(" ")
    # rank("ordinal") would break ties by row order; pair_id is unique, so there are none
    earlier = pl.col("pair_id").rank("ordinal").over("phash", caption) - 1
    return pairs.select("pair_id", pl.when(pl.col("phash").is_not_null()).then(earlier).cast(pl.Float64).alias(_SIGNAL))


def find_repeated_pairs(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return one removal for each pair that repeats an earlier one (COYO-700M's rule on phash and text).

    Args:
        pairs: as for `count_earlier_matches`. Give it only pairs that pass every other rule, or a pair that is removed
            itself may take its twin with it.

    Returns:
        Columns of `tables.removals.IMAGE_REMOVALS`, sorted by `pair_id`.
    """
    counted = count_earlier_matches(pairs)
    return (
        counted.filter(pl.col(_SIGNAL) > 0)
        .select(
            "pair_id",
            rule=pl.lit(REPEATED_PAIR_RULE),
            signal=pl.lit(_SIGNAL),
            value=_SIGNAL,
            value_text=pl.lit(None, dtype=pl.String),
            low=pl.lit(None, dtype=pl.Float64),
            high=pl.lit(0.0),
            allowed=pl.lit(None, dtype=pl.List(pl.String)),
        )
        .sort("pair_id")
    )
