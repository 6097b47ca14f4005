"""Caps subjects that pairs share: of a subject with more pairs than its cap, those whose keyed hash is least stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.sampling.keyed_draws import combine_draws, describe_draws, hash_texts, mix_hashes, scale_to_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray


def hash_links(links: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return links (`pair_id`, `subject`) with `subject_hash`, and `link_hash` by seed, pair and subject."""
    subjects = _hash_distinct(links.get_column("subject"))
    mixed = mix_hashes(_hash_distinct(links.get_column("pair_id")), subjects, seed)
    return links.with_columns(subject_hash=pl.Series(subjects), link_hash=pl.Series(mixed))


def rank_links(links: pl.DataFrame, *, floor: int) -> pl.DataFrame:
    """Return the links of subjects with at least `floor` pairs, with `subject_pairs` and `link_rank`.

    `link_rank` counts a subject's pairs from 0 in order of `link_hash`, equal ones in order of `pair_id`. All links of
    a subject must be there; links may come in several calls, cut by subject.

    Args:
        links: as `hash_links` returns them; a pair and a subject occur together once.
        floor: subjects of fewer pairs are left out.
    """
    return (
        links.with_columns(subject_pairs=pl.len().over("subject").cast(pl.Int64))
        .filter(pl.col("subject_pairs") >= floor)
        .sort("subject", "link_hash", "pair_id")
        .with_columns(link_rank=pl.int_range(pl.len(), dtype=pl.Int64).over("subject"))
    )


def draw_by_ranks(pairs: pl.DataFrame, links: pl.DataFrame, *, cap: int, seed: int) -> pl.DataFrame:
    """Return how each pair fares: the columns `keyed_draws.DRAWN_COLUMNS`, rows as in `pairs`.

    A pair is kept if it is among the first `cap` of any of its subjects; without a subject it is not.

    Args:
        pairs: `pair_id`.
        links: those of these pairs, as `rank_links` returns them; links of other pairs are passed over.
        cap: pairs of one subject.
        seed: key of the hash, for the draw of a pair without a subject.
    """
    numbered = pairs.select("pair_id").with_row_index("row")
    # in a fixed order, so that products of many factors are rounded alike
    own = links.join(numbered, on="pair_id", how="inner").sort("row", "subject")
    rows = own.get_column("row").cast(pl.Int64).to_numpy()
    counts = own.get_column("subject_pairs").to_numpy()
    ranks = own.get_column("link_rank").to_numpy()
    lone = mix_hashes(hash_texts(pairs.get_column("pair_id")), np.zeros(1, np.uint64), seed)
    drawn = combine_draws(rows, np.minimum(1.0, cap / counts), (ranks + 0.5) / counts, scale_to_unit(lone))
    return describe_draws(drawn, rows, counts, np.arange(len(rows), dtype=np.int64), own.get_column("subject"))


def _hash_distinct(texts: pl.Series) -> NDArray[np.uint64]:
    distinct = texts.unique().sort()
    hashes = pl.DataFrame({"text": distinct, "hash": hash_texts(distinct)})
    joined = texts.alias("text").to_frame().join(hashes, on="text", how="left", maintain_order="left")
    found: NDArray[np.uint64] = joined.get_column("hash").to_numpy()
    return found
