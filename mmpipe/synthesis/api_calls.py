"""Reads calls out of what a model wrote and holds them against reference calls, as trees and never as text.

Patil et al. 2023, "Gorilla: Large Language Model Connected with Massive APIs" (arXiv 2305.15334, section 3.4): an
answer is right if the tree of the reference call is a sub-tree of it, and a call that is no reference at all is a
hallucination. Unlike the published script, nothing is right by default: what matches no reference is none of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from mmpipe.errors import ConfigurationError

#: `right`: the wanted call. `wrong`: another reference's. `ambiguous`: calls of several APIs, the wanted one among
#: them. `hallucination`: calls, and none of them a reference. `no_call`: nothing that parses as a call.
Verdict = Literal["right", "wrong", "ambiguous", "hallucination", "no_call"]

#: A name right before its bracket, as nobody writes words.
_CALL_BEGUN = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\(")
_LONGEST_CALL = 2000
#: Names and brackets that are tried in one text: a model in a loop writes thousands.
_MOST_NAMES, _MOST_BRACKETS = 100, 30
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CallTree:
    """A call: its dotted name, and the trees of its arguments by keyword or, as text, position."""

    name: str
    arguments: Mapping[str, str]

    @property
    def size(self) -> int:
        """How many arguments it states."""
        return len(self.arguments)

    def is_in(self, other: CallTree) -> bool:
        """Return whether `other` calls the same and states every argument of this one, each with an equal tree.

        An argument may stand by keyword in the one and by position in the other: which is which no tree knows, and the
        published script compares values alone. So it is looked for among those of the other kind that no argument of
        the same place goes with.
        """
        if self.name != other.name:
            return False
        strays = [(place, tree) for place, tree in other.arguments.items() if place not in self.arguments]
        for place, tree in self.arguments.items():
            if place in other.arguments:
                if other.arguments[place] != tree:
                    return False
                continue
            found = next((one for one in strays if one[0].isdigit() != place.isdigit() and one[1] == tree), None)
            if found is None:
                return False
            strays.remove(found)
        return True


@dataclass(frozen=True, slots=True)
class CallVerdict:
    """What an answer's calls are, and the ids of the references found."""

    verdict: Verdict
    found: tuple[str, ...] = ()


def find_fenced(text: str) -> list[str]:
    """Return the fenced blocks of a text, in the order they stand."""
    return _FENCE.findall(text)


def read_calls(text: str) -> list[CallTree]:
    """Return every call with a dotted name in a text, nested ones too, in the order they stand.

    Fenced code is read if there is any; else the whole text; where that does not parse, each line that does; where none
    does, calls within words: in a list, behind a label, over several lines.
    """
    calls: list[CallTree] = []
    for block in find_fenced(text) or [text]:
        found = [call for tree in _parse(block) for call in _list_calls(tree)]
        calls += found or [call for tree in _parse_within(block) for call in _list_calls(tree)]
    return calls


def _list_calls(tree: ast.AST) -> list[CallTree]:
    return [call for node in ast.walk(tree) if isinstance(node, ast.Call) and (call := _read(node))]


def read_reference(text: str) -> CallTree:
    """Return the call that a reference is: of calls inside one another, the outermost that has a dotted name.

    Raises:
        ConfigurationError: the text is no call.
    """
    calls = read_calls(text)
    if not calls:
        raise ConfigurationError(f"{text!r} is no call in Python.")
    return calls[0]


def judge_calls(answer: str, wanted: str, references: Mapping[str, CallTree]) -> CallVerdict:
    """Return what the calls of an answer are.

    Each call stands for the references inside it that state most; two references with equal trees are one API.

    Args:
        answer: what a model wrote.
        wanted: id of the reference that is right.
        references: reference calls by id.

    Raises:
        ConfigurationError: `wanted` is no reference.
    """
    if wanted not in references:
        raise ConfigurationError(f"{wanted!r} is not among the reference calls.")
    return judge_grouped(answer, wanted, group_by_name(references))


