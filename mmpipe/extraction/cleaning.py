"""Rewrites extracted text: bare URLs out, blank lines at most one in a row, no space at line ends."""

from __future__ import annotations

import re

#: A URL that stands in running text, up to the next white space; a closing bracket or a sentence's end stays.
_BARE_URL = re.compile(
    r"[hHwW](?:(?<=[hH])[tT][tT][pP][sS]?://|(?<=[wW])(?<![^\W_].)[wW][wW]\.(?=\w))(?:\S*[^\s.,;:!?)\]}>\"'»”’]|\S*)"
)
_EXTRA_NEWLINES = re.compile(r"\n{3,}")


def clean_text(text: str) -> str:
    """Return the text without bare URLs, with at most two newlines in a row and no white space at line ends.

    RefinedWeb (Penedo et al. 2023, appendix G.2) and DCLM (Li et al. 2024, `url_removal_modifier` and
    `newline_removal_modifier`). Cleaning twice gives what cleaning once gives.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # taking a URL out of a longer token can leave another one behind
    while True:
        shorter = _BARE_URL.sub("", text)
        if shorter == text:
            break
        text = shorter
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return _EXTRA_NEWLINES.sub("\n\n", text).strip()
