"""Shows what the rooms say while a command runs: one plain line per shard that is committed."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


class _ConsoleHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        # a traceback stands in the run's log; here its first and last line say which shard, and what it died of
        said = record.getMessage().rstrip().splitlines()
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else None
        # soft wrap: a line stays a line, so that logs can be searched
        self._console.print(
            f"{time.strftime('%H:%M:%S')}  {said[0]}{f' … {said[-1]}' if len(said) > 1 else ''}",
            style=style,
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def show_progress(console: Console) -> None:
    """Print what mmpipe logs from now on, and nothing of what the libraries log at the level of information."""
    logger = logging.getLogger("mmpipe")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [_ConsoleHandler(console)]
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
