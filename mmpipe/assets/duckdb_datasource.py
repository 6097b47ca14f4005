"""Lets Great Expectations ask DuckDB: its own SQL engine closes the connection before it reads the answer.

DuckDB's results die with their connection, so that `add_sql("duckdb://…")` fails every metric. The two classes here
keep one connection open for the life of the engine. The engine's class name must stay: metrics are looked up by it.
"""

from __future__ import annotations

import builtins
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read when great_expectations is imported

import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.datasource.fluent.sql_datasource import SQLDatasource
from great_expectations.execution_engine import sqlalchemy_execution_engine as gx_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SqlAlchemyExecutionEngine(gx_engine.SqlAlchemyExecutionEngine):
    """The SQL engine of Great Expectations with one connection that stays open until `close`."""

    @contextmanager
    def get_connection(self) -> Iterator[Any]:
        """Yield the one connection."""
        if not self._connection:
            self._connection = self.engine.connect()
        yield self._connection


class DuckDBParquetDatasource(SQLDatasource):
    """A DuckDB database file whose views read Parquet."""

    type: Literal["duckdb_parquet"] = "duckdb_parquet"  # type: ignore[assignment]  # the word the registry files it under

    @property
    def execution_engine_type(self) -> builtins.type[SqlAlchemyExecutionEngine]:
        """The engine above."""
        return SqlAlchemyExecutionEngine


@contextmanager
def open_batch(database: Path, view: str, settings: dict[str, Any]) -> Iterator[Any]:
    """Yield a view of a DuckDB database as a batch of Great Expectations; everything is closed at the end.

    Args:
        database: path of the DuckDB file.
        view: name of the view.
        settings: `connect_args` of duckdb-engine: `config`, and `register_filesystems` for object stores.
    """
    # a failed metric is raised by us with its cause; the library would print its traceback three times over
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    datasource = context.data_sources.add_duckdb_parquet(
        "lake", connection_string=f"duckdb:///{database}", create_temp_table=False, kwargs={"connect_args": settings}
    )
    batch = datasource.add_table_asset(view, table_name=view).add_batch_definition_whole_table("all").get_batch()
    engine = batch.data.execution_engine
    try:
        yield batch
    finally:
        engine.close()
        engine.engine.dispose()
        datasource.get_engine().dispose()
