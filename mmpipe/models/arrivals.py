"""Hands outcomes from the thread that asks to the caller's, each committed to the cache before it is handed on."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.models.teacher import RequestBook
    from mmpipe.tables.chat import ChatFailure, ChatReply

    Outcome = tuple[str, ChatReply | ChatFailure]

#: Seconds between two commits: what arrives in between shares a transaction. A reply that a killed process had
#: received and not committed is lost, so this is short beside the time a teacher takes for one.
_BETWEEN_COMMITS_S = 0.002


class Arrivals:
    """Outcomes of one `answer` call on their way to the caller.

    The thread that asks puts them in; a thread of this class commits all that wait in one transaction; the caller
    iterates. The caller may be slow: nothing that has arrived waits for it to be committed.

    Args:
        book: of the call.
    """

    def __init__(self, book: RequestBook) -> None:
        self._book = book
        self._arrived: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._committed: queue.SimpleQueue[list[Outcome] | BaseException] = queue.SimpleQueue()
        self._committer = threading.Thread(target=self._commit, name="reply-committer", daemon=True)
        self.has_failed = threading.Event()
        self._committer.start()

    def put(self, key: str, outcome: ChatReply | ChatFailure) -> None:
        """Hand over one outcome."""
        self._arrived.put((key, outcome))

    def finish(self, error: BaseException | None = None) -> None:
        """Commit what is left, then end the caller's iteration, by `error` if there is one."""
        self._arrived.put(None)
        self._committer.join()
        self._committed.put(error or StopIteration())

    def __iter__(self) -> Iterator[Outcome]:
        while not isinstance(batch := self._committed.get(), BaseException):
            yield from batch
        if not isinstance(batch, StopIteration):
            raise batch

    def _commit(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._collect()
            try:
                self._book.commit_many(batch)
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
                self.has_failed.set()
                self._committed.put(error)
                return
            if batch:
                self._committed.put(batch)
            if self._book.is_cached:
                time.sleep(_BETWEEN_COMMITS_S)

    def _collect(self) -> tuple[list[Outcome], bool]:
        """Return all outcomes that wait, at least one, and whether they are the last."""
        batch: list[Outcome] = []
        arrival = self._arrived.get()
        while arrival is not None:
            batch.append(arrival)
            try:
                arrival = self._arrived.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True
