"""Extractors and functions that hang, crash or eat memory, as pages can make native code do; importable by a child."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

from mmpipe.extraction.extractors import ExtractionSettings, PageText


def behave(word: str) -> str:  # noqa: C901 - one branch per way to misbehave
    """Do what the word says, else return it in capitals."""
    if word == "spin in native code":
        # sums without giving up the interpreter's lock: no Python-level alarm could stop it
        sum(range(10**12))
    elif word == "sleep":
        time.sleep(1000)
    elif word == "nap":
        time.sleep(0.2)
    elif word == "segfault":
        ctypes.string_at(0)
    elif word == "exit":
        os._exit(3)
    elif word == "eat memory":
        return str(len(bytes(3 << 29)))  # untouched zeros: address space only
    elif word == "raise":
        raise ValueError("not my kind of page")
    elif word.startswith("killed once "):
        marker = word.removeprefix("killed once ")
        if not os.path.exists(marker):  # noqa: PTH110
            open(marker, "w").close()  # noqa: PTH123
            os.kill(os.getpid(), signal.SIGKILL)
    elif word == "print":
        os.write(1, b"noise on standard output" * 10_000)
        sys.stdout.write("more noise\n")
        sys.stdout.flush()
    return word.upper()


def spin_forever(pid_file: str) -> str:
    """Write the child's process id, then never come back."""
    with open(pid_file, "w") as file:  # noqa: PTH123
        file.write(str(os.getpid()))
    return str(sum(range(10**13)))


def extract_or_behave(html: str, settings: ExtractionSettings) -> PageText:
    """Behave as an extractor whose page is the word."""
    return PageText(behave(html))
