"""Hands outcomes from the thread that asks to the caller's, each committed to the cache before it is handed on."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.models.teacher import RequestBook
    from mmpipe.tables.chat import ChatFailure, ChatReply

    Outcome = tuple[str, ChatReply | ChatFailure]

#: Seconds that outcomes are gathered before they are handed on together: one transaction and one change of threads for
#: all of them. A reply that a killed process had received and not committed is lost, so this is short beside the time
#: a teacher takes for one.
_GATHERED_S = 0.002


class Arrivals:
    """Outcomes of one `answer` call on their way to the caller.

    The event loop that asks puts them in; a thread of this class commits them; the caller iterates. The caller may be
    slow: nothing that has arrived waits for it to be committed.

    Args:
        book: of the call.
    """

    def __init__(self, book: RequestBook) -> None:
        self._book = book
        self._gathered: list[Outcome] = []
        self._arrived: queue.SimpleQueue[list[Outcome] | None] = queue.SimpleQueue()
        self._committed: queue.SimpleQueue[list[Outcome] | BaseException] = queue.SimpleQueue()
        self._committer = threading.Thread(target=self._commit, name="reply-committer", daemon=True)
        self.has_failed = threading.Event()
        self._committer.start()

    def put(self, key: str, outcome: ChatReply | ChatFailure) -> None:
        """Hand over one outcome; called within the event loop."""
        self._gathered.append((key, outcome))
        if len(self._gathered) == 1:
            asyncio.get_running_loop().call_later(_GATHERED_S, self._hand_on)

    def _hand_on(self) -> None:
        if self._gathered:
            self._arrived.put(self._gathered)
            self._gathered = []

    def finish(self, error: BaseException | None = None) -> None:
        """Commit what is left, then end the caller's iteration, by `error` if there is one; the loop has ended."""
        self._hand_on()
        self._arrived.put(None)
        self._committer.join()
        self._committed.put(error or StopIteration())

    def __iter__(self) -> Iterator[Outcome]:
        while not isinstance(batch := self._committed.get(), BaseException):
            yield from batch
        if not isinstance(batch, StopIteration):
            raise batch

    def _commit(self) -> None:
        try:
            with self._book.keep_cache_open():
                while (batch := self._arrived.get()) is not None:
                    self._book.commit_many(batch)
                    self._committed.put(batch)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            self.has_failed.set()
            self._committed.put(error)
