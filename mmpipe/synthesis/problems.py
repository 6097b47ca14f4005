"""Says what a problem with a known answer is, as the reasoning methods take it, and shows it to a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.answer_checks import AnswerCheck, Verdict, check_answer, read_right
from mmpipe.synthesis.drafts import Parent

if TYPE_CHECKING:
    from mmpipe.synthesis.row_account import RowAccount

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: Columns of a frame of problems. `options` and `table` may be missing: no options, rows of a table "problems".
PROBLEMS_SCHEMA = pl.Schema(
    {
        "problem_id": pl.String(),
        "dump": pl.String(),
        "question": pl.String(),
        "answer": pl.String(),
        "options": pl.List(pl.String),
        "table": pl.String(),
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, its right answer, and the options it chooses among, if any."""

    problem_id: str
    dump: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    table: str = "problems"

    @property
    def parent(self) -> Parent:
        """The row a made row comes from."""
        return Parent(self.table, self.problem_id)

    def show(self) -> str:
        """Return the question with its options, one lettered line each."""
        lines = [f"({letter}) {option}" for letter, option in zip(_LETTERS, self.options, strict=False)]
        return "\n".join([self.question, *lines])

    def judge(self, said: str, check: AnswerCheck) -> Verdict:
        """Return whether the final answer of `said` is right."""
        return check_answer(said, self.answer, check, self.options)


def read_problems(frame: pl.DataFrame, check: AnswerCheck, account: RowAccount | None = None) -> list[Problem]:
    """Return the problems of a frame, in its order.

    Args:
        frame: columns of `PROBLEMS_SCHEMA`; of an answer that is a whole solution the final answer counts.
        check: how answers are compared.
        account: takes what cannot be used: `empty_question`, `right_answer_unreadable`. Without one they are left out.

    Raises:
        ConfigurationError: a column is missing, or two problems share an id.
    """
    missing = [name for name in ("problem_id", "dump", "question", "answer") if name not in frame.columns]
    if missing:
        raise ConfigurationError(f"Problems: columns {missing} are missing; there are {frame.columns}.")
    doubled = frame.filter(pl.col("problem_id").is_duplicated()).get_column("problem_id")
    if len(doubled):
        raise ConfigurationError(
            f"Problems: {doubled.n_unique()} ids stand for several rows, among them {doubled[0]!r}."
        )
    known = [name for name in PROBLEMS_SCHEMA if name in frame.columns]
    problems = []
    for row in frame.select(known).rows(named=True):
        problem = Problem(
            row["problem_id"],
            row["dump"],
            (row["question"] or "").strip(),
            _read_answer(row["answer"] or "", check),
            tuple(row.get("options") or ()),
            row.get("table") or "problems",
        )
        fault = _find_fault(problem, check)
        if not fault:
            problems.append(problem)
        elif account is not None:
            account.refuse(problem.problem_id, problem.question, fault, was_asked=False)
    return problems


def _read_answer(text: str, check: AnswerCheck) -> str:
    # a call may have an argument named `answer`
    return (text if check.kind == "api_call" else read_right(text)).strip()


def _find_fault(problem: Problem, check: AnswerCheck) -> str:
    if not problem.question:
        return "empty_question"
    try:
        # a right answer must be right by its own check
        is_right = problem.judge(problem.answer, check).is_right
    except ConfigurationError:
        is_right = False
    return "" if is_right else "right_answer_unreadable"
