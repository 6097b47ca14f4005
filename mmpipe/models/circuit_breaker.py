"""Stops asking an endpoint that fails: after most of the last attempts did, one request at a time tries it again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque

from mmpipe.errors import TeacherError

_log = logging.getLogger(__name__)

#: Failures that say that an endpoint is broken. What takes too long may answer where less is asked at once.
_BROKEN = frozenset({"server", "unreadable", "connection"})


class CircuitBreaker:
    """Counts the last attempts at one endpoint, and opens when too many of them failed.

    Closed, everything passes. Open, nothing does for a pause. Then one request probes: a reply closes the circuit, a
    failure opens it again for twice as long. The share is taken of a window and never of fewer attempts than `least`,
    so that one bad request in a few is no outage. It outlives one call of a teacher: calls of few requests add up, and
    the next call after one that was given up begins with one probe. It belongs to no event loop.

    Args:
        url: for messages.
        window: attempts that are looked at.
        least: attempts without which nothing is decided.
        share: of failures among them that opens the circuit.
        pause_s: first pause; doubled with each failed probe, up to `longest_pause_s`.
        longest_pause_s: longest pause.
        most_trips: openings in a row after which the endpoint is given up.
        unanswered_s: seconds of nothing but server errors after which an endpoint is given up that has never answered:
            it is not busy but broken, or no such endpoint.
    """

    def __init__(
        self,
        url: str,
        *,
        window: int = 50,
        least: int = 20,
        share: float = 0.5,
        pause_s: float = 5.0,
        longest_pause_s: float = 60.0,
        most_trips: int = 8,
        unanswered_s: float = 60.0,
    ) -> None:
        self.url = url
        self._least = least
        self._share = share
        self._pause_s = pause_s
        self._longest_pause_s = longest_pause_s
        self._most_trips = most_trips
        self._unanswered_s = unanswered_s
        self._last: deque[str] = deque(maxlen=window)
        self._has_answered = False
        self._failing_since: float | None = None
        self._last_words = ""
        self._open_until = 0.0
        self._is_open = False
        self._is_probed = False
        self.trips = 0

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._is_open

    async def admit(self) -> bool:
        """Wait until a request may go out; return whether it is the probe of an open circuit."""
        while self._is_open:
            left = self._open_until - time.monotonic()
            if left <= 0 and not self._is_probed:
                self._is_probed = True
                return True
            await asyncio.sleep(max(min(left, 0.5), 0.01))
        return False

    def note_success(self, *, is_probe: bool = False) -> None:
        """Count an answer of any kind that shows the endpoint works; it closes an open circuit."""
        self._end_probe(is_probe=is_probe)
        if self._is_open:
            self._is_open = False
            self._last.clear()
            _log.info("teacher: %s answers again.", self.url)
        self.trips = 0
        self._has_answered = True
        self._failing_since = None
        self._last_words = ""
        self._last.append("")

    def note_failure(self, kind: str, detail: str, *, is_probe: bool = False) -> None:
        """Count a failed attempt.

        Raises:
            TeacherError: the circuit opened `most_trips` times without a reply in between, or nothing has ever been
                answered and server errors alone came for `unanswered_s`.
        """
        self._end_probe(is_probe=is_probe)
        if self._is_open and not is_probe:
            return  # it went out before the circuit opened: old news
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        self._last.append(kind)
        failed = sum(map(bool, self._last))
        if is_probe or (len(self._last) >= self._least and failed >= self._share * len(self._last)):
            self._trip(detail, failed)

    def give_up_probe(self, *, is_probe: bool) -> None:
        """Let another request probe: this one ended without an answer of either kind."""
        self._end_probe(is_probe=is_probe)

    def _end_probe(self, *, is_probe: bool) -> None:
        if is_probe:
            self._is_probed = False

    def _trip(self, detail: str, failed: int) -> None:
        self.trips += 1
        # also where it is given up: the next call begins with one probe
        self._is_open = True
        self._open_until = time.monotonic()
        counts = Counter(filter(None, self._last))
        kinds = ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
        if self._last_words:
            # given up before, and no better since: whoever asks next is told the same
            raise TeacherError(self._last_words)
        if self.trips > self._most_trips:
            self._last_words = (
                f"{self.url} keeps failing: {failed} of the last {len(self._last)} attempts ({kinds}), and "
                f"{self._most_trips} pauses did not help; last: {detail}. Look at the server, then run again: "
                f"replies that have arrived are cached."
            )
            raise TeacherError(self._last_words)
        pause_s = min(self._pause_s * 2 ** (self.trips - 1), self._longest_pause_s)
        if not self._has_answered and set(counts) <= _BROKEN and self._failing_since is not None:
            failing_s = time.monotonic() - self._failing_since
            if failing_s >= self._unanswered_s:
                self._last_words = (
                    f"{self.url} has answered no request: all {failed} attempts failed ({kinds}), the first "
                    f"{failing_s:.0f} s ago; last: {detail}. Look at the server and the URL, then run again."
                )
                raise TeacherError(self._last_words)
            pause_s = min(pause_s, self._unanswered_s - failing_s)
        _log.warning("teacher: %s fails (%s); asking it again in %.1f s.", self.url, kinds, pause_s)
        self._open_until += pause_s
