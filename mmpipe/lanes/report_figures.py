"""Draws the figures that every report shares: cost of stages, what rules took, overlaps, histograms with limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mmpipe.storage.commits import Manifest
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.tables.columns import Table

#: Rows that histograms and overlaps are drawn from; the choice is by hash of the id, so that it is the same each time.
SAMPLED_ROWS = 200_000
BINS = 48
#: Entries of a list that a page shows.
LISTED = 20


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage did and cost: rows, processor seconds, device seconds, bytes written."""

    name: str
    rows_in: int
    rows_out: int
    rows_removed: int
    cpu_seconds: float
    device_seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What one rule took: rows, and those that no other rule took."""

    name: str
    rows: int
    alone: int
    limit: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """How a signal is spread, and where its rules cut.

    Attributes:
        signal: the column.
        counts: rows per bin; the first and last bin also hold what lies beyond `edges`.
        edges: one more than bins.
        limits: (rule, low, high) of each rule on the signal.
        unmeasured: rows without a value.
    """

    signal: str
    counts: tuple[int, ...]
    edges: tuple[float, ...]
    limits: tuple[tuple[str, float | None, float | None], ...]
    unmeasured: int


def list_costs(lake: Lake, dump: str, stages: Iterable[Table]) -> list[StageCost]:
    """Return what each stage that was made did and cost, in order."""
    costs = []
    for table in stages:
        manifest = lake.dataset(table, dump).find_manifest()
        if manifest is not None:
            commits = manifest.commits
            costs.append(
                StageCost(
                    table.name,
                    manifest.rows_in,
                    manifest.rows_out,
                    manifest.rows_removed,
                    sum(commit.cpu_seconds for commit in commits),
                    sum(commit.device_seconds for commit in commits),
                    sum(commit.bytes for commit in commits),
                )
            )
    return costs


def count_rules(removals: Dataset, manifest: Manifest, rules: Sequence[Mapping[str, Any]], key: str) -> list[RuleCount]:
    """Count what each rule took; rules of the recipe that took nothing stand at the end."""
    alone = (
        removals.scan()
        .group_by(key)
        .agg(pl.len().alias("rules"), pl.col("rule").first())
        .filter(pl.col("rules") == 1)
        .group_by("rule")
        .len()
        .collect(engine="streaming")
    )
    by_itself: dict[str, int] = dict(alone.iter_rows())
    limits = {rule["rule"]: write_limit(rule) for rule in rules}
    taken = dict.fromkeys(limits, 0) | manifest.removed_by_rule
    counts = [
        RuleCount(name, rows, by_itself.get(name, 0), limits.get(name, "readable")) for name, rows in taken.items()
    ]
    return sorted(counts, key=lambda count: (-count.rows, count.name))


def write_limit(rule: Mapping[str, Any]) -> str:
    """Return in words what a rule keeps: the words it allows, or its lowest and highest value.

    Languages or methods that are held to other limits follow, with the reason where the recipe gives one.
    """
    if rule.get("allowed"):
        return f"one of {', '.join(rule['allowed'])}"
    low, high = rule.get("low"), rule.get("high")
    parts = [f"at least {low:,.10g}"] if low is not None else []
    own = " and ".join([*parts, f"at most {high:,.10g}"] if high is not None else parts)
    others: dict[str, list[str]] = {}
    for word, limits in sorted({**rule.get("by_language", {}), **rule.get("by_method", {})}.items()):
        reason = f" ({limits['source']})" if limits.get("source") else ""
        others.setdefault(f"{write_limit(limits) or 'no limit'}{reason}", []).append(word)
    return "; ".join([*([own] if own else []), *(f"{', '.join(words)}: {said}" for said, words in others.items())])


def is_sampled(key: str, share: float) -> pl.Expr:
    """Return whether a row is in the sample: ids are digests, so that their own digits choose evenly."""
    return pl.col(key).str.slice(0, 8).str.to_integer(base=16) < math.ceil(share * 2**32)


def count_overlaps(removals: Dataset, share: float, key: str) -> list[tuple[str, str, int]]:
    """Return (rule, other rule, rows that both took) of the sampled rows, most first."""
    pairs = removals.scan().filter(is_sampled(key, share)).select(key, "rule").collect()
    names = pairs.get_column("rule").unique().sort().to_list()
    if not names:
        return []
    rows = pairs.get_column(key).rank("dense").to_numpy().astype(np.int64) - 1
    columns = pairs.get_column("rule").replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    taken = np.zeros((int(rows.max()) + 1, len(names)), np.float32)
    taken[rows, columns] = 1
    both = taken.T @ taken
    found = [
        (names[first], names[second], int(both[first, second]))
        for first in range(len(names))
        for second in range(first + 1, len(names))
        if both[first, second]
    ]
    return sorted(found, key=lambda item: (-item[2], item[0], item[1]))[: 2 * LISTED]


def draw_histogram(
    signal: str, values: pl.Series, limits: tuple[tuple[str, float | None, float | None], ...]
) -> Histogram:
    """Cut a signal into bins that show its middle 98 % and its limits; what lies beyond falls into the end bins."""
    known = values.drop_nulls().drop_nans().to_numpy()
    if not known.size:
        return Histogram(signal, (0,), (0.0, 1.0), limits, len(values))
    shown = [float(value) for value in np.quantile(known, [0.01, 0.99], method="nearest")]
    shown += [limit for _, *ends in limits for limit in ends if limit is not None and limit <= 3 * max(shown[1], 1e-9)]
    low, high = min(shown), max(shown)
    if high <= low:
        high = low + 1
    counts, edges = np.histogram(np.clip(known, low, high), bins=BINS, range=(low, high))
    return Histogram(signal, tuple(map(int, counts)), tuple(map(float, edges)), limits, len(values) - known.size)
