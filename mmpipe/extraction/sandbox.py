"""Runs a function on untrusted input in a child process: a hang, a crash or a memory explosion costs one item."""

from __future__ import annotations

import os
import pickle
import selectors
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Generic, Self, TypeVar

from mmpipe.errors import ShardError

Item = TypeVar("Item")
Result = TypeVar("Result")

_LENGTH = struct.Struct("<Q")
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

    Raises:
        ShardError: the child dies before it takes its first item, three times in a row.
    """

    def __init__(
        self,
        function: Callable[[Item], Result],
        limits: SandboxLimits,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._function = function
        self._limits = limits
        self._prepare = prepare
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
                frame = _make_frame(item)
                waiting.append(frame)
                self._send(frame)
            if not waiting:
                return
            outcome, by_signal = self._receive()
            if by_signal and not was_retried:
                was_retried = True
            else:
                waiting.popleft()
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
        for _ in range(3):
            # a file, not a pipe: nobody reads it while the child runs, and a full pipe would stop the child
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
            process = subprocess.Popen(
                [sys.executable, "-c", "from mmpipe.extraction.sandbox import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            child = _Child(process, errors)
            assert process.stdin is not None
            assert process.stdout is not None
            for pipe in (process.stdin, process.stdout):
                _widen(pipe.fileno())
                os.set_blocking(pipe.fileno(), False)
            child.unsent.append(
                memoryview(_make_frame((self._function, self._prepare, self._limits.memory_bytes, os.getpid())))
            )
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


def _make_frame(value: Any) -> bytes:
    data = pickle.dumps(value, protocol=5)
    return _LENGTH.pack(len(data)) + data


def _take_frame(received: bytearray) -> Any:
    if len(received) < _LENGTH.size:
        return None
    end = _LENGTH.size + _LENGTH.unpack_from(received)[0]
    if len(received) < end:
        return None
    value = pickle.loads(memoryview(received)[_LENGTH.size : end])  # noqa: S301 - our own child
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


def serve() -> None:
    """Be the child: take the function, then items, from standard input until it ends."""
    requests = sys.stdin.buffer
    # native code may print: the answers get a descriptor of their own
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    function, prepare, memory_bytes, parent_pid = _read_request(requests)
    _follow_parent(parent_pid)
    _limit_memory(memory_bytes)
    if prepare is not None:
        prepare()
    _answer(answers, "ready", None)
    while (item := _read_request(requests)) is not None:
        try:
            result = function(item)
        except BaseException as error:
            # said, then raised: a process in an unknown state takes no other item
            _answer(answers, "crash", f"{type(error).__name__}: {error}"[:500])
            raise
        _answer(answers, "done", result)


def _read_request(requests: IO[bytes]) -> Any:
    head = requests.read(_LENGTH.size)
    return pickle.loads(requests.read(*_LENGTH.unpack(head))) if len(head) == _LENGTH.size else None  # noqa: S301 - our parent


def _answer(answers: IO[bytes], kind: str, value: Any) -> None:
    answers.write(_make_frame((kind, time.process_time(), value)))
    answers.flush()


def _follow_parent(parent_pid: int) -> None:
    """End with the parent even inside native code; without this system call, end at the next read."""
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent_pid:
        sys.exit("the parent is gone")


def _limit_memory(memory_bytes: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    # a crash is an outcome here, not something to keep gigabytes of on the disk
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
