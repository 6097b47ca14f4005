"""CodeBLEU: how near a program is to a reference by its n-grams, its keywords, its syntax tree and its data flow.

Ren et al. 2020, "CodeBLEU: a Method for Automatic Evaluation of Code Synthesis" (arXiv 2009.10297). BLEU, weighted
BLEU and the match of sub-trees are those of the published code, so that figures can be compared: weighted BLEU is a
recall, whose penalty takes every reference for two tokens long, and what does not match counts 0.1. Data flow is our
own reading of section 3.3, for the published code reads C++ as C#; and where it takes a data flow that matches nothing
for a full match, 0 stays 0 here, and what has no data flow is null.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from mmpipe.filtering.code_dataflow import list_flows

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

#: Keywords of C++20 (ISO/IEC 14882:2020, table 5).
CPP_KEYWORDS = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t
    class compl concept const consteval constexpr constinit const_cast continue co_await co_return co_yield
    decltype default delete do double dynamic_cast else enum explicit export extern false float for friend
    goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast requires return short signed sizeof static static_assert
    static_cast struct switch template this thread_local throw true try typedef typeid typename union unsigned
    using virtual void volatile wchar_t while xor xor_eq
    """.split()  # noqa: SIM905 - a list of 90 lines hides the words
)

_OTHER_WEIGHT = 0.2
_EPSILON = 0.1
_ORDERS = 4
_COMMENTS = re.compile(r"//.*?$|/\*.*?\*/|'(?:\\.|[^\\'])*'|\"(?:\\.|[^\\\"])*\"", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CodeBleu:
    """CodeBLEU and its parts, each from 0 to 1.

    Attributes:
        score: weighted mean of the parts; where the reference has no data flow, of the other three.
        ngrams: BLEU of 1 to 4 tokens.
        weighted_ngrams: with keywords counting five times as much as other tokens.
        syntax: share of the reference's sub-trees that the program has.
        dataflow: share of the reference's data flows that the program has; None if the reference has none.
    """

    score: float
    ngrams: float
    weighted_ngrams: float
    syntax: float
    dataflow: float | None


def measure_code_bleu(
    program: str,
    reference: str,
    *,
    weights: tuple[float, float, float, float] = (0.25, 0.25, 0.25, 0.25),
    keywords: Collection[str] = CPP_KEYWORDS,
) -> CodeBleu:
    """Return how near a C++ program is to a reference.

    Args:
        program: what a model wrote.
        reference: what a person wrote.
        weights: of n-grams, weighted n-grams, syntax and data flow.
        keywords: tokens that count in full.
    """
    tokens, wanted = program.split(), reference.split()
    ngrams = measure_brevity(len(tokens), len(wanted)) * _average_precision(tokens, wanted)
    weighted = measure_brevity(len(tokens), 2) * _average_weighted_recall(tokens, wanted, keywords)
    parser = _open_parser()
    tree = parser.parse(strip_comments(program.strip()).encode()).root_node
    wanted_tree = parser.parse(strip_comments(reference.strip()).encode()).root_node
    parts: list[float | None] = [
        ngrams,
        weighted,
        _match_subtrees(tree, wanted_tree),
        _match_flows(list_flows(tree), list_flows(wanted_tree)),
    ]
    known = [(weight, part) for weight, part in zip(weights, parts, strict=True) if part is not None]
    total = sum(weight for weight, _ in known)
    score = sum(weight * part for weight, part in known) / total if total else 0.0
    return CodeBleu(score, ngrams, weighted, parts[2] or 0.0, parts[3])


def measure_brevity(length: int, wanted: int) -> float:
    """Return BLEU's penalty of a program shorter than its reference, in tokens."""
    if length > wanted:
        return 1.0
    return 0.0 if length == 0 else math.exp(1 - wanted / length)


def strip_comments(code: str) -> str:
    """Return C++ with each comment a space and without empty lines; what looks like one inside a string stays."""
    bare = _COMMENTS.sub(lambda match: " " if match[0].startswith("/") else match[0], code)
    return "\n".join(line for line in bare.split("\n") if line.strip())


def _count(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[place : place + order]) for place in range(len(tokens) - order + 1))


def _average(matched: Sequence[tuple[float, float]]) -> float:
    """Return the geometric mean of ratios; a 0 above counts as epsilon, and without one common token all is 0."""
    if matched[0][0] == 0:
        return 0.0
    return math.exp(math.fsum(math.log((above or _EPSILON) / below) for above, below in matched) / len(matched))


def _average_precision(tokens: Sequence[str], wanted: Sequence[str]) -> float:
    matched = []
    for order in range(1, _ORDERS + 1):
        have, want = _count(tokens, order), _count(wanted, order)
        matched.append((sum((have & want).values()), max(1, sum(have.values()))))
    return _average(matched)


def _average_weighted_recall(tokens: Sequence[str], wanted: Sequence[str], keywords: Collection[str]) -> float:
    matched: list[tuple[float, float]] = []
    for order in range(1, _ORDERS + 1):
        have, want = _count(tokens, order), _count(wanted, order)
        both = have & want

        def weigh(gram: tuple[str, ...], order: int = order) -> float:
            return 1.0 if order > 1 or gram[0] in keywords else _OTHER_WEIGHT

        above = math.fsum(weigh(gram) * count for gram, count in both.items())
        below = math.fsum(weigh(gram) * count for gram, count in want.items())
        matched.append((above, max(1.0, below)))
    return _average(matched)


def _list_subtrees(root: Node) -> list[str]:
    """Return every sub-tree with leaves below it, the root's too, as text of its kinds of nodes."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        found.append(str(node))
        waiting += [child for child in node.children if child.children]
    return found


def _match_subtrees(tree: Node, wanted: Node) -> float:
    have, want = set(_list_subtrees(tree)), _list_subtrees(wanted)
    return sum(subtree in have for subtree in want) / len(want)


def _match_flows(have: Sequence[tuple[str, ...]], want: Sequence[tuple[str, ...]]) -> float | None:
    if not want:
        return None
    return sum((Counter(have) & Counter(want)).values()) / len(want)


@cache
def _open_parser() -> Parser:
    import tree_sitter_cpp
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_cpp.language()))
