"""Says what bands and rows find: the curve of the bands, and the bands for a wanted recall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from mmpipe.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class BandChoice:
    """Bands and rows, and what they do.

    Attributes:
        bands: keys per document.
        rows: hashes per band.
        recall: probability that a pair of the wanted Jaccard is compared.
        stray_area: area under the curve left of that Jaccard: the probability that a pair is compared in vain, were
            all lower similarities equally frequent (datasketch's false positive probability).
    """

    bands: int
    rows: int
    recall: float
    stray_area: float

    @property
    def permutations(self) -> int:
        """Hashes per document."""
        return self.bands * self.rows


def compute_recall(jaccard: float, bands: int, rows: int) -> float:
    """Return the probability that a pair shares a band: 1 - (1 - s^rows)^bands (Leskovec et al., MMDS, §3.4.2)."""
    shared = jaccard**rows
    if shared >= 1:
        return 1.0
    return -math.expm1(bands * math.log1p(-shared))


def describe_curve(bands: int, rows: int, jaccards: Sequence[float] | None = None) -> pl.DataFrame:
    """Return `jaccard` and `recall`: how likely a pair of each similarity is compared; by default in steps of 0.05."""
    points = list(jaccards) if jaccards is not None else [step / 20 for step in range(21)]
    return pl.DataFrame(
        {"jaccard": points, "recall": [compute_recall(point, bands, rows) for point in points]},
        schema={"jaccard": pl.Float64, "recall": pl.Float64},
    )


def choose_bands(recall: float, jaccard: float, most_permutations: int) -> BandChoice:
    """Return the bands and rows that compare fewest pairs in vain among those that reach a recall in a budget.

    More rows make the curve steeper, and for each number of rows there is a smallest number of bands that reaches the
    recall; of these, the one with the least area left of the Jaccard is taken, and of equals the one of fewest
    permutations. datasketch (`MinHashLSH`, `_optimal_param`) weighs that area against the one lost right of its
    threshold; here the recall is a promise and not a weight.

    Args:
        recall: at least this share of the pairs of exactly that Jaccard must be compared; between 0 and 1.
        jaccard: the similarity from which pairs are wanted; between 0 and 1.
        most_permutations: hashes per document that may be spent.

    Raises:
        ConfigurationError: nothing in the budget reaches the recall, or a number is out of range.
    """
    if not (0 < recall < 1 and 0 < jaccard < 1):
        raise ConfigurationError(
            f"MinHash: recall and Jaccard must lie between 0 and 1, not {recall} and {jaccard}. For recall 1, compare "
            f"all pairs."
        )
    found: list[BandChoice] = []
    for rows in range(1, most_permutations + 1):
        bands = _count_bands(recall, jaccard, rows)
        if bands is None or bands * rows > most_permutations:
            break  # bands grow with the rows
        found.append(BandChoice(bands, rows, compute_recall(jaccard, bands, rows), _measure_area(jaccard, bands, rows)))
    if not found:
        needed = _count_bands(recall, jaccard, 1)
        raise ConfigurationError(
            f"MinHash: {most_permutations} permutations cannot reach a recall of {recall} at Jaccard {jaccard}; even "
            f"one row needs {needed}. Raise the budget or lower the recall."
        )
    return min(found, key=lambda choice: (choice.stray_area, choice.permutations))


def search_bands_by_threshold(threshold: float, permutations: int) -> BandChoice:
    """Return what datasketch's `MinHashLSH` takes for a threshold alone, as text-dedup and Data-Juicer do.

    Its recall at the threshold is often low (0.40 at 0.8 with 128 permutations), because both errors weigh the same.
    """
    from datasketch import MinHashLSH

    search = MinHashLSH(threshold=threshold, num_perm=permutations)
    bands, rows = int(search.b), int(search.r)
    return BandChoice(bands, rows, compute_recall(threshold, bands, rows), _measure_area(threshold, bands, rows))


def _count_bands(recall: float, jaccard: float, rows: int) -> int | None:
    """Return the fewest bands that reach the recall; None where s^rows vanishes."""
    shared = jaccard**rows
    if shared <= 0:
        return None
    bands = max(1, math.floor(math.log1p(-recall) / math.log1p(-shared)) - 1)
    if math.isinf(bands) or bands > 1 << 40:
        return None
    while compute_recall(jaccard, bands, rows) < recall:
        bands += 1
    return bands


def _measure_area(jaccard: float, bands: int, rows: int) -> float:
    """Return the area under the curve from 0 to a Jaccard, by Simpson's rule; to about 1e-9."""
    steps = 2_000
    width = jaccard / steps
    weights = (1 if step in (0, steps) else 4 if step % 2 else 2 for step in range(steps + 1))
    total = sum(weight * compute_recall(step * width, bands, rows) for step, weight in enumerate(weights))
    return total * width / 3
