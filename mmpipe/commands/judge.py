"""`mmpipe judge`: what if a limit were moved? Judges stored signals again, compares the funnels, writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError, DatasetNotReady, name_nearest
from mmpipe.filtering.image_verdicts import count_image_funnel
from mmpipe.filtering.judge import Funnel, count_funnel
from mmpipe.filtering.recipe_overrides import apply_overrides
from mmpipe.filtering.recipes import load_recipe
from mmpipe.storage.dumps import require_dump
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.images import IMAGE_SIGNALS, SCORE_WEIGHTS
from mmpipe.tables.text import TEXT_SCORES
from mmpipe.tables.text_signals import TEXT_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.filtering.rules import Rule
    from mmpipe.storage.lake import Lake
    from mmpipe.tables.columns import Table

#: Lanes whose signals are stored: the table, and the column that says whether a row could be read.
LANES: dict[str, tuple[Table, str]] = {
    "text": (TEXT_SIGNALS, "extraction_status"),
    "images": (IMAGE_SIGNALS, "decode_status"),
}


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Two funnels over the same stored signals."""

    lane: str
    dumps: tuple[str, ...]
    before: Funnel
    after: Funnel
    limits_before: dict[str, str]
    limits_after: dict[str, str]

    def list_rules(self) -> list[str]:
        """Return the names of all rules of both funnels, those that take most (after) first."""
        names = dict.fromkeys((*self.after.removed_by_rule, *self.before.removed_by_rule))
        moved = [name for name in (*self.limits_after, *self.limits_before) if self.has_moved(name)]
        return list(dict.fromkeys((*names, *moved)))

    def has_moved(self, rule: str) -> bool:
        """Whether the limit of a rule differs, or only one of the recipes has it."""
        return self.limits_before.get(rule) != self.limits_after.get(rule)


def judge_again(
    lake: Lake, *, lane: str, dump: str | None, current: str, recipe: str | None, overrides: Sequence[str]
) -> WhatIf:
    """Return what a recipe, with some limits moved, would make of signals that are stored.

    Args:
        lake: where the signals are.
        lane: text or images.
        dump: one dump, or None for all that have signals.
        current: recipe of the project: what is compared with.
        recipe: recipe to judge by; None for the current one.
        overrides: `rule.limit=value`.

    Raises:
        ConfigurationError: an unknown lane or dump; RecipeError for a recipe, rule or limit.
        DatasetNotReady: no signals are stored.
    """
    if lane not in LANES:
        raise ConfigurationError(f"Unknown lane {lane!r}.{name_nearest(lane, LANES)}")
    table, status = LANES[lane]
    if dump is not None and dump not in lake.list_dumps(table):
        require_dump(lake, dump)
    dumps = lake.list_dumps(table) if dump is None else [dump]
    if not dumps:
        raise DatasetNotReady(
            f"No {table.name} is stored in {lake.root}. Materialize it: mmpipe backfill {table.name} --all."
        )
    present, wanted = load_recipe(current), apply_overrides(load_recipe(recipe or current), overrides)
    before, after = _list_rules(present, lane), _list_rules(wanted, lane)
    if lane == "text":
        _require_measured(present, wanted)
    limited = {rule.signal for rule in (*before, *after)}
    signals = pl.concat([_scan_signals(lake, table, name, limited) for name in dumps])
    if lane == "images":
        _require_scored(signals, present, wanted)
        first, second = (count_image_funnel(signals, rules) for rules in (before, after))
    else:
        first, second = (count_funnel(signals, rules, key=table.key[0], status=status) for rules in (before, after))
    return WhatIf(
        lane,
        tuple(dumps),
        first,
        second,
        {rule.name: rule.describe() for rule in before},
        {rule.name: rule.describe() for rule in after},
    )


def _scan_signals(lake: Lake, table: Table, dump: str, limited: AbstractSet[str]) -> pl.LazyFrame:
    """Return the stored signals of a dump, with scores or counts beside them where a rule limits one."""
    signals = lake.dataset(table, dump).scan()
    beside = IMAGE_COUNTS if table is IMAGE_SIGNALS else TEXT_SCORES
    if not limited & set(beside.column_names):
        return signals
    return signals.join(lake.dataset(beside, dump).scan(), on=table.key[0], how="left")


def _require_measured(present: Recipe, wanted: Recipe) -> None:
    """Refuse a recipe whose signals were not measured: null passes no rule, so that it would seem to keep nothing.

    Raises:
        ConfigurationError: the recipe counts or corrects otherwise, or needs signals that are not stored.
    """
    missing = sorted(set(wanted.text.list_families()) - set(present.text.list_families()))
    # what is counted, in which texts and against which lists; rules alone may differ
    counted = [
        (replace(recipe.text, rules=(), signals=()), recipe.url, recipe.words, recipe.digest_section("corrections"))
        for recipe in (present, wanted)
    ]
    if not missing and counted[0] == counted[1]:
        return
    what = f"signals of {', '.join(missing)}" if missing else "texts counted or corrected in its own way"
    also = f", or write a recipe with text.signals: [{', '.join(missing)}]" if missing else ""
    raise ConfigurationError(
        f"Recipe {wanted.name!r} needs {what}; those stored are {present.name!r}'s. Materialize text_signals with it "
        f"first (MMPIPE_RECIPE={wanted.name}){also}."
    )


def _require_scored(signals: pl.LazyFrame, present: Recipe, wanted: Recipe) -> None:
    """Refuse limits on what was measured of no picture: null passes no rule, so that they would seem to keep nothing.

    Raises:
        ConfigurationError: the recipe limits a score that no pair has.
    """
    limited = {rule.signal for rule in wanted.images.rules} - {rule.signal for rule in present.images.rules}
    asked = sorted(limited & {*SCORE_WEIGHTS, "image_qr_area_ratio", "caption_political_words"})
    if not asked:
        return
    found = signals.select(pl.len().alias("rows"), *(pl.col(name).count() for name in asked)).collect(
        engine="streaming"
    )
    rows, *counts = found.row(0)
    missing = [name for name, count in zip(asked, counts, strict=True) if rows and not count]
    if missing:
        raise ConfigurationError(
            f"Recipe {wanted.name!r} limits {', '.join(missing)}, which no stored pair has. Materialize image_signals "
            f"with it first (MMPIPE_RECIPE={wanted.name})."
        )


def _list_rules(recipe: Recipe, lane: str) -> tuple[Rule, ...]:
    return recipe.text.rules if lane == "text" else recipe.images.rules
