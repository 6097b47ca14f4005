"""Reads robots.txt and robots headers: what a host asks of a crawler before anything is transferred."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Directives of `X-Robots-Tag` by which a host keeps an image out of training data.
OPT_OUTS = ("noai", "noimageai", "noindex", "noimageindex", "noml", "none")
#: RFC 9309 §2.5: a crawler must read at least 500 KiB.
MAX_ROBOTS_BYTES = 512 * 1024

_UNRESERVED = "/%:@!$&'()*+,;=~-._?"


@dataclass(frozen=True, slots=True)
class RobotsRules:
    """The rules of one robots.txt that concern one crawler (RFC 9309)."""

    rules: tuple[tuple[bool, str], ...] = ()
    crawl_delay_seconds: float | None = None

    def allows(self, url: str) -> bool:
        """Whether the URL may be fetched: the longest matching pattern decides, and allow wins a tie."""
        parts = urlsplit(url)
        path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), _UNRESERVED)
        best_length, is_allowed = -1, True
        for allow, pattern in self.rules:
            if len(pattern) < best_length or not _matches(pattern, path):
                continue
            if len(pattern) > best_length or allow:
                best_length, is_allowed = len(pattern), allow
        return is_allowed


#: What an unreachable robots.txt means (RFC 9309 §2.3.1.4): nothing may be fetched.
NOTHING_ALLOWED = RobotsRules(((False, "/"),))
#: What an absent robots.txt means (RFC 9309 §2.3.1.3): everything may.
EVERYTHING_ALLOWED = RobotsRules()


@dataclass(slots=True)
class _Group:
    agents: list[str] = field(default_factory=list)
    rules: list[tuple[bool, str]] = field(default_factory=list)
    delay: float | None = None


def parse_robots(text: str, agent: str) -> RobotsRules:
    """Return the rules for a crawler: the groups that name it, else those for `*` (RFC 9309 §2.2.1).

    Args:
        text: the file.
        agent: the crawler's product token, for example `mmpipe`.
    """
    groups = _read_groups(text.splitlines())
    name = agent.lower()
    chosen = [group for group in groups if name in group.agents] or [group for group in groups if "*" in group.agents]
    delays = [group.delay for group in chosen if group.delay is not None]
    return RobotsRules(tuple(rule for group in chosen for rule in group.rules), max(delays, default=None))


def find_opt_out(headers: Iterable[str], agent: str) -> str | None:
    """Return the directive of `X-Robots-Tag` values that keeps an image out, or None.

    A value may begin with the name of the crawler it is meant for (`otherbot: noai`); those for others are ignored.
    """
    for value in headers:
        for part in value.lower().split(","):
            named, colon, directive = part.rpartition(":")
            if colon and named.strip() not in ("", agent.lower()):
                continue
            if directive.strip() in OPT_OUTS:
                return directive.strip()
    return None


def find_reservation(headers: Iterable[str]) -> str | None:
    """Return the `TDM-Reservation` value by which rights to mine a file are reserved (TDMRep, W3C CG), or None.

    The protocol knows 1 and 0; whatever is not 0 is taken for a reservation.
    """
    return next((value.strip()[:40] for value in headers if value.strip() not in ("", "0")), None)


def _read_groups(lines: Iterable[str]) -> list[_Group]:
    groups: list[_Group] = []
    is_open = False  # consecutive user-agent lines name one group
    for line in lines:
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            if not is_open:
                groups.append(_Group())
            groups[-1].agents.append(value.split("/")[0].strip().lower())
            is_open = True
        elif key in ("allow", "disallow") and groups:
            is_open = False
            if value:  # an empty disallow forbids nothing
                groups[-1].rules.append((key == "allow", quote(value, _UNRESERVED)))
        elif key == "crawl-delay" and groups:
            is_open = False
            if re.fullmatch(r"\d{1,5}(\.\d{1,3})?", value):
                groups[-1].delay = float(value)
    return groups


def _matches(pattern: str, path: str) -> bool:
    """Whether the path begins as the pattern says; `*` stands for anything, a `$` at the end for the path's end.

    Greedy piece by piece rather than as a regular expression, which a hostile file could make exponential.
    """
    is_anchored = pattern.endswith("$")
    first, *pieces = (pattern[:-1] if is_anchored else pattern).split("*")
    if not path.startswith(first):
        return False
    place = len(first)
    if not pieces:
        return not is_anchored or place == len(path)
    *middle, last = pieces
    for piece in middle:
        found = path.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    return path.endswith(last) and len(path) - len(last) >= place if is_anchored else path.find(last, place) >= 0
