"""Title and date of a page: what it states in its head, JSON-LD, microdata or a <time> element, by cheap reading."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import numpy as np

from mmpipe.extraction.decoding import encode_page

_ISO_DATE = r"(\d{4})-(\d{2})-(\d{2})"
#: Case-sensitive, each with the literal that it starts with: looking for that first is ten times as fast again.
_STATED_DATES = (
    ('"datePublished"', re.compile(r"\"datePublished\"\s*:\s*\"" + _ISO_DATE)),
    ("article:published_time", re.compile(r"article:published_time[\"'][^>]{0,80}?content=[\"']" + _ISO_DATE)),
    (
        "itemprop=",
        re.compile(r"itemprop=[\"']datePublished[\"'][^>]{0,80}?(?:content|datetime)=[\"']" + _ISO_DATE),
    ),
    ("<time", re.compile(r"<time[^>]{0,200}?datetime=[\"']" + _ISO_DATE)),
)
_CONTENT = re.compile(r"\bcontent\s*=\s*(?:\"([^\"]{0,2000})\"|'([^']{0,2000})')", re.IGNORECASE)
_TITLE = re.compile(r"<(?:title|TITLE|Title)\b[^>]{0,500}>([^<]{0,2000})")
_HEADING = re.compile(r"<(?:h1|H1)\b[^>]{0,2000}>(.{0,2000}?)</(?:h1|H1)\b", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_MOST_HEADINGS = 3
#: Where titles stand; a page may repeat `<title` ten thousand times in its pictures.
_HEAD_CHARS = 300_000
_HEADING_CHARS = 1_000_000
_LESS_THAN, _ONE, _SMALL_H, _LARGE_H = b"<1hH"


def find_stated_title(html: str) -> str | None:
    """Return the title that a page states, as `choose_title` chooses it."""
    head = html[:_HEAD_CHARS]
    shared = []
    at = head.find("og:title")
    if at >= 0:
        start = max(head.rfind("<", 0, at), 0)
        found = _CONTENT.search(head, start, start + 4000)
        if found and head.startswith(("<meta", "<META", "<Meta"), start):
            shared.append(unescape(found[1] or found[2] or ""))
    title = _TITLE.search(head, start) if (start := _find_title(head)) >= 0 else None
    titles = [unescape(title[1])] if title else []
    headings = [unescape(_TAG.sub("", text)) for text in _list_headings(html)]
    return choose_title(shared, titles, headings)


def _find_title(head: str) -> int:
    """Return where the first title may begin, -1 for nowhere: literals are found ten times as fast as a pattern."""
    start = -1
    for literal in ("<title", "<TITLE", "<Title"):
        found = head.find(literal, 0, start if start >= 0 else len(head))
        start = found if found >= 0 else start
    return start


def _list_headings(html: str) -> list[str]:
    """Return what stands in the first few headings, from the later one of the two spellings on."""
    left = dict(zip(("<h1", "<H1"), _count_headings(html), strict=True))
    places = {literal: html.find(literal) if count else -1 for literal, count in left.items()}
    place = max(places.values())
    headings: list[str] = []
    while place >= 0 and len(headings) < _MOST_HEADINGS:
        found = _HEADING.match(html, place, _HEADING_CHARS)
        if found:
            headings.append(found[1])
        place = found.end() if found else place + 1
        for literal, known in places.items():
            at = known
            while 0 <= at < place:
                left[literal] -= 1
                # what is not there is not sought to the page's end
                at = html.find(literal, at + 1, _HEADING_CHARS) if left[literal] else -1
            places[literal] = at
        place = min((at for at in places.values() if at >= 0), default=-1)
    return headings


def _count_headings(html: str) -> tuple[int, int]:
    """Return how often `<h1` and `<H1` stand in a page, at half the time that looking for one that is absent takes."""
    page = np.frombuffer(encode_page(html), np.uint8)
    tags = np.flatnonzero(page[:-2] == _LESS_THAN)
    names = page[tags + 1][page[tags + 2] == _ONE]
    return int(np.count_nonzero(names == _SMALL_H)), int(np.count_nonzero(names == _LARGE_H))


def choose_title(shared: list[Any], titles: list[Any], headings: list[Any]) -> str | None:
    """Return a page's title: og:title, else <title>, else <h1>; cut to the <h1> where that is a part of it.

    Sites add their name to the title; the first heading that stands in it is what the page itself is called.
    """
    candidates = [" ".join(text.split()) for text in (*shared[:1], *titles[:1], *headings[:1]) if text]
    title = next((text for text in candidates if text), None)
    headings = [" ".join(text.split()) for text in headings[:3] if text]
    return next((text for text in headings if title and len(text) > 3 and text in title), title)


def find_stated_date(html: str) -> str | None:
    """Return the publication date that a page states in JSON-LD, a meta tag, microdata or a <time> element."""
    for literal, pattern in _STATED_DATES:
        start = html.find(literal)
        found = pattern.search(html, start) if start >= 0 else None
        if found and "1995" <= found[1] <= "2100" and "01" <= found[2] <= "12" and "01" <= found[3] <= "31":
            return "-".join(found.groups())
    return None
