"""Keeps every process below this one in sight, also where the one that started it is killed."""

from __future__ import annotations

import ctypes
import os
import time

import psutil

_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent dies, so that none gets out of sight."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1)


def list_alive() -> list[psutil.Process]:
    """Return all processes below this one; those that ended are reaped."""
    alive = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
            elif process.ppid() == os.getpid():
                os.waitpid(process.pid, os.WNOHANG)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue
    return alive


def wait_for_end(seconds: float) -> list[str]:
    """Return the command lines of processes that are still there after so many seconds, then end them."""
    deadline = time.monotonic() + seconds
    while (alive := list_alive()) and time.monotonic() < deadline:
        time.sleep(0.05)
    told = []
    for process in alive:
        try:
            told.append(" ".join(process.cmdline())[:200])
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return told
