"""Hides from reviewers which answer of a preference pair is the chosen one, and reads their labels back."""

from __future__ import annotations

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.tables.identity import make_id

#: Labels of `blind_pairs`.
PAIR_LABELS = ("first", "second", "equal")


def blind_pairs(pairs: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Return preference pairs as items that do not tell which answer is the chosen one: `first` and `second` by hash.

    Args:
        pairs: columns pair_id, prompt, chosen, rejected.
        seed: of the order.
    """
    rows = []
    for row in pairs.select("pair_id", "prompt", "chosen", "rejected").rows(named=True):
        shown = (
            (row["chosen"], row["rejected"])
            if is_chosen_first(row["pair_id"], seed)
            else (row["rejected"], row["chosen"])
        )
        rows.append((row["pair_id"], row["prompt"], *shown))
    return pl.DataFrame(rows, schema=dict.fromkeys(("item_id", "prompt", "first", "second"), pl.String), orient="row")


def unblind_reviews(reviews: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Return reviews of blind pairs with labels `chosen`, `rejected` and `equal`: which answer the person prefers."""
    rows = []
    for item_id, annotator, label in reviews.select("item_id", "annotator", "label").iter_rows():
        if label not in PAIR_LABELS:
            raise ConfigurationError(f"{label!r} is no answer about a pair.{name_nearest(label, PAIR_LABELS)}")
        prefers_first = label == "first"
        said = (
            "equal" if label == "equal" else "chosen" if prefers_first == is_chosen_first(item_id, seed) else "rejected"
        )
        rows.append((item_id, annotator, said))
    return pl.DataFrame(rows, schema=dict.fromkeys(("item_id", "annotator", "label"), pl.String), orient="row")


def is_chosen_first(pair_id: str, seed: int = 0) -> bool:
    """Return whether a blind pair shows its chosen answer first."""
    return int(make_id("blind", seed, pair_id)[0], 16) % 2 == 0
