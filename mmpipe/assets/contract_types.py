"""Says how a column's type is written in a contract, and which rules follow from what a contract says of a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.assets.contract_rules import ERROR, UNEXPECTED_ROWS, ContractRule, select_rows, write_literal

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
    name = column.name
    quoted = f'"{name}"'
    rules = []

    def add(rule: str, description: str, expectation: str, kwargs: dict[str, Any], where: str, limit: str = "") -> None:
        line = marked.find_line(*at, where)
        rules.append(ContractRule(f"{name}__{rule}", description, ERROR, expectation, kwargs, name, line, limit))

    if item.get("unique") or key == (name,):
        add("unique", f"{name} names one row.", "expect_column_values_to_be_unique", {"column": name}, "primaryKey")
    elif key[0] == name:
        add(
            "unique_key",
            f"{', '.join(key)} together name one row.",
            "expect_compound_columns_to_be_unique",
            {"column_list": list(key)},
            "primaryKey",
        )
    if item.get("enum"):
        values = [told["value"] for told in item["enum"]]
        listed = ", ".join(map(str, values))
        add("known", f"{name} is one of {listed}.", "expect_column_values_to_be_in_set",
            {"column": name, "value_set": values}, "enum", listed)  # fmt: skip
    options = item.get("logicalTypeOptions")
    if not options:
        return rules
    marked.require_known_keys(_OPTIONS.get(describe_logical_type(column.dtype), set()), *at, "logicalTypeOptions")
    where = "logicalTypeOptions"
    if "pattern" in options:
        pattern = str(options["pattern"])
        add("pattern", f"{name} looks like {pattern}.", UNEXPECTED_ROWS,
            select_rows(key, f"NOT regexp_matches({quoted}, {write_literal(pattern)})"), where, pattern)  # fmt: skip
    lengths = {option: options[option] for option in ("minLength", "maxLength") if option in options}
    if lengths:
        add("length", f"{name} has {_write_bounds(lengths)} characters.", "expect_column_value_lengths_to_be_between",
            {"column": name, **_list_bounds(lengths)}, where, _write_bounds(lengths))  # fmt: skip
    ranges = {option: value for option, value in options.items() if "inimum" in option or "aximum" in option}
    if ranges:
        add("range", f"{name} is {_write_bounds(ranges)}.", "expect_column_values_to_be_between",
            {"column": name, **_list_bounds(ranges)}, where, _write_bounds(ranges))  # fmt: skip
    items = [f"len({quoted}) < {options['minItems']}"] if "minItems" in options else []
    items += [f"len({quoted}) > {options['maxItems']}"] if "maxItems" in options else []
    if items:
        add("items", f"{name} has {_write_bounds(options)} items.", UNEXPECTED_ROWS,
            select_rows(key, " OR ".join(items)), where, _write_bounds(options))  # fmt: skip
    return rules


def _list_bounds(options: dict[str, Any]) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    for option, value in options.items():
        for argument in _BOUNDS[option]:
            bounds[argument] = True if argument.startswith("strict") else value
    return bounds


def _write_bounds(options: dict[str, Any]) -> str:
    signs = {"minimum": ">=", "maximum": "<=", "exclusiveMinimum": ">", "exclusiveMaximum": "<",
             "minLength": ">=", "maxLength": "<=", "minItems": ">=", "maxItems": "<="}  # fmt: skip
    return " and ".join(f"{signs[option]} {value}" for option, value in options.items() if option in signs)
