"""Says what a labelled dataset is to the templates, reads its rows into slots, and chooses exemplars."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from mmpipe.synthesis.flan_templates import Family

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: Why a row of a dataset is rendered by no template.
REASONS = ("missing_field", "missing_answer", "too_few_options", "too_many_options", "doubled_option",
           "answer_not_among_options")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A dataset and which of its columns fill which slots.

    Attributes:
        name: of the dataset; stands in ids and parents.
        family: of templates.
        fields: column of each slot of the family.
        answer: column of the answer: a text, or a key of `labels`.
        labels: words of each label, in the dataset's order; they are the options. Keys are compared as texts.
        options: column with a row's own list of options, instead of labels.
        rationale: column with the reasoning, where there is one.
        id: column of the row's id, unique.
        split: column of the split; without one all rows are of split "train".
        group: column of what rows must not be shown beside each other (a common document).
    """

    name: str
    family: str
    fields: Mapping[str, str]
    answer: str = "answer"
    labels: Mapping[str, str] | None = None
    options: str | None = None
    rationale: str | None = None
    id: str = "id"
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A row of a dataset, its slots filled."""

    row_id: str
    split: str
    group: str
    values: Mapping[str, str]
    answer: str
    options: tuple[str, ...]
    rationale: str


def check_task(frame: pl.DataFrame, task: Task, family: Family) -> None:
    """Raise a ConfigurationError if the frame lacks a column, the family a slot, or an id stands twice."""
    for slot in task.fields:
        if slot not in family.fields:
            raise ConfigurationError(f"Task {task.name}: no slot {slot!r}.{name_nearest(slot, family.fields)}")
    missing_slots = sorted(set(family.fields) - set(task.fields))
    if missing_slots:
        raise ConfigurationError(f"Task {task.name}: no column for {', '.join(missing_slots)} of {task.family}.")
    named = [*task.fields.values(), task.answer, task.id, task.options, task.rationale, task.split, task.group]
    for column in named:
        if column is not None and column not in frame.columns:
            raise ConfigurationError(f"Task {task.name}: no column {column!r}.{name_nearest(column, frame.columns)}")
    if family.has_options and (task.labels is None) == (task.options is None):
        raise ConfigurationError(f"Task {task.name}: {task.family} needs labels, or a column of options, and not both.")
    if frame.get_column(task.id).is_duplicated().any():
        raise ConfigurationError(f"Task {task.name}: column {task.id!r} is not unique.")


def read_task_row(cells: Mapping[str, Any], task: Task, family: Family) -> tuple[TaskRow, str]:
    """Return the row with its slots filled, and one of REASONS or an empty text."""

    def read(column: str | None, otherwise: str = "") -> str:
        value = None if column is None else cells[column]
        return otherwise if value is None else str(value).strip()

    values = {slot: read(column) for slot, column in task.fields.items()}
    answer = read(task.answer)
    options: tuple[str, ...] = ()
    if family.has_options:
        listed = list((task.labels or {}).values()) if task.options is None else (cells[task.options] or [])
        options = tuple(str(option).strip() for option in listed)
        answer = answer if task.labels is None else task.labels.get(answer, answer)
    row_id = read(task.id)
    group = read(task.group) or row_id
    row = TaskRow(row_id, read(task.split, "train"), group, values, answer, options, read(task.rationale))
    faults = {
        "missing_field": not all(values.values()),
        "missing_answer": not answer,
        "too_few_options": family.has_options and len(options) < 2,
        "too_many_options": len(options) > len(_LETTERS),
        "doubled_option": len({option.casefold() for option in options}) < len(options),
        "answer_not_among_options": family.has_options and answer not in options,
    }
    return row, next((reason for reason in REASONS if faults[reason]), "")


class ExemplarPool:
    """Rows on a ring per split, each at the hash of its id; a draw walks on from a hash of its own."""

    def __init__(self, rows: Sequence[TaskRow], seed: int) -> None:
        self._seed = seed
        self._rings: dict[str, list[tuple[str, TaskRow]]] = {}
        for row in rows:
            self._rings.setdefault(row.split, []).append((make_id("flan ring", seed, row.row_id), row))
        for ring in self._rings.values():
            ring.sort(key=lambda placed: placed[0])

    def choose(self, row: TaskRow, number: int, count: int, *, has_rationale: bool) -> list[TaskRow]:
        """Return up to `count` rows that may be shown with `row`, by its id alone."""
        ring = self._rings[row.split]
        chosen: list[TaskRow] = []
        for draw in range(count):
            start = bisect_left(
                ring, make_id("flan draw", self._seed, row.row_id, number, draw), key=lambda one: one[0]
            )
            for step in range(len(ring)):
                other = ring[(start + step) % len(ring)][1]
                if _may_show(other, [row, *chosen], has_rationale=has_rationale):
                    chosen.append(other)
                    break
        return chosen


def _may_show(other: TaskRow, beside: Sequence[TaskRow], *, has_rationale: bool) -> bool:
    if has_rationale and not other.rationale:
        return False
    return all(other.row_id != row.row_id and other.group != row.group and other.values != row.values for row in beside)
