"""Reads what a recipe hands to a synthesis method: options, by the types of its settings, and files, as frames."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from mmpipe.errors import ConfigurationError, RecipeError, name_nearest
from mmpipe.filtering.recipe_methods import write_tree
from mmpipe.filtering.recipe_nodes import fail, is_null, read_list, read_mapping, read_value
from mmpipe.tables.identity import make_id
from mmpipe.tables.programs import ProgramLimits

if TYPE_CHECKING:
    import polars as pl
    import yaml

    from mmpipe.filtering.list_references import ListReference
    from mmpipe.filtering.synthesis_sections import SynthesisMethod

    #: Reads the node of an option whose type is none that a word can say.
    Read = typing.Callable[[yaml.Node, str], Any]

_Settings = TypeVar("_Settings")


def read_options(
    entry: SynthesisMethod,
    base: _Settings,
    *,
    extra: Mapping[str, Any] = {},
    hidden: typing.Collection[str] = (),
    readers: Mapping[str, Read] = {},
) -> tuple[_Settings, dict[str, Any]]:
    """Return a method's settings with the recipe's options in them, and the options that are no settings.

    Args:
        entry: the method as the recipe names it.
        base: its settings where the recipe is silent.
        extra: options beside the settings, and the type of each.
        hidden: fields of the settings that a recipe does not set.
        readers: how fields are read whose type says not how.

    Raises:
        RecipeError: an option that the method has not, with the nearest right name; a value of another type; or
            settings that the method refuses.
    """
    known = [*_list_fields(base, hidden), *extra]
    where = entry.file or "recipe"
    nodes = read_mapping(write_tree(entry.options, entry.line), where)
    for name, node in nodes.items():
        if name not in known:
            fail(node, where, f"the method {entry.method} has no option {name!r}.{name_nearest(name, known)}")
    beside = {name: _read_as(kind, nodes[name], where, name) for name, kind in extra.items() if name in nodes}
    settings = {name: node for name, node in nodes.items() if name not in extra}
    return _fill(base, settings, where, entry.line, readers), beside


def seed_settings(settings: Any, seed: int) -> Any:
    """Return a method's settings with a seed: their own, or that of how a teacher is asked about pictures."""
    if hasattr(settings, "asking"):
        return dataclasses.replace(settings, asking=dataclasses.replace(settings.asking, seed=seed))
    return dataclasses.replace(settings, seed=seed)


def read_part(cls: type[_Settings], nodes: Mapping[str, yaml.Node], where: str, line: int) -> _Settings:
    """Return settings within settings, read by the types of their fields.

    Raises:
        RecipeError: a key that they have not, or lack, or a value of another type.
    """
    known = _list_fields(cls)
    for name, node in nodes.items():
        if name not in known:
            fail(node, where, f"unknown key {name!r}.{name_nearest(name, known)}")
    made: _Settings = _fill(typing.cast("Any", cls), nodes, where, line)
    return made


def refuse(entry: SynthesisMethod, message: str) -> NoReturn:
    """Raise a RecipeError that names the place of the method in its recipe."""
    raise RecipeError(f"{entry.place}: {message}")


def _list_fields(settings: Any, hidden: typing.Collection[str] = ()) -> list[str]:
    return [item.name for item in dataclasses.fields(settings) if item.init and item.name not in hidden]


def _fill(
    base: _Settings | type[_Settings],
    nodes: Mapping[str, yaml.Node],
    where: str,
    line: int,
    readers: Mapping[str, Read] = {},
) -> _Settings:
    """Return settings with the values of nodes: those of `base`, or new ones where it is a class."""
    cls = base if isinstance(base, type) else type(base)
    # some modules know these for types alone
    hints = typing.get_type_hints(cls, localns={"ProgramLimits": ProgramLimits, "Mapping": Mapping})
    values = {}
    for name, node in nodes.items():
        if name in readers:
            values[name] = readers[name](node, where)
            continue
        values[name] = _read_as(hints[name], node, where, name, None if base is cls else getattr(base, name))
    try:
        if base is cls:
            return cls(**values)
        return typing.cast("_Settings", dataclasses.replace(typing.cast("Any", base), **values))
    except TypeError:
        given = ", ".join(values) or "nothing"
        raise RecipeError(f"{where}:{line}: {cls.__name__} lacks a key; given: {given}.") from None
    except ConfigurationError as error:
        raise RecipeError(f"{where}:{line}: {error}") from error


