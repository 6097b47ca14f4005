"""Reads the data flow of C++: from which variables each variable gets its value, with names put out of sight.

Ren et al. 2020, "CodeBLEU" (arXiv 2009.10297, section 3.3): nodes are variables where they stand, edges say where a
value comes from; names are numbered in the order of the flows, so that another choice of names is no other flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_TARGETS = {
    "init_declarator": ("declarator", "value"),
    "assignment_expression": ("left", "right"),
    "for_range_loop": ("declarator", "right"),
}


def list_flows(root: Node) -> list[tuple[str, ...]]:
    """Return the flows of a program in its order: (variable, `from`, its sources ascending), names numbered.

    A declaration with a value, an assignment, a loop over a range: the target gets its value from each variable on the
    right, and with `+=` and its like from itself. `++` and `--` change a variable from itself, `>>` into a variable
    fills it from the stream. A function's result comes from the variables it returns.
    """
    raw: list[tuple[str, tuple[str, ...]]] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += reversed(node.children)
        flow = _read(node)
        if flow is not None:
            raw.append(flow)
    numbers: dict[str, str] = {}

    def number(name: str) -> str:
        return numbers.setdefault(name, f"v{len(numbers)}")

    return [(number(target), "from", *sorted(number(source) for source in sources)) for target, sources in raw]


def _read(node: Node) -> tuple[str, tuple[str, ...]] | None:
    """Return (variable, its sources) of a piece of code that gives one a value, else None."""
    target: str | None = None
    sources: list[str] = []
    operator = node.child_by_field_name("operator")
    if node.type in _TARGETS:
        left, right = (node.child_by_field_name(field) for field in _TARGETS[node.type])
        targets = _list_names(left)
        target = targets[0] if targets else None
        # v[i] = x: v changes, i says where
        sources = [*targets[1:], *_list_names(right)]
        if targets and operator is not None and operator.type != "=":
            sources.append(targets[0])
    elif node.type == "update_expression":
        sources = _list_names(node.child_by_field_name("argument"))
        target = sources[0] if sources else None
    elif node.type == "binary_expression" and operator is not None and operator.type == ">>":
        filled = _list_names(node.child_by_field_name("right"))
        target = filled[0] if len(filled) == 1 else None
        sources = _list_names(node.child_by_field_name("left"))[:1]
    elif node.type == "return_statement":
        sources = [name for child in node.named_children for name in _list_names(child)]
        target = "return" if sources else None
    return None if target is None else (target, tuple(dict.fromkeys(sources)))


def _list_names(node: Node | None) -> list[str]:
    """Return the variables in a piece of code, in order; what is called is no variable."""
    if node is None:
        return []
    found, waiting = [], [node]
    while waiting:
        one = waiting.pop()
        if one.type == "identifier" and one.text is not None:
            found.append(one.text.decode("utf-8", "replace"))
        children = one.children
        if one.type == "call_expression":
            called = one.child_by_field_name("function")
            children = [child for child in children if called is None or child.id != called.id or called.children]
        waiting += reversed(children)
    return found
