"""Says what an untrusted program, its limits and its run are, and what runs it: synthesis speaks it, storage answers.

It stands here, below the rooms, because methods that execute what a teacher wrote may not start processes themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

#: How a run ended. `ok`: exit status 0. `error`: another exit status. `signal`: killed by a signal of its own making.
#: `cpu_time`, `wall_time`, `output`: a limit was reached. `not_started`: the system would not execute it.
RunStatus = Literal["ok", "error", "signal", "cpu_time", "wall_time", "output", "not_started"]

#: As first argument of a program: the interpreter of this project, isolated, without site packages, hashing fixed.
PYTHON = "python"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLimits:
    """What one run may cost. Every limit holds in the kernel, but for wall time and output, which the parent counts.

    Attributes:
        cpu_seconds: CPU time of each process, rounded up to whole seconds.
        wall_seconds: from start to end, of all of it. Depends on how busy the machine is: leave it well above.
        memory_bytes: address space of each process.
        processes: processes and threads at once; 1 means that it cannot fork.
        disk_bytes: all it may write, in a folder in memory that ends with it; 0 means that it can write nothing.
        open_files: file descriptors of each process.
        output_bytes: standard output and standard error together.
    """

    cpu_seconds: float = 5.0
    wall_seconds: float = 30.0
    memory_bytes: int = 512 << 20
    processes: int = 1
    disk_bytes: int = 0
    open_files: int = 32
    output_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What shall run.

    Attributes:
        argv: what to execute, PYTHON or a path, and its arguments; relative paths are those of `files`.
        files: what stands in its working folder, by plain name.
        stdin: its standard input.
        collect: files of the working folder that are handed back after it ended.
        limits: what it may cost; None for the sandbox's own.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    stdin: bytes = b""
    collect: tuple[str, ...] = ()
    limits: ProgramLimits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRun:
    """What became of a program.

    Attributes:
        status: how it ended.
        exit_code: its exit status; minus the signal's number where a signal ended it.
        stdout: what it wrote, at most the limit.
        stderr: likewise.
        collected: files asked for that were there.
        detail: why it did not start.
        cpu_seconds: CPU time used, known where it ended by itself.
        peak_bytes: most memory resident at a time, known where it ended by itself.
    """

    status: RunStatus
    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    collected: Mapping[str, bytes] = field(default_factory=dict)
    detail: str = ""
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


class ProgramRunner(Protocol):
    """Whatever runs untrusted programs behind walls."""

    def run_all(self, programs: Sequence[Program]) -> list[ProgramRun]:
        """Return what became of each program, in order.

        Raises:
            ConfigurationError: this machine has no wall that keeps such a program from the network.
        """


def make_python_program(source: str, *, stdin: str = "", limits: ProgramLimits | None = None) -> Program:
    """Return a program of Python source; lone surrogates in it become question marks."""
    return Program(
        argv=(PYTHON, "program.py"),
        files={"program.py": source.encode("utf-8", "replace")},
        stdin=stdin.encode("utf-8", "replace"),
        limits=limits,
    )
