"""Strips a page fast and roughly: a sample of its running text, without building a tree."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A run of text between two tags that is shorter is a menu entry or a caption more often than a sentence.
LEAST_RUN_CHARS = 60
#: Enough for an identifier of languages: labels from 1,000 characters agree with those of the whole text.
SAMPLE_CHARS = 1500

_HIDDEN = re.compile(r"<(?:(script|style|noscript|template|svg|textarea|select)\b|!--)", re.IGNORECASE)
_ENDS = {
    name: re.compile(rf"</{name}\b", re.IGNORECASE)
    for name in ("script", "style", "noscript", "template", "svg", "textarea", "select")
}
# both brackets are excluded, so that a page of nothing but brackets is read once and not once per bracket
_RUN = re.compile(rf">([^<>]{{{LEAST_RUN_CHARS},}})")


def sample_text(html: str, most_chars: int = SAMPLE_CHARS) -> str:
    """Return the page's first long runs of text, one per line, entities read; empty if it has none.

    Reading ends when enough is found. Scripts, styles, comments and what else is not shown are passed over, and one
    that does not end takes the rest of the page with it.

    Args:
        html: the decoded page.
        most_chars: characters after which no further run is taken.
    """
    runs: list[str] = []
    chars = 0
    for part in _list_shown(html):
        for found in _RUN.finditer(part):
            run = " ".join(found[1][: 2 * most_chars].split())
            if len(run) < LEAST_RUN_CHARS:
                continue
            runs.append(run)
            chars += len(run)
            if chars >= most_chars:
                return unescape("\n".join(runs))
    return unescape("\n".join(runs))


def _list_shown(html: str) -> Iterator[str]:
    place = 0
    while (hidden := _HIDDEN.search(html, place)) is not None:
        yield html[place : hidden.start()]
        if hidden[1] is None:
            end = html.find("-->", hidden.end())
            # the run's own pattern begins with the closing bracket
            place = end + 2 if end >= 0 else len(html)
        else:
            closing = _ENDS[hidden[1].lower()].search(html, hidden.end())
            place = closing.end() if closing is not None else len(html)
    yield html[place:]
