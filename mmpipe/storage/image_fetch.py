"""Fetches images over HTTP, only when asked to: politely, never from private addresses, and never twice."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from mmpipe import __version__
from mmpipe.storage.host_gates import HostGate, HostGates, HostResting, read_retry_after
from mmpipe.storage.image_cache import FetchOutcome, ImageCache
from mmpipe.storage.robots import (
    EVERYTHING_ALLOWED,
    MAX_ROBOTS_BYTES,
    NOTHING_ALLOWED,
    RobotsRules,
    find_opt_out,
    find_reservation,
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
#: A host that asks to come back later is waited for so long, once per image; one that wants more is left alone.
_MAX_RETRY_AFTER_SECONDS = 30.0
#: Answers that may be others another day.
_PASSING_STATUSES = frozenset({408, 425, 429})


class _Missing(Exception):
    """An image that is not had: why, of which kind, and whether asking again may help."""

    status = "fetch_failed"

    def __init__(self, kind: str, reason: str, *, is_permanent: bool = False) -> None:
        super().__init__(reason)
        self.kind = kind
        self.is_permanent = is_permanent


class _Refused(_Missing):
    """We may not or will not fetch this."""

    status = "fetch_refused"


class _Failed(_Missing):
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
        deadline_seconds: for one request in all, however slowly it trickles.
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

    @property
    def _conditions(self) -> str:
        """What a remembered refusal holds for: under others the URL is asked again."""
        return f"{AGENT}, {self.max_bytes} bytes, {'any' if self.allow_private else 'public'} address"

    @cached_property
    def _pool(self) -> Any:
        from mmpipe.storage.guarded_http import open_pool

        return open_pool(allow_private=self.allow_private, hosts=self.concurrency, timeout_seconds=self.timeout_seconds)

    def fetch(self, urls: Iterable[str]) -> Iterator[tuple[str, FetchOutcome]]:
        """Yield each distinct URL with what became of it, as they come in.

        What is in the cache is not asked for again, nor what was refused or is gone for good; what failed otherwise
        is. Nothing raises for a URL's sake.
        """
        by_host: dict[str, list[str]] = defaultdict(list)
        for url in dict.fromkeys(urls):
            known = self.cache.find(url, self._conditions)
            if known is not None:
                yield url, known
            else:
                by_host[_origin(url)].append(url)
        yield from self._fetch_hosts(list(by_host.values()))

    def _fetch_hosts(self, hosts: list[list[str]]) -> Iterator[tuple[str, FetchOutcome]]:
        waiting: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        done: queue.Queue[tuple[str, FetchOutcome] | Exception] = queue.Queue()
        stop = threading.Event()
        gates = HostGates()
        for host in sorted(hosts, key=len, reverse=True):  # the longest queue sets the end, so it starts first
            waiting.put(host)

        def work() -> None:
            try:
                for url in _take(waiting, stop):
                    done.put((url, self._fetch_and_remember(url, gates)))
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

    def _fetch_and_remember(self, url: str, gates: HostGates) -> FetchOutcome:
        try:
            return self.cache.store(url, self._fetch_one(url, gates))
        except _Missing as why:
            detail = f"{why.status}: {why}"
            outcome = FetchOutcome("missing", detail=detail, kind=why.kind, is_permanent=why.is_permanent)
            self.cache.remember(url, outcome, self._conditions)
            return outcome

    def _fetch_one(self, url: str, gates: HostGates) -> bytes:
        has_waited = False
        redirects = 0
        while True:
            try:
                gate = gates.find(url)
                self._check_robots(url, gate, gates)
                status, headers, data = self._get(url, gate, self.max_bytes)
                if status in _REDIRECTS and headers.get("location"):
                    url = urljoin(url, headers["location"])
            except ValueError as error:  # what a host calls a location need not be an address
                raise _Failed("bad_address", f"no address: {str(error)[:200]}", is_permanent=True) from error
            if status in _REDIRECTS:
                redirects += 1
                if not headers.get("location"):
                    raise _Failed("http_status", f"HTTP {status} without a location")
                if redirects > _MAX_REDIRECTS:
                    raise _Failed("redirects", f"more than {_MAX_REDIRECTS} redirects", is_permanent=True)
                continue
            if _handle_busy(status, headers, gate, has_waited=has_waited):
                has_waited = True
                continue
            if status != 200:
                is_permanent = 400 <= status < 500 and status not in _PASSING_STATUSES
                raise _Failed("http_status", f"HTTP {status}", is_permanent=is_permanent)
            if not data:
                raise _Failed("no_bytes", "no bytes")
            return data

    def _check_robots(self, url: str, gate: HostGate, gates: HostGates) -> None:
        origin = _origin(url)
        if origin not in gate.rules:
            gate.rules[origin] = self._read_robots(origin, gate, gates)
        rules = gate.rules[origin]
        if (rules.crawl_delay_seconds or 0) > _MAX_CRAWL_DELAY_SECONDS:
            reason = f"robots.txt of {origin} asks for {rules.crawl_delay_seconds:g} s between requests"
            raise _Refused("crawl_delay", reason, is_permanent=True)
        if not rules.allows(url):
            is_unread = rules is NOTHING_ALLOWED
            kind = "robots_unreachable" if is_unread else "robots"
            raise _Refused(kind, f"robots.txt of {origin}", is_permanent=not is_unread)

    def _read_robots(self, origin: str, gate: HostGate, gates: HostGates) -> RobotsRules:
        url = f"{origin}/robots.txt"
        status = 0
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                status, headers, data = self._get(url, gate, MAX_ROBOTS_BYTES, is_robots=True)
                if status not in _REDIRECTS or not headers.get("location"):
                    break
                url = urljoin(url, headers["location"])
                gate = gates.find(url)
        except (_Failed, ValueError):
            return NOTHING_ALLOWED
        if status == 200:
            return parse_robots(data.decode("utf-8", "replace"), AGENT)
        # RFC 9309 §2.3.1: 4xx means there is none; an unwell host, or too many redirects, is left alone
        return EVERYTHING_ALLOWED if 400 <= status < 500 and status != 429 else NOTHING_ALLOWED

    def _get(self, url: str, gate: HostGate, max_bytes: int, *, is_robots: bool = False) -> tuple[int, Any, bytes]:
        """Return status, headers and at most `max_bytes` of the body of one request, no redirect followed.

        Raises:
            _Refused: the address is private, the URL is not http(s), or the host opts out by header.
            _Failed: no connection, no answer in time, or a body that is too large (robots.txt is cut instead).
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise _Refused("not_http", f"{url[:80]} is not http or https", is_permanent=True)
        rules = gate.rules.get(_origin(url))
        delay = max(self.delay_seconds, rules.crawl_delay_seconds or 0) if rules else self.delay_seconds
        try:
            with gate.enter(0 if is_robots else min(delay, _MAX_CRAWL_DELAY_SECONDS), self.deadline_seconds * 2):
                try:
                    answer = self._transfer(url, max_bytes, is_robots=is_robots)
                except _Failed as error:
                    gate.note_answer(is_silent=error.kind in ("connection", "too_slow"))
                    raise
                gate.note_answer(is_silent=False)
                return answer
        except HostResting as reason:
            raise _Failed("host_resting", str(reason)) from reason

    def _transfer(self, url: str, max_bytes: int, *, is_robots: bool) -> tuple[int, Any, bytes]:
        from urllib3.exceptions import HTTPError

        from mmpipe.storage.guarded_http import PrivateAddress, SocketWatch

        headers = {"User-Agent": self.user_agent, "Accept": "text/plain" if is_robots else "image/*"}
        too_slow = _Failed("too_slow", f"not here after {self.deadline_seconds:g} s")
        kind = "connection"
        with SocketWatch(self.deadline_seconds) as watch:
            try:
                response = self._pool.request(
                    "GET", url, headers=headers, redirect=False, preload_content=False, retries=False
                )
                kind = "cut_short"
                with closing(response):
                    if not is_robots:
                        self._check_headers(response, max_bytes)
                    if response.status in _REDIRECTS:
                        return response.status, response.headers, b""
                    body = bytearray()
                    for chunk in response.stream(_CHUNK_BYTES, decode_content=True):
                        body += chunk
                        if len(body) > max_bytes and not is_robots:
                            raise _Failed("too_large", f"more than {max_bytes} bytes", is_permanent=True)
                        if len(body) > max_bytes:
                            break
            except PrivateAddress as error:
                raise _Refused("private_address", str(error), is_permanent=True) from error
            except (HTTPError, OSError, ValueError) as error:
                if watch.is_over:
                    raise too_slow from error
                raise _Failed(kind, f"{type(error).__name__}: {str(error)[:200]}") from error
            if watch.is_over:  # a body without a length ends where its connection does
                raise too_slow
        return response.status, response.headers, bytes(body[:max_bytes])

    def _check_headers(self, response: Any, max_bytes: int) -> None:
        opt_out = find_opt_out(response.headers.getlist("x-robots-tag"), AGENT)
        if opt_out:
            raise _Refused("opt_out", f"X-Robots-Tag: {opt_out}", is_permanent=True)
        reservation = find_reservation(response.headers.getlist("tdm-reservation"))
        if reservation:
            raise _Refused("opt_out", f"TDM-Reservation: {reservation}", is_permanent=True)
        length = response.headers.get("content-length", "")
        if response.status == 200 and length.isdecimal() and int(length[:20]) > max_bytes:
            raise _Failed("too_large", f"{length} bytes are more than {max_bytes}", is_permanent=True)


def _take(waiting: queue.SimpleQueue[list[str]], stop: threading.Event) -> Iterator[str]:
    """Yield the URLs of one host after the other until none waits, or nobody does."""
    while True:
        try:
            urls = waiting.get_nowait()
        except queue.Empty:
            return
        for url in urls:
            if stop.is_set():
                return
            yield url


def _handle_busy(status: int, headers: Any, gate: HostGate, *, has_waited: bool) -> bool:
    """Do what a host asks that has too many requests; return whether the image may be asked for once more."""
    wait = read_retry_after(headers.get("retry-after"))
    if status != 429 and (status != 503 or wait is None):
        return False
    if wait is not None and wait <= _MAX_RETRY_AFTER_SECONDS and not has_waited:
        gate.pause(wait)
        return True
    when = f"in {wait:g} s" if wait is not None else "later"
    gate.rest(f"HTTP {status}: this host asks to come back {when}")
    raise _Failed("rate_limited", f"HTTP {status}: this host asks to come back {when}")


def _origin(url: str) -> str:
    """Return `scheme://host:port`: what a robots.txt speaks for."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"
