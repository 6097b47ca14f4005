"""Compares what a dump's rules decided with a sample that people labelled: precision, recall, Cohen's kappa."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Words of a label: whether a person would keep the pair.
_KEEP = frozenset({"keep", "kept", "good", "1", "true", "yes"})
_REMOVE = frozenset({"remove", "removed", "bad", "0", "false", "no"})


@dataclass(frozen=True, slots=True)
class RuleAgreement:
    """How far a rule agrees with people.

    Attributes:
        rule: its name.
        labelled: pairs that people spoke of.
        taken: of these, pairs the rule took.
        wanted: of these, pairs people would take (by the rule's own column, else by `label`).
        both: pairs that both take.
    """

    rule: str
    labelled: int
    taken: int
    wanted: int
    both: int

    @property
    def precision(self) -> float | None:
        """Share of the rule's removals that people agree with; None if it took none."""
        return self.both / self.taken if self.taken else None

    @property
    def recall(self) -> float | None:
        """Share of what people would take that the rule took; None if people would take none."""
        return self.both / self.wanted if self.wanted else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa of the two; None where one answer is all there is, so that chance explains it."""
        return measure_kappa(
            self.both, self.taken - self.both, self.wanted - self.both,
            self.labelled - self.taken - self.wanted + self.both,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """How far a dump's removals agree with a labelled sample.

    Attributes:
        labelled: labelled pairs that are in the dump.
        unknown: labelled pairs that are not.
        overall: all rules together against `label`; None without such a column.
        rules: each rule that took a labelled pair or has a column of its own, by name.
    """

    labelled: int
    unknown: int
    overall: RuleAgreement | None
    rules: tuple[RuleAgreement, ...]


def measure_kappa(both: int, first: int, second: int, neither: int) -> float | None:
    """Return Cohen's kappa (Cohen 1960): agreement beyond chance over the most that is possible; None if undefined.

    Args:
        both: rows that both take.
        first: rows only the first takes.
        second: rows only the second takes.
        neither: rows neither takes.
    """
    rows = both + first + second + neither
    if not rows:
        return None
    agreed = (both + neither) / rows
    by_chance = ((both + first) * (both + second) + (neither + first) * (neither + second)) / rows**2
    return None if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)


def compare_labels(
    labels: pl.DataFrame, pair_ids: Iterable[str], removals: pl.DataFrame, rules: Sequence[str]
) -> LabelAgreement:
    """Return how far removals agree with labels.

    Args:
        labels: `pair_id`, and `label` (keep or remove) or columns named as rules (1 where the rule should take the
            pair), or both; an empty cell says nothing.
        pair_ids: pairs of the dump.
        removals: pair_id, rule.
        rules: names of rules a column may have.

    Raises:
        ConfigurationError: a column is neither, a word is no label, or an id stands twice.
    """
    if "pair_id" not in labels.columns:
        raise ConfigurationError(f"The labelled sample has no column pair_id; it has {', '.join(labels.columns)}.")
    if labels.get_column("pair_id").is_duplicated().any():
        raise ConfigurationError("The labelled sample names a pair_id twice; one row is one pair.")
    for name in labels.columns:
        if name not in ("pair_id", "label", *rules):
            raise ConfigurationError(
                f"The labelled sample has a column {name!r} that is no rule.{name_nearest(name, ['label', *rules])}"
            )
    known = labels.filter(pl.col("pair_id").is_in(set(pair_ids)))
    taken_by = {
        str(rule): set(part.get_column("pair_id")) for (rule,), part in removals.group_by("rule", maintain_order=True)
    }
    wanted = {name: _read_labels(known, name) for name in known.columns if name != "pair_id"}
    by_label = wanted.pop("label", None)
    overall = None
    if by_label is not None:
        # a label says keep, a removal takes
        by_label = {pair_id: not is_kept for pair_id, is_kept in by_label.items()}
        overall = _compare("all rules", by_label, set().union(*taken_by.values()))
    compared = []
    for rule in sorted(set(taken_by) | set(wanted)):
        people = wanted.get(rule, by_label)
        taken = taken_by.get(rule, set())
        if people and (rule in wanted or taken & set(people)):
            compared.append(_compare(rule, people, taken))
    return LabelAgreement(known.height, labels.height - known.height, overall, tuple(compared))


def _compare(rule: str, wanted: dict[str, bool], taken: set[str]) -> RuleAgreement:
    is_taken = {pair_id: pair_id in taken for pair_id in wanted}
    return RuleAgreement(
        rule,
        len(wanted),
        sum(is_taken.values()),
        sum(wanted.values()),
        sum(wanted[pair_id] and is_taken[pair_id] for pair_id in wanted),
    )


def _read_labels(labels: pl.DataFrame, column: str) -> dict[str, bool]:
    """Return yes or no by pair for the cells that say something."""
    answers = {}
    for pair_id, cell in labels.select("pair_id", column).iter_rows():
        word = str(cell if cell is not None else "").strip().lower()
        if not word:
            continue
        if word not in _KEEP and word not in _REMOVE:
            raise ConfigurationError(
                f"The labelled sample says {cell!r} in column {column!r}: write keep or remove for a label, 1 or 0 "
                f"for a rule."
            )
        answers[pair_id] = word in _KEEP
    return answers
