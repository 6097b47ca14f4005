"""Reads the synthesis methods of a recipe: a name, or a name with options and files that lie beside the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from mmpipe.errors import RecipeError, name_nearest
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_lists import find_list
from mmpipe.filtering.recipe_nodes import fail, is_null, read_list, read_mapping, read_settings, read_value
from mmpipe.filtering.synthesis_sections import SYNTHESIS_METHODS, SynthesisMethod

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mmpipe.filtering.synthesis_sections import OptionTree


def read_methods(
    node: yaml.Node,
    file: str,
    folder: Path | None,
    methods: Mapping[str, Mapping[str, bool]] = SYNTHESIS_METHODS,
    kind: str = "synthesis",
) -> tuple[str | SynthesisMethod, ...]:
    """Return the methods of a list: `- name`, or `- {method: name, option: value, seeds: file}`.

    Options are kept as written: which there are is for the method's settings to say, in another room.

    Args:
        node: the list.
        file: name of the recipe, for messages.
        folder: of the recipe; None for a packaged one.
        methods: those there are, and the files of each: True for one that must be named.
        kind: of methods, for messages.

    Raises:
        RecipeError: an unknown method, a file that is not there, or none where the method needs one.
    """
    return tuple(_read_method(item, file, folder, methods, kind) for item in read_list(node, file))


def _read_method(
    item: yaml.Node, file: str, folder: Path | None, methods: Mapping[str, Mapping[str, bool]], kind: str
) -> str | SynthesisMethod:
    keys = read_mapping(item, file) if isinstance(item, yaml.MappingNode) else {"method": item}
    if "method" not in keys:
        fail(item, file, "an entry is a method's name or `{method: name, option: value}`; the name is missing.")
    name: str = read_value(keys["method"], file, str)
    if name not in methods:
        fail(keys["method"], file, f"unknown {kind} method {name!r}.{name_nearest(name, methods)}")
    known = methods[name]
    files: dict[str, ListReference] = {}
    for key, is_needed in known.items():
        named = [found for found in keys if _is_file_key(found, key)]
        if is_needed and not named:
            fail(item, file, f"the method {name} reads a file: write `{{method: {name}, {key}: FILE}}`.")
        files |= {found: _read_file(found, keys[found], file, folder) for found in named}
    options = {key: read_tree(value, file) for key, value in keys.items() if key != "method" and key not in files}
    if not files and not options:
        return name
    line = item.start_mark.line + 1
    return SynthesisMethod(method=name, options=options, files=files, file=file, line=line)


def _is_file_key(found: str, key: str) -> bool:
    return found == key or (key.endswith("*") and found.startswith(key[:-1]) and found != key[:-1])


def _read_file(key: str, node: yaml.Node, file: str, folder: Path | None) -> ListReference:
    if isinstance(node, yaml.MappingNode):
        reference = read_settings(ListReference, node, file, {})
    else:
        reference = ListReference(list=read_value(node, file, str, key))
    if "://" in reference.list:
        fail(node, file, "a method reads a file beside the recipe, no URL. Download it, and name the file.")
    try:
        return find_list(reference, folder, is_own_file=True)
    except RecipeError as error:
        fail(node, file, f"`{key}`: {error}")


def read_tree(node: yaml.Node, file: str) -> OptionTree:
    """Return a node as words, tuples and mappings; no word is taken for a number, a truth or a date here."""
    if isinstance(node, yaml.MappingNode):
        return {key: read_tree(value, file) for key, value in read_mapping(node, file).items()}
    if isinstance(node, yaml.SequenceNode):
        return tuple(read_tree(item, file) for item in node.value)
    return None if is_null(node) else read_value(node, file, str)


def write_tree(tree: OptionTree, line: int) -> yaml.Node:
    """Return the node of a tree, as if it stood in that line, from 1: `recipe_nodes` reads it by type from there."""
    mark = yaml.Mark("", 0, line - 1, 0, "", 0)
    if tree is None:
        return yaml.ScalarNode("tag:yaml.org,2002:null", "null", mark, mark)
    if isinstance(tree, str):
        # a quoted word is never null
        return yaml.ScalarNode("tag:yaml.org,2002:str", tree, mark, mark, style="'")
    if isinstance(tree, tuple):
        return yaml.SequenceNode("tag:yaml.org,2002:seq", [write_tree(item, line) for item in tree], mark, mark)
    pairs = [(write_tree(key, line), write_tree(item, line)) for key, item in tree.items()]
    return yaml.MappingNode("tag:yaml.org,2002:map", pairs, mark, mark)
