"""Keeps every reply a teacher gave, by the content of its request, so that a killed run repeats no paid call."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Literal, cast

from mmpipe.errors import ConfigurationError
from mmpipe.tables.chat import ChatReply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Commits replies by their keys in one transaction, or, while another process writes, none; says whether it has.
TryCommit = Callable[[Sequence[tuple[str, ChatReply]]], bool]

#: Layout of the file; a cache of another layout is refused, never misread.
_LAYOUT = 1
#: Sampling parameters that a reply was drawn without, where the endpoint refused some.
_LEFT_OUT = "CREATE TABLE IF NOT EXISTS left_out (key TEXT PRIMARY KEY, names TEXT NOT NULL) WITHOUT ROWID"
_HAS_LEFT_OUT = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'left_out'"
#: Most replies of one statement: 900 values, which every SQLite takes.
_MOST_AT_ONCE = 150
#: How long one who writes waits for the others.
_LOCK_SECONDS = 60.0


class ReplyCache:
    """Replies on disk, one SQLite file (write-ahead log), shared by any number of threads and processes.

    A reply is committed as it arrives and survives the death of the process at any moment after. Failures are
    never stored. The file holds the teacher's words and token counts; no prompt and no key is written.

    Args:
        path: the file; made, with its folder, at the first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def _connect(self) -> sqlite3.Connection:
        # a connection per use: threads and forked workers never share one
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_LOCK_SECONDS, isolation_level=None)
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        if layout == _LAYOUT:
            # beside the replies, so that caches made before it was known stay; looked for first, as making it locks
            if not connection.execute(_HAS_LEFT_OUT).fetchone():
                connection.execute(_LEFT_OUT)
            connection.execute("PRAGMA synchronous = NORMAL")
            return connection
        if layout:
            connection.close()
            raise ConfigurationError(
                f"{self.path}: reply cache of layout {layout}, this version reads {_LAYOUT}. Name another cache file."
            )
        _write_ahead(connection)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS replies ("
            "key TEXT PRIMARY KEY, text TEXT NOT NULL, finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, "
            "completion_tokens INTEGER NOT NULL, attempts INTEGER NOT NULL) WITHOUT ROWID"
        )
        connection.execute(_LEFT_OUT)
        connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        return connection

    def get_many(self, keys: Sequence[str]) -> dict[str, ChatReply]:
        """Return the stored replies among `keys`; each is marked cached and costs nothing."""
        found: dict[str, ChatReply] = {}
        if not self.path.is_file():
            return found  # looking up makes no file
        with closing(self._connect()) as connection:
            for start in range(0, len(keys), 500):
                some = keys[start : start + 500]
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    "SELECT key, text, finish_reason, prompt_tokens, completion_tokens, attempts, names "  # noqa: S608 - marks only
                    f"FROM replies LEFT JOIN left_out USING (key) WHERE key IN ({marks})",
                    some,
                )
                for key, text, finish_reason, prompt_tokens, completion_tokens, attempts, names in rows:
                    reason = cast("Literal['stop', 'length']", finish_reason)
                    left_out = tuple(names.split()) if names else ()
                    found[key] = ChatReply(
                        text, reason, prompt_tokens, completion_tokens, attempts, is_cached=True, left_out=left_out
                    )
        return found

    @contextmanager
    def keep_open(self) -> Iterator[TryCommit]:
        """Yield what `put_many` does as a function that never waits; it is of the thread that enters here.

        It keeps one connection: opening the file takes longer than a commit, and whoever closes it last writes its
        log back.
        """
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA busy_timeout = 0")

            def try_commit(replies: Sequence[tuple[str, ChatReply]]) -> bool:
                try:
                    _insert(connection, replies)
                except sqlite3.OperationalError as error:
                    # the low byte: SQLite tells several ways of being busy apart in the rest
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                        raise
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    return False
                return True

            yield try_commit

    def put(self, key: str, reply: ChatReply) -> None:
        """Commit one reply; a key that is there already keeps its first reply."""
        self.put_many([(key, reply)])

    def put_many(self, replies: Sequence[tuple[str, ChatReply]]) -> None:
        """Commit replies in one transaction: all are there after, or none."""
        with closing(self._connect()) as connection:
            _insert(connection, replies)

    def __len__(self) -> int:
        with closing(self._connect()) as connection:
            return int(connection.execute("SELECT count(*) FROM replies").fetchone()[0])


def _insert(connection: sqlite3.Connection, replies: Sequence[tuple[str, ChatReply]]) -> None:
    if not replies:
        return
    rows = [
        (key, reply.text, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens, reply.attempts)
        for key, reply in replies
    ]
    altered = [(key, " ".join(reply.left_out)) for key, reply in replies if reply.left_out]
    if not altered and len(rows) <= _MOST_AT_ONCE:
        # one statement, a transaction of its own: each further one waits for a thread that is busy to let go of Python
        marks = ",".join(["(?, ?, ?, ?, ?, ?)"] * len(rows))
        insert = f"INSERT OR IGNORE INTO replies VALUES {marks}"  # noqa: S608 - marks only
        connection.execute(insert, tuple(chain.from_iterable(rows)))
        return
    # takes the lock of writing at once: a lock asked for later can be refused without any wait
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)", rows)
    if altered:
        connection.executemany("INSERT OR IGNORE INTO left_out VALUES (?, ?)", altered)
    connection.execute("COMMIT")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch a new file to the write-ahead log.

    SQLite waits for others in all else; this it refuses while another, who came first at the same time, does it.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
