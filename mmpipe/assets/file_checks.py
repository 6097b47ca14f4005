"""Checks a dataset by its Parquet footers and its manifest alone: columns, types, nulls, and that no row is lost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.assets.contract_rules import MEASURES, ROWS_ACCOUNTED_FOR, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.assets.contract_rules import ContractRule
    from mmpipe.assets.contracts import Contract
    from mmpipe.storage.commits import Manifest
    from mmpipe.storage.places import Place
    from mmpipe.tables.columns import Table


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What became of one rule on one dataset.

    Attributes:
        id: the rule.
        severity: `error` or `warning`.
        passed: whether it held.
        observed: what was measured, if a single value tells it.
        unexpected_count: rows that break it, if rows can.
        sample: keys of a few of those rows.
        seconds: time its queries took; rules answered by one query together share that query's time.
    """

    id: str
    severity: str
    passed: bool
    observed: float | str | None = None
    unexpected_count: int | None = None
    sample: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Footer:
    """What the end of one Parquet file says: rows, column types, nulls per column (None where it is silent)."""

    file: str
    rows: int
    columns: dict[str, pl.DataType]
    nulls: dict[str, int | None]


def read_footers(places: Sequence[Place], table: Table) -> list[Footer]:
    """Return the footer of every file; no row is read.

    Raises:
        OSError: a file cannot be read.
        pyarrow.ArrowInvalid: a file is not whole Parquet.
    """
    return [_read_footer(place, table) for place in places]


def list_unknown_nulls(footers: Sequence[Footer], table: Table) -> list[str]:
    """Return the required columns whose nulls no footer counts (nested columns, foreign writers)."""
    return [
        column.name
        for column in table.columns
        if not column.nullable and any(footer.nulls.get(column.name) is None for footer in footers)
    ]


def judge_schema(
    rule: ContractRule, footers: Sequence[Footer], table: Table, counted_nulls: dict[str, int]
) -> RuleResult:
    """Judge columns, types and nulls against the table.

    Args:
        rule: the contract's `schema` rule.
        footers: of all files.
        table: what they should be.
        counted_nulls: nulls of the columns that `list_unknown_nulls` named.
    """
    started = time.monotonic()
    troubles = list_misfits(footers, table)
    nulls = 0
    if not troubles:
        for column in table.columns:
            if column.nullable:
                continue
            count = counted_nulls.get(column.name)
            if count is None:
                count = sum(footer.nulls.get(column.name) or 0 for footer in footers)
            if count:
                nulls += count
                troubles.append(f"{column.name}: {count} nulls in a required column")
    return RuleResult(
        id=rule.id,
        severity=rule.severity,
        passed=not troubles,
        observed="; ".join(troubles) or f"{len(table.columns)} columns as promised",
        unexpected_count=nulls if nulls else None,
        seconds=time.monotonic() - started,
    )


def list_misfits(footers: Sequence[Footer], table: Table) -> list[str]:
    """Return every column that is missing, unknown or of another type, each with the file it was seen in first."""
    misfits: dict[str, str] = {}
    for footer in footers:
        for name, dtype in table.schema.items():
            found = footer.columns.get(name)
            if found is None:
                misfits.setdefault(name, f"{name}: missing in {footer.file}")
            elif found != dtype:
                misfits.setdefault(name, f"{name}: {found} instead of {dtype} in {footer.file}")
        for name in footer.columns.keys() - table.schema.keys():
            misfits.setdefault(name, f"{name}: unknown column in {footer.file}")
    return list(misfits.values())


def judge_ledger(rule: ContractRule, contract: Contract, manifest: Manifest, rows: int) -> RuleResult:
    """Judge a rule about the manifest: `rows_accounted_for` or `removed_share`.

    Args:
        rule: the rule.
        contract: says whether rows in = rows out + rows removed must hold.
        manifest: the ledger.
        rows: rows in the files.
    """
    if rule.expectation == ROWS_ACCOUNTED_FOR:
        return _judge_account(rule, contract, manifest, rows)
    share = manifest.rows_removed / manifest.rows_in if manifest.rows_in else 0.0
    low, high = rule.kwargs["minimum"], rule.kwargs["maximum"]
    return RuleResult(rule.id, rule.severity, not manifest.rows_in or low <= share <= high, round(share, 6))


def is_about_files(rule: ContractRule) -> bool:
    """Whether a rule is answered here, without reading rows."""
    return rule.expectation in (SCHEMA, ROWS_ACCOUNTED_FOR, *MEASURES)


def _judge_account(rule: ContractRule, contract: Contract, manifest: Manifest, rows: int) -> RuleResult:
    troubles = []
    if rows != manifest.rows_out:
        troubles.append(f"{rows} rows in the files, {manifest.rows_out} in the ledger")
    lost = 0
    if contract.accounts_for_rows:
        for commit in manifest.commits:
            difference = commit.rows_in - commit.rows_out - commit.rows_removed
            if difference:
                lost += abs(difference)
                troubles.append(
                    f"shard {commit.shard}: {commit.rows_in} in, {commit.rows_out} out, {commit.rows_removed} removed"
                )
    told = f"{manifest.rows_in} in, {manifest.rows_out} out, {manifest.rows_removed} removed"
    return RuleResult(
        rule.id, rule.severity, not troubles, "; ".join(troubles[:10]) or told, lost or abs(rows - manifest.rows_out)
    )


def _read_footer(place: Place, table: Table) -> Footer:
    import pyarrow.parquet

    with place.open() as stream:
        metadata: Any = pyarrow.parquet.read_metadata(stream)
        stream.seek(0)
        columns = dict(pl.read_parquet_schema(stream))
    nulls: dict[str, int | None] = dict.fromkeys(table.column_names)
    for index in range(metadata.num_columns):
        name = metadata.schema.column(index).path
        if name not in nulls:  # the leaf of a nested column, whose nulls are not the column's
            continue
        counts = []
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(index).statistics
            counts.append(statistics.null_count if statistics is not None and statistics.has_null_count else None)
        nulls[name] = None if None in counts else sum(count for count in counts if count is not None)
    return Footer(place.name, metadata.num_rows, columns, nulls)
