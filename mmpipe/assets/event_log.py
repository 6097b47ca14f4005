"""Dagster's event log in SQLite, with an engine kept per file: its own makes one per statement, half a run's time.

A run of nothing stores thousands of events, each in a few statements. An engine that is new has compiled none of them.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster._serdes import ConfigurableClassData
    from sqlalchemy.engine import Connection, Engine

#: Engines kept, one per file: the index, and the runs at work; a server that lives for weeks sees many runs.
_KEPT_ENGINES = 16


class KeptEnginesEventLog(SqliteEventLogStorage):
    """The same files, tables and locks; each connection is opened and closed as before, by an engine that stays."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._find_engine(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _find_engine(self, url: str) -> Engine:
        engine = self._engines.get(url)
        if engine is None:
            engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
            self._engines[url] = engine
        self._engines.move_to_end(url)
        if len(self._engines) > _KEPT_ENGINES:
            _, oldest = self._engines.popitem(last=False)
            oldest.dispose()
        return engine


class SqliteState(DagsterSqliteStorage):
    """Dagster's SQLite storage with that event log."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        made: Any = self._event_log_storage
        self._event_log_storage = KeptEnginesEventLog(made._base_dir)  # noqa: SLF001  (where Dagster has put it)
