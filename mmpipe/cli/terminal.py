"""What every command shares: the two streams it prints to, and the project it works in."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from mmpipe.assets.project import Project, find_project

# a log or a pipe has no width of its own; 80 columns would fold every table
#: What a command answers.
OUT = Console(highlight=False, width=None if sys.stdout.isatty() else 130)
#: What it says beside that: errors, warnings, what was left out.
ERR = Console(stderr=True, highlight=False)


def open_project() -> Project:
    """Return the project of the current folder, the environment completed by its defaults.

    Raises:
        ConfigurationError: there is none.
    """
    project = find_project()
    project.set_environment(os.environ)
    return project
