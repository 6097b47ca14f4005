"""Says how a column's type is written in a contract, and which rules follow from what a contract says of a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.assets.contract_rules import (
    ERROR,
    UNEXPECTED_ROWS,
    ContractRule,
    select_repeats,
    select_rows,
    write_literal,
)

if TYPE_CHECKING:
    from polars.datatypes import DataType, DataTypeClass

    from mmpipe.assets.marked_yaml import MarkedYaml
    from mmpipe.tables.columns import Column

# (type, logical type of the standard, physical type as DuckDB writes it)
_SCALARS: tuple[tuple[Any, str, str], ...] = (
    (pl.String, "string", "VARCHAR"),
    (pl.Binary, "string", "BLOB"),
    (pl.Boolean, "boolean", "BOOLEAN"),
    (pl.Int8, "integer", "TINYINT"),
    (pl.Int16, "integer", "SMALLINT"),
    (pl.Int32, "integer", "INTEGER"),
    (pl.Int64, "integer", "BIGINT"),
    (pl.UInt8, "integer", "UTINYINT"),
    (pl.UInt16, "integer", "USMALLINT"),
    (pl.UInt32, "integer", "UINTEGER"),
    (pl.UInt64, "integer", "UBIGINT"),
    (pl.Float32, "number", "FLOAT"),
    (pl.Float64, "number", "DOUBLE"),
    (pl.Date, "date", "DATE"),
)
_OPTIONS = {
    "string": {"pattern", "minLength", "maxLength", "format"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"},
    "array": {"minItems", "maxItems"},
    "timestamp": {"timezone", "defaultTimezone", "format"},
}
_SIGNS = {
    "minimum": ">=",
    "maximum": "<=",
    "exclusiveMinimum": ">",
    "exclusiveMaximum": "<",
    "minLength": ">=",
    "maxLength": "<=",
    "minItems": ">=",
    "maxItems": "<=",
}
_ENUM_KEYS = {"value", "label", "id", "description", "customProperties", "authoritativeDefinitions", "tags"}
_BOUNDS = {
    "minimum": {"min_value"},
    "maximum": {"max_value"},
    "exclusiveMinimum": {"min_value", "strict_min"},
    "exclusiveMaximum": {"max_value", "strict_max"},
    "minLength": {"min_value"},
    "maxLength": {"max_value"},
}


def describe_logical_type(dtype: DataType | DataTypeClass) -> str:
    """Return the logical type of the Open Data Contract Standard."""
    if isinstance(dtype, pl.List | pl.Array):
        return "array"
    if isinstance(dtype, pl.Struct):
        return "object"
    if isinstance(dtype, pl.Datetime):
        return "timestamp"
    return next(logical for scalar, logical, _ in _SCALARS if dtype == scalar)


def describe_physical_type(dtype: DataType | DataTypeClass) -> str:
    """Return the type as DuckDB writes it when it reads the Parquet file."""
    if isinstance(dtype, pl.List | pl.Array):
        size = f"[{dtype.size}]" if isinstance(dtype, pl.Array) else "[]"
        return f"{describe_physical_type(dtype.inner)}{size}"
    if isinstance(dtype, pl.Struct):
        fields = (f'"{field.name}" {describe_physical_type(field.dtype)}' for field in dtype.fields)
        return f"STRUCT({', '.join(fields)})"
    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMP WITH TIME ZONE" if dtype.time_zone else "TIMESTAMP"
    return next(physical for scalar, _, physical in _SCALARS if dtype == scalar)


def read_type_rules(
    marked: MarkedYaml, at: tuple[str | int, ...], item: dict[str, Any], column: Column, key: tuple[str, ...]
) -> list[ContractRule]:
    """Return the rules behind `primaryKey`, `unique`, `enum` and `logicalTypeOptions` of one property.

    All are errors: what a column may hold is part of its type.

    Raises:
        ContractError: an option is unknown, or cannot be checked for the column's type.
    """
    rules = []
    if item.get("unique") or key == (column.name,):
        rules.append(_make_unique_rule(marked.find_line(*at, "primaryKey"), column.name, (column.name,)))
    elif key[0] == column.name:
        rules.append(_make_unique_rule(marked.find_line(*at, "primaryKey"), column.name, key))
    if item.get("enum"):
        rules.append(_read_enum(marked, (*at, "enum"), column.name))
    if item.get("logicalTypeOptions"):
        rules += _read_options(marked, (*at, "logicalTypeOptions"), column, key)
    return rules


def _make_unique_rule(line: int, name: str, key: tuple[str, ...]) -> ContractRule:
    rule, told = ("unique", name) if len(key) == 1 else ("unique_key", f"{', '.join(key)} together")
    return ContractRule(
        id=f"{name}__{rule}",
        description=f"{told} {'names' if len(key) == 1 else 'name'} one row.",
        severity=ERROR,
        expectation=UNEXPECTED_ROWS,
        kwargs=select_repeats(key),
        column=name,
        line=line,
    )


def _read_enum(marked: MarkedYaml, at: tuple[str | int, ...], name: str) -> ContractRule:
    values: list[Any] = []
    for index in range(len(marked.require_list(*at))):
        told = marked.require_known_keys(_ENUM_KEYS, *at, index)
        if not isinstance(told.get("value"), str | int | float):
            raise marked.complain("an enum needs one value per item.", *at, index)
        values.append(told["value"])
    listed = ", ".join(map(str, values))
    return ContractRule(
        id=f"{name}__known",
        description=f"{name} is one of {listed}.",
        severity=ERROR,
        expectation="expect_column_values_to_be_in_set",
        kwargs={"column": name, "value_set": values},
        column=name,
        line=marked.find_line(*at),
        limit=listed,
    )


def _read_options(
    marked: MarkedYaml, at: tuple[str | int, ...], column: Column, key: tuple[str, ...]
) -> list[ContractRule]:
    name, quoted, line = column.name, f'"{column.name}"', marked.find_line(*at)
    options = marked.require_known_keys(_OPTIONS.get(describe_logical_type(column.dtype), set()), *at)
    bounds = {option: marked.require_number(*at, option) for option in options if option in _SIGNS}
    rules = []

    def add(rule: str, description: str, expectation: str, kwargs: dict[str, Any], limit: str) -> None:
        rules.append(ContractRule(f"{name}__{rule}", description, ERROR, expectation, kwargs, name, line, limit))

    if "pattern" in options:
        pattern = str(options["pattern"])
        broken = select_rows(key, f"NOT regexp_matches({quoted}, {write_literal(pattern)})")
        add("pattern", f"{name} looks like {pattern}.", UNEXPECTED_ROWS, broken, pattern)
    lengths = {option: value for option, value in bounds.items() if option.endswith("Length")}
    if lengths:
        limit = _write_bounds(lengths)
        kwargs = {"column": name, **_list_bounds(lengths)}
        add("length", f"{name} has {limit} characters.", "expect_column_value_lengths_to_be_between", kwargs, limit)
    ranges = {option: value for option, value in bounds.items() if option.endswith(("inimum", "aximum"))}
    if ranges:
        limit = _write_bounds(ranges)
        kwargs = {"column": name, **_list_bounds(ranges)}
        add("range", f"{name} is {limit}.", "expect_column_values_to_be_between", kwargs, limit)
    items = {option: value for option, value in bounds.items() if option.endswith("Items")}
    if items:
        limit = _write_bounds(items)
        broken = select_rows(
            key, " OR ".join(f"NOT len({quoted}) {_SIGNS[option]} {items[option]}" for option in items)
        )
        add("items", f"{name} has {limit} items.", UNEXPECTED_ROWS, broken, limit)
    return rules


def _list_bounds(options: dict[str, int | float]) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    for option, value in options.items():
        for argument in _BOUNDS[option]:
            bounds[argument] = True if argument.startswith("strict") else value
    return bounds


def _write_bounds(options: dict[str, int | float]) -> str:
    return " and ".join(f"{_SIGNS[option]} {value}" for option, value in options.items())
