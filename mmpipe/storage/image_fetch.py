"""Fetches images over HTTP, only when asked to: politely, never from private addresses, and never twice."""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from mmpipe import __version__
from mmpipe.storage.image_cache import FetchOutcome, ImageCache
from mmpipe.storage.robots import (
    EVERYTHING_ALLOWED,
    MAX_ROBOTS_BYTES,
    NOTHING_ALLOWED,
    RobotsRules,
    find_opt_out,
    parse_robots,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmpipe.storage.places import Place

#: Product token by which robots.txt names us.
AGENT = "mmpipe"
_CHUNK_BYTES = 64 * 1024
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
#: A robots.txt may ask for a longer pause than ours, up to this; a host that wants more is left alone.
_MAX_CRAWL_DELAY_SECONDS = 30.0


class _Refused(Exception):
    """We may not or will not fetch this."""


class _Failed(Exception):
    """We tried."""


@dataclass(frozen=True)
class ImageFetcher:
    """Fetches images into a cache: one request at a time per host, with a pause between two.

    Attributes:
        folder: the cache; see `image_cache.ImageCache`.
        contact: address or page that the user agent names, so that a host can write to whom it may concern.
        delay_seconds: pause between two requests to one host; a longer `Crawl-delay` of its robots.txt is kept.
        concurrency: hosts asked at once.
        max_bytes: a file above this is `fetch_failed`; the transfer stops there.
        timeout_seconds: for connecting, and for each wait on the host.
        deadline_seconds: for one image in all, however slowly it trickles.
        allow_private: fetch from loopback, private and link-local addresses too; for tests and mirrors.
    """

    folder: Place
    contact: str = ""
    delay_seconds: float = 1.0
    concurrency: int = 16
    max_bytes: int = 20_000_000
    timeout_seconds: float = 10.0
    deadline_seconds: float = 60.0
    allow_private: bool = False

    @cached_property
    def cache(self) -> ImageCache:
        """Where fetched images are kept."""
        return ImageCache(self.folder)

    @property
    def user_agent(self) -> str:
        """What we call ourselves."""
        return f"{AGENT}/{__version__}" + (f" (+{self.contact})" if self.contact else "")

    @cached_property
    def _pool(self) -> Any:
        from mmpipe.storage.guarded_http import open_pool

        return open_pool(allow_private=self.allow_private, hosts=self.concurrency, timeout_seconds=self.timeout_seconds)

    def fetch(self, urls: Iterable[str]) -> Iterator[tuple[str, FetchOutcome]]:
        """Yield each distinct URL with what became of it, as they come in.

        What is in the cache is not asked for again; what failed before is. Nothing raises for a URL's sake.
        """
        by_host: dict[str, list[str]] = defaultdict(list)
        for url in dict.fromkeys(urls):
            known = self.cache.find(url)
            if known is not None:
                yield url, known
            else:
                by_host[_origin(url)].append(url)
        yield from self._fetch_hosts(list(by_host.values()))

    def _fetch_hosts(self, hosts: list[list[str]]) -> Iterator[tuple[str, FetchOutcome]]:
        waiting: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        done: queue.Queue[tuple[str, FetchOutcome] | Exception] = queue.Queue()
        stop = threading.Event()
        for host in sorted(hosts, key=len, reverse=True):  # the longest queue sets the end, so it starts first
            waiting.put(host)

        def work() -> None:
            try:
                while not stop.is_set():
                    for url, outcome in self._fetch_host(waiting.get_nowait(), stop):
                        done.put((url, outcome))
            except queue.Empty:
                return
            except Exception as error:  # noqa: BLE001 - handed to the caller's thread and raised there
                done.put(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(self.concurrency, len(hosts)))]
        for thread in threads:
            thread.start()
        try:
            for _ in range(sum(map(len, hosts))):
                item = done.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            stop.set()

    def _fetch_host(self, urls: list[str], stop: threading.Event) -> Iterator[tuple[str, FetchOutcome]]:
        """Fetch one host's URLs one after another."""
        known_rules: dict[str, RobotsRules] = {}
        for number, url in enumerate(urls):
            delay = max([self.delay_seconds, *(rules.crawl_delay_seconds or 0 for rules in known_rules.values())])
            if number and stop.wait(min(delay, _MAX_CRAWL_DELAY_SECONDS)):
                return
            try:
                outcome = self.cache.store(url, self._fetch_one(url, known_rules))
            except _Refused as reason:
                outcome = FetchOutcome("missing", detail=f"fetch_refused: {reason}")
                self.cache.remember(url, outcome)
            except _Failed as reason:
                outcome = FetchOutcome("missing", detail=f"fetch_failed: {reason}")
                self.cache.remember(url, outcome)
            yield url, outcome

    def _fetch_one(self, url: str, known_rules: dict[str, RobotsRules]) -> bytes:
        deadline = time.monotonic() + self.deadline_seconds
        for _ in range(_MAX_REDIRECTS + 1):
            self._check_robots(url, known_rules, deadline)
            status, headers, data = self._get(url, deadline, self.max_bytes)
            if status not in _REDIRECTS:
                break
            if not headers.get("location"):
                raise _Failed(f"HTTP {status} without a location")
            url = urljoin(url, headers["location"])
        else:
            raise _Failed(f"more than {_MAX_REDIRECTS} redirects")
        if status != 200:
            raise _Failed(f"HTTP {status}")
        if not data:
            raise _Failed("no bytes")
        return data

    def _check_robots(self, url: str, known_rules: dict[str, RobotsRules], deadline: float) -> None:
        origin = _origin(url)
        if origin not in known_rules:
            known_rules[origin] = self._read_robots(origin, deadline)
        rules = known_rules[origin]
        if (rules.crawl_delay_seconds or 0) > _MAX_CRAWL_DELAY_SECONDS:
            raise _Refused(f"robots.txt of {origin} asks for {rules.crawl_delay_seconds:g} s between requests")
        if not rules.allows(url):
            raise _Refused(f"robots.txt of {origin}")

    def _read_robots(self, origin: str, deadline: float) -> RobotsRules:
        url = f"{origin}/robots.txt"
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                status, headers, data = self._get(url, deadline, MAX_ROBOTS_BYTES, is_robots=True)
                if status not in _REDIRECTS or not headers.get("location"):
                    break
                url = urljoin(url, headers["location"])
        except _Failed:
            return NOTHING_ALLOWED
        if status == 200:
            return parse_robots(data.decode("utf-8", "replace"), AGENT)
        # RFC 9309 §2.3.1: 4xx means there is none; an unwell host, or too many redirects, is left alone
        return EVERYTHING_ALLOWED if 400 <= status < 500 and status != 429 else NOTHING_ALLOWED

    def _get(self, url: str, deadline: float, max_bytes: int, *, is_robots: bool = False) -> tuple[int, Any, bytes]:
        """Return status, headers and at most `max_bytes` of the body of one request, no redirect followed.

        Raises:
            _Refused: the address is private, the URL is not http(s), or the host opts out by header.
            _Failed: no connection, no answer in time, or a body that is too large (robots.txt is cut instead).
        """
        from urllib3.exceptions import HTTPError

        from mmpipe.storage.guarded_http import PrivateAddress

        if urlsplit(url).scheme not in ("http", "https"):
            raise _Refused(f"{url[:80]} is not http or https")
        headers = {"User-Agent": self.user_agent, "Accept": "text/plain" if is_robots else "image/*"}
        try:
            response = self._pool.request(
                "GET", url, headers=headers, redirect=False, preload_content=False, retries=False
            )
            with closing(response):
                if not is_robots:
                    self._check_headers(response, max_bytes)
                if response.status in _REDIRECTS:
                    return response.status, response.headers, b""
                body = bytearray()
                for chunk in response.stream(_CHUNK_BYTES, decode_content=True):
                    body += chunk
                    if len(body) > max_bytes and not is_robots:
                        raise _Failed(f"more than {max_bytes} bytes")
                    if time.monotonic() > deadline:
                        raise _Failed(f"not here after {self.deadline_seconds:g} s")
                    if len(body) > max_bytes:
                        break
                return response.status, response.headers, bytes(body[:max_bytes])
        except PrivateAddress as error:
            raise _Refused(str(error)) from error
        except (HTTPError, OSError, ValueError) as error:
            raise _Failed(f"{type(error).__name__}: {str(error)[:200]}") from error

    def _check_headers(self, response: Any, max_bytes: int) -> None:
        opt_out = find_opt_out(response.headers.getlist("x-robots-tag"), AGENT)
        if opt_out:
            raise _Refused(f"X-Robots-Tag: {opt_out}")
        length = response.headers.get("content-length", "")
        if length.isdigit() and int(length) > max_bytes:
            raise _Failed(f"{length} bytes are more than {max_bytes}")


def _origin(url: str) -> str:
    """Return `scheme://host:port`: what a robots.txt speaks for."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"
