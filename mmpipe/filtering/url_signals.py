"""Measures URLs: whether their domain, host or whole is listed, and how many listed words they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.filtering.blocklists import Blocklist, hash_entries, open_blocklist
from mmpipe.filtering.list_files import read_entries
from mmpipe.filtering.public_suffixes import find_registered_domain, split_as_written
from mmpipe.tables.text_signals import UT1_CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.filtering.list_references import ListReference
    from mmpipe.filtering.recipe_sections import UrlSettings

_AUTHORITY = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)")
_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.\-]*://)?(?:www\.)?", re.IGNORECASE)
_NOT_ALPHANUMERIC = re.compile(r"[^a-zA-Z0-9]+")
_NO_HOST = re.compile(r"[\s/?#@]")
#: Longest name of a host (RFC 1035, section 2.3.4).
_HOST_CHARS = 255

_SIGNALS = (
    "url_blocked_domain",
    "url_blocked_host",
    "url_blocked_url",
    "url_strict_subwords",
    "url_hard_words",
    "url_soft_words",
    "url_held_out",
    *(f"url_ut1_{category}" for category in UT1_CATEGORIES),
)


@dataclass(frozen=True, slots=True)
class UrlLists:
    """The lists that URLs are held against; see `UrlSettings`. Where none is given, `held_out` is None."""

    domains: Blocklist
    urls: Blocklist
    strict_subwords: tuple[str, ...]
    hard_words: frozenset[str]
    soft_words: frozenset[str]
    held_out: Blocklist | None = None
    categories: Mapping[str, Blocklist] = field(default_factory=dict)


def measure_urls(urls: pl.Series, settings: UrlSettings, cache_folder: str | Path = "") -> pl.DataFrame:
    """Return the URL signals of RefinedWeb (arXiv 2306.01116, G.1) and the UT1 categories, one row per URL.

    Hard and soft words are looked for among the URL's words, lower-cased unless `case_sensitive_words`; strict
    sub-words anywhere in its letters and digits. Each listed word counts once. A listed registered domain blocks all
    its hosts by the domain signal; a listed host blocks itself and those below it by the host signal (`as_written`:
    itself only). A URL is in a category, or held out, if its domain, a host it lies below, or it itself is listed. What
    cannot be measured, because there is no URL, no host in it, or no list of held-out sources or of the category, is
    null.

    Args:
        urls: URLs or nulls.
        settings: the recipe's `url` section.
        cache_folder: where long lists are kept as hashes; empty for the user's cache folder.
    """
    values = dict.fromkeys(_SIGNALS, np.full(len(urls), np.nan))
    lists = open_url_lists(settings, str(cache_folder))
    given = np.flatnonzero(urls.is_not_null().to_numpy())
    if given.size:
        texts = urls.drop_nulls()
        written = texts.to_list()
        hosts = _HostTable.of(written, is_as_written=settings.as_written)
        measured = hosts.look_up(lists)
        normalize = keep_entry if settings.as_written else trim_url
        measured["url_blocked_url"] = _find_urls(written, normalize, lists.urls).astype(float)
        if lists.categories:
            trimmed = hash_entries([trim_url(url) for url in written])
            for category, listed in lists.categories.items():
                measured[f"url_ut1_{category}"][listed.find_hashes(trimmed)] = 1.0
        counts = _count_words(texts, written, lists, settings.case_sensitive_words)
        measured |= dict(zip(_SIGNALS[3:6], counts, strict=True))
        for name, column in measured.items():
            values[name] = np.full(len(urls), np.nan)
            values[name][given] = column
    return pl.DataFrame(values, schema=dict.fromkeys(_SIGNALS, pl.Float64)).fill_nan(None)


def find_host(url: str) -> str | None:
    """Return the host of a URL, lower case, without user, port or final dot; None if it has none."""
    match = _AUTHORITY.match(url.strip())
    return (match[1].rstrip(".").lower() or None) if match else None


def trim_url(url: str) -> str:
    """Return what two spellings of one URL share: no scheme, `www.`, fragment or closing slash; lower-case host."""
    rest = _SCHEME.sub("", url.strip()).partition("#")[0]
    host, slash, path = rest.partition("/")
    return (host.lower() + slash + path).rstrip("/")


def trim_listed_url(entry: str) -> str:
    """Return a listed URL as URLs are looked up; empty for a line with a space in it, which is none."""
    return "" if " " in entry or "\t" in entry else trim_url(entry)


def trim_domain(entry: str) -> str:
    """Return a listed domain or host as hosts are looked up; empty for a line that can be no host.

    A leading `*.` or dot, which some lists write for "and below", is left out.
    """
    name = entry.removeprefix("*").strip(".").lower()
    return "" if len(name) > _HOST_CHARS or _NO_HOST.search(name) else name


def trim_category_entry(entry: str) -> str:
    """Return an entry of a category as it is looked up: a URL if it has a slash, else a domain or host."""
    return trim_listed_url(entry) if "/" in entry else trim_domain(entry)


def keep_entry(entry: str) -> str:
    """Return an entry as it is written."""
    return entry.strip()


def trim_word(entry: str) -> str:
    """Return a listed word as URLs are searched for it: letters and digits, lower case."""
    return _NOT_ALPHANUMERIC.sub("", entry).lower()


@lru_cache(maxsize=4)
def open_url_lists(settings: UrlSettings, cache_folder: str = "") -> UrlLists:
    """Return the lists of a recipe's `url` section.

    Raises:
        ConfigurationError: a list cannot be read or is not the one the recipe was loaded with.
    """
    of_domains, of_urls = (keep_entry, keep_entry) if settings.as_written else (trim_domain, trim_listed_url)
    return UrlLists(
        domains=open_blocklist(settings.domains, of_domains, cache_folder),
        urls=open_blocklist(settings.urls, of_urls, cache_folder),
        strict_subwords=tuple(sorted(_read_words(settings.strict_subwords))),
        hard_words=_read_words(settings.hard_words),
        soft_words=_read_words(settings.soft_words),
        held_out=open_blocklist(settings.held_out, trim_domain, cache_folder) if settings.held_out else None,
        categories={
            category: open_blocklist(references, trim_category_entry, cache_folder)
            for category, references in settings.categories.items()
        },
    )


def _read_words(references: Sequence[ListReference]) -> frozenset[str]:
    return frozenset(word for reference in references for word in read_entries(reference, trim_word))


@dataclass(frozen=True, slots=True)
class _HostTable:
    """The hosts of some URLs, each once, as hashes.

    Attributes:
        places: for each URL the place of its host in the table; -1 if it has none.
        registered: hash of each host's registered domain.
        has_domain: whether a host has one.
        names: hashes of each host and the hosts above it that lie below its registered domain.
        starts: where a host's names begin among them.
    """

    places: NDArray[np.int64]
    registered: NDArray[np.uint64]
    has_domain: NDArray[np.bool_]
    names: NDArray[np.uint64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, urls: Sequence[str], *, is_as_written: bool) -> _HostTable:
        if is_as_written:
            pairs = [split_as_written(url) for url in urls]
            table = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
            places = np.array([table[pair] for pair in pairs], np.int64)
            entries = [(domain, [host]) for domain, host in table]
        else:
            hosts = [find_host(url) for url in urls]
            order = {host: place for place, host in enumerate(dict.fromkeys(host for host in hosts if host))}
            places = np.array([order[host] if host else -1 for host in hosts], np.int64)
            domains = [find_registered_domain(host) for host in order]
            entries = [(domain, _list_hosts(host, domain)) for host, domain in zip(order, domains, strict=True)]
        sizes = [len(names) for _, names in entries]
        return cls(
            places,
            hash_entries([domain for domain, _ in entries]),
            np.array([domain != "" for domain, _ in entries], np.bool_),
            hash_entries([name for _, names in entries for name in names]),
            np.cumsum([0, *sizes[:-1]]).astype(np.int64),
        )

    def look_up(self, lists: UrlLists) -> dict[str, NDArray[np.float64]]:
        """Return the signals that a host decides, one value per URL."""
        found = {
            "url_blocked_domain": self._find_domains(lists.domains),
            "url_blocked_host": self._find_names(lists.domains),
        }
        several = {f"url_ut1_{category}": listed for category, listed in lists.categories.items()}
        if lists.held_out is not None:
            several["url_held_out"] = lists.held_out
        found |= {name: self._find_domains(listed) | self._find_names(listed) for name, listed in several.items()}
        return {name: self._spread(flags) for name, flags in found.items()}

    def _find_domains(self, listed: Blocklist) -> NDArray[np.bool_]:
        return listed.find_hashes(self.registered) & self.has_domain

    def _find_names(self, listed: Blocklist) -> NDArray[np.bool_]:
        if not self.starts.size or not self.names.size:
            return np.zeros(self.registered.size, np.bool_)
        return np.logical_or.reduceat(listed.find_hashes(self.names), self.starts)

    def _spread(self, flags: NDArray[np.bool_]) -> NDArray[np.float64]:
        # the last value stands for the hosts that are none, whose place is -1
        return np.append(flags.astype(float), np.nan)[self.places]


def _list_hosts(host: str, registered: str) -> list[str]:
    """Return the host and the hosts above it that lie below its registered domain."""
    names = [host]
    dot = host.find(".")
    while registered and len(host) - dot - 1 > len(registered) and dot >= 0:
        names.append(host[dot + 1 :])
        dot = host.find(".", dot + 1)
    return names


def _find_urls(urls: Sequence[str], normalize: Callable[[str], str], listed: Blocklist) -> NDArray[np.bool_]:
    if not listed.hashes.size:
        return np.zeros(len(urls), np.bool_)
    return listed.find([normalize(url) for url in urls])


def _count_words(
    texts: pl.Series, urls: Sequence[str], lists: UrlLists, is_case_sensitive: bool
) -> NDArray[np.float64]:
    """Return how many strict sub-words, hard words and soft words each URL holds, one row per kind."""
    counts = np.zeros((3, len(urls)))
    # most URLs hold none, which one search for all words at once tells
    letters = texts.str.replace_all(_NOT_ALPHANUMERIC.pattern, "").str.to_lowercase()
    for row in _list_hits(letters, lists.strict_subwords):
        text = letters[row]
        counts[0, row] = sum(word in text for word in lists.strict_subwords)
    shown = texts if is_case_sensitive else texts.str.to_lowercase()
    for row in _list_hits(shown, [*lists.hard_words, *lists.soft_words]):
        words = set(_NOT_ALPHANUMERIC.split(shown[row]))
        counts[1:, row] = len(words & lists.hard_words), len(words & lists.soft_words)
    return counts


def _list_hits(texts: pl.Series, words: Sequence[str]) -> list[int]:
    if not words:
        return []
    return np.flatnonzero(texts.str.contains_any(list(words)).to_numpy()).tolist()
