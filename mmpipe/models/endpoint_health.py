"""Says what all requests to one endpoint know together: whether to wait, how many may go, and whether it is alive."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.errors import TeacherError
from mmpipe.models.circuit_breaker import CircuitBreaker

if TYPE_CHECKING:
    from mmpipe.models.rate_limits import AdaptiveLimit, CoolDown
    from mmpipe.tables.chat import FailureKind

_log = logging.getLogger(__name__)

#: Failures that say that the endpoint has too much to do.
_CONGESTION = frozenset({"rate", "timeout", "server"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an endpoint is asked again.

    Attributes:
        attempts: most attempts of one request that fail by timeout, server error, unreadable answer or connection.
            Being told to wait (429) is no attempt.
        first_pause_s: seconds before the second attempt; doubled for each next, with jitter.
        longest_pause_s: most seconds of such a pause. A pause the server asks for is kept to whatever its length.
        deadline_s: seconds that the attempts of one request and the pauses between them may take; being told to wait,
            and waiting for others, does not count.
        rate_deadline_s: seconds one request may spend being told to wait.
        dead_after: connections refused one after another, before any success, that make the endpoint dead; as many
            requests given up for being told to wait, without a reply to any in between, end the run too.
        circuit_pause_s: first pause of an endpoint most of whose last attempts failed; doubled each time.
        most_circuit_pauses: such pauses in a row after which the run ends.
        unanswered_s: seconds of nothing but server errors after which the run ends where no request was ever answered.
        raise_max_tokens: what `max_tokens` is multiplied by, once, where it cut a reply that must be whole; 1 for
            never.
    """

    attempts: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    deadline_s: float = 900.0
    rate_deadline_s: float = 600.0
    dead_after: int = 8
    circuit_pause_s: float = 5.0
    most_circuit_pauses: int = 8
    unanswered_s: float = 60.0
    raise_max_tokens: float = 2.0


@dataclass(slots=True)
class _Place:
    round_entered: int
    is_probe: bool


def open_circuit(url: str, patience: Patience) -> CircuitBreaker:
    """Return the circuit breaker of one endpoint, as patient as said."""
    return CircuitBreaker(
        url,
        pause_s=patience.circuit_pause_s,
        most_trips=patience.most_circuit_pauses,
        unanswered_s=patience.unanswered_s,
    )


class EndpointHealth:
    """Admits requests to one endpoint and learns from what becomes of them.

    Args:
        url: for messages.
        patience: limits of it all.
        limit: requests in flight.
        cool_down: of this URL and key, shared by all teachers that use them.
        circuit: what earlier calls of the teacher know of the endpoint.
    """

    def __init__(
        self, url: str, patience: Patience, limit: AdaptiveLimit, cool_down: CoolDown, circuit: CircuitBreaker
    ) -> None:
        self.url = url
        self.limit = limit
        self.cool_down = cool_down
        self.circuit = circuit
        #: The endpoint refused `response_format` as such; it is not sent again.
        self.is_schema_refused = False
        #: Sampling parameters that it refused as such; they are not sent again.
        self.refused_parameters: set[str] = set()
        self._dead_after = patience.dead_after
        self._rate_deadline_s = patience.rate_deadline_s
        self._told_to_wait = 0
        self._refused_connections = 0
        self._has_answered = False

    def refuse_parameter(self, name: str, said: str) -> None:
        """Leave a sampling parameter out from now on, which the endpoint does not know."""
        if name not in self.refused_parameters:
            self.refused_parameters.add(name)
            what = "takes it by its other name" if name == "max_tokens" else "draws without it"
            _log.warning("%s does not know %s, and %s from now on: %s", self.url, name, what, said)

    async def enter(self) -> _Place:
        """Wait for a place among the requests in flight, past every pause; give it back by `leave`."""
        while True:
            await self.cool_down.wait()
            is_probe = await self.circuit.admit()
            try:
                round_entered = await self.limit.enter()
            except BaseException:
                self.circuit.give_up_probe(is_probe=is_probe)
                raise
            if self.cool_down.left_s <= 0 and (is_probe or not self.circuit.is_open):
                return _Place(round_entered, is_probe)
            # a pause began while this one waited for its place
            self.circuit.give_up_probe(is_probe=is_probe)
            self.limit.leave()

    def leave(self, place: _Place) -> None:
        """Give a place back, whatever came of it."""
        self.limit.leave()
        self.circuit.give_up_probe(is_probe=place.is_probe)

    def note_answer(self, place: _Place) -> None:
        """Count an answer that shows the endpoint works, be it a refusal of this one request."""
        self._note_life()
        self._told_to_wait = 0
        self.limit.succeed()
        self.circuit.note_success(is_probe=place.is_probe)

    def note_rate(self, place: _Place, pause_s: float) -> None:
        """Count being told to wait: everybody rests, and fewer go out after.

        Raises:
            TeacherError: the rest asked for is longer than any request may wait.
        """
        self._note_life()
        if pause_s > self._rate_deadline_s:
            raise TeacherError(
                f"{self.url} asks to wait {pause_s:,.0f} s, longer than the {self._rate_deadline_s:,.0f} s a request "
                f"may. Run again then: replies that have arrived are cached."
            )
        self.cool_down.rest(pause_s)
        self.limit.refuse(place.round_entered)
        self.circuit.note_success(is_probe=place.is_probe)

    def note_rate_failure(self, detail: str) -> None:
        """Count a request given up for being told to wait.

        Raises:
            TeacherError: as many were as make an endpoint dead, and none had a reply in between.
        """
        self._told_to_wait += 1
        if self._told_to_wait >= self._dead_after:
            raise TeacherError(
                f"{self.url} only tells to wait: {self._told_to_wait} requests were given up one after another "
                f"({detail}). Look at the account's limits, then run again: replies that have arrived are cached."
            )

    def note_failure(self, place: _Place, kind: FailureKind, detail: str, *, is_last_attempt: bool) -> None:
        """Count an attempt that failed by the endpoint's fault.

        Raises:
            TeacherError: the endpoint never answered and refuses connections; or did and no longer does although a
                request has used up its attempts; or most attempts fail and pauses did not help.
        """
        if kind in _CONGESTION:
            self.limit.refuse(place.round_entered)
        if kind != "connection":
            self._note_life()
        else:
            self._refused_connections += 1
            if self._refused_connections >= self._dead_after and (not self._has_answered or is_last_attempt):
                raise TeacherError(
                    f"{self.url} is dead: {self._refused_connections} connections failed one after another ({detail}). "
                    f"Start the server or correct the URL, then run again: replies that have arrived are cached."
                )
        self.circuit.note_failure(kind, detail, is_probe=place.is_probe)

    def _note_life(self) -> None:
        # any HTTP answer, also a refusal, is a sign of life
        self._has_answered = True
        self._refused_connections = 0
