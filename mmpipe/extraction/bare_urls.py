"""Removes URLs and addresses that stand in running text; every removal is a span."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmpipe.extraction.top_level_domains import TOP_LEVEL_DOMAINS
from mmpipe.tables.corrections import Edit, apply_edits

#: A URL by its scheme or `www.`, up to the next white space; a closing bracket or a sentence's end stays.
_MARKED_URL = re.compile(
    r"[hHwW](?:(?<=[hH])[tT][tT][pP][sS]?://|(?<=[wW])(?<![^\W_].)[wW][wW]\.(?=\w))(?:\S*[^\s.,;:!?)\]}>\"'»”’]|\S*)"
)

#: What DCLM takes for part of a host, and for what may follow it.
_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-@:%._+~#=")
_TAIL = re.compile(r"[-a-zA-Z0-9()@:%_+.~#?&/=]*")
_LABEL = re.compile(r"\.(\w+)")
_LONGEST_HOST = 256
_LONGEST_LABEL = max(map(len, TOP_LEVEL_DOMAINS))
_MOST_SPACE = 10
_SCHEMES = ("https://", "http://", "ftp://")
_IPV4 = re.compile(r"\b(?:[0-2]?[0-9]{1,2}\.){3}[0-2]?[0-9]{1,2}[-a-zA-Z0-9()@:%_+.~#?&/=]*")


def remove_marked_urls(text: str) -> list[Edit]:
    """Remove URLs that start with http://, https:// or www., and the white space this leaves before a line's end.

    RefinedWeb (Penedo et al. 2023, arXiv 2306.01116), G.2: all URLs are removed.
    """
    edits: list[Edit] = []
    at = 0
    for found in _MARKED_URL.finditer(text):
        start, end = found.span()
        if end == len(text) or text[end] == "\n":
            while start > at and text[start - 1] in " \t":
                start -= 1
        edits.append(Edit("refinedweb_url", start, end))
        at = end
    return edits


def remove_urls(text: str, needs_leading_domain: bool = False) -> list[Edit]:
    """Remove every host under a top-level domain and every IPv4 address, with scheme, path and white space before it.

    DCLM (Li et al. 2024, arXiv 2406.11794), `modifiers.py`, `url_removal_modifier`. A host is up to 256 of the
    characters that DCLM allows in one, a dot and a lower-case top-level domain that ends a word; up to ten white-space
    characters before the URL go with it. Two differences, both on purpose: what a removal leaves is looked at again, so
    that a second pass finds nothing; and top-level domains that are not of ASCII letters are not known.

    Args:
        text: any text.
        needs_leading_domain: look for hosts only if the text starts with the letters of a top-level domain, in any
            case, as DCLM's code does (`The` starts with `th`): surely not meant, and needed to repeat it exactly.
    """
    hosts = [] if needs_leading_domain and not _starts_with_domain(text) else list(_find_hosts(text))
    edits = [Edit("dclm_url", start, end) for start, end in hosts]
    left = apply_edits(text, edits)
    addresses = list(_find_addresses(left))
    return _merge(edits, addresses) if addresses else edits


def _starts_with_domain(text: str) -> bool:
    head = text[:_LONGEST_LABEL].lower()
    return any(head[:length] in TOP_LEVEL_DOMAINS for length in range(2, len(head) + 1))


def _find_hosts(text: str) -> Iterator[tuple[int, int]]:
    """Yield spans of hosts with what belongs to them, in order and not overlapping."""
    at = 0
    for label in _LABEL.finditer(text):
        dot = label.start()
        if dot < at or label[1] not in TOP_LEVEL_DOMAINS:
            continue
        start = _find_host_start(text, dot, at)
        if start == dot:
            continue
        tail = _TAIL.match(text, label.end())
        end = tail.end() if tail else label.end()
        yield _reach_back(text, _find_scheme(text, start, at), end, at), end
        at = end


def _reach_back(text: str, start: int, end: int, at: int) -> int:
    """Return where a removal that began with a host starts: with the white space before it, and what it uncovers.

    `foo.comhttp://a.org!` holds one URL; without it, `foo.com!` is one.
    """
    while True:
        floor = max(at, start - _MOST_SPACE)
        while start > floor and text[start - 1].isspace():
            start -= 1
        if end < len(text) and (text[end].isalnum() or text[end] == "_"):
            return start
        dot = text.rfind(".", max(at, start - _LONGEST_LABEL - 1), start)
        if dot < 0 or text[dot + 1 : start] not in TOP_LEVEL_DOMAINS:
            return start
        host = _find_host_start(text, dot, at)
        if host == dot:
            return start
        start = _find_scheme(text, host, at)


def _find_host_start(text: str, dot: int, at: int) -> int:
    start, floor = dot, max(at, dot - _LONGEST_HOST)
    while start > floor and text[start - 1] in _HOST:
        start -= 1
    return start


def _find_scheme(text: str, start: int, at: int) -> int:
    for scheme in _SCHEMES:
        if text.startswith(scheme, max(at, start - len(scheme)), start) and start - len(scheme) >= at:
            return start - len(scheme)
    return start


def _find_addresses(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    for found in _IPV4.finditer(text):
        start, end = found.span()
        scheme = _find_scheme(text, start, at)
        if not (scheme and (text[scheme - 1].isalnum() or text[scheme - 1] == "_")):
            start = scheme
        floor = max(at, start - _MOST_SPACE)
        while start > floor and text[start - 1].isspace():
            start -= 1
        yield start, end
        at = end


def _merge(edits: list[Edit], spans: list[tuple[int, int]]) -> list[Edit]:
    """Return removals of a text, and of what they left, as removals of that text."""
    merged: list[Edit] = []
    pending = list(reversed(edits))
    removed = 0
    for first, last in spans:
        while pending and pending[-1].start - removed <= first:
            merged.append(pending.pop())
            removed += merged[-1].end - merged[-1].start
        start = first + removed
        while pending and pending[-1].start - removed < last:
            edit = pending.pop()
            removed += edit.end - edit.start
        merged.append(Edit("dclm_ip_address", start, last + removed))
    return [*merged, *reversed(pending)]
