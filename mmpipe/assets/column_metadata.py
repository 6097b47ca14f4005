"""Describes a table's columns to Dagster: types, descriptions, constraints, and the columns each was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mmpipe.assets.contract_types import describe_physical_type

if TYPE_CHECKING:
    from mmpipe.assets.contracts import Contract
    from mmpipe.tables.columns import Table


def describe_columns(table: Table, contract: Contract) -> dg.TableSchema:
    """Return the columns of a table with what the contract says of each: the Columns panel of the web UI."""
    columns = []
    for column in table.columns:
        rules = [rule for rule in contract.rules if rule.column == column.name]
        columns.append(
            dg.TableColumn(
                name=column.name,
                type=describe_physical_type(column.dtype),
                description=contract.column_descriptions.get(column.name) or column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=any(rule.id == f"{column.name}__unique" for rule in rules),
                    other=[_write_constraint(rule.description, rule.severity) for rule in rules if rule.limit],
                ),
            )
        )
    promises = [
        _write_constraint(rule.description, rule.severity)
        for rule in contract.rules
        if rule.column is None and rule.limit
    ]
    return dg.TableSchema(columns=columns, constraints=dg.TableConstraints(other=promises))


def describe_lineage(table: Table) -> dg.TableColumnLineage:
    """Return which columns of other assets each column was made from; columns of the table itself are left out."""
    lineage = {}
    for column in table.columns:
        parents = [parent.rsplit(".", 1) for parent in column.parents]
        deps = [
            dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=name)
            for asset, name in parents
            if asset != table.name
        ]
        if deps:
            lineage[column.name] = deps
    return dg.TableColumnLineage(deps_by_column=lineage)


def _write_constraint(description: str, severity: str) -> str:
    return description if severity == "error" else f"{description} (warning)"
