"""What a table is: a name, a key, typed and described columns with their parents; and how a frame is held to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import SchemaError

if TYPE_CHECKING:
    from polars.datatypes import DataType, DataTypeClass


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a published table.

    `parents` are the columns it was made from, written `asset.column`; Dagster shows them as column lineage.
    """

    name: str
    dtype: DataType | DataTypeClass
    description: str
    nullable: bool = False
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One published table: the asset's name is the folder's name is the contract's name."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pl.Schema:
        """The Polars schema, in column order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def column_names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]

    def make_empty(self) -> pl.DataFrame:
        """Return a frame of no rows with this table's columns."""
        return pl.DataFrame(schema=self.schema)

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with exactly this table's columns, order and types.

        Raises:
            SchemaError: a column is missing or unknown, a value does not fit its type, or a null stands in a
                column that may not be null; the message names table, column and the number of rows.
        """
        missing = [name for name in self.column_names if name not in frame.columns]
        unknown = [name for name in frame.columns if name not in self.column_names]
        if missing or unknown:
            raise SchemaError(
                f"{self.name}: missing columns {missing}, unknown columns {unknown}. "
                f"The columns are declared in mmpipe/tables; add or rename there first."
            )
        try:
            frame = frame.select(pl.col(column.name).cast(column.dtype) for column in self.columns)
        except pl.exceptions.InvalidOperationError as error:
            raise SchemaError(f"{self.name}: a value does not fit its declared type: {error}") from error
        for column in self.columns:
            nulls = 0 if column.nullable else frame.get_column(column.name).null_count()
            if nulls:
                raise SchemaError(f"{self.name}.{column.name}: {nulls} null values in a column declared non-null.")
        return frame
