"""Finds addresses in text: e-mail, IPv4 and IPv6, names of users. Linear in the text, whatever it holds."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

#: First character of a span and the character after its last.
Span = tuple[int, int]

# Latin letters with marks stand in internationalised addresses; other scripts are written without spaces around an
# address, so that their letters would be swallowed with it
_LETTER = "A-Za-zÀ-ÖØ-öø-ɏ"

#: From the sign on, so that the search jumps from sign to sign. Labels hold no dot: nothing is tried twice.
_DOMAIN = re.compile(
    rf"@((?:[{_LETTER}0-9-]{{1,63}}\.){{1,20}}(?:xn--[a-z0-9]{{2,59}}|[{_LETTER}]{{2,24}}))(?![{_LETTER}0-9-])"
)

#: RFC 5322 allows more in front of the sign. `=`, `/`, `?`, `&` and their like are there far more often parts of URLs
#: and markup.
_LOCAL_CHARACTERS = "".join(map(chr, range(0xC0, 0x250))).replace("×", "").replace("÷", "") + (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+'~-"
)
_LOCAL_LONGEST = 64  # RFC 5321, 4.5.3.1.1
_DOMAIN_LONGEST = 255  # RFC 5321, 4.5.3.1.2

#: Endings of file names that follow `@` in names of pictures (`logo@2x.png`) and packages.
_FILE_ENDINGS = frozenset((
    "png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "bmp", "ico", "css", "scss", "js", "mjs", "jsx", "ts", "tsx",
    "json", "html", "htm", "xml", "pdf", "txt", "exe", "dll",
))  # fmt: skip


def find_emails(text: str) -> list[Span]:
    """Return the e-mail addresses of a text.

    Local part: letters (Latin script), digits and `._%+'~-`, no dot at an end, no two dots, 64 characters at most.
    Domain: two labels or more, the last of letters and no ending of a file name.
    """
    spans: list[Span] = []
    if "@" not in text:
        return spans
    for found in _DOMAIN.finditer(text):
        domain = found[1]
        if len(domain) > _DOMAIN_LONGEST or domain.rpartition(".")[2].lower() in _FILE_ENDINGS:
            continue
        if domain.startswith("-") or "-." in domain or ".-" in domain:
            continue
        window = text[max(0, found.start() - _LOCAL_LONGEST - 1) : found.start()]
        run = len(window) - len(window.rstrip(_LOCAL_CHARACTERS))
        local = window[len(window) - run :].rpartition("..")[2].lstrip("._%+'~-")
        if local and len(local) <= _LOCAL_LONGEST and not local.endswith("."):
            spans.append((found.start() - len(local), found.end()))
    return spans


#: Not within a longer dotted number, a word or the name of a release (`1.2.3.4.5`, `v1.2.3.4`, `1.2.3.4-beta`).
_IPV4 = re.compile(r"(?<![\w.-])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\w|-[A-Za-z])", re.ASCII)
_IPV4_SHAPE = re.compile(rb"0\.00?0?\.00?0?\.0")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:|::)[0-9A-Fa-f:.]{1,44}+(?!\w)")
#: Two colons in a row, or seven with hexadecimal digits between them.
_IPV6_SHAPE = re.compile(rb"::|:(?:[0aA]{1,4}:){6}")
_IPV6_LONGEST = 45
_IPV6_CHARACTERS = "0123456789abcdefABCDEF:."
_VERSION = re.compile(
    r"(?:versions?|ver|v|firmware|release|build|revision|rev|chapter|section|§)[\s.:#=(]{0,3}$", re.IGNORECASE
)
_VERSION_WINDOW = 16

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Where public IPv6 addresses are given out (IANA, IPv6 Global Unicast Address Assignments).
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


def find_ips(text: str, shape: bytes) -> tuple[list[Span], list[Span]]:
    """Return the public addresses of a text, and those that are private, reserved or for documentation.

    What is public says Python's `ipaddress` (IANA's registries of special-purpose addresses). Four numbers below ten
    (`1.2.3.4`) are taken for a chapter or version, and so is an address after a word that says so.

    Args:
        text: any text.
        shape: its `find_shape`.
    """
    public: list[Span] = []
    reserved: list[Span] = []
    for start, end, address in (*_read_ipv4(text, shape), *_read_ipv6(text, shape)):
        if address.is_private or address.is_multicast or not address.is_global:
            reserved.append((start, end))
        # most words with two colons between letters a to f can be read as an address that nobody has
        elif isinstance(address, ipaddress.IPv4Address) or address in _GLOBAL_UNICAST:
            public.append((start, end))
    return sorted(public), sorted(reserved)


def _read_ipv4(text: str, shape: bytes) -> Iterator[tuple[int, int, _Address]]:
    at = 0
    for candidate in _IPV4_SHAPE.finditer(shape):
        begin = max(at, candidate.start() - 2)
        found = _IPV4.search(text, begin, candidate.end() + 4)
        if found is None or found.start() > candidate.start():
            continue
        at = found.end()
        if found.end() - found.start() > len("1.2.3.4") and not _is_version(text, found.start()):
            address = _parse(found[0])
            if isinstance(address, ipaddress.IPv4Address):
                yield found.start(), found.end(), address


def _read_ipv6(text: str, shape: bytes) -> Iterator[tuple[int, int, _Address]]:
    at = 0
    for candidate in _IPV6_SHAPE.finditer(shape):
        if candidate.start() < at:
            continue
        before = text[max(at, candidate.start() - _IPV6_LONGEST) : candidate.start()]
        begin = candidate.start() - (len(before) - len(before.rstrip(_IPV6_CHARACTERS)))
        found = _IPV6.match(text, begin)
        at = candidate.end() if found is None else found.end()
        if found is None:
            continue
        written = found[0].rstrip(".")
        written = written[:-1] if written.endswith(":") and not written.endswith("::") else written
        address = _parse(written) if len(written) > len("::") else None
        if isinstance(address, ipaddress.IPv6Address):
            yield begin, begin + len(written), address


@lru_cache(maxsize=4096)
def _parse(written: str) -> _Address | None:
    try:
        return ipaddress.ip_address(written)
    except ValueError:
        return None


def _is_version(text: str, start: int) -> bool:
    return _VERSION.search(text[max(0, start - _VERSION_WINDOW) : start]) is not None


_USER = re.compile(r"@(?<![\w@.\-/`>+=]@)[A-Za-z_]\w{1,29}+(?![\w@(]|\.\w)", re.ASCII)
#: At-rules of CSS and common annotations and decorators.
_NO_USERS = frozenset((
    "media", "import", "charset", "font", "keyframes", "supports", "page", "namespace", "property", "layer",
    "container", "include", "mixin", "extend", "override", "deprecated", "param", "return", "returns", "throws",
    "author", "see", "since", "version", "link", "code", "test", "autowired", "suppresswarnings", "staticmethod",
    "classmethod", "abstractmethod", "dataclass", "todo", "everyone", "here", "channel", "all",
))  # fmt: skip


def find_users(text: str) -> list[Span]:
    """Return the @names of a text, as ROOTS masks them (Laurençon et al. 2022, appendix on personal information)."""
    if "@" not in text:
        return []
    return [found.span() for found in _USER.finditer(text) if found[0][1:].lower() not in _NO_USERS]
