"""Runs a function on untrusted input in a child process: a hang, a crash or a memory explosion costs one item."""

from __future__ import annotations

import atexit
import os
import pickle
import selectors
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Generic, Self, TypeVar

from mmpipe.errors import ShardError
from mmpipe.extraction.sandbox_child import LENGTH, PAUSE, make_frame

Item = TypeVar("Item")
Result = TypeVar("Result")

_PIPE_BYTES = 1 << 20
_READ_BYTES = 1 << 18
#: Wall time in which a child must be ready: loops are compiled anew where their cache cannot be written.
_START_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one item may cost.

    `timeout_seconds` is CPU time of the child, so that a busy machine removes no item that a calm one keeps;
    `stall_seconds` is wall time and catches a child that waits for ever. `memory_bytes` is the child's address space.
    """

    timeout_seconds: float = 20.0
    stall_seconds: float = 120.0
    memory_bytes: int = 4 << 30
    items_in_flight: int = 4
    bytes_in_flight: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What became of an item: its result, or how it failed (`timeout` or `crash`) and what was seen."""

    result: Result | None = None
    failure: str | None = None
    detail: str | None = None


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    parent_pid: int
    #: What it was started with: function, preparation, limits, and the process that it belongs to.
    start: bytes
    #: Bytes waiting to be written to the child, and bytes of an answer not yet whole.
    unsent: deque[memoryview] = field(default_factory=deque)
    received: bytearray = field(default_factory=bytearray)
    #: CPU seconds of the child when it ended the item before, and since when its next answer is awaited.
    cpu_base: float = 0.0
    since: float = field(default_factory=time.monotonic)


