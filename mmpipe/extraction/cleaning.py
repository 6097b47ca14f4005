"""Cleans text: line ends, bare URLs, runs of newlines. What removes words is a correction step with its spans."""

from __future__ import annotations

import re

from mmpipe.tables.corrections import Edit

#: A URL that stands in running text, up to the next white space; a closing bracket or a sentence's end stays.
_BARE_URL = re.compile(
    r"[hHwW](?:(?<=[hH])[tT][tT][pP][sS]?://|(?<=[wW])(?<![^\W_].)[wW][wW]\.(?=\w))(?:\S*[^\s.,;:!?)\]}>\"'»”’]|\S*)"
)


def clean_text(text: str) -> str:
    """Return the text with newlines as line ends, and no white space at its ends; nothing else is changed."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def remove_urls(text: str) -> list[Edit]:
    """Remove bare URLs and the white space this leaves before a line's end.

    RefinedWeb (Penedo et al. 2023, appendix G.2); DCLM (Li et al. 2024), `url_removal_modifier`.
    """
    return [Edit("dclm_url", found.start(), found.end()) for found in _BARE_URL.finditer(text)]


def collapse_newlines(text: str, most_newlines: int = 2) -> list[Edit]:
    """Shorten runs of newlines, with white space between them, to the most that may follow each other.

    RefinedWeb (Penedo et al. 2023, appendix G.2); DCLM (Li et al. 2024), `newline_removal_modifier`.
    """
    runs = re.finditer(rf"[^\S\n]*\n(?:[^\S\n]*\n){{{most_newlines},}}|[^\S\n]+(?=\n)", text)
    return [
        Edit("dclm_newlines", found.start(), found.end(), "\n" * min(found[0].count("\n"), most_newlines))
        for found in runs
    ]
