"""Finds the functions of Python sources that stand alone: they take, return, and need nothing around them."""

from __future__ import annotations

import ast

import polars as pl

from mmpipe.tables.identity import make_id


def find_functions(source: str) -> list[str]:
    """Return the functions of a Python source that Case2Code can use, each as its text.

    A function stands at the top level, takes arguments, returns a value, and neither imports nor is decorated, awaited
    or a generator. What is not Python has none.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and _is_usable(node):
            segment = ast.get_source_segment(source, node)
            if segment is not None:
                found.append(segment)
    return found


def find_function_table(documents: pl.DataFrame) -> pl.DataFrame:
    """Return the usable functions of Python documents: function_id, dump, doc_id, code; equal functions stand once.

    Args:
        documents: columns doc_id, dump, text.
    """
    rows = [
        {"function_id": hash_function(code), "dump": row["dump"], "doc_id": row["doc_id"], "code": code}
        for row in documents.select("doc_id", "dump", "text").sort("doc_id").rows(named=True)
        for code in find_functions(row["text"])
    ]
    schema = {"function_id": pl.String, "dump": pl.String, "doc_id": pl.String, "code": pl.String}
    return pl.DataFrame(rows, schema=schema).unique("function_id", keep="first", maintain_order=True)


def hash_function(code: str) -> str:
    """Return the id that a function has among those found in documents: a hash of its code."""
    return make_id("case2code", code)


def _is_usable(node: ast.FunctionDef) -> bool:
    arguments = node.args
    has_arguments = bool(arguments.posonlyargs or arguments.args or arguments.kwonlyargs or arguments.vararg)
    returns = False
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom | ast.Yield | ast.YieldFrom | ast.Await):
            return False
        returns = returns or (isinstance(inner, ast.Return) and inner.value is not None)
    return has_arguments and returns and not node.decorator_list
