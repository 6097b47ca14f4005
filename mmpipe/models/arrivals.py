"""Hands outcomes from the thread that asks to the caller's, each committed to the cache before it is handed on."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.models.teacher import RequestBook
    from mmpipe.tables.chat import ChatFailure, ChatReply

    Outcome = tuple[str, ChatReply | ChatFailure]

#: Seconds that outcomes are gathered before they are handed on together: one transaction and one change of threads for
#: all of them.
_GATHERED_S = 0.001
#: The same where there is no cache and nobody who asks waits for it: a change of threads costs as much as a request.
_GATHERED_UNCACHED_S = 0.01


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
        self._committing: asyncio.Event | None = None
        self._arrived: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._committed: queue.SimpleQueue[list[Outcome] | BaseException] = queue.SimpleQueue()
        self._committer = threading.Thread(target=self._commit, name="reply-committer", daemon=True)
        self.has_failed = threading.Event()
        self._committer.start()

    async def put(self, key: str, outcome: ChatReply | ChatFailure) -> None:
        """Hand over one outcome and, where there is a cache, wait until it is committed.

        Whoever waits asks for nothing new meanwhile, so that a killed process has lost no more replies than it had
        requests in flight.
        """
        self._gathered.append((key, outcome))
        if self._committing is None:
            self._committing = asyncio.Event()
            pause_s = _GATHERED_S if self._book.is_cached else _GATHERED_UNCACHED_S
            asyncio.get_running_loop().call_later(pause_s, self._hand_on)
        if self._book.is_cached:
            await self._committing.wait()

    def _hand_on(self) -> None:
        if self._committing is not None:
            self._arrived.put(_Batch(self._gathered, asyncio.get_running_loop(), self._committing))
            self._gathered, self._committing = [], None

    def finish(self, error: BaseException | None = None) -> None:
        """Commit what is left, then end the caller's iteration, by `error` if there is one; the loop has ended."""
        if self._gathered:
            self._arrived.put(_Batch(self._gathered, None, None))
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
            with self._book.keep_committing() as commit:
                while (batch := self._arrived.get()) is not None:
                    commit(batch.outcomes)
                    batch.tell()
                    self._committed.put(batch.outcomes)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            self.has_failed.set()
            self._committed.put(error)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Outcomes that are committed together, and who waits for that in which loop."""

    outcomes: list[Outcome]
    loop: asyncio.AbstractEventLoop | None
    committing: asyncio.Event | None

    def tell(self) -> None:
        if self.loop is not None and self.committing is not None:
            # a loop that has been closed meanwhile has nobody left who waits
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.committing.set)