def _read_as(kind: Any, node: yaml.Node, where: str, name: str, base: Any = None) -> Any:
    """Return the value of an option; settings within settings are mappings of their own."""
    inner = next((part for part in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(part)), None)
    if inner is not None:
        if is_null(node) and type(None) in typing.get_args(kind):
            return None
        known = _list_fields(inner)
        nodes = read_mapping(node, where, known)
        return _fill(inner if base is None else base, nodes, where, node.start_mark.line + 1)
    parts = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and parts and parts[-1] is not Ellipsis:
        items = read_list(node, where)
        if len(items) != len(parts):
            fail(node, where, f"{name}: expected {len(parts)} values, found {len(items)}.")
        return tuple(read_value(item, where, part, name) for item, part in zip(items, parts, strict=True))
    return read_value(node, where, kind, name)


# files ----------------------------------------------------------------------------------------------------------------


def read_text(reference: ListReference) -> str:
    """Return the text of a method's file, in UTF-8, with or without a mark of byte order.

    Raises:
        ConfigurationError: as `read_stored`, or it is no UTF-8.
    """
    stored = read_stored(reference)
    try:
        return stored.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = stored[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{reference.list}:{line}: this is no UTF-8. Write the file in UTF-8.") from error


def read_lines(reference: ListReference) -> list[str]:
    """Return the lines of a method's file; raises as `read_text`."""
    # `splitlines` would part a row at U+2028 or U+0085, which stand unescaped within JSON's texts
    return read_text(reference).split("\n")


def read_json_lines(reference: ListReference) -> list[dict[str, Any]]:
    """Return the objects of a file with one per line; blank lines are none.

    Raises:
        ConfigurationError: as `read_text`, or a line is no JSON object; the message says which.
    """
    rows = []
    for number, line in enumerate(read_lines(reference), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigurationError(
                f"{reference.list}:{number}: this line is no JSON ({error}): {line.strip()[:60]}. Mend or remove it."
            ) from error
        if not isinstance(row, dict):
            raise ConfigurationError(
                f'{reference.list}:{number}: a row is an object, as {{"id": 1}}, and not {line.strip()[:60]}.'
            )
        rows.append(row)
    return rows


def read_stored(reference: ListReference) -> bytes:
    """Return the bytes of a method's file.

    Raises:
        ConfigurationError: it is gone, or no longer what it was when the recipe was loaded.
    """
    path = Path(reference.path)
    if not path.is_file():
        raise ConfigurationError(f"The file {reference.list} is not there any more. Put it back, or name another.")
    stored = path.read_bytes()
    if hashlib.sha256(stored).hexdigest() != reference.sha256:
        raise ConfigurationError(
            f"The file {reference.list} has another SHA-256 than the recipe says. Put the right one there."
        )
    return stored


def read_records(reference: ListReference) -> pl.DataFrame:
    """Return the rows of a file: JSON lines, or by its name `.json`, `.csv` or `.parquet`.

    Raises:
        ConfigurationError: as `read_stored`, or it cannot be read as rows, or has none.
    """
    import polars as pl

    suffix = Path(reference.path).suffix
    try:
        if suffix == ".parquet":
            frame = pl.read_parquet(io.BytesIO(read_stored(reference)))
        elif suffix == ".csv":
            frame = pl.read_csv(io.StringIO(read_text(reference)), infer_schema=False)
        else:
            rows = json.loads(read_text(reference)) if suffix == ".json" else read_json_lines(reference)
            frame = pl.DataFrame(rows, infer_schema_length=None)
    except (ValueError, TypeError, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(f"The file {reference.list} holds no rows that can be read: {error}") from error
    if frame.is_empty():
        raise ConfigurationError(f"The file {reference.list} has no rows.")
    return frame


def identify_rows(frame: pl.DataFrame, key: str, *columns: str, file: str, dump: str) -> pl.DataFrame:
    """Return rows with texts in the columns a method needs, an id, and the dump they are used for.

    Args:
        frame: rows of a file.
        key: column of the id; without it the file's `id`, and without that one a hash of the needed columns.
        columns: columns that must be there; numbers become texts.
        file: name of the file, for messages.
        dump: what their rows shall say.

    Raises:
        ConfigurationError: a column is missing, an id stands twice, or is null.
    """
    import polars as pl

    for column in columns:
        if column not in frame.columns:
            raise ConfigurationError(f"{file}: no column {column!r}.{name_nearest(column, frame.columns)}")
    frame = frame.with_columns(pl.col(column).cast(pl.String) for column in columns)
    if key not in frame.columns and "id" in frame.columns:
        frame = frame.rename({"id": key})
    if key not in frame.columns:
        made = [make_id(key, *(text or "" for text in row)) for row in frame.select(columns).iter_rows()]
        frame = frame.with_columns(pl.Series(key, made, dtype=pl.String))
    ids = frame.get_column(key).cast(pl.String)
    if ids.null_count() or ids.is_duplicated().any():
        raise ConfigurationError(
            f"{file}: each row needs an id of its own in {key!r}; some stand twice or are missing."
        )
    return frame.with_columns(ids.alias(key), dump=pl.lit(dump))
