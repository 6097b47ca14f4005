"""Counts the personal data that the mask step found, kind by kind; it looks for none itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.tables.correction_steps import MASK_STEP, PII_KINDS
from mmpipe.tables.text_signals import FAMILIES

if TYPE_CHECKING:
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.filtering.text_batch import TextBatch

#: Correction of the mask step to the signal that counts it.
_SIGNALS = {f"pii_{kind}": f"pii_{kind}_count" for kind in (*PII_KINDS, "reserved_ip")}


def measure_pii(batch: TextBatch) -> pl.DataFrame:
    """Return the spans of personal data of each text, by kind, masked and tagged alike.

    0 where the step looked and found nothing; null for a kind that the recipe's `mask_pii` does not look for, and for
    all if it has no such step. `pii_span_count` leaves out private and reserved addresses, which point to nobody.
    """
    looked_for = _list_kinds(batch.recipe)
    names = [column.name for column in FAMILIES["pii"]]
    rows = []
    for corrections in batch.corrections:
        found = Counter(entry["correction"] for entry in corrections if entry["correction"] in _SIGNALS)
        counts = {_SIGNALS[f"pii_{kind}"]: float(found[f"pii_{kind}"]) for kind in looked_for}
        if looked_for:
            counts["pii_span_count"] = float(found.total() - found["pii_reserved_ip"])
        rows.append([counts.get(name) for name in names])
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")


def _list_kinds(recipe: Recipe) -> set[str]:
    """Return the kinds of personal data that the recipe's mask step looks for."""
    for item in recipe.corrections.steps:
        if item.step == MASK_STEP:
            kinds = {str(kind) for option in ("mask", "tag") for kind in _as_tuple(item.options[option])}
            return kinds | {"reserved_ip"} if "ip" in kinds else kinds
    return set()


def _as_tuple(option: object) -> tuple[object, ...]:
    return tuple(option) if isinstance(option, (tuple, list)) else ()
