"""Says what a labelled dataset is to the templates, reads its rows into slots, and chooses exemplars."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.flan_templates import Family

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: Why a row of a dataset is rendered by no template.
REASONS = ("evaluation_split", "other_split", "missing_field", "missing_answer", "too_few_options", "too_many_options",
           "doubled_option", "answer_not_among_options")  # fmt: skip

#: Rows that a draw looks at: where a thousand next to each other are all of one group, it ends without one.
_MOST_STEPS = 1000
#: Name of the ring for rows of splits for evaluation.
_TO_EVALUATION = "\0"
_TRAINING = frozenset({"train", "training"})
#: Words in the names of splits that are for evaluation.
_EVALUATION = frozenset({"test", "testing", "validation", "valid", "val", "dev", "development", "eval", "evaluation"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A dataset and which of its columns fill which slots.

    Attributes:
        name: of the dataset; stands in ids and parents.
        family: of templates.
        fields: column of each slot of the family.
        answer: column of the answer: a text, a key of `labels`, or the letter of one of `options` (ARC's `answerKey`).
        labels: words of each label, in the dataset's order; they are the options. Keys are compared as texts.
        options: column with a row's own list of options, instead of labels.
        rationale: column with the reasoning, where there is one.
        id: column of the row's id, unique.
        split: column of the split; without one all rows are of split "train".
        splits: splits that are rendered; without any, all but those that are named for evaluation (`test`,
            `validation_matched`, …), whose rows are refused.
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
    splits: tuple[str, ...] = ()
    group: str | None = None

    def renders(self, split: str) -> bool:
        """Return whether rows of a split become instructions."""
        return split in self.splits if self.splits else not is_for_evaluation(split)


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


def is_for_evaluation(split: str) -> bool:
    """Return whether a split's name says that models are measured on it: `dev-clean`, `xnli.test`, `unlabeled_test`.

    One such word is enough, unless the name begins with training (`train_val`): a split that is wrongly left out shows
    in the counts and is named by `splits`, a test that is wrongly taken shows nowhere.
    """
    words = [word for word in re.split(r"[\W\d_]+", split.casefold()) if word]
    return bool(words) and words[0] not in _TRAINING and not _EVALUATION.isdisjoint(words)


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
    for split in task.splits:
        known = (
            [] if task.split is None else frame.get_column(task.split).cast(pl.String).unique().drop_nulls().to_list()
        )
        if split not in known:
            raise ConfigurationError(f"Task {task.name}: no row is of split {split!r}.{name_nearest(split, known)}")
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
        answer = _find_letter(answer, options) if task.labels is None else task.labels.get(answer, answer)
    row_id = read(task.id)
    group = read(task.group) or row_id
    row = TaskRow(row_id, read(task.split, "train"), group, values, answer, options, read(task.rationale))
    faults = {
        "evaluation_split": is_for_evaluation(row.split) and not task.renders(row.split),
        "other_split": not task.renders(row.split),
        "missing_field": not all(values.values()),
        "missing_answer": not answer,
        "too_few_options": family.has_options and len(options) < 2,
        "too_many_options": len(options) > len(_LETTERS),
        "doubled_option": len({option.casefold() for option in options}) < len(options),
        "answer_not_among_options": family.has_options and answer not in options,
    }
    return row, next((reason for reason in REASONS if faults[reason]), "")


def _find_letter(answer: str, options: tuple[str, ...]) -> str:
    """Return the option that a letter stands for; any other answer, and an option that is a letter, as it is.

    A number is none: some datasets count from 0 and some from 1.
    """
    is_letter = len(answer) == 1 and answer in _LETTERS[: len(options)] and answer not in options
    return options[_LETTERS.index(answer)] if is_letter else answer


class ExemplarPool:
    """Rows on a ring per split, each at the hash of its id; a draw walks on from a hash of its own.

    Rows of a split for evaluation are never shown: beside one stand rows of all other splits.
    """

    def __init__(self, rows: Sequence[TaskRow], seed: int) -> None:
        self._seed = seed
        #: By split, and whether its rows all have a reasoning.
        self._rings: dict[tuple[str, bool], list[tuple[str, TaskRow]]] = {}
        for row in rows:
            if not is_for_evaluation(row.split):
                placed = (make_id("flan ring", seed, row.row_id), row)
                for split in (row.split, _TO_EVALUATION):
                    for has_rationale in (False, True) if row.rationale else (False,):
                        self._rings.setdefault((split, has_rationale), []).append(placed)
        for ring in self._rings.values():
            ring.sort(key=lambda placed: placed[0])

    def choose(self, row: TaskRow, number: int, count: int, *, has_rationale: bool) -> list[TaskRow]:
        """Return up to `count` rows that may be shown with `row`, by its id alone."""
        split = _TO_EVALUATION if is_for_evaluation(row.split) else row.split
        ring = self._rings.get((split, has_rationale), [])
        chosen: list[TaskRow] = []
        for draw in range(count):
            start = bisect_left(
                ring, make_id("flan draw", self._seed, row.row_id, number, draw), key=lambda one: one[0]
            )
            for step in range(min(len(ring), _MOST_STEPS)):
                other = ring[(start + step) % len(ring)][1]
                if _may_show(other, [row, *chosen]):
                    chosen.append(other)
                    break
        return chosen


def _may_show(other: TaskRow, beside: Sequence[TaskRow]) -> bool:
    return all(other.row_id != row.row_id and other.group != row.group and other.values != row.values for row in beside)
