"""Tools that a text can call, each a plain function of what stands in its call: calculator, calendar, search, answers.

Schick et al. 2023, "Toolformer" (arXiv 2302.04761, section 3): the calculator knows the four operations and rounds to
two decimals; the calendar takes nothing and says the day; search is BM25 over documents.
"""

from __future__ import annotations

import ast
import datetime as dt
import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

#: Runs a call's argument for a document (a mapping of its columns); None where there is no result.
RunTool = Callable[[str, Mapping[str, object]], str | None]
#: Runs the arguments of many calls at once, in order.
RunTools = Callable[[Sequence[str]], Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class TextTool:
    """A tool: its name in calls, what a teacher is told of it, one example call, and what runs it.

    `run_many`, where a tool has it, is asked in place of `run`: a model that answers many at once.
    """

    name: str
    description: str
    example: str
    run: RunTool
    run_many: RunTools | None = None

    def run_calls(self, calls: Sequence[tuple[str, Mapping[str, object]]]) -> list[str | None]:
        """Return the result of each call: its argument, and the document it stands in."""
        if self.run_many is not None:
            return list(self.run_many([argument for argument, _ in calls]))
        return [self.run(argument, document) for argument, document in calls]


_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_ARITHMETIC = re.compile(r"[\d\s.,+\-*/()×÷−]{1,200}")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_WORD = re.compile(r"\w+")


def calculate(text: str) -> str | None:
    """Return the value of an expression of + - * / and brackets, rounded to two decimals; None if it is none.

    Whole results have no decimals; `1,400` is a number. Nothing is evaluated but numbers and the four operations.
    """
    if not _ARITHMETIC.fullmatch(text):
        return None
    plain = _THOUSANDS.sub("", text.replace("×", "*").replace("÷", "/").replace("−", "-")).strip()
    try:
        value = _evaluate(ast.parse(plain, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError, RecursionError, MemoryError):
        return None
    if value is None or not math.isfinite(value):
        return None
    rounded = round(value, 2)
    return f"{rounded:.2f}" if rounded != int(rounded) else str(int(rounded))


def _evaluate(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _evaluate(node.operand)
        return None if inner is None else -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _evaluate(node.left), _evaluate(node.right)
        return None if left is None or right is None else _OPERATIONS[type(node.op)](left, right)
    return None


def tell_day(argument: str, document: Mapping[str, object]) -> str | None:
    """Return the day of a document's `date` (a date, or YYYY-MM-DD) in words; None without one or with an argument."""
    date = document.get("date")
    if argument.strip() or date is None:
        return None
    if isinstance(date, str):
        try:
            date = dt.date.fromisoformat(date[:10])
        except ValueError:
            return None
    if not isinstance(date, dt.date):
        return None
    return f"Today is {date:%A}, {date:%B} {date.day}, {date.year}."


class PassageSearch:
    """BM25 over passages (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75), ties to the passage that stands first.

    Args:
        passages: texts to find.
        most_characters: of a result.
    """

    def __init__(self, passages: Sequence[str], *, most_characters: int = 300) -> None:
        self._passages = list(passages)
        self._most_characters = most_characters
        self._counts = [Counter(_list_words(passage)) for passage in self._passages]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._mean = sum(self._lengths) / max(len(self._lengths), 1) or 1.0
        self._holders: dict[str, list[int]] = {}
        for place, counts in enumerate(self._counts):
            for word in counts:
                self._holders.setdefault(word, []).append(place)

    def find(self, query: str, *, without: str = "") -> str | None:
        """Return the passage that fits best, cut at its length; None if none shares a word.

        Args:
            query: what is looked for.
            without: a text whose own passages do not count: a document must not find itself.
        """
        scores: dict[int, float] = {}
        for word in set(_list_words(query)):
            holders = self._holders.get(word, ())
            rarity = math.log(1 + (len(self._passages) - len(holders) + 0.5) / (len(holders) + 0.5))
            for place in holders:
                count = self._counts[place][word]
                norm = 1.2 * (0.25 + 0.75 * self._lengths[place] / self._mean)
                scores[place] = scores.get(place, 0.0) + rarity * count * 2.2 / (count + norm)
        ranked = sorted(scores.items(), key=lambda item: (-round(item[1], 9), item[0]))
        for place, _ in ranked:
            if not without or self._passages[place] not in without:
                return self._passages[place][: self._most_characters]
        return None


def _list_words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def make_calculator() -> TextTool:
    """Return the calculator."""
    return TextTool(
        "Calculator", "computes + - * / with brackets", "Calculator(400 / 1400)", lambda text, _: calculate(text)
    )


def make_calendar() -> TextTool:
    """Return the calendar; it reads the document's `date`."""
    return TextTool("Calendar", "says what day it is; its brackets stay empty", "Calendar()", tell_day)


def make_search(documents: Sequence[str], name: str = "Search") -> TextTool:
    """Return search over documents; a document does not find itself."""
    index = PassageSearch(documents)
    return TextTool(
        name,
        "finds the passage of an encyclopedia that fits some words",
        f"{name}(fishing reel types)",
        lambda text, document: index.find(text, without=str(document.get("text", ""))),
    )


def make_question_answering(documents: Sequence[str], name: str = "QA") -> TextTool:
    """Return an answerer of questions: the sentence of the documents that fits the question best."""
    sentences = [part.strip() for text in documents for part in re.split(r"(?<=[.!?。！？])\s*", text) if part.strip()]
    index = PassageSearch(sentences)
    return TextTool(
        name,
        "answers a question about a fact",
        f"{name}(Where was Joe Biden born?)",
        lambda text, document: index.find(text, without=str(document.get("text", ""))),
    )
