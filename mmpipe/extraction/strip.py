"""Strips a page fast and roughly: a sample of its running text, without building a tree."""

from __future__ import annotations

from html import unescape

import numpy as np

from mmpipe.extraction.decoding import encode_page
from mmpipe.light_imports import start_numba

#: A run of text between two tags that is shorter is a menu entry or a caption more often than a sentence.
LEAST_RUN_CHARS = 60
#: Enough for an identifier of languages: labels from 1,000 characters agree with those of the whole text.
SAMPLE_CHARS = 1500
#: Runs that are looked for at once: few pages have a sample's worth in more.
_RUNS_AT_ONCE = 32
_MOST_CHAR_BYTES = 4


def sample_text(html: str, most_chars: int = SAMPLE_CHARS) -> str:
    """Return the page's first long runs of text, one per line, entities read; empty if it has none.

    Reading ends when enough is found. Scripts, styles, comments and what else is not shown are passed over, and one
    that does not end takes the rest of the page with it.

    Args:
        html: the decoded page.
        most_chars: characters after which no further run is taken.
    """
    start_numba()
    from mmpipe.extraction.shown_runs import find_runs

    data = encode_page(html)
    page = np.frombuffer(data, np.uint8)
    bounds = np.empty((_RUNS_AT_ONCE, 2), np.int64)
    runs: list[str] = []
    chars = place = 0
    while place < page.size and chars < most_chars:
        count, place = find_runs(page, place, LEAST_RUN_CHARS, bounds)
        for start, end in bounds[:count].tolist():
            looked_at = data[start : min(end, start + 2 * most_chars * _MOST_CHAR_BYTES)].decode("utf-8", "ignore")
            run = " ".join(looked_at[: 2 * most_chars].split())
            if len(run) < LEAST_RUN_CHARS:
                continue
            runs.append(run)
            chars += len(run)
            if chars >= most_chars:
                break
    return unescape("\n".join(runs))
