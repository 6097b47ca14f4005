"""Measures how balanced LRV-style rows are: positive to negative, kinds, tasks, forms, yes to no; stops on a skew."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.errors import ShardError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

_YES_NO = re.compile(r"\s*(yes|no)\s*(?:[,.;:!–—-]|\Z)", re.IGNORECASE)


class UnbalancedRows(ShardError):
    """Rows that hold more of one side than the tolerance allows."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How many rows there are of what.

    Attributes:
        positive: rows whose instruction is right about the picture.
        negative: rows whose instruction is wrong about it.
        kinds: rows by kind.
        tasks: (positive, negative) by task.
        forms: rows by form, question or statement.
        answers: rows by how their answer begins: yes, no or open.
        skews: what is beyond tolerance, in words; empty if nothing is.
    """

    positive: int
    negative: int
    kinds: dict[str, int]
    tasks: dict[str, tuple[int, int]]
    forms: dict[str, int]
    answers: dict[str, int]
    skews: tuple[str, ...]


def read_answer(response: str) -> str:
    """Return whether an answer is yes, is no, or is open ("No boat is here" is open, "No, a boat is" is not)."""
    said = _YES_NO.match(response)
    return said[1].casefold() if said else "open"


def measure_balance(
    rows: pl.DataFrame, details: pl.DataFrame, *, tolerance: float, least_rows: int = 20, tasks: Iterable[str] = ()
) -> Balance:
    """Return counts and what is beyond tolerance.

    A share is measured against one half: positive of all rows, positive of each task's rows, questions of all, and yes
    of the answers that begin with yes or no. Shares of fewer than `least_rows` are told in the counts alone.

    Args:
        rows: instruction_id, response (synthesized_instructions).
        details: instruction_id, kind, task, form (`lrv_balance.DETAILS_SCHEMA`).
        tolerance: largest distance of a share from one half that is no skew, 0 to 0.5.
        least_rows: fewest rows a share is judged by.
        tasks: tasks that must occur once there are `least_rows` rows for each.
    """
    told = rows.select("instruction_id", "response").join(
        details, on="instruction_id", how="inner", validate="1:1", maintain_order="left"
    )
    kinds: Counter[str] = Counter()
    forms: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    by_task: dict[str, Counter[bool]] = {}
    for row in told.iter_rows(named=True):
        kinds[row["kind"]] += 1
        forms[row["form"]] += 1
        answers[read_answer(row["response"])] += 1
        by_task.setdefault(row["task"], Counter())[row["kind"] == "positive"] += 1
    positive, negative = kinds["positive"], told.height - kinds["positive"]
    sides = {
        "positive instructions": (positive, negative),
        "questions": (forms["question"], forms["statement"]),
        "answers of yes": (answers["yes"], answers["no"]),
        **{f"positive instructions of {name}": (count[True], count[False]) for name, count in sorted(by_task.items())},
    }
    skews = [
        f"{name}: {one} of {one + other}"
        for name, (one, other) in sides.items()
        if one + other >= least_rows and abs(one / (one + other) - 0.5) > tolerance
    ]
    wanted = list(tasks)
    if told.height >= least_rows * len(wanted):
        skews += [f"no rows of {name}" for name in wanted if name not in by_task]
    return Balance(
        positive,
        negative,
        dict(sorted(kinds.items())),
        {name: (count[True], count[False]) for name, count in sorted(by_task.items())},
        dict(sorted(forms.items())),
        dict(sorted(answers.items())),
        tuple(skews),
    )


def require_balance(balance: Balance) -> None:
    """Pass balanced rows.

    Raises:
        UnbalancedRows: something is beyond tolerance; the message names all of it.
    """
    if balance.skews:
        raise UnbalancedRows(
            f"The rows are not balanced: {'; '.join(balance.skews)}. Keep equal numbers (`is_trimmed`), ask for more "
            "pictures, or allow a larger tolerance."
        )
