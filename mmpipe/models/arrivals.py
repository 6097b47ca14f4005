"""Hands outcomes from the thread that asks to the caller's, each committed to the cache before it is handed on."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from mmpipe.models.teacher import RequestBook, TryCommit
    from mmpipe.tables.chat import ChatFailure, ChatReply

    Outcome = tuple[str, ChatReply | ChatFailure]

#: Seconds that outcomes are gathered before they are committed together; who asked for them waits as long.
_GATHERED_S = 0.001
#: Seconds that committed outcomes are gathered before the caller gets them: a change of threads costs as much as a
#: request, and nobody who asks waits for it.
_HANDED_ON_S = 0.01


class Arrivals:
    """Outcomes of one `answer` call on their way to the caller.

    The thread that asks enters this as a context, and its event loop puts outcomes in and commits them: a commit is
    over sooner than another thread would have begun it. Only while another process writes to the cache does a thread
    wait for that instead. The caller iterates in a thread of its own, and may be slow.

    Args:
        book: of the call.
    """

    def __init__(self, book: RequestBook) -> None:
        self._book = book
        self._open = ExitStack()
        self._try_commit: TryCommit | None = None
        self._gathered: list[Outcome] = []
        self._committing: asyncio.Event | None = None
        self._committed: list[Outcome] = []
        self._handed_on: queue.SimpleQueue[list[Outcome] | BaseException] = queue.SimpleQueue()
        self.has_failed = threading.Event()

    def __enter__(self) -> Self:
        self._try_commit = self._open.enter_context(self._book.keep_committing())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit and hand on what is left; the loop has ended."""
        with self._open:
            if self._gathered and not self.has_failed.is_set():
                self._book.commit_many(self._gathered)
                self._committed += self._gathered
            self._hand_on()

    async def put(self, key: str, outcome: ChatReply | ChatFailure) -> None:
        """Hand over one outcome and, where there is a cache, wait until it is committed.

        Whoever waits asks for nothing new meanwhile, so that a killed process has lost no more replies than it had
        requests in flight.
        """
        if not self._book.is_cached:
            self._add([(key, outcome)])
            return
        self._gathered.append((key, outcome))
        if self._committing is None:
            self._committing = asyncio.Event()
            asyncio.get_running_loop().call_later(_GATHERED_S, self._commit_gathered)
        await self._committing.wait()

    def _commit_gathered(self) -> None:
        outcomes, committing = self._gathered, self._committing
        if self._try_commit is None or committing is None:
            return
        self._gathered, self._committing = [], None
        loop = asyncio.get_running_loop()
        try:
            if self._try_commit(outcomes):
                self._add(outcomes)
                committing.set()
            else:
                loop.run_in_executor(None, self._commit_later, outcomes, loop, committing)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            self._fail(error)

    def _commit_later(
        self, outcomes: list[Outcome], loop: asyncio.AbstractEventLoop, committing: asyncio.Event
    ) -> None:
        """Wait for the other process, then commit; in a thread that the loop waits for when it closes."""
        try:
            self._book.commit_many(outcomes)
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
            return
        self._handed_on.put(outcomes)
        # a loop that has been closed meanwhile has nobody left who waits
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(committing.set)

    def _fail(self, error: BaseException) -> None:
        self.has_failed.set()
        self._handed_on.put(error)

    def _add(self, outcomes: list[Outcome]) -> None:
        if not self._committed:
            asyncio.get_running_loop().call_later(_HANDED_ON_S, self._hand_on)
        self._committed += outcomes

    def _hand_on(self) -> None:
        if self._committed:
            self._handed_on.put(self._committed)
            self._committed = []

    def finish(self, error: BaseException | None = None) -> None:
        """End the caller's iteration, by `error` if there is one."""
        self._handed_on.put(error or StopIteration())

    def __iter__(self) -> Iterator[Outcome]:
        while not isinstance(batch := self._handed_on.get(), BaseException):
            yield from batch
        if not isinstance(batch, StopIteration):
            raise batch