class Sandbox(Generic[Item, Result]):
    """A child process that applies a function to items, several in flight, and is replaced when it dies.

    The function and its items cross by pickle, so the function must be importable by name. A child that is killed by
    a signal gets its item once more before the item is given up (the signal may have been meant for the machine's
    memory, not for the page). The child ends when this process ends, however it ends. `prepare` runs once in each
    child before its first item and counts for none.

    With `kept_seconds`, a child that owes no answer at the end waits so long for another sandbox of this process with
    the same function, so that the next shard need not start one.

    Raises:
        ShardError: the child dies before it takes its first item, three times in a row.
    """

    def __init__(
        self,
        function: Callable[[Item], Result],
        limits: SandboxLimits,
        prepare: Callable[[], object] | None = None,
        kept_seconds: float = 0.0,
    ) -> None:
        self._function = function
        self._limits = limits
        self._prepare = prepare
        self._kept_seconds = kept_seconds
        self._child: _Child | None = None
        self._owed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        child = self._child
        if child is not None and self._kept_seconds and not (self._owed or child.unsent or child.received):
            self._child = None
            _keep(child, self._kept_seconds)
        self._stop()

    @property
    def child_pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return None if self._child is None else self._child.process.pid

    def map(self, items: Iterable[Item]) -> Iterator[Outcome[Result]]:
        """Yield the outcome of each item, in order."""
        waiting: deque[bytes] = deque()
        was_retried = False
        source = iter(items)
        while True:
            while self._has_room(waiting) and (item := next(source, None)) is not None:
                frame = make_frame(item)
                waiting.append(frame)
                self._owed = len(waiting)
                self._send(frame)
            if not waiting:
                return
            outcome, by_signal = self._receive()
            if by_signal and not was_retried:
                was_retried = True
            else:
                waiting.popleft()
                self._owed = len(waiting)
                was_retried = False
                yield outcome
            if outcome.failure is not None:
                self._stop()
                for frame in waiting:
                    self._send(frame)

    def _has_room(self, waiting: deque[bytes]) -> bool:
        return len(waiting) < self._limits.items_in_flight and (
            not waiting or sum(map(len, waiting)) < self._limits.bytes_in_flight
        )

    def _send(self, frame: bytes) -> None:
        if self._child is None:
            self._child = self._start()
        self._child.unsent.append(memoryview(frame))

    def _start(self) -> _Child:
        start = make_frame((self._function, self._prepare, self._limits.memory_bytes, os.getpid(), self._kept_seconds))
        if (kept := _take_kept(start)) is not None:
            return kept
        for _ in range(3):
            # a file, not a pipe: nobody reads it while the child runs, and a full pipe would stop the child
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
            process = subprocess.Popen(
                [sys.executable, "-c", "from mmpipe.extraction.sandbox_child import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                # one item at a time: threads for linear algebra would be started to wait, a quarter of a second each
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
            child = _Child(process, errors, os.getpid(), start)
            assert process.stdin is not None
            assert process.stdout is not None
            for pipe in (process.stdin, process.stdout):
                _widen(pipe.fileno())
                os.set_blocking(pipe.fileno(), False)
            child.unsent.append(memoryview(start))
            answer, _ = self._exchange(child, is_starting=True)
            if answer is not None and answer[0] == "ready":
                child.cpu_base = answer[1]
                return child
            said = _read_errors(errors)
            _kill(child)
        raise ShardError(f"extraction: the extractor's process does not start: {said}")

    def _receive(self) -> tuple[Outcome[Result], bool]:
        """Return the outcome of the oldest item, and whether a signal from outside ended it."""
        child = self._child
        assert child is not None
        # the caller may have been away for long: only the time spent waiting here counts
        child.since = time.monotonic()
        answer, failure = self._exchange(child)
        if answer is not None and answer[0] == "done":
            child.cpu_base = answer[1]
            return Outcome(result=answer[2]), False
        if answer is not None:
            return Outcome(failure="crash", detail=answer[2]), False
        if failure is not None:
            return Outcome(failure="timeout", detail=failure), False
        code = child.process.wait()
        said = f"; {_read_errors(child.errors)}" if _read_errors(child.errors) else ""
        detail = f"killed by signal {-code}{said}" if code < 0 else f"ended with exit status {code}{said}"
        return Outcome(failure="crash", detail=detail), code < 0

    def _exchange(self, child: _Child, is_starting: bool = False) -> tuple[Any, str | None]:
        """Write and read until one answer is whole; return it, or None and why the time is up (None at the end)."""
        stdin, stdout = child.process.stdin, child.process.stdout
        assert stdin is not None
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if child.unsent:
                selector.register(stdin, selectors.EVENT_WRITE)
            while (answer := _take_frame(child.received)) is None:
                for key, _ in selector.select(timeout=self._limits.timeout_seconds / 4):
                    if key.fileobj is stdin:
                        if not _write_some(stdin.fileno(), child.unsent):
                            selector.unregister(stdin)
                    elif not (data := os.read(stdout.fileno(), _READ_BYTES)):
                        return None, None
                    else:
                        child.received += data
                        break
                else:
                    if (reason := self._judge_time(child, is_starting)) is not None:
                        return None, reason
            return answer, None

    def _judge_time(self, child: _Child, is_starting: bool) -> str | None:
        waited = time.monotonic() - child.since
        if is_starting:
            return f"no start in {_START_SECONDS:g} s" if waited > _START_SECONDS else None
        if waited > self._limits.stall_seconds:
            return f"no answer in {self._limits.stall_seconds:g} s"
        if waited > self._limits.timeout_seconds and _read_cpu(child) - child.cpu_base > self._limits.timeout_seconds:
            return f"more than {self._limits.timeout_seconds:g} s of CPU time"
        return None

    def _stop(self) -> None:
        if self._child is not None:
            _kill(self._child)
            self._child = None


#: The child that waits for the next sandbox, and until when it surely does.
_kept: list[tuple[_Child, float]] = []


def _keep(child: _Child, seconds: float) -> None:
    """Let a child wait for the next sandbox; at the end of its time it ends by itself."""
    assert child.process.stdin is not None
    release_kept()
    child.unsent.append(memoryview(PAUSE))
    _write_some(child.process.stdin.fileno(), child.unsent)
    _kept.append((child, time.monotonic() + seconds / 2))


def _take_kept(start: bytes) -> _Child | None:
    """Return the child that waits, if it was started with the same and is surely there."""
    if not _kept or _kept[-1][0].start != start:
        return None
    child, until = _kept.pop()
    if child.unsent or time.monotonic() > until or child.process.poll() is not None:
        _kill(child)
        return None
    return child


def release_kept() -> None:
    """End the child that waits, if there is one and it is this process's own."""
    while _kept:
        child, _ = _kept.pop()
        if child.parent_pid == os.getpid():
            _kill(child)


# waited for, so that its time counts as this process's
atexit.register(release_kept)


def _take_frame(received: bytearray) -> Any:
    if len(received) < LENGTH.size:
        return None
    end = LENGTH.size + LENGTH.unpack_from(received)[0]
    if len(received) < end:
        return None
    value = pickle.loads(memoryview(received)[LENGTH.size : end])  # noqa: S301 - our own child
    del received[:end]
    return value


def _write_some(descriptor: int, unsent: deque[memoryview]) -> bool:
    """Write what the pipe takes; return whether bytes are left. A child that is gone takes all."""
    try:
        while unsent:
            count = os.write(descriptor, unsent[0])
            if count == len(unsent[0]):
                unsent.popleft()
            else:
                unsent[0] = unsent[0][count:]
    except BlockingIOError:
        return True
    except BrokenPipeError:
        unsent.clear()
    return False


def _widen(descriptor: int) -> None:
    if sys.platform == "linux":
        import contextlib
        import fcntl

        # a user may be over the system's limit for pipe buffers: then the pipe stays as it is
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _read_cpu(child: _Child) -> float:
    import psutil

    try:
        times = psutil.Process(child.process.pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _read_errors(errors: IO[bytes]) -> str:
    """Return the last line that the child wrote to its standard error."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(size - 4096, 0))
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _kill(child: _Child) -> None:
    child.process.kill()
    child.process.wait()
    for pipe in (child.process.stdin, child.process.stdout, child.errors):
        if pipe is not None:
            pipe.close()
