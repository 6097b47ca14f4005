"""Says what a rule is: one limit on one signal, with the paper it comes from. The tables of rules stand beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import RecipeError, name_nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The parts of a rule that a recipe or a what-if may set; everything else is the definition.
LIMITS = ("low", "high", "allowed")

#: The columns that say which of a rule's limits by language, or by method, a row is held to.
LANGUAGE, METHOD = "language", "method"

#: The field of a rule with limits of their own, by the column whose words they are for.
OWN_LIMITS: Mapping[str, str] = {LANGUAGE: "by_language", METHOD: "by_method"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Lowest and highest value kept; None for no limit on that side.

    Attributes:
        low: lowest value kept.
        high: highest value kept.
        source: why these rows have limits of their own; it moves no digest.
    """

    low: float | None = None
    high: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            limit = getattr(self, name)
            if limit is not None:  # 50 and 50.0 are one limit and must be one digest
                object.__setattr__(self, name, float(limit))

    @property
    def has_range(self) -> bool:
        """Whether anything is limited."""
        return self.low is not None or self.high is not None

    def check(self, whose: str) -> None:
        """Raise a RecipeError if a limit is not a number, or nothing could pass."""
        for limit in (self.low, self.high):
            if limit is not None and not math.isfinite(limit):
                raise RecipeError(f"{whose}: a limit must be a finite number, not {limit}.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise RecipeError(f"{whose} keeps nothing: low {self.low} is above high {self.high}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One limit on one signal.

    A row passes if `low <= value <= high` or, for words, if the value is one of `allowed`. Null and NaN never pass.
    A row in a language of `by_language` is held to that language's limits instead, both of them; if they limit nothing,
    the rule does not speak of that language and the row passes. A rule may have limits by language only. `by_method`
    does the same for the method that made a row; no rule has both.

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
        by_language: language, as the column `language` names it, to its own limits.
        by_method: synthesis method, as a recipe names it, to its own limits.
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
    by_language: Mapping[str, Limits] = field(default_factory=dict, hash=False)
    by_method: Mapping[str, Limits] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        own = Limits(low=self.low, high=self.high)
        object.__setattr__(self, "low", own.low)
        object.__setattr__(self, "high", own.high)
        if self.by_language and self.by_method:
            raise RecipeError(f"Rule {self.name!r} has limits by language and by method: a row is held to one of them.")
        has_range = own.has_range or any(limits.has_range for limits in self.own_limits.values())
        if has_range == (self.allowed is not None):
            raise RecipeError(
                f"Rule {self.name!r} must have either low/high or allowed, not {'both' if has_range else 'neither'}. "
                f"To switch a rule off, take it out of the recipe's list."
            )
        own.check(f"Rule {self.name!r}")
        for word, limits in self.own_limits.items():
            limits.check(f"Rule {self.name!r}, {self.own_column} {word!r},")
        if self.allowed is not None and not self.allowed:
            raise RecipeError(f"Rule {self.name!r} keeps nothing: allowed is empty.")

    @property
    def own_column(self) -> str:
        """The column whose words have limits of their own; `method`, or `language` where none have."""
        return METHOD if self.by_method else LANGUAGE

    @property
    def own_limits(self) -> Mapping[str, Limits]:
        """Limits by the word in `own_column`."""
        return self.by_method or self.by_language

    @property
    def is_categorical(self) -> bool:
        """Whether the signal is a word."""
        return self.allowed is not None

    def describe(self) -> str:
        """Return the limit as people write it, for example `50 <= word_count <= 100000`.

        Limits by language or method follow: `0.1 <= stop_word_ratio (en: 0.3 <= stop_word_ratio)`.
        """
        if self.allowed is not None:
            return f"{self.signal} in {{{', '.join(self.allowed)}}}"
        further = [f"{word}: {self._describe(limits)}" for word, limits in sorted(self.own_limits.items())]
        own = self._describe(Limits(low=self.low, high=self.high))
        return f"{own} ({'; '.join(further)})" if further else own

    def _describe(self, limits: Limits) -> str:
        if not limits.has_range:
            return "no limit"
        below = "" if limits.low is None else f"{limits.low:g} {'<=' if self.low_is_kept else '<'} "
        above = "" if limits.high is None else f" {'<=' if self.high_is_kept else '<'} {limits.high:g}"
        return f"{below}{self.signal}{above}"

    def passes(self) -> pl.Expr:
        """Return a Boolean, never-null expression that is true where the signal keeps to the limit."""
        value = pl.col(self.signal)
        if self.allowed is not None:
            return value.is_in(list(self.allowed)).fill_null(value=False)
        # Polars orders NaN above every number, so an unmeasurable value would pass a rule with only a low.
        number = value.cast(pl.Float64).fill_nan(None)
        own = self._keeps(number, Limits(low=self.low, high=self.high))
        if not self.own_limits:
            return own
        # comparisons, and not limits looked up per row: these are shared among rules and 20 times as fast
        word = pl.col(self.own_column)
        kept = ~word.is_in(list(self.own_limits)).fill_null(value=False) & own
        for name, limits in self.own_limits.items():
            kept |= (word == name).fill_null(value=False) & self._keeps(number, limits)
        return kept

    def find_limit(self, side: str) -> pl.Expr:
        """Return an expression: the limit, `low` or `high`, that each row is held to; null where there is none."""
        own = pl.lit(getattr(self, side), pl.Float64)
        if not self.own_limits:
            return own
        limits = {word: getattr(of, side) for word, of in self.own_limits.items()}
        return pl.col(self.own_column).replace_strict(limits, default=own, return_dtype=pl.Float64)

    def _keeps(self, number: pl.Expr, limits: Limits) -> pl.Expr:
        if not limits.has_range:
            return pl.lit(value=True)
        kept = number.is_not_null()
        if limits.low is not None:
            kept &= number >= limits.low if self.low_is_kept else number > limits.low
        if limits.high is not None:
            kept &= number <= limits.high if self.high_is_kept else number < limits.high
        return kept  # never null: false and null is false

    def resolve(self) -> dict[str, Any]:
        """Return the rule as a plain mapping: what a digest covers and a written recipe shows."""
        if self.allowed is not None:
            return {"rule": self.name, "signal": self.signal, "allowed": list(self.allowed), "source": self.source}
        resolved = {
            "rule": self.name,
            "signal": self.signal,
            "low": self.low,
            "low_is_kept": self.low_is_kept,
            "high": self.high,
            "high_is_kept": self.high_is_kept,
            "source": self.source,
        }
        return resolved | self.resolve_own_limits(has_source=False)

    def resolve_own_limits(self, *, has_source: bool = True) -> dict[str, Any]:
        """Return the limits by language or method as a plain mapping; nothing if there are none."""
        if not self.own_limits:
            return {}
        limits = {
            word: {"low": of.low, "high": of.high, **({"source": of.source} if of.source and has_source else {})}
            for word, of in sorted(self.own_limits.items())
        }
        return {OWN_LIMITS[self.own_column]: limits}

    def set_own_limits(self, column: str, word: str, **limits: Any) -> Rule:
        """Return the rule with limits for one word of a column; a side not named stays as the rule has it for it."""
        name = OWN_LIMITS[column]
        known: Mapping[str, Limits] = getattr(self, name)
        own = known.get(word, Limits(low=self.low, high=self.high))
        changed: dict[str, Any] = {name: {**known, word: replace(own, **limits)}}
        return replace(self, **changed)


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


def set_limit(
    rules: Sequence[Rule], name: str, limit: str, value: Any, *, word: str | None = None, column: str = LANGUAGE
) -> tuple[Rule, ...]:
    """Return the rules with one limit of one of them moved; their order stays.

    Args:
        rules: rules of a recipe.
        name: the rule.
        limit: low, high or allowed.
        value: a number or None; for `allowed` a tuple of words.
        word: the language or method whose limit is moved; None for the rule's own, which those with limits do not see.
        column: what `word` is: language or method.

    Raises:
        RecipeError: no such rule or limit, or a rule that would keep nothing.
    """
    rule = find_rule(name, {rule.name: rule for rule in rules})
    known = LIMITS if word is None else LIMITS[:2]
    if limit not in known:
        raise RecipeError(f"Rule {name!r} has no limit {limit!r}.{name_nearest(limit, known)}")
    moved = replace(rule, **{limit: value}) if word is None else rule.set_own_limits(column, word, **{limit: value})
    return tuple(moved if rule.name == name else rule for rule in rules)
