"""Sends JSON to an endpoint and reads what comes back, whatever it is, within limits of time and size."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


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
    """An HTTP client of aiohttp, kept open for many requests; use with `async with`.

    Connections are kept and bounded by the caller's own concurrency. Redirects are not followed: an endpoint that
    moved is a wrong URL, and a POST that follows turns into a GET. Proxies come from the environment, as for other
    clients.

    Args:
        base_url: without a slash at its end.
        api_key: sent as a bearer token.
        most_bytes: of one answer, decompressed.
    """

    def __init__(self, base_url: str, api_key: str | None, *, most_bytes: int = 8_000_000) -> None:
        self._base_url = base_url
        self._most_bytes = most_bytes
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "mmpipe"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._session: Any = None
        self._urls: dict[str, Any] = {}
        self._timeouts: dict[float, Any] = {}

    async def __aenter__(self) -> Self:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            # looked up once: aiohttp's own look-up reads the environment for every request
            proxy=find_proxy(self._base_url),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

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
        import aiohttp

        try:
            async with self._session.request(
                method, self._find_url(path), data=body, timeout=self._find_timeout(within_s), allow_redirects=False
            ) as response:
                content = await self._read(response)
                return HttpAnswer(response.status, response.headers, content)
        except TimeoutError as error:
            raise NoReplyInTime(f"no whole reply within {within_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: what a server sends in place of HTTP can break the parser in ways of its own
            raise NoConnection(f"{type(error).__name__}: {error}") from error

    async def _read(self, response: Any) -> bytes:
        stated = response.content_length
        if stated is not None and stated > self._most_bytes:
            response.close()
            raise OversizedReply(f"a reply of {stated:,} bytes; the limit is {self._most_bytes:,}")
        if stated is not None and "Content-Encoding" not in response.headers:
            content: bytes = await response.read()
            return content
        parts, size = [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > self._most_bytes:
                response.close()
                raise OversizedReply(f"a reply of more than {self._most_bytes:,} bytes")
            parts.append(part)
        return b"".join(parts)

    def _find_url(self, path: str) -> Any:
        from yarl import URL

        if path not in self._urls:
            self._urls[path] = URL(self._base_url + path)
        return self._urls[path]

    def _find_timeout(self, within_s: float) -> Any:
        import aiohttp

        if within_s not in self._timeouts:
            if len(self._timeouts) > 64:
                self._timeouts.clear()  # what is left of a deadline differs each time
            self._timeouts[within_s] = aiohttp.ClientTimeout(total=within_s)
        return self._timeouts[within_s]


def find_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for `url`, None if it names none or exempts its host."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


def encode_json(value: Any) -> bytes:
    """Return `value` as JSON bytes; half of a surrogate pair, as a cut emoji leaves, becomes a question mark."""
    return _ENCODER.encode(value).encode("utf-8", "replace")
