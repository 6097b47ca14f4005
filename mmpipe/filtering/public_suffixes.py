"""Finds the domain that a host is registered under, by the public suffix list that tldextract ships."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import tldextract

_IP_ADDRESS = re.compile(r"[\d.]+|\[.*")
_PRIVATE_PART = "// ===BEGIN PRIVATE DOMAINS==="


@dataclass(frozen=True, slots=True)
class SuffixRules:
    """The rules of the list (publicsuffix.org/list, "Algorithm"), without its private part, as tldextract reads it.

    Attributes:
        depths: top-level domain to the labels of its longest rule.
        suffixes: rules without a wildcard.
        wildcards: what follows the `*.` of a rule.
        exceptions: rules with `!`.
    """

    depths: dict[str, int]
    suffixes: frozenset[str]
    wildcards: frozenset[str]
    exceptions: frozenset[str]


def find_registered_domain(host: str) -> str:
    """Return the domain a lower-case host is registered under; empty for an IP address, a suffix or a single name.

    A top-level domain that the list lacks is a public suffix itself, as the list's own algorithm has it (rule `*`).
    Hosts in Punycode, and odd ones, are left to tldextract.
    """
    last_dot = host.rfind(".")
    if last_dot < 0 or _IP_ADDRESS.fullmatch(host):
        return ""
    if "xn--" in host or ".." in host or host[0] == "." or not host.isascii():
        return _ask_tldextract(host)
    rules = load_rules()
    depth = rules.depths.get(host[last_dot + 1 :], 1)
    if depth == 1:
        return host[host.rfind(".", 0, last_dot) + 1 :]
    labels = host.split(".")
    size = _count_suffix_labels(labels[-depth:], rules)
    return ".".join(labels[-size - 1 :]) if len(labels) > size else ""


def split_as_written(url: str) -> tuple[str, str]:
    """Return a URL's registered domain and its host as tldextract reads them and as they are written, case and all.

    Both are empty for an IP address and for a top-level domain that the list lacks. datatrove 0.10 looks these up.
    """
    parts = _load_tldextract().extract_str(url)
    return parts.top_domain_under_public_suffix, parts.fqdn


def _count_suffix_labels(labels: list[str], rules: SuffixRules) -> int:
    """Return how many of the last labels are the public suffix: the longest rule that fits, or the exception's."""
    for start in range(len(labels)):
        name = ".".join(labels[start:])
        if name in rules.exceptions:
            return len(labels) - start - 1
        if name in rules.suffixes:
            return len(labels) - start
        if start + 1 < len(labels) and ".".join(labels[start + 1 :]) in rules.wildcards:
            return len(labels) - start
    return 1


@lru_cache(maxsize=1)
def load_rules() -> SuffixRules:
    """Return the rules of the list that the installed tldextract carries."""
    # the package itself takes a quarter of a second to import, for its HTTP client; the list is a text file in it
    found = importlib.util.find_spec("tldextract")
    snapshot = Path(found.origin).with_name(".tld_set_snapshot") if found and found.origin else None
    if snapshot is None or not snapshot.is_file():
        return make_rules(_load_tldextract().tlds)
    return make_rules(snapshot.read_text(encoding="utf-8").partition(_PRIVATE_PART)[0].splitlines())


def make_rules(lines: Iterable[str]) -> SuffixRules:
    """Return the rules of the lines of a public suffix list; comments and blank lines are none."""
    written = [line.split()[0] for line in lines if line.strip() and not line.startswith("//")]
    depths: dict[str, int] = {}
    for rule in written:
        name = rule.lstrip("!")
        tld = name.rpartition(".")[2]
        depths[tld] = max(depths.get(tld, 1), name.count(".") + 1)
    return SuffixRules(
        depths,
        frozenset(rule for rule in written if rule[0] not in "!*"),
        frozenset(rule[2:] for rule in written if rule.startswith("*.")),
        frozenset(rule[1:] for rule in written if rule.startswith("!")),
    )


@lru_cache(maxsize=10_000)
def _ask_tldextract(host: str) -> str:
    parts = _load_tldextract().extract_str(host)
    if parts.suffix:
        return f"{parts.domain}.{parts.suffix}" if parts.domain else ""
    labels = host.split(".")
    return ".".join(labels[-2:]) if len(labels) > 1 else ""


@lru_cache(maxsize=1)
def _load_tldextract() -> tldextract.TLDExtract:
    import tldextract

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
