"""Cleans text: line ends, runs of newlines. What changes lines is a correction step with its spans."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmpipe.tables.corrections import Edit


def clean_text(text: str) -> str:
    """Return the text with newlines as line ends, and no white space at its ends; nothing else is changed."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def collapse_newlines(text: str, most_newlines: int = 2) -> list[Edit]:
    """Shorten runs of newlines to the most that may follow each other.

    RefinedWeb (Penedo et al. 2023, arXiv 2306.01116), G.2; DCLM (Li et al. 2024, arXiv 2406.11794), `modifiers.py`,
    `newline_removal_modifier`: a line of white space ends a run.
    """
    # polars is not for the extractor's process to load
    from mmpipe.tables.corrections import Edit

    runs = re.finditer(rf"\n{{{most_newlines + 1},}}", text)
    return [Edit("dclm_newlines", found.start() + most_newlines, found.end()) for found in runs]