def group_by_name(references: Mapping[str, CallTree]) -> dict[str, dict[str, CallTree]]:
    """Return references by the name they call, so that a call is held against those it can be."""
    groups: dict[str, dict[str, CallTree]] = {}
    for number, reference in references.items():
        groups.setdefault(reference.name, {})[number] = reference
    return groups


def judge_grouped(answer: str, wanted: str, groups: Mapping[str, Mapping[str, CallTree]]) -> CallVerdict:
    """Return what `judge_calls` does of references that are grouped already, `wanted` among them."""
    calls = read_calls(answer)
    found: set[str] = set()
    is_right = is_other = False
    for call in calls:
        inside = {number: reference for number, reference in groups.get(call.name, {}).items() if reference.is_in(call)}
        most = max((reference.size for reference in inside.values()), default=0)
        best = {number for number, reference in inside.items() if reference.size == most}
        found |= best
        is_right = is_right or wanted in best
        is_other = is_other or bool(best and wanted not in best)
    if is_right:
        verdict: Verdict = "ambiguous" if is_other else "right"
    elif is_other:
        verdict = "wrong"
    else:
        verdict = "hallucination" if calls else "no_call"
    return CallVerdict(verdict, tuple(sorted(found)))


def check_references(calls: Mapping[str, str]) -> dict[str, CallVerdict]:
    """Return the references that are not right as answers to themselves: none, or scores against them mean nothing.

    A text that is no call at all is `no_call`.
    """
    read = {number: found[0] for number, text in calls.items() if (found := read_calls(text))}
    groups = group_by_name(read)
    verdicts = {number: judge_grouped(text, number, groups) for number, text in calls.items()}
    return {number: verdict for number, verdict in verdicts.items() if verdict.verdict != "right"}


def _parse(text: str) -> list[ast.AST]:
    try:
        return [ast.parse(text.strip())]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    trees: list[ast.AST] = []
    for line in text.splitlines():
        # prompts of an interactive session, and list marks
        stripped = line.strip().removeprefix(">>>").removeprefix("-").strip().strip("`")
        try:
            trees.append(ast.parse(stripped))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return trees


def _parse_within(text: str) -> list[ast.AST]:
    """Return the calls that stand within words, outermost ones; `image(s)` and `step(2)` are words, and no calls."""
    trees: list[ast.AST] = []
    end = 0
    for begun in islice(_CALL_BEGUN.finditer(text), _MOST_NAMES):
        if begun.start() < end:
            continue
        # the first bracket behind which it parses closes it: brackets in strings close nothing
        rest = text[begun.end() : begun.end() + _LONGEST_CALL]
        for closed in islice(re.finditer(r"\)", rest), _MOST_BRACKETS):
            piece = text[begun.start() : begun.end() + closed.end()]
            try:
                node = ast.parse(piece, mode="eval").body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            if isinstance(node, ast.Call) and ("." in begun[0] or _states_text(node)):
                trees.append(node)
                end = begun.start() + len(piece)
            break
    return trees


def _states_text(node: ast.Call) -> bool:
    texts = (isinstance(value, ast.Constant) and isinstance(value.value, str) for value in node.args)
    return bool(node.keywords) or any(texts)


def _read(node: ast.Call) -> CallTree | None:
    name = _name(node.func)
    if name is None:
        return None
    arguments = {str(place): _dump(value) for place, value in enumerate(node.args)}
    arguments |= {keyword.arg or "**": _dump(keyword.value) for keyword in node.keywords}
    return CallTree(name, arguments)


def _name(node: ast.expr) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def _dump(node: ast.expr) -> str:
    return ast.dump(node, annotate_fields=False)


def list_strings(calls: Sequence[CallTree]) -> set[str]:
    """Return the string literals among the arguments of calls: names of models and repositories, mostly."""
    found = set()
    for call in calls:
        for tree in call.arguments.values():
            for match in re.finditer(r"Constant\(('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\)", tree):
                found.add(str(ast.literal_eval(match[1])))
    return found
