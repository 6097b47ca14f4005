"""Says which answers call the API that was wanted, by trees and never by text: Gorilla's evaluation as a verifier.

Patil et al. 2023, "Gorilla" (arXiv 2305.15334, section 3.4). What the paper counts as a hallucination (a call that is
no reference) is wrong here, as is another reference's call. An answer without a call, or with calls of several APIs,
proves nothing either way.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.api_calls import CallTree, find_fenced, group_by_name, judge_grouped, read_calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mmpipe.synthesis.api_calls import Verdict

#: Verdicts that prove something.
_PROVED: Mapping[Verdict, bool] = {"right": True, "wrong": False, "hallucination": False}

#: Id of the call that is wanted; ids of the others are their places.
_WANTED = "wanted"


class CallVerifier:
    """Verifies answers by the call that their reference is.

    Attributes:
        verdicts: answers by what Gorilla's evaluation says of them; those with no reference are `no_reference`.
    """

    def __init__(self, references: Iterable[str]) -> None:
        """Read what APIs there are; a text without a call is none of them.

        Args:
            references: calls in Python. A call that is one of these and not the wanted one is another API's.
        """
        calls = {str(place): found[0] for place, text in enumerate(references) if (found := read_calls(text))}
        self._groups = group_by_name(calls)
        self.verdicts: Counter[str] = Counter()

    def __call__(self, row: Mapping[str, Any]) -> bool | None:
        """Return whether a row's `answer` makes the call that its `reference` is; None if neither is proved."""
        wanted = read_only_call(str(row["reference"] or ""))
        if wanted is None:
            self.verdicts["no_reference"] += 1
            return None
        own = {**self._groups.get(wanted.name, {}), _WANTED: wanted}
        verdict = judge_grouped(row["answer"], _WANTED, {**self._groups, wanted.name: own}).verdict
        self.verdicts[verdict] += 1
        return _PROVED.get(verdict)


def read_only_call(text: str) -> CallTree | None:
    """Return the call that a reference is, or the only code in it; None where it says anything else in Python.

    Rows of `api_rows` have words around their call, which stands in a fenced block. `model = load("x")` is a call.
    """
    code = find_fenced(text) or [text]
    try:
        body = [statement for block in code for statement in ast.parse(block.strip()).body]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if len(body) != 1 or not isinstance(body[0], ast.Expr | ast.Assign) or not isinstance(body[0].value, ast.Call):
        return None
    calls = read_calls(ast.unparse(body[0].value))
    return calls[0] if calls else None
