from __future__ import annotations

import asyncio
import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import TeacherError
from mmpipe.models.circuit_breaker import CircuitBreaker
from mmpipe.models.rate_limits import DECREASE, AdaptiveLimit, find_cool_down


@given(st.integers(1, 12), st.lists(st.sampled_from(["good", "refused"]), max_size=80), st.integers(1, 4))
def test_no_more_than_the_limit_is_ever_in_flight_and_all_get_through(
    ceiling: int, outcomes: list[str], floor: int
) -> None:
    limit = AdaptiveLimit(ceiling, floor=floor)
    seen: list[tuple[int, float]] = []
    done: list[str] = []

    async def work(outcome: str) -> None:
        entered = await limit.enter()
        seen.append((limit.in_flight, limit.limit))
        await asyncio.sleep(0)
        if outcome == "good":
            limit.succeed()
        else:
            limit.refuse(entered)
        limit.leave()
        done.append(outcome)

    async def run() -> None:
        await asyncio.gather(*(work(outcome) for outcome in outcomes))

    asyncio.run(run())
    assert sorted(done) == sorted(outcomes)
    assert limit.in_flight == 0
    assert all(in_flight <= max(1, int(allowed)) for in_flight, allowed in seen)
    assert min(floor, ceiling) <= limit.limit <= ceiling


def test_one_congestion_is_one_decrease_and_recovery_is_additive() -> None:
    limit = AdaptiveLimit(10)

    async def run() -> None:
        rounds = [await limit.enter() for _ in range(10)]
        for entered in rounds:  # all ten met the same refusal
            limit.refuse(entered)
            limit.leave()

    asyncio.run(run())
    assert limit.limit == 10 * DECREASE
    for _ in range(7):  # as many successes as the limit is wide
        limit.succeed()
    assert 7.9 < limit.limit < 8.0
    for _ in range(100):
        limit.succeed()
    assert limit.limit == 10


def test_a_cancelled_waiter_passes_its_place_on() -> None:
    async def run() -> list[str]:
        limit = AdaptiveLimit(1)
        await limit.enter()
        got: list[str] = []

        async def wait(name: str) -> None:
            await limit.enter()
            got.append(name)

        first, second = asyncio.create_task(wait("first")), asyncio.create_task(wait("second"))
        await asyncio.sleep(0)
        limit.leave()  # the place is given to the first …
        first.cancel()  # … which has gone
        await asyncio.wait_for(second, 1)
        return got

    assert asyncio.run(run()) == ["second"]


def test_one_url_and_key_have_one_cool_down() -> None:
    one, other = find_cool_down("http://u", "k"), find_cool_down("http://u", "k")
    assert one is other
    assert find_cool_down("http://u", "another") is not one
    assert find_cool_down("http://v", "k") is not one
    one.rest(0.2)
    one.rest(0.01)  # the longer wish stays
    assert 0.1 < other.left_s <= 0.2
    started = time.monotonic()
    asyncio.run(other.wait())
    assert time.monotonic() - started >= 0.15
    del one, other
    gc.collect()
    assert find_cool_down("http://u", "k").left_s <= 0


def test_a_few_failures_are_no_outage() -> None:
    circuit = CircuitBreaker("u", window=50, least=20)
    for _ in range(19):
        circuit.note_failure("server", "500")
    assert not circuit.is_open
    circuit = CircuitBreaker("u", window=50, least=20)
    for _ in range(100):  # 4 of 10 fail: less than half, in every window
        for _ in range(6):
            circuit.note_success()
        for _ in range(4):
            circuit.note_failure("server", "500")
    assert not circuit.is_open


def test_an_outage_lets_one_probe_through_at_a_time() -> None:
    async def run() -> None:
        circuit = CircuitBreaker("u", least=5, pause_s=0.05)
        assert await circuit.admit() is False
        for _ in range(5):
            circuit.note_failure("server", "503")
        assert circuit.is_open
        circuit.note_failure("server", "went out before")
        assert circuit.trips == 1
        started = time.monotonic()
        waiting = [asyncio.create_task(circuit.admit()) for _ in range(4)]
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert 0.04 < time.monotonic() - started < 1
        assert [task.result() for task in done] == [True]
        circuit.note_failure("server", "503", is_probe=True)
        assert circuit.trips == 2
        done, rest = await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [True]
        circuit.note_success(is_probe=True)
        assert await asyncio.gather(*rest) == [False, False]
        assert not circuit.is_open

    asyncio.run(run())


def test_pauses_that_do_not_help_end_the_run() -> None:
    circuit = CircuitBreaker("http://u", least=2, pause_s=0.0, most_trips=2)
    circuit.note_failure("server", "503")
    circuit.note_failure("timeout", "too slow")
    circuit.note_failure("server", "503", is_probe=True)
    with pytest.raises(TeacherError, match=r"http://u keeps failing.*server 3, timeout 1.*run again"):
        circuit.note_failure("server", "503", is_probe=True)


def test_an_endpoint_that_never_answered_is_given_up_sooner() -> None:
    circuit = CircuitBreaker("http://u", least=2, pause_s=10.0, unanswered_s=0.2)
    circuit.note_failure("server", "503")
    circuit.note_failure("unreadable", "<html>")
    # the pause is cut to what is left
    assert asyncio.run(asyncio.wait_for(circuit.admit(), 2.0)) is True
    with pytest.raises(TeacherError, match=r"http://u has answered no request: all 3 attempts.*last: 503"):
        circuit.note_failure("server", "503", is_probe=True)
    # whoever asks next probes at once, and is told the same at once
    assert asyncio.run(asyncio.wait_for(circuit.admit(), 0.1)) is True
    with pytest.raises(TeacherError, match=r"all 3 attempts"):
        circuit.note_failure("server", "503", is_probe=True)
    circuit.note_success(is_probe=True)
    assert not circuit.is_open


@pytest.mark.parametrize("kind", ["timeout", "server"])
def test_an_endpoint_that_answered_or_is_slow_keeps_the_longer_patience(kind: str) -> None:
    circuit = CircuitBreaker("http://u", least=2, share=0.3, pause_s=0.0, most_trips=4, unanswered_s=0.0)
    if kind == "server":
        circuit.note_success()
    circuit.note_failure(kind, "no")
    circuit.note_failure(kind, "no")
    circuit.note_failure(kind, "no", is_probe=circuit.is_open)
    assert circuit.trips >= 2
