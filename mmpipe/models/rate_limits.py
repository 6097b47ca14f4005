"""Holds requests to what an endpoint takes: how many at once, learned from its refusals, and when it asks for rest."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from weakref import WeakValueDictionary

#: What is left of the limit after one sign of congestion. CUBIC's value (RFC 9438, section 4.6): a refusal names no
#: place to stop at, and halving (RFC 5681) leaves an endpoint idle longer than it was crowded.
DECREASE = 0.7


class AdaptiveLimit:
    """How many requests may be in flight: one more for every round of successes, a share less for a refusal.

    Additive increase and multiplicative decrease (Chiu and Jain 1989), between a floor and a ceiling. It starts at the
    ceiling, which the user set. Refusals of requests that went out before the last decrease are news of the same
    congestion and change nothing. Used within one event loop.

    Args:
        ceiling: most requests in flight.
        floor: fewest, whatever is refused.
        start: where to begin; the ceiling if None.
    """

    def __init__(self, ceiling: int, *, floor: int = 1, start: float | None = None) -> None:
        self.ceiling = ceiling
        self.floor = min(floor, ceiling)
        self.limit = float(ceiling) if start is None else min(max(start, float(self.floor)), float(ceiling))
        self.in_flight = 0
        self.decreases = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> int:
        """Wait for a place; return the number of the round, to be handed to `refuse`."""
        while self.in_flight >= int(self.limit):
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._wake()  # the place that was given to this one goes to another
                raise
        self.in_flight += 1
        return self.decreases

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._wake()

    def succeed(self) -> None:
        """Count a reply: the limit grows by one in as many successes as it is wide."""
        self.limit = min(self.limit + 1 / self.limit, float(self.ceiling))

    def refuse(self, round_entered: int) -> None:
        """Take a share off the limit, once per round."""
        if round_entered == self.decreases:
            self.decreases += 1
            self.limit = max(self.limit * DECREASE, float(self.floor))

    def _wake(self) -> None:
        free = int(self.limit) - self.in_flight
        while self._waiting and free > 0:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1


class CoolDown:
    """Until when nothing is asked of an endpoint with one key: one key has one budget, so all its requests rest."""

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def left_s(self) -> float:
        """Seconds of rest that are left; 0 or less if none."""
        return self._until - time.monotonic()

    def rest(self, seconds: float) -> None:
        """Rest at least `seconds` from now."""
        self._until = max(self._until, time.monotonic() + seconds)

    async def wait(self) -> None:
        """Wait until the rest is over."""
        while (left := self.left_s) > 0:
            # spread: all waking at once would be refused at once
            await asyncio.sleep(left + random.uniform(0, 0.1))  # noqa: S311 - jitter


_cool_downs: WeakValueDictionary[tuple[str, int], CoolDown] = WeakValueDictionary()
_lock = threading.Lock()


def find_cool_down(url: str, secret: str | None) -> CoolDown:
    """Return the one cool-down of this URL and key in the process; teachers of several models share it."""
    key = (url, hash(secret))
    with _lock:
        shared = _cool_downs.get(key)
        if shared is None:
            shared = _cool_downs[key] = CoolDown()
        return shared
