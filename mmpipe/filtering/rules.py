"""Says what a rule is: one limit on one signal, with the paper it comes from. The tables of rules stand beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import RecipeError, name_nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: The parts of a rule that a recipe or a what-if may set; everything else is the definition.
LIMITS = ("low", "high", "allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One limit on one signal.

    A row passes if `low <= value <= high` or, for words, if the value is one of `allowed`. Null and NaN never pass.

    Attributes:
        name: `{paper}_{signal}`.
        signal: column of the signals table.
        low: lowest value kept, in the signal's unit; None for no lower limit.
        high: highest value kept; None for no upper limit.
        allowed: words kept, for a categorical signal.
        source: paper and section, or the file of the implementation, that the limit comes from.
        low_is_kept: whether a value equal to `low` passes.
        high_is_kept: whether a value equal to `high` passes.
        dialect: the way of counting the limit was set for; None if there is only one.
    """

    name: str
    signal: str
    source: str
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] | None = None
    low_is_kept: bool = True
    high_is_kept: bool = True
    dialect: str | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            limit = getattr(self, name)
            if limit is not None:  # 50 and 50.0 are one limit and must be one digest
                object.__setattr__(self, name, float(limit))
        has_range = self.low is not None or self.high is not None
        if has_range == (self.allowed is not None):
            raise RecipeError(
                f"Rule {self.name!r} must have either low/high or allowed, not {'both' if has_range else 'neither'}. "
                f"To switch a rule off, take it out of the recipe's list."
            )
        for limit in (self.low, self.high):
            if limit is not None and not math.isfinite(limit):
                raise RecipeError(f"Rule {self.name!r}: a limit must be a finite number, not {limit}.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise RecipeError(f"Rule {self.name!r} keeps nothing: low {self.low} is above high {self.high}.")
        if self.allowed is not None and not self.allowed:
            raise RecipeError(f"Rule {self.name!r} keeps nothing: allowed is empty.")

    @property
    def is_categorical(self) -> bool:
        """Whether the signal is a word."""
        return self.allowed is not None

    def describe(self) -> str:
        """Return the limit as people write it, for example `50 <= word_count <= 100000`."""
        if self.allowed is not None:
            return f"{self.signal} in {{{', '.join(self.allowed)}}}"
        below = "" if self.low is None else f"{self.low:g} {'<=' if self.low_is_kept else '<'} "
        above = "" if self.high is None else f" {'<=' if self.high_is_kept else '<'} {self.high:g}"
        return f"{below}{self.signal}{above}"

    def passes(self) -> pl.Expr:
        """Return a Boolean, never-null expression that is true where the signal keeps to the limit."""
        value = pl.col(self.signal)
        if self.allowed is not None:
            return value.is_in(list(self.allowed)).fill_null(value=False)
        # Polars orders NaN above every number, so an unmeasurable value would pass a rule with only a low.
        number = value.cast(pl.Float64).fill_nan(None)
        kept = number.is_not_null()
        if self.low is not None:
            kept &= number >= self.low if self.low_is_kept else number > self.low
        if self.high is not None:
            kept &= number <= self.high if self.high_is_kept else number < self.high
        return kept  # never null: false and null is false

    def resolve(self) -> dict[str, Any]:
        """Return the rule as a plain mapping: what a digest covers and a written recipe shows."""
        if self.allowed is not None:
            return {"rule": self.name, "signal": self.signal, "allowed": list(self.allowed), "source": self.source}
        return {
            "rule": self.name,
            "signal": self.signal,
            "low": self.low,
            "low_is_kept": self.low_is_kept,
            "high": self.high,
            "high_is_kept": self.high_is_kept,
            "source": self.source,
        }


def index_rules(*tables: Iterable[Rule]) -> dict[str, Rule]:
    """Return rules by name.

    Raises:
        RecipeError: two rules share a name.
    """
    index: dict[str, Rule] = {}
    for rule in (rule for table in tables for rule in table):
        if rule.name in index:
            raise RecipeError(f"Two rules are named {rule.name!r}; a name says one paper and one signal.")
        index[rule.name] = rule
    return index


def find_rule(name: str, known: Mapping[str, Rule]) -> Rule:
    """Return the rule of that name.

    Raises:
        RecipeError: there is none; the message names the nearest.
    """
    if name not in known:
        raise RecipeError(f"Unknown rule {name!r}.{name_nearest(name, known)}")
    return known[name]


def set_limit(rules: Sequence[Rule], name: str, limit: str, value: Any) -> tuple[Rule, ...]:
    """Return the rules with one limit of one of them moved; their order stays.

    Args:
        rules: rules of a recipe.
        name: the rule.
        limit: low, high or allowed.
        value: a number or None; for `allowed` a tuple of words.

    Raises:
        RecipeError: no such rule or limit, or a rule that would keep nothing.
    """
    find_rule(name, {rule.name: rule for rule in rules})
    if limit not in LIMITS:
        raise RecipeError(f"Rule {name!r} has no limit {limit!r}.{name_nearest(limit, LIMITS)}")
    return tuple(replace(rule, **{limit: value}) if rule.name == name else rule for rule in rules)
