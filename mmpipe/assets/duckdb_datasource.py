"""Lets Great Expectations ask DuckDB: its own SQL engine closes the connection before it reads the answer.

DuckDB's results die with their connection, so that `add_sql("duckdb://…")` fails every metric. The two classes here
keep one connection open for the life of the engine. The engine's class name must stay: metrics are looked up by it.
"""

from __future__ import annotations

import builtins
import logging
import os
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read when great_expectations is imported

import duckdb_engine
import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.datasource.fluent.sql_datasource import SQLDatasource
from great_expectations.execution_engine import sqlalchemy_execution_engine as gx_engine
from sqlalchemy.exc import SAWarning, SQLAlchemyError

# this one module sets its own level, to tell of every temporary folder it makes
logging.getLogger(ProgressBarsConfig.__module__).setLevel(logging.WARNING)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb


class SqlAlchemyExecutionEngine(gx_engine.SqlAlchemyExecutionEngine):
    """The SQL engine of Great Expectations with one connection that stays open until `close`."""

    @contextmanager
    def get_connection(self) -> Iterator[Any]:
        """Yield the one connection; after a failed query it can be used again."""
        if not self._connection:
            self._connection = self.engine.connect()
        try:
            yield self._connection
        except SQLAlchemyError:
            # a failed query aborts DuckDB's transaction, and every later one would fail of that instead
            self._connection.rollback()
            raise


class DuckDBParquetDatasource(SQLDatasource):
    """A DuckDB connection whose views read Parquet."""

    type: Literal["duckdb_parquet"] = "duckdb_parquet"  # type: ignore[assignment]  # the word the registry files it under

    @property
    def execution_engine_type(self) -> builtins.type[SqlAlchemyExecutionEngine]:
        """The engine above."""
        return SqlAlchemyExecutionEngine


@contextmanager
def open_batch(connection: duckdb.DuckDBPyConnection, view: str) -> Iterator[Any]:
    """Yield a view of a DuckDB connection as a batch of Great Expectations; what this opens is closed at the end.

    Args:
        connection: an open connection; its memory limit, spill folder and file systems hold for the batch.
        view: name of the view.
    """
    # a failed metric is raised by us with its cause; the library would print its traceback three times over
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    datasource = context.data_sources.add_duckdb_parquet(
        "lake",
        connection_string="duckdb:///:memory:",
        create_temp_table=False,
        kwargs={"creator": lambda: duckdb_engine.ConnectionWrapper(connection.cursor())},
    )
    with warnings.catch_warnings():
        # nested columns are for queries, which need no SQLAlchemy type
        warnings.filterwarnings("ignore", message="Did not recognize type", category=SAWarning)
        batch = datasource.add_table_asset(view, table_name=view).add_batch_definition_whole_table("all").get_batch()
        try:
            yield batch
        finally:
            batch.data.execution_engine.close()
            datasource.get_engine().dispose()
