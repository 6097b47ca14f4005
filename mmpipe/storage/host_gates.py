"""Keeps one fetch polite: one request at a time per host, pauses between two, and rest for a host that asks for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mmpipe.storage.robots import RobotsRules

#: A host that did not answer so often in a row is asked no more by this fetch.
_MAX_SILENCES = 3


class HostResting(Exception):
    """A host that this fetch asks nothing more, and why; or one that too many wait for."""


@dataclass(slots=True)
class HostGate:
    """What one host is asked through.

    Attributes:
        rules: robots.txt by `scheme://host:port`, as far as read.
    """

    rules: dict[str, RobotsRules] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next_request: float = 0.0
    _resting: str | None = None
    _silences: int = 0

    @contextmanager
    def enter(self, delay_seconds: float, patience_seconds: float) -> Iterator[None]:
        """Hold the host for one request, at the earliest when its last pause is over.

        Args:
            delay_seconds: pause that follows the request.
            patience_seconds: how long to wait for the host's other requests.

        Raises:
            HostResting: it is asked nothing more, or was not free in time.
        """
        if not self._lock.acquire(timeout=patience_seconds):
            raise HostResting(f"other requests to this host took {patience_seconds:g} s")
        try:
            if self._resting is not None:
                raise HostResting(self._resting)
            time.sleep(max(self._next_request - time.monotonic(), 0))
            try:
                yield
            finally:
                self._next_request = max(self._next_request, time.monotonic() + delay_seconds)
        finally:
            self._lock.release()

    def pause(self, seconds: float) -> None:
        """Ask nothing for so long."""
        self._next_request = max(self._next_request, time.monotonic() + seconds)

    def rest(self, reason: str) -> None:
        """Ask nothing more."""
        self._resting = reason

    def note_answer(self, *, is_silent: bool) -> None:
        """Count how often in a row the host did not answer; too often, and it rests."""
        self._silences = self._silences + 1 if is_silent else 0
        if self._silences >= _MAX_SILENCES:
            self.rest(f"this host did not answer {self._silences} times in a row")


class HostGates:
    """All hosts of one fetch: the gate is a host's own, whatever its scheme and port and whichever page led there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gates: dict[str, HostGate] = {}

    def find(self, url: str) -> HostGate:
        """Return the gate of a URL's host.

        Raises:
            ValueError: the URL cannot be read.
        """
        host = (urlsplit(url).hostname or "").rstrip(".")
        with self._lock:
            return self._gates.setdefault(host, HostGate())


def read_retry_after(value: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for (RFC 9110 §10.2.3), None if it asks for none."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None
