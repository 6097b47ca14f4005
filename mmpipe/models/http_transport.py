"""Sends JSON to an endpoint and reads what comes back, whatever it is, within limits of time and size."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from mmpipe.errors import TeacherError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from pyreqwest.client import Client
    from pyreqwest.http import Url
    from pyreqwest.response import Response


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
#: The process that made the first client.
_asking_process: int | None = None


class NoConnection(Exception):
    """The endpoint is not reached, or hung up before its answer was whole."""


class NoReplyInTime(Exception):
    """The answer was not whole within its seconds."""


class OversizedReply(Exception):
    """The answer is longer than any that was asked for; it was not read to its end."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole HTTP answer; header names are found in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class HttpTransport:
    """An HTTP client, kept open for many requests; use with `async with`.

    Connections are kept and bounded by the caller's own concurrency. HTTP and TLS are done by reqwest in a thread
    outside Python's lock, so that the loop that asks has a fraction of each request's work. Redirects are not followed:
    an endpoint that moved is a wrong URL, and a POST that follows turns into a GET. Proxies come from the environment,
    as for other clients.

    Args:
        base_url: without a slash at its end.
        api_key: sent as a bearer token.
        most_bytes: of one answer, decompressed.
    """

    def __init__(self, base_url: str, api_key: str | None, *, most_bytes: int = 8_000_000) -> None:
        self._base_url = base_url
        self._most_bytes = most_bytes
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._client: Client | None = None
        self._urls: dict[str, Url] = {}

    async def __aenter__(self) -> Self:
        from pyreqwest.client import ClientBuilder
        from pyreqwest.proxy import ProxyBuilder

        builder = ClientBuilder().user_agent("mmpipe").follow_redirects(False).default_headers(self._headers).no_proxy()
        # looked up here, once: reqwest's own look-up knows fewer of the names that other clients of Python know
        proxy = find_proxy(self._base_url)
        _refuse_forks()
        self._client = (builder.proxy(ProxyBuilder.all(proxy)) if proxy else builder).build()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()

    async def post(self, path: str, body: bytes, *, within_s: float) -> HttpAnswer:
        """Return the answer to a POST of `body`, read whole.

        Raises:
            NoConnection: no connection, or one that broke.
            NoReplyInTime: not whole within `within_s` seconds.
            OversizedReply: longer than `most_bytes`.
        """
        return await self._ask("POST", path, body, within_s)

    async def get(self, path: str, *, within_s: float) -> HttpAnswer:
        """Return the answer to a GET; raises as `post` does."""
        return await self._ask("GET", path, None, within_s)

    async def _ask(self, method: str, path: str, body: bytes | None, within_s: float) -> HttpAnswer:
        from pyreqwest.exceptions import PyreqwestError

        if self._client is None:
            raise RuntimeError("the transport is not open: use it with `async with`")
        try:
            asking = self._client.request(method, self._find_url(path)).timeout(timedelta(seconds=max(within_s, 0.001)))
            if body is not None:
                asking = asking.body_bytes(body)
            async with asking.build_streamed() as response:
                return HttpAnswer(response.status, response.headers, await self._read(response))
        except TimeoutError as error:
            raise NoReplyInTime(f"no whole reply within {within_s:g} s") from error
        except (PyreqwestError, OSError, ValueError) as error:
            raise NoConnection(_tell(error)) from error

    async def _read(self, response: Response) -> bytes:
        stated = response.get_header("content-length")
        if stated is not None and stated.isdigit():
            if int(stated) > self._most_bytes:
                raise OversizedReply(f"a reply of {int(stated):,} bytes; the limit is {self._most_bytes:,}")
            if response.get_header("content-encoding") is None:
                return bytes(await response.body_reader.bytes())
        parts, size = [], 0
        while (part := await response.body_reader.read_chunk()) is not None:
            size += len(part)
            if size > self._most_bytes:
                raise OversizedReply(f"a reply of more than {self._most_bytes:,} bytes")
            parts.append(bytes(part))
        return b"".join(parts)

    def _find_url(self, path: str) -> Url:
        from pyreqwest.http import Url

        if path not in self._urls:
            self._urls[path] = Url(self._base_url + path)
        return self._urls[path]


def _refuse_forks() -> None:
    """Refuse to ask in a fork of a process that has asked: reqwest's thread is not there, and nothing would ever come.

    Raises:
        TeacherError: this process is one.
    """
    global _asking_process  # noqa: PLW0603 - of the process, as the thread is
    if _asking_process is None:
        _asking_process = os.getpid()
    elif _asking_process != os.getpid():
        raise TeacherError(
            f"A fork of a process that has asked an endpoint cannot ask one itself: process {os.getpid()} was forked "
            f"from {_asking_process}. Start it afresh (spawn, forkserver)."
        )


def _tell(error: Exception) -> str:
    """Return what went wrong, from the general to the cause; the URL is named by whoever tells of it."""
    details = getattr(error, "details", None)
    causes = [cause["message"] for cause in (details or {}).get("causes") or ()]
    told = [cause for cause in causes if not cause.startswith("error sending request")] or [str(error)]
    return f"{type(error).__name__}: {': '.join(dict.fromkeys(told))}"


def find_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for `url`, None if it names none or exempts its host."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


def encode_json(value: Any) -> bytes:
    """Return `value` as JSON bytes; half of a surrogate pair, as a cut emoji leaves, becomes a question mark."""
    return _ENCODER.encode(value).encode("utf-8", "replace")
