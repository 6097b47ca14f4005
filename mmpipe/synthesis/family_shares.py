"""Sees to it that no family of models writes more than its share of the chosen answers of a preference set."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.synthesis.comparisons import Comparisons


def cap_families(
    comparisons: Comparisons, families: Mapping[str, str], most_share: float, seed: int = 0
) -> Comparisons:
    """Return comparisons in which no family has written more than a share of the chosen answers.

    As many pairs stay as possible; which ones of a family goes by hash of the pair's id. Distilling from several
    strong models lowers the bias of each (survey, preference alignment).

    Args:
        comparisons: pairs.
        families: family by answer id.
        most_share: of one family, in (0, 1].
        seed: of that choice.

    Raises:
        ConfigurationError: an answer's family is not given, or the share is not in (0, 1].
    """
    from mmpipe.synthesis.comparisons import Comparisons
    from mmpipe.synthesis.drafts import sort_counts

    check_share(most_share)
    chosen = comparisons.frame.get_column("chosen_id").to_list()
    unknown = next((answer_id for answer_id in chosen if answer_id not in families), None)
    if unknown is not None:
        raise ConfigurationError(f"Nobody says which family wrote the answer {unknown!r}.")
    authors = [families[answer_id] for answer_id in chosen]
    quota = find_quota(Counter(authors), most_share)
    kept: list[str] = []
    taken: Counter[str] = Counter()
    pairs = zip(comparisons.frame.get_column("pair_id").to_list(), authors, strict=True)
    for pair_id, author in sorted(pairs, key=lambda pair: make_id("family", seed, pair[0])):
        if taken[author] < quota:
            taken[author] += 1
            kept.append(pair_id)
    frame = comparisons.frame.filter(pl.col("pair_id").is_in(kept))
    left_out = Counter(comparisons.left_out)
    if len(kept) < len(authors):
        left_out["over_family_share"] = len(authors) - len(kept)
    return Comparisons(frame, comparisons.planned, sort_counts(left_out))


def check_share(most_share: float) -> None:
    """Refuse a share that is none.

    Raises:
        ConfigurationError: it is not in (0, 1].
    """
    if not 0 < most_share <= 1:
        raise ConfigurationError(f"A family's share must be above 0 and at most 1, not {most_share}.")


def find_quota(sizes: Counter[str], most_share: float) -> int:
    """Return the most rows that each family may keep so that none has more than its share; 0 if that cannot be."""
    quota = max(sizes.values(), default=0)
    while quota and quota > most_share * sum(min(size, quota) for size in sizes.values()) + 1e-9:
        quota -= 1
    return quota
