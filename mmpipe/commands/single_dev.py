"""Lets one `mmpipe dev` run on a state folder: two daemons on the same records would take each other's work."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def hold_state(state: Path, url: str) -> Iterator[None]:
    """Hold a state folder for this process until it ends, however it ends: the system frees the lock of a killed one.

    Args:
        state: an existing folder.
        url: where this process will serve the UI, for who comes second.

    Raises:
        ConfigurationError: another process holds it; the message says which, and where its UI is.
    """
    with (state / "dev.lock").open("a+", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            held.seek(0)
            raise ConfigurationError(_name_holder(held.read(), state)) from error
        held.truncate(0)
        held.write(json.dumps({"url": url, "pid": os.getpid()}))
        held.flush()
        yield


def _name_holder(record: str, state: Path) -> str:
    told = json.loads(record) if record else None  # the first one may not have written yet
    who = f"{told['url']} (process {told['pid']})" if told else "it is just starting"
    ending = f" or `kill {told['pid']}`" if told else ""
    return (
        f"`mmpipe dev` runs already on the records in {state}: {who}. Use that one, or end it first (Ctrl-C{ending}). "
        "Another project needs a state of its own (MMPIPE_STATE)."
    )
