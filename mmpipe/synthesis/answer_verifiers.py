"""Says which answers are right where it can be proved: by the right answer, or by tests that a program has to pass."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.answer_checks import check_answer, extract_boxed, find_last_cue, read_right
from mmpipe.synthesis.answer_numbers import find_quantities, read_quantity
from mmpipe.tables.programs import PYTHON, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mmpipe.synthesis.answer_checks import AnswerCheck
    from mmpipe.tables.programs import ProgramRunner

_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)
_NUMERIC = frozenset(("number", "percent", "quantity"))


def make_verifier(check: AnswerCheck) -> Callable[[Mapping[str, Any]], bool | None]:
    """Return what says whether a row's `answer` ends in its `reference`, compared as `check` says.

    It says None, not wrong, of an answer in which no final answer can be found, or which says two things
    (`says_two_numbers`), and where the reference itself is none of that kind: neither is a proof. Of a
    reference that is a whole solution the final answer counts.
    """

    def verify(row: Mapping[str, Any]) -> bool | None:
        reference = read_right(str(row["reference"] or "")).strip()
        if not reference or (check.kind in _NUMERIC and read_quantity(reference) is None):
            return None
        if check.kind in _NUMERIC and says_two_numbers(row["answer"]):
            return None
        verdict = check_answer(row["answer"], reference, check, tuple(row.get("options") or ()))
        return None if verdict.reason == "answer_unreadable" else verdict.is_right

    return verify


def says_two_numbers(text: str) -> bool:
    """Return whether a solution that marks no final answer ends in another number than behind its last equals sign.

    "3 + 2 = 5, so he has 2 apples" may mean either: whoever compares it with 5 or with 2 proves nothing.
    """
    if "=" not in text or extract_boxed(text) is not None or find_last_cue(text) is not None:
        return False
    said, equal = find_quantities(text), find_quantities(text.rsplit("=", 1)[1])
    return bool(said and equal) and said[-1].share != equal[0].share


def run_tests(rows: Sequence[Mapping[str, Any]], runner: ProgramRunner) -> dict[str, bool | None]:
    """Return by `answer_id` whether the Python of each answer passes its tests; None if it could not be started.

    The tests stand behind the answer's code in one program, and behind them a word that is drawn for this run: a
    program that ends itself with status 0 before its tests did not pass them.

    Args:
        rows: answer_id, answer (code, or a text with fenced code: the last block counts), tests (Python that raises
            where the code is wrong).
        runner: runs them.
    """
    programs, words = [], []
    for row in rows:
        word = secrets.token_hex(16)
        words.append(word)
        text = f"{read_program(row['answer'])}\n\n{row['tests']}\n\nprint()\nprint({word!r})\n"
        programs.append(Program(argv=(PYTHON, "answer.py"), files={"answer.py": text.encode()}))
    verdicts: dict[str, bool | None] = {}
    for row, word, run in zip(rows, words, runner.run_all(programs), strict=True):
        is_through = run.status == "ok" and run.stdout.decode("utf-8", "replace").rstrip().endswith(f"\n{word}")
        verdicts[row["answer_id"]] = None if run.status == "not_started" else is_through
    return verdicts


def read_program(text: str) -> str:
    """Return the code of an answer: its last fenced block, or all of it where there is none."""
    blocks = _FENCED.findall(text)
    return blocks[-1] if blocks else text
