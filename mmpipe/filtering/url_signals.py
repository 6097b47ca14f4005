"""Measures URLs: whether their domain, host or whole is blocked, and how many listed words they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.blocklists import Blocklist, open_blocklist, read_entries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import tldextract

    from mmpipe.filtering.recipe_sections import ListReference, UrlSettings

_AUTHORITY = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)")
_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.\-]*://)?(?:www\.)?", re.IGNORECASE)
_NOT_ALPHANUMERIC = re.compile(r"[^a-zA-Z0-9]+")
_IP_ADDRESS = re.compile(r"[\d.]+|\[.*")

_SIGNALS = (
    "url_blocked_domain",
    "url_blocked_host",
    "url_blocked_url",
    "url_strict_subwords",
    "url_hard_words",
    "url_soft_words",
)


@dataclass(frozen=True, slots=True)
class UrlLists:
    """The lists that URLs are held against; see `UrlSettings`."""

    domains: Blocklist
    urls: Blocklist
    strict_subwords: tuple[str, ...]
    hard_words: frozenset[str]
    soft_words: frozenset[str]


def measure_urls(urls: pl.Series, settings: UrlSettings, cache_folder: str | Path = "") -> pl.DataFrame:
    """Return the URL signals of RefinedWeb (arXiv 2306.01116, G.1), one row per URL.

    Hard and soft words are looked for among the URL's words, lower-cased unless `case_sensitive_words`; strict
    sub-words anywhere in its letters and digits. Each listed word counts once. A listed registered domain blocks all
    its hosts by the domain signal; a listed host blocks itself and those below it by the host signal. What cannot be
    measured, because there is no URL or no host in it, is null.

    Args:
        urls: URLs or nulls.
        settings: the recipe's `url` section.
        cache_folder: where long lists are kept as hashes; empty for the user's cache folder.
    """
    values = np.full((len(urls), len(_SIGNALS)), np.nan)
    given = [(row, url) for row, url in enumerate(urls.to_list()) if url is not None]
    lists = open_url_lists(settings, str(cache_folder))
    if given:
        rows = np.array([row for row, _ in given])
        texts = [url for _, url in given]
        values[rows, 0], values[rows, 1] = _find_blocked_hosts([find_host(url) for url in texts], lists.domains)
        values[rows, 2] = lists.urls.find([trim_url(url) for url in texts])
        values[rows, 3:] = [_count_words(url, lists, settings.case_sensitive_words) for url in texts]
    schema = dict.fromkeys(_SIGNALS, pl.Float64)
    return pl.DataFrame(values, schema=schema, orient="row").fill_nan(None)


def find_host(url: str) -> str | None:
    """Return the host of a URL, lower case, without user, port or final dot; None if it has none."""
    match = _AUTHORITY.match(url.strip())
    return (match[1].rstrip(".").lower() or None) if match else None


@lru_cache(maxsize=100_000)
def find_registered_domain(host: str) -> str:
    """Return the domain a host is registered under, by the public suffix list that tldextract ships; empty for an IP.

    A top-level domain that the list lacks is a public suffix itself, as the list's own algorithm has it (rule `*`).
    """
    if _IP_ADDRESS.fullmatch(host):
        return ""
    parts = _load_suffixes().extract_str(host)
    if parts.suffix:
        return f"{parts.domain}.{parts.suffix}" if parts.domain else ""
    labels = host.split(".")
    return ".".join(labels[-2:]) if len(labels) > 1 else ""


def trim_url(url: str) -> str:
    """Return what two spellings of one URL share: no scheme, `www.`, fragment or closing slash; lower-case host."""
    rest = _SCHEME.sub("", url.strip()).partition("#")[0]
    host, slash, path = rest.partition("/")
    return (host.lower() + slash + path).rstrip("/")


def trim_domain(entry: str) -> str:
    """Return a listed domain or host as hosts are looked up."""
    return entry.rstrip(".").lower()


def trim_word(entry: str) -> str:
    """Return a listed word as URLs are searched for it: letters and digits, lower case."""
    return _NOT_ALPHANUMERIC.sub("", entry).lower()


@lru_cache(maxsize=4)
def open_url_lists(settings: UrlSettings, cache_folder: str = "") -> UrlLists:
    """Return the lists of a recipe's `url` section.

    Raises:
        ConfigurationError: a list cannot be read or is not the one the recipe was loaded with.
    """
    return UrlLists(
        domains=open_blocklist(settings.domains, trim_domain, cache_folder),
        urls=open_blocklist(settings.urls, trim_url, cache_folder),
        strict_subwords=tuple(sorted(_read_words(settings.strict_subwords))),
        hard_words=_read_words(settings.hard_words),
        soft_words=_read_words(settings.soft_words),
    )


def _read_words(references: Sequence[ListReference]) -> frozenset[str]:
    return frozenset(word for reference in references for word in read_entries(reference, trim_word))


def _find_blocked_hosts(hosts: Sequence[str | None], domains: Blocklist) -> tuple[list[float], list[float]]:
    registered = [find_registered_domain(host) if host else "" for host in hosts]
    above = [_list_hosts(host, domain) if host else [] for host, domain in zip(hosts, registered, strict=True)]
    is_domain_blocked = domains.find(registered)
    is_host_blocked = domains.find([name for names in above for name in names])
    ends = np.concatenate([[0], np.cumsum([len(names) for names in above])]).astype(int)
    by_domain = [
        float(blocked and domain != "") if host else float("nan")
        for host, domain, blocked in zip(hosts, registered, is_domain_blocked, strict=True)
    ]
    by_host = [
        float(is_host_blocked[ends[row] : ends[row + 1]].any()) if host else float("nan")
        for row, host in enumerate(hosts)
    ]
    return by_domain, by_host


def _list_hosts(host: str, registered: str) -> list[str]:
    """Return the host and the hosts above it that lie below its registered domain."""
    labels = host.split(".")
    names = [".".join(labels[start:]) for start in range(len(labels))] if registered else [host]
    return [name for name in names if name == host or len(name) > len(registered)]


def _count_words(url: str, lists: UrlLists, is_case_sensitive: bool) -> tuple[int, int, int]:
    words = set(_NOT_ALPHANUMERIC.split(url if is_case_sensitive else url.lower()))
    letters = _NOT_ALPHANUMERIC.sub("", url).lower()
    strict = sum(word in letters for word in lists.strict_subwords)
    return strict, len(words & lists.hard_words), len(words & lists.soft_words)


@lru_cache(maxsize=1)
def _load_suffixes() -> tldextract.TLDExtract:
    import tldextract

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
