"""Draws for pairs by keyed hash: numbers that depend on seed, pair and subject alone, and what several draws make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import xxhash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: What `describe_draws` returns: the columns of IMAGE_BALANCE that say how a pair fared.
DRAWN_COLUMNS = ("keep_probability", "draw", "rarest_entry", "rarest_entry_pairs", "entries_matched", "is_kept")

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_BELOW_ONE = 1 - 2.0**-53


@dataclass(frozen=True, slots=True)
class Draws:
    """How each of n pairs fared.

    Attributes:
        keep_probability: (n,) chance that at least one of a pair's draws succeeds.
        draw: (n,) in [0, 1); evenly distributed over pairs, and below `keep_probability` if and only if the pair is
            kept.
        is_kept: (n,) whether a draw succeeded.
    """

    keep_probability: NDArray[np.float64]
    draw: NDArray[np.float64]
    is_kept: NDArray[np.bool_]


def hash_texts(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return the 64-bit xxh3 of each text."""
    return np.fromiter((xxhash.xxh3_64_intdigest(text.encode()) for text in texts), dtype=np.uint64)


def mix_hashes(pairs: NDArray[np.uint64], subjects: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return 64 bits that look drawn at random, by seed, pair and subject alone (SplitMix64's finalizer, twice)."""
    keyed = _finalize(subjects + np.uint64((seed + 1) * _GOLDEN & _MASK))
    return _finalize(pairs ^ keyed)


def scale_to_unit(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the hashes as numbers in [0, 1), with 53 bits."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def combine_draws(
    rows: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    draws: NDArray[np.float64],
    lone_draws: NDArray[np.float64],
    *,
    keeps_lone: bool = False,
) -> Draws:
    """Return how pairs fare that are kept if any of their independent draws is below its probability.

    A pair with draws u and probabilities p is kept if m = min(u / p) < 1. As P(m < x) = F(x) = 1 - Π(1 - min(1, x p)),
    its one draw is F(m), which is evenly distributed, and is below F(1), its keep probability, just where m < 1.

    Args:
        rows: (k,) pair of each draw, 0 to n - 1.
        probabilities: (k,) chance of each draw, in (0, 1].
        draws: (k,) in [0, 1).
        lone_draws: (n,) in [0, 1): the draw of a pair without any, which is not kept.
        keeps_lone: whether such a pair is kept.
    """
    count = len(lone_draws)
    least = np.full(count, np.inf)
    np.minimum.at(least, rows, draws / probabilities)
    has_draw = np.isfinite(least)
    is_kept = np.where(has_draw, least < 1, keeps_lone)
    keep_probability = np.where(has_draw, _unite(rows, probabilities, count), float(keeps_lone))
    united = _unite(rows, np.minimum(1.0, least[rows] * probabilities), count)
    # rounding may move neither a draw over the line that it lies on the other side of, nor anything to 1
    keep_probability = np.where(is_kept, keep_probability, np.minimum(keep_probability, _BELOW_ONE))
    below = np.minimum(united, np.nextafter(keep_probability, 0.0))
    above = np.clip(united, keep_probability, _BELOW_ONE)
    draw = np.where(has_draw, np.where(is_kept, below, above), lone_draws)
    return Draws(keep_probability, draw, is_kept)


def describe_draws(
    drawn: Draws, rows: NDArray[np.int64], counts: NDArray[np.int64], subjects: NDArray[np.int64], names: pl.Series
) -> pl.DataFrame:
    """Return the columns `DRAWN_COLUMNS` of n pairs.

    Args:
        drawn: how they fared.
        rows: (k,) pair of each match of a pair and a subject.
        counts: (k,) pairs of that subject.
        subjects: (k,) which subject it is: an index of `names`.
        names: of the subjects. Of subjects of as many pairs, the one that is first by name (code points) is the rarest.
    """
    count = len(drawn.draw)
    matches = pl.DataFrame({"row": rows, "pairs": counts, "subject": subjects})
    rarest = matches.filter(pl.col("pairs") == pl.col("pairs").min().over("row"))
    rarest = (
        rarest.with_columns(name=names.gather(rarest.get_column("subject")))
        .group_by("row")
        .agg(rarest_entry=pl.col("name").min(), rarest_entry_pairs=pl.col("pairs").first())
    )
    matched = np.bincount(rows, minlength=count)
    return (
        pl.DataFrame(
            {
                "row": np.arange(count, dtype=np.int64),
                "keep_probability": drawn.keep_probability,
                "draw": drawn.draw,
                "entries_matched": matched.astype(np.int64),
                "is_kept": drawn.is_kept,
            }
        )
        .join(rarest, on="row", how="left", maintain_order="left")
        .select(DRAWN_COLUMNS)
    )


def _unite(rows: NDArray[np.int64], probabilities: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return for each pair the chance that any of its independent events comes true; 0 if it has none."""
    with np.errstate(divide="ignore"):
        fails = np.log1p(-probabilities)
    # -0.0 where there is none
    return np.abs(np.expm1(np.bincount(rows, weights=fails, minlength=count)))


def _finalize(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
