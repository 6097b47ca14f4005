"""A hang, a crash or a memory explosion costs one item; the child ends with its parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mmpipe.errors import ShardError
from mmpipe.extraction.sandbox import Sandbox, SandboxLimits, release_kept
from mmpipe_tests.extraction.hostile_functions import behave

LIMITS = SandboxLimits(timeout_seconds=0.5, stall_seconds=2.0, memory_bytes=1 << 30)


def run(words: list[str]) -> list[tuple[str | None, str | None]]:
    with Sandbox(behave, LIMITS) as sandbox:
        return [(outcome.result, outcome.failure) for outcome in sandbox.map(words)]


@pytest.mark.parametrize(
    ("word", "failure"),
    [
        ("spin in native code", "timeout"),
        ("sleep", "timeout"),
        ("segfault", "crash"),
        ("exit", "crash"),
        ("eat memory", "crash"),
        ("raise", "crash"),
    ],
)
def test_one_hostile_item_costs_one_item(word: str, failure: str) -> None:
    found = run(["a", "b", word, "c", "d", "e", "f"])
    assert found == [("A", None), ("B", None), (None, failure), ("C", None), ("D", None), ("E", None), ("F", None)]


def test_crash_says_why() -> None:
    with Sandbox(behave, LIMITS) as sandbox:
        details = [outcome.detail for outcome in sandbox.map(["raise", "segfault", "exit", "eat memory"])]
    assert details[0] == "ValueError: not my kind of page"
    assert details[1] == "killed by signal 11"
    assert details[2] == "ended with exit status 3"
    assert details[3] is not None
    assert details[3].startswith("MemoryError")


def test_item_whose_child_is_killed_once_survives(tmp_path: Path) -> None:
    marker = f"killed once {tmp_path / 'marker'}"
    assert run(["a", marker, "b"]) == [("A", None), (marker.upper(), None), ("B", None)]


def test_noise_on_standard_output_harms_nothing() -> None:
    assert run(["print", "a"]) == [("PRINT", None), ("A", None)]


def test_large_items_both_ways_do_not_block() -> None:
    words = ["x" * (5 << 20), "y", "z" * (3 << 20), "w" * (20 << 20), "v"]
    assert run(words) == [(word.upper(), None) for word in words]


def test_slow_reader_is_no_timeout() -> None:
    with Sandbox(behave, SandboxLimits(timeout_seconds=0.2, stall_seconds=0.5, items_in_flight=1)) as sandbox:
        results = []
        for outcome in sandbox.map(["nap", "nap", "c"]):
            time.sleep(0.7)
            results.append(outcome.result)
    assert results == ["NAP", "NAP", "C"]


def test_child_serves_many_items_and_ends_with_the_block() -> None:
    with Sandbox(behave, LIMITS) as sandbox:
        list(sandbox.map(["a"]))
        pid = sandbox.child_pid
        list(sandbox.map(["b"] * 50))
        assert sandbox.child_pid == pid
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_function_that_cannot_be_loaded_stops_the_shard() -> None:
    class Local:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (__import__, ("no_such_module_anywhere",))

        def __call__(self, item: str) -> str:
            return item

    with Sandbox(Local(), LIMITS) as sandbox, pytest.raises(ShardError, match="no_such_module_anywhere"):
        list(sandbox.map(["a"]))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the child ends at its next read")
def test_child_in_native_code_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "from mmpipe.extraction.sandbox import Sandbox, SandboxLimits\n"
        "from mmpipe_tests.extraction.hostile_functions import spin_forever\n"
        f"list(Sandbox(spin_forever, SandboxLimits()).map([{str(pid_file)!r}]))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, "-c", code], env=env)
    deadline = time.monotonic() + 30
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int(pid_file.read_text())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_works_inside_worker_processes() -> None:
    from joblib import Parallel, delayed

    found = Parallel(n_jobs=2, backend="loky")(delayed(run)(["a", "segfault", "b"]) for _ in range(2))
    assert found == [[("A", None), (None, "crash"), ("B", None)]] * 2


def keep_and_run(words: list[str]) -> tuple[int | None, list[tuple[str | None, str | None]]]:
    with Sandbox(behave, LIMITS, kept_seconds=20) as sandbox:
        found = [(outcome.result, outcome.failure) for outcome in sandbox.map(words)]
        return sandbox.child_pid, found


def test_a_child_serves_the_next_sandbox_of_the_same_function() -> None:
    first, _ = keep_and_run(["a"])
    second, found = keep_and_run(["b", "c"])
    assert first == second
    assert found == [("B", None), ("C", None)]
    with Sandbox(behave, SandboxLimits(memory_bytes=2 << 30), kept_seconds=20) as sandbox:
        assert [outcome.result for outcome in sandbox.map(["d"])] == ["D"]
        assert sandbox.child_pid != second
    assert not is_alive(second)
    release_kept()


@pytest.mark.parametrize("word", ["segfault", "exit", "spin in native code", "raise"])
def test_what_kills_a_child_harms_no_later_sandbox(word: str) -> None:
    first, found = keep_and_run(["a", word])
    assert [failure is None for _, failure in found] == [True, False]
    second, found = keep_and_run(["b"])
    assert found == [("B", None)]
    assert first != second
    release_kept()


def test_a_child_that_died_while_it_waited_is_replaced() -> None:
    first, _ = keep_and_run(["a"])
    assert first is not None
    psutil.Process(first).kill()
    time.sleep(0.1)
    second, found = keep_and_run(["b"])
    assert (found, second != first) == ([("B", None)], True)
    release_kept()


def test_a_child_that_owes_answers_is_not_kept() -> None:
    with Sandbox(behave, LIMITS, kept_seconds=20) as sandbox:
        next(sandbox.map(["a", "b", "c"]))
        pid = sandbox.child_pid
    assert not is_alive(pid)


def test_a_child_waits_no_longer_than_it_was_told() -> None:
    with Sandbox(behave, LIMITS, kept_seconds=0.2) as sandbox:
        list(sandbox.map(["a"]))
        pid = sandbox.child_pid
    assert pid is not None
    psutil.wait_procs([psutil.Process(pid)], timeout=5)
    assert keep_and_run(["b"])[1] == [("B", None)]
    release_kept()


def is_alive(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid)
