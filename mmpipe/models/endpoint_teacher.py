"""A teacher behind any OpenAI-compatible chat endpoint: as many requests at once as it takes, no call paid twice."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError, TeacherError
from mmpipe.models.arrivals import Arrivals
from mmpipe.models.endpoint_attempts import Asking, RequestAttempts
from mmpipe.models.endpoint_health import EndpointHealth, Patience, open_circuit
from mmpipe.models.http_transport import HttpTransport, NoConnection, NoReplyInTime, OversizedReply
from mmpipe.models.prices import Prices
from mmpipe.models.rate_limits import AdaptiveLimit, find_cool_down
from mmpipe.models.request_estimates import estimate_requests
from mmpipe.models.teacher import RequestBook, name_round, refuse_images
from mmpipe.tables.chat import ChatFailure, ImageLost
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.teacher_families import name_family

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmpipe.models.reply_cache import ReplyCache
    from mmpipe.tables.chat import ChatReply, ChatRequest, Estimate


class EndpointTeacher:
    """Answers through `POST {base_url}/chat/completions`.

    Args:
        base_url: for example `https://api.openai.com/v1` or `http://localhost:8000/v1`.
        model: name the endpoint knows.
        api_key: the key itself, read from the environment by the caller; kept in memory only. None for an endpoint
            that asks for none.
        concurrency: most requests in flight; fewer where the endpoint refuses.
        timeout_s: seconds one attempt may take.
        patience: attempts, back-off and deadlines.
        prices: of the model.
        cache: replies already given; new ones are committed as they arrive.
        is_schema_sent: whether `response_format` is asked for; replies are held to their schema in any case.
        takes_images: whether the model reads images; if not, a request with one is refused unasked.
        family: of the model; by default, what its name tells.
        most_reply_bytes: of one HTTP answer; what is longer is not read to its end.
        key_variable: environment variable that the key was read from, for messages.
        round_number: how often the model is asked anew; see `models.teacher.name_round`.

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
        takes_images: bool = True,
        family: str = "",
        most_reply_bytes: int = 8_000_000,
        key_variable: str = "",
        round_number: int = 1,
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
        self.round_number = round_number
        self.takes_images = takes_images
        self.family = family or name_family(self.name)
        self.most_reply_bytes = most_reply_bytes
        self.key_variable = key_variable
        self._api_key = api_key
        self._cool_down = find_cool_down(self.base_url, api_key)
        self._learned_limit = float(concurrency)
        self._circuit = open_circuit(self.base_url, self.patience)

    @property
    def name(self) -> str:
        """`openai:model@digest`, the digest being that of the URL: one name served in two places is two teachers."""
        return f"openai:{self.model}@{digest_settings(self.base_url)[:8]}{name_round(self.round_number)}"

    def answer(self, requests: Sequence[ChatRequest]) -> Iterator[ChatReply | ChatFailure]:
        """Yield one outcome per request, in order; see `tables.chat.Teacher`.

        Raises:
            TeacherError: the endpoint is dead or refuses the key or the model, or keeps failing.
        """
        book = RequestBook(self.name, requests, self.cache)
        return book.yield_in_order(self._answer_open(book))

    def estimate(self, requests: Sequence[ChatRequest]) -> Estimate:
        """Return what `requests` would take, before anything is spent; tokens are counted as characters / 4."""
        return estimate_requests(requests, self.name, cache=self.cache, prices=self.prices)

    def _answer_open(self, book: RequestBook) -> Iterator[tuple[str, ChatReply | ChatFailure]]:
        """Yield outcomes as they arrive; requests run in a thread of their own, also while the caller works."""
        if not book.open:
            return
        import uvloop

        arrivals = Arrivals(book)
        stopping = threading.Event()

        def run() -> None:
            error: BaseException | None = None
            try:
                # half the time per request of asyncio's own loop
                with arrivals, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(self._ask_all(book, arrivals, stopping))
            except BaseException as raised:  # noqa: BLE001 - handed to the caller's thread, which raises it
                error = raised
            arrivals.finish(error)

        thread = threading.Thread(target=run, name="endpoint-teacher", daemon=True)
        thread.start()
        try:
            yield from arrivals
        finally:
            # also where the caller stops early: what is in flight is given up, what has arrived is in the cache
            stopping.set()
            thread.join()

    async def _ask_all(self, book: RequestBook, arrivals: Arrivals, stopping: threading.Event) -> None:
        limit = AdaptiveLimit(self.concurrency, start=self._learned_limit)
        health = EndpointHealth(self.base_url, self.patience, limit, self._cool_down, self._circuit)
        waiting = iter(book.open)

        async def work(asking: Asking) -> None:
            for key, request in waiting:
                await arrivals.put(key, await self._ask(asking, request))

        async def watch() -> None:
            while not stopping.is_set() and not arrivals.has_failed.is_set():
                await asyncio.sleep(0.05)

        async with HttpTransport(self.base_url, self._api_key, most_bytes=self.most_reply_bytes) as transport:
            asking = Asking(
                transport,
                self.model,
                self.timeout_s,
                health,
                self.patience,
                self.prices,
                self.is_schema_sent,
                self._api_key,
                self.key_variable,
            )
            workers = [asyncio.create_task(work(asking)) for _ in range(min(self.concurrency, len(book.open)))]
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
                # the next call begins where this one has learned to be
                self._learned_limit = limit.limit

    async def _ask(self, asking: Asking, request: ChatRequest) -> ChatReply | ChatFailure:
        if request.images and not self.takes_images:
            return refuse_images(self.name, request)
        try:
            return await RequestAttempts(asking, request).run()
        except ImageLost as error:
            return ChatFailure("image_lost", str(error), attempts=0)

    def check(self) -> None:
        """Ask the endpoint which models it has, once.

        Raises:
            TeacherError: it is not reached or refuses the key.
        """
        asyncio.run(self._check())

    async def _check(self) -> None:
        try:
            async with HttpTransport(self.base_url, self._api_key) as transport:
                answer = await transport.get("/models", within_s=min(self.timeout_s, 10.0))
        except (NoConnection, NoReplyInTime) as error:
            raise TeacherError(
                f"{self.base_url} is not reached: {error}. Start the server or correct the URL."
            ) from error
        except OversizedReply:
            return  # it answers
        if answer.status == 401:
            where = self.key_variable or "the environment"
            raise TeacherError(f"{self.base_url} refuses the key. Set the right one in {where}.")
        # any other answer is one; not every server lists its models
