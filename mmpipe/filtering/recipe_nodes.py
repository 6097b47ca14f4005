"""Reads YAML into typed settings and says file and line of whatever does not fit. It knows nothing of recipes."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import yaml

from mmpipe.errors import RecipeError, name_nearest

_Settings = TypeVar("_Settings")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is ten times as fast, but optional
_NULLS = ("null", "~", "")
_BOOLEANS = {"true": True, "false": False}

#: Reads one node of a file into a value.
Reader = Callable[[yaml.Node, str], Any]


def compose(text: str, file: str) -> yaml.Node:
    """Return the root node of a YAML document.

    Raises:
        RecipeError: not YAML, or empty.
    """
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{file}:{line}: not valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{file}: not valid YAML: {error}.") from error
    if node is None:
        raise RecipeError(f"{file}:1: the file is empty.")
    return node


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError:
        # the other parser says on which line it is
        return yaml.compose(text, Loader=yaml.SafeLoader)


def fail(node: yaml.Node, file: str, message: str) -> NoReturn:
    """Raise a RecipeError that names the file and the line of the node."""
    raise RecipeError(f"{file}:{node.start_mark.line + 1}: {message}")


def read_mapping(node: yaml.Node, file: str, known: Iterable[str] | None = None) -> dict[str, yaml.Node]:
    """Return the value node of each key.

    Args:
        node: a mapping node; an empty value is an empty mapping.
        file: name of the file, for messages.
        known: keys that may appear; None for any.

    Raises:
        RecipeError: not a mapping, or a key is unknown or stands twice.
    """
    if is_null(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        fail(node, file, f"expected `key: value` lines, found {_show(node)}.")
    names = None if known is None else list(known)
    found: dict[str, yaml.Node] = {}
    for key_node, value_node in node.value:
        key = read_value(key_node, file, str)
        if names is not None and key not in names:
            fail(key_node, file, f"unknown key {key!r}.{name_nearest(key, names)}")
        if key in found:
            fail(key_node, file, f"key {key!r} stands twice.")
        found[key] = value_node
    return found


def read_list(node: yaml.Node, file: str) -> list[yaml.Node]:
    """Return the item nodes of a list; an empty value is an empty list.

    Raises:
        RecipeError: not a list.
    """
    if is_null(node):
        return []
    if not isinstance(node, yaml.SequenceNode):
        fail(node, file, f"expected a list (`- item` lines), found {_show(node)}.")
    return list(node.value)


def read_settings(
    cls: type[_Settings], node: yaml.Node, file: str, readers: Mapping[str, Reader], base: _Settings | None = None
) -> _Settings:
    """Return a frozen dataclass read from a mapping.

    Args:
        cls: the dataclass; its fields are the known keys and their types say what a value may be.
        node: the mapping node.
        file: name of the file, for messages.
        readers: how to read fields whose type is not a scalar, a literal, a tuple of scalars or a mapping to scalars.
        base: settings that keys not named in the mapping are taken from; None for the class's defaults.

    Raises:
        RecipeError: an unknown key, a value of the wrong type, or settings the class itself refuses.
    """
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(typing.cast("Any", cls)) if field.init]
    values: dict[str, Any] = {}
    for key, value_node in read_mapping(node, file, names).items():
        reader = readers.get(key)
        values[key] = reader(value_node, file) if reader else read_value(value_node, file, hints[key], key)
    try:
        if base is None:
            return cls(**values)
        return typing.cast("_Settings", dataclasses.replace(typing.cast("Any", base), **values))
    except TypeError:
        required = [name for name in names if name not in values]
        fail(node, file, f"a key is missing; not given: {', '.join(required)}.")
    except RecipeError as error:
        fail(node, file, str(error))


def read_value(node: yaml.Node, file: str, wanted: Any, key: str = "") -> Any:
    """Return a value of the wanted type.

    The type decides how a word is read, never the word itself, so that the language `no` is not false and the
    version `1.10` is not a number where a word is wanted.

    Args:
        node: the value.
        file: name of the file, for messages.
        wanted: the type.
        key: what the value is given for, for messages; a line may hold several.

    Raises:
        RecipeError: the value is not of that type.
    """
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        if is_null(node) and type(None) in arguments:
            return None
        return read_value(node, file, next(argument for argument in arguments if argument is not type(None)), key)
    if origin is tuple:
        return tuple(read_value(item, file, arguments[0], key) for item in read_list(node, file))
    if origin is Mapping:
        return {
            name: read_value(item, file, arguments[1], f"{key}.{name}" if key else name)
            for name, item in read_mapping(node, file).items()
        }
    if not isinstance(node, yaml.ScalarNode) or (is_null(node) and wanted is not str):
        fail(node, file, f"{_tell_key(key)}expected {_name(wanted)}, found {_show(node)}.")
    return _read_scalar(node, file, wanted, key)


def _read_scalar(node: yaml.ScalarNode, file: str, wanted: Any, key: str) -> Any:
    word: str = node.value
    if get_origin(wanted) is Literal:
        choices = get_args(wanted)
        if word not in choices:
            fail(node, file, f"{_tell_key(key)}unknown value {word!r}.{name_nearest(word, choices)}")
        return word
    if wanted is str:
        return word
    if wanted is bool:
        if word not in _BOOLEANS:
            fail(node, file, f"{_tell_key(key)}expected true or false, found {word!r}.")
        return _BOOLEANS[word]
    try:
        return wanted(word.replace("_", ""))
    except ValueError:
        fail(node, file, f"{_tell_key(key)}expected {_name(wanted)}, found {word!r}.")


def _tell_key(key: str) -> str:
    return f"`{key}`: " if key else ""


def is_null(node: yaml.Node) -> bool:
    """Return whether a value is written as null or not at all."""
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULLS


def _show(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else repr(node.value)


def _name(wanted: Any) -> str:
    return {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}.get(
        wanted, "one of its words"
    )
