"""Runs untrusted programs behind walls: no network, no files of the machine; bounded time, memory, disk, processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mmpipe.errors import ConfigurationError
from mmpipe.storage.syscall_filter import make_syscall_filter
from mmpipe.tables.programs import PYTHON, Program, ProgramLimits, ProgramRun, RunStatus

Walls = Literal["namespaces", "seccomp"]

#: In order of preference.
_WALLS: tuple[Walls, ...] = ("namespaces", "seccomp")
_LAUNCHER = Path(__file__).with_name("program_launcher.py")
#: -I would also make Python deaf to PYTHONHASHSEED; these are the rest of it, and the environment is ours.
_ISOLATED = ("-s", "-P", "-S", "-B")
_READ_BYTES = 1 << 16
_runs = itertools.count()


@dataclass(frozen=True, slots=True)
class Barriers:
    """Which walls stand on this machine, as `ProgramSandbox.describe` found them by trying.

    Attributes:
        walls: `namespaces`, `seccomp`, or `none` where a program may run without them.
        network: what keeps programs from the network.
        files: what they see of the file system.
        processes: what keeps them from other processes, and ends all that they leave behind.
        system_calls: whether a filter refuses sockets, tracing and mounting.
        refused: why walls that would have been better could not be had.
    """

    walls: Literal["namespaces", "seccomp", "none"]
    network: str
    files: str
    processes: str
    system_calls: bool
    refused: dict[str, str] = field(default_factory=dict)


class ProgramSandbox:
    """A runner of untrusted programs; each runs in fresh processes that share nothing with any other run.

    With `namespaces` (Linux, as root or where users may make namespaces) a program has a network without devices, a
    process table and a root of its own, with system programs and the interpreter read-only and nothing else; its
    user owns nothing. With `seccomp` (Linux on x86-64) it sees files but can change none, cannot fork, signal, or open
    a socket. Where neither can be had nothing runs, unless `unguarded` says so: then only the limits hold.

    Args:
        limits: what a run may cost, where the program does not say.
        workers: programs that run at once.
        walls: which walls to use; None for the best that can be had.
        unguarded: run where there are no walls: for programs that are trusted.

    Raises:
        ConfigurationError: the walls asked for cannot be had; the message says why.
    """

    def __init__(
        self,
        limits: ProgramLimits | None = None,
        *,
        workers: int = 1,
        walls: Walls | None = None,
        unguarded: bool = False,
    ) -> None:
        self.limits = limits or ProgramLimits()
        self.workers = workers
        self._wanted = walls
        self._unguarded = unguarded

    def describe(self) -> Barriers:
        """Return which walls stand; found by running an empty program behind each kind, best first."""
        return self._barriers

    def run(self, program: Program) -> ProgramRun:
        """Return what became of a program.

        Raises:
            ConfigurationError: no walls, or the program needs what these walls cannot bound (disk and processes need
                namespaces).
        """
        walls = self._barriers.walls
        limits = program.limits or self.limits
        if walls == "seccomp" and (limits.disk_bytes or limits.processes > 1 or program.collect):
            raise ConfigurationError(
                "A program that writes files or starts processes needs namespaces, and this machine has none for us: "
                f"{self._barriers.refused.get('namespaces', 'not asked for')}"
            )
        return _run(program, limits, walls)

    def run_all(self, programs: Sequence[Program]) -> list[ProgramRun]:
        """Return what became of each program, in order; `workers` run at once."""
        if self.workers <= 1 or len(programs) <= 1:
            return [self.run(program) for program in programs]
        self.describe()
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self.run, programs))

    @cached_property
    def _barriers(self) -> Barriers:
        refused: dict[str, str] = {}
        for walls in _WALLS if self._wanted is None else (self._wanted,):
            tried = _try_walls(walls)
            if tried is None:
                return _describe(walls, refused)
            refused[walls] = tried
        if self._unguarded and sys.platform == "linux":
            return _describe("none", refused)
        raise ConfigurationError(
            "Untrusted programs cannot be kept from the network here: "
            + "; ".join(f"{name}: {why}" for name, why in refused.items())
            + ". Run as a user who may make namespaces (sysctl kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns), or give ProgramSandbox unguarded=True for trusted programs."
        )


def _describe(walls: Literal["namespaces", "seccomp", "none"], refused: dict[str, str]) -> Barriers:
    if walls == "namespaces":
        return Barriers(
            walls,
            "network namespace without devices",
            "own root: system programs and interpreter, read-only",
            "own process table, emptied with its first process",
            make_syscall_filter(forks=True, outside=True) is not None,
            refused,
        )
    if walls == "seccomp":
        return Barriers(
            walls,
            "sockets refused by the system call filter",
            "the machine's, changes refused by the system call filter",
            "forks and signals refused by the system call filter",
            system_calls=True,
            refused=refused,
        )
    return Barriers(walls, "open", "the machine's", "process group, killed at the end", system_calls=False)


def _try_walls(walls: Walls) -> str | None:
    """Return None if an empty program runs behind these walls, else why not."""
    if sys.platform != "linux":
        return f"not on {sys.platform}"
    if walls == "seccomp" and make_syscall_filter(forks=False, outside=False) is None:
        return "the system call filter is written for x86-64"
    program = Program(argv=(PYTHON, "-c", "print(6 * 7)"))
    ran = _run(program, ProgramLimits(), walls)
    if ran.status == "ok" and ran.stdout == b"42\n":
        return None
    return ran.detail or f"an empty program ended with {ran.status}: {ran.stderr[-200:].decode('utf-8', 'replace')}"


def _run(program: Program, limits: ProgramLimits, walls: str) -> ProgramRun:
    for name in (*program.files, *program.collect):
        if not name or "/" in name or "\0" in name or name in {".", ".."}:
            raise ConfigurationError(f"{name!r} is no plain file name for a program's working folder.")
    with tempfile.TemporaryDirectory(prefix="mmpipe-program-") as folder:
        place = Path(folder)
        # others must pass: as root, programs run as a user who owns nothing
        place.chmod(0o711)
        for name, mode in (("work", 0o755), ("root", 0o755), ("collected", 0o733)):
            (place / name).mkdir()
            (place / name).chmod(mode)
        for name, content in program.files.items():
            (place / "work" / name).write_bytes(content)
            (place / "work" / name).chmod(0o755)
        (place / "stdin").write_bytes(program.stdin)
        # opened for reading alone: what a program inherits it may write to
        with (place / "stdin").open("rb") as stdin:
            return _launch(program, limits, walls, place, stdin.fileno())


def _launch(program: Program, limits: ProgramLimits, walls: str, place: Path, stdin: int) -> ProgramRun:
    report, theirs = os.pipe()
    config = json.dumps(_configure(program, limits, walls, place, theirs))
    try:
        process = subprocess.Popen(
            [_find_interpreter(), *_ISOLATED, str(_LAUNCHER), config],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            pass_fds=(theirs,),
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    with process, open(report, "rb") as reports:  # noqa: PTH123 - a descriptor
        outputs, cut = _read_outputs(process, limits)
        said = [json.loads(line) for line in reports.read(_READ_BYTES).splitlines()] if cut is None else []
        _kill(process)
    return _judge(said, outputs, cut, program, limits, place)


def _configure(program: Program, limits: ProgramLimits, walls: str, place: Path, report: int) -> dict[str, Any]:
    interpreter = _find_interpreter()
    argv = [interpreter, *_ISOLATED, *program.argv[1:]] if program.argv[0] == PYTHON else list(program.argv)
    code = None
    if walls != "none":
        code = make_syscall_filter(forks=limits.processes > 1, outside=walls == "namespaces")
    temporary = {"TMPDIR": "/program/.tmp"} if limits.disk_bytes else {}
    return {
        "walls": walls,
        "report": report,
        "parent": os.getpid(),
        "number": (os.getpid() * 256 + next(_runs) % 256) % (1 << 30),
        "work": str(place / "work"),
        "root": str(place / "root"),
        "collected": str(place / "collected"),
        "collect": list(program.collect),
        "visible": [] if sys.base_prefix.startswith("/usr/") else [sys.base_prefix],
        "limits": asdict(limits),
        "filter": code.hex() if code else "",
        "argv": argv,
        "environment": {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", **temporary},
    }


def _find_interpreter() -> str:
    return os.path.realpath(sys.executable)


def _read_outputs(process: subprocess.Popen[bytes], limits: ProgramLimits) -> tuple[list[bytes], RunStatus | None]:
    """Return standard output and error, and which limit the parent had to enforce."""
    until = time.monotonic() + limits.wall_seconds
    assert process.stdout is not None
    assert process.stderr is not None
    outputs = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    cut: RunStatus | None = None
    left = limits.output_bytes
    with selectors.DefaultSelector() as selector:
        for descriptor in outputs:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map() and cut is None:
            ready = selector.select(timeout=max(until - time.monotonic(), 0))
            if time.monotonic() > until:
                cut = "wall_time"
            for key, _ in ready:
                # one byte more than allowed tells that there is more
                data = os.read(key.fd, min(_READ_BYTES, left + 1))
                if not data:
                    selector.unregister(key.fd)
                elif len(data) > left:
                    outputs[key.fd] += data[:left]
                    cut, left = "output", 0
                else:
                    outputs[key.fd] += data
                    left -= len(data)
    if cut is not None:
        _kill(process)
    return [bytes(output) for output in outputs.values()], cut


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the launcher's group; behind namespaces all others end with it, wherever they went."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _judge(
    said: list[dict[str, Any]],
    outputs: list[bytes],
    cut: RunStatus | None,
    program: Program,
    limits: ProgramLimits,
    place: Path,
) -> ProgramRun:
    stdout, stderr = outputs
    if cut is not None:
        return ProgramRun(status=cut, stdout=stdout, stderr=stderr)
    error = next((line["error"] for line in said if "error" in line), None)
    if error is not None or not said:
        detail = error or stderr[-500:].decode("utf-8", "replace") or "the launcher said nothing"
        return ProgramRun(status="not_started", stdout=stdout, stderr=stderr, detail=detail)
    ended = said[-1]
    code = int(ended["status"])
    status: RunStatus = "ok" if code == 0 else "error" if code > 0 else "signal"
    is_over = ended["cpu_seconds"] >= limits.cpu_seconds
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and is_over):
        status = "cpu_time"
    collected = {name: (place / "collected" / name).read_bytes() for name in ended["collected"]}
    return ProgramRun(
        status=status,
        exit_code=code,
        stdout=stdout,
        stderr=stderr,
        collected={name: collected[name] for name in program.collect if name in collected},
        cpu_seconds=float(ended["cpu_seconds"]),
        peak_bytes=int(ended["peak_bytes"]),
    )
