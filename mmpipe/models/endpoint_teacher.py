"""A teacher behind any OpenAI-compatible chat endpoint: bounded concurrency, no call paid twice."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, TeacherError
from mmpipe.models.endpoint_attempts import EndpointHealth, Patience, RequestAttempts
from mmpipe.models.prices import Prices
from mmpipe.models.teacher import RequestBook
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmpipe.models.reply_cache import ReplyCache
    from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest


class EndpointTeacher:
    """Answers through `POST {base_url}/chat/completions`, with the official `openai` client.

    Args:
        base_url: for example `https://api.openai.com/v1` or `http://localhost:8000/v1`.
        model: name the endpoint knows.
        api_key: the key itself, read from the environment by the caller; kept in memory only. None for an endpoint
            that asks for none.
        concurrency: requests in flight.
        timeout_s: seconds one attempt may take.
        patience: attempts, back-off and deadlines.
        prices: of the model.
        cache: replies already given; new ones are committed as they arrive.
        is_schema_sent: whether `response_format` is asked for; replies are held to their schema in any case.

    Raises:
        ConfigurationError: the URL or concurrency cannot work.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        concurrency: int = 16,
        timeout_s: float = 120.0,
        patience: Patience | None = None,
        prices: Prices | None = None,
        cache: ReplyCache | None = None,
        is_schema_sent: bool = True,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{base_url!r} is no endpoint: name a URL such as http://localhost:8000/v1.")
        if concurrency < 1:
            raise ConfigurationError("The endpoint teacher's concurrency must be 1 or more.")
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.concurrency = concurrency
        self.timeout_s = timeout_s
        self.patience = patience or Patience()
        self.prices = prices or Prices()
        self.cache = cache
        self.is_schema_sent = is_schema_sent
        self._api_key = api_key

    @property
    def name(self) -> str:
        """`openai:model@digest`, the digest being that of the URL: one name served in two places is two teachers."""
        return f"openai:{self.model}@{digest_settings(self.base_url)[:8]}"

    def answer(self, requests: Sequence[ChatRequest]) -> Iterator[ChatReply | ChatFailure]:
        """Yield one outcome per request, in order; see `tables.chat.Teacher`.

        Raises:
            TeacherError: the endpoint is dead or refuses the key or the model.
        """
        book = RequestBook(self.name, requests, self.cache)
        return book.yield_in_order(self._answer_open(book))

    def _answer_open(self, book: RequestBook) -> Iterator[tuple[str, ChatReply | ChatFailure]]:
        """Yield outcomes as they arrive; requests run in a thread of their own, also while the caller works."""
        if not book.open:
            return
        arrivals: queue.SimpleQueue[tuple[str, ChatReply | ChatFailure] | BaseException | None] = queue.SimpleQueue()
        stopping = threading.Event()

        def run() -> None:
            try:
                asyncio.run(self._ask_all(book, arrivals, stopping))
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
                arrivals.put(error)
            else:
                arrivals.put(None)

        thread = threading.Thread(target=run, name="endpoint-teacher", daemon=True)
        thread.start()
        try:
            while (arrival := arrivals.get()) is not None:
                if isinstance(arrival, BaseException):
                    raise arrival
                yield arrival
        finally:
            # also where the caller stops early: what is in flight is given up, what has arrived is in the cache
            stopping.set()
            thread.join()

    async def _ask_all(self, book: RequestBook, arrivals: Any, stopping: threading.Event) -> None:
        import openai

        # retries are ours: the client's would hide attempts and their tokens, and know no shared pause
        client = openai.AsyncOpenAI(
            base_url=self.base_url, api_key=self._api_key or "none", max_retries=0, timeout=self.timeout_s
        )
        health = EndpointHealth(self.base_url, self.patience.dead_after)
        waiting = iter(book.open)

        async def work() -> None:
            for key, request in waiting:
                attempts = RequestAttempts(
                    client,
                    self.model,
                    request,
                    health,
                    self.patience,
                    self.prices,
                    is_schema_sent=self.is_schema_sent,
                    secret=self._api_key,
                )
                outcome = await attempts.run()
                book.commit(key, outcome)
                arrivals.put((key, outcome))

        async def watch() -> None:
            while not stopping.is_set():
                await asyncio.sleep(0.05)

        workers = [asyncio.create_task(work()) for _ in range(min(self.concurrency, len(book.open)))]
        watcher = asyncio.create_task(watch())
        try:
            # until all are done, one raises, or the caller stops
            open_tasks: set[asyncio.Task[None]] = set(workers)
            while open_tasks and not watcher.done():
                done, rest = await asyncio.wait({*open_tasks, watcher}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                open_tasks = rest - {watcher}
        finally:
            for task in (*workers, watcher):
                task.cancel()
            await asyncio.gather(*workers, watcher, return_exceptions=True)
            await client.close()

    def check(self) -> None:
        """Ask the endpoint which models it has, once.

        Raises:
            TeacherError: it is not reached or refuses the key.
        """
        import openai

        client = openai.OpenAI(
            base_url=self.base_url, api_key=self._api_key or "none", max_retries=0, timeout=min(self.timeout_s, 10.0)
        )
        try:
            with client:
                client.models.list()
        except openai.APIConnectionError as error:
            raise TeacherError(
                f"{self.base_url} is not reached: {error}. Start the server or correct the URL."
            ) from error
        except openai.AuthenticationError as error:
            raise TeacherError(f"{self.base_url} refuses the key. Set the right one in the environment.") from error
        except openai.APIStatusError:
            return  # it answers; not every server lists its models
