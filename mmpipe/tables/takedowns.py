"""What a takedown names (URLs, domains, ids), which rows it means, and what a table still says of such a row."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.images import IMAGE_CANDIDATES
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, JUDGEMENTS, RESPONSES
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.rephrased import REPHRASED_CANDIDATES
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe.tables.text import EXTRACTED_TEXT, TEXT_CORRECTIONS, TEXT_SCORES
from mmpipe.tables.text_signals import TEXT_SIGNALS

if TYPE_CHECKING:
    from mmpipe.tables.columns import Table

#: Status of a row that was taken down, and the removal of the same name.
TAKEN_DOWN = "taken_down"
KINDS = ("url", "domain", "id")

#: Tables that bring new ids into the lake, with the columns that hold a URL of the row's own content.
MINTED: dict[str, tuple[str, ...]] = {
    RAW_CRAWL.name: ("url",),
    IMAGE_CANDIDATES.name: ("page_url", "image_url"),
    IMAGE_CAPTIONS.name: (),
    REPHRASED_CANDIDATES.name: (),
    INSTRUCTION_CANDIDATES.name: (),
    RESPONSES.name: (),
    JUDGEMENTS.name: (),
    RESPONSE_REVISIONS.name: (),
    PREFERENCE_PAIRS.name: ("source_urls",),
}

#: Tables that keep a row of what was taken down, so that all rows stay accounted for: its status column, and the
#: columns that it keeps. Every other value is null.
BLANKED: dict[str, tuple[str | None, tuple[str, ...]]] = {
    # an index of the user's own files: it says where the bytes lie
    RAW_CRAWL.name: ("record_status", tuple(RAW_CRAWL.column_names)),
    EXTRACTED_TEXT.name: ("extraction_status", ("doc_id", "dump", "url")),
    TEXT_CORRECTIONS.name: ("extraction_status", ("doc_id",)),
    TEXT_SIGNALS.name: ("extraction_status", ("doc_id",)),
    TEXT_SCORES.name: (None, ("doc_id",)),
    INSTRUCTION_CANDIDATES.name: ("candidate_status", ("instruction_id", "dump", "method")),
}
#: What stands in columns that may not be null.
_FILLED = {INSTRUCTION_CANDIDATES.name: {"candidate": pl.col("instruction_id"), "text": pl.lit("")}}

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DOMAIN = re.compile(r"[^\s/?#@:]+\.[^\s/?#@:]+")
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is to stay away.

    Attributes:
        kind: `url`, `domain` (its subdomains too) or `id`.
        value: as it is compared: a URL without scheme, fragment and last slash; a host in lower case, Punycode.
        written: as it was asked for.
        date: day it was asked for, ISO 8601.
        reason: why, as the user told; may be empty.
    """

    kind: str
    value: str
    written: str
    date: str
    reason: str


def make_entry(kind: str, written: str, date: str, reason: str) -> Entry:
    """Return an entry with its value in the form that is compared.

    Raises:
        ConfigurationError: it is no URL, domain or id.
    """
    asked = written.strip()
    if kind == "url":
        value = normalize_urls(pl.Series([asked if _SCHEME.match(asked) else f"https://{asked}"]))[0]
        if not value or ("." not in value.partition("/")[0] and not value.startswith("localhost")):
            raise ConfigurationError(f"--url {written!r} is no URL. Write it as https://example.org/page.")
    elif kind == "domain":
        value = _write_host(asked.lower().strip("."))
        if not _DOMAIN.fullmatch(value):
            raise ConfigurationError(f"--domain {written!r} is no domain. Write it as example.org; for a page, --url.")
    else:
        value = asked
        if not _ID.fullmatch(value):
            raise ConfigurationError(f"--id {written!r} is no id: ids have 32 hexadecimal digits.")
    return Entry(kind, value, asked, date, reason)


@dataclass(frozen=True)
class Takedowns:
    """Everything that is to stay away from a lake."""

    entries: tuple[Entry, ...] = field(default=())

    @cached_property
    def _values(self) -> dict[str, frozenset[str]]:
        return {kind: frozenset(entry.value for entry in self.entries if entry.kind == kind) for kind in KINDS}

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def ids(self) -> frozenset[str]:
        """Ids that are named."""
        return self._values["id"]

    def match_urls(self, urls: pl.Series) -> pl.Series:
        """Return for each URL whether it is named itself or lies below a named domain; null counts as not."""
        named, domains = self._values["url"], self._values["domain"]
        if not named and not domains:
            return pl.repeat(value=False, n=len(urls), eager=True)
        distinct = urls.unique()
        found = pl.DataFrame({"url": distinct, "normal": normalize_urls(distinct)}).with_columns(
            host=pl.col("normal").str.extract(r"^([^/?]*?)(?::\d+)?(?:[/?]|$)")
        )
        is_named = pl.col("normal").is_in(list(named))
        below = [host for host in found.get_column("host").unique().drop_nulls() if _lies_below(host, domains)]
        hits = found.filter(is_named.fill_null(value=False) | pl.col("host").is_in(below).fill_null(value=False))
        return urls.is_in(hits.get_column("url").drop_nulls().implode()).fill_null(value=False)

    def match_rows(self, table: Table, frame: pl.DataFrame) -> pl.Series:
        """Return for each row of a table of MINTED whether it is named, by its id or by a URL of its content."""
        ids = list(self.ids)
        own = [name for name in (table.key[0], "doc_id") if name in frame.columns and frame.schema[name] == pl.String]
        found = frame.select(
            pl.any_horizontal([pl.col(name).is_in(ids).fill_null(value=False) for name in own])
        ).to_series()
        for name in MINTED[table.name]:
            urls = frame.get_column(name)
            if urls.dtype == pl.String:
                found |= self.match_urls(urls)
                continue
            flat = pl.DataFrame({"row": range(len(urls)), "url": urls}).explode("url")
            rows = flat.filter(self.match_urls(flat.get_column("url"))).get_column("row").unique()
            found |= pl.Series(range(len(urls)), dtype=rows.dtype).is_in(rows.implode())
        return found


def _lies_below(host: str, domains: frozenset[str]) -> bool:
    labels = host.split(".")
    return any(".".join(labels[first:]) in domains for first in range(len(labels)))


def normalize_urls(urls: pl.Series) -> pl.Series:
    """Return URLs as they are compared; null for what has no `scheme://`.

    Scheme, user, fragment, a default port and slashes at the end do not count, nor does the case of the host; percent
    escapes are read, and a host is written in Punycode.
    """
    bare = pl.col("url").str.strip_chars().str.replace(r"(?s)#.*$", "")
    rest = bare.str.replace(r"^[A-Za-z][A-Za-z0-9+.-]*://", "")
    host = (
        rest.str.extract(r"^([^/?]*)").str.replace(r"^.*@", "").str.to_lowercase().str.replace(r":(?:80|443)$", "")
    ).str.strip_chars_end(".")
    path = rest.str.replace(r"^[^/?]*", "").str.strip_chars_end("/").str.replace(r"^/\?", "?")
    frame = pl.DataFrame({"url": urls.cast(pl.String)}).with_columns(
        host=host, path=path, is_url=bare.str.contains(r"^[A-Za-z][A-Za-z0-9+.-]*://")
    )
    normal = frame.select(pl.when("is_url").then(pl.concat_str("host", "path"))).to_series()
    is_plain = ~normal.str.contains(r"[^\x21-\x7e]|%").fill_null(value=False)
    if is_plain.all():
        return normal
    return pl.Series([_unescape(url) if url is not None else None for url in normal], dtype=pl.String)


def _unescape(url: str) -> str:
    host, mark, path = re.fullmatch(r"([^/?]*)([/?]?)(.*)", url, re.DOTALL).groups()  # type: ignore[union-attr]
    return _write_host(host) + mark + unquote(path, errors="replace")


def _write_host(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def blank(table: Table, frame: pl.DataFrame, is_taken: pl.Series) -> pl.DataFrame:
    """Return the rows of a table of BLANKED; those taken down keep only what accounts for them."""
    status, kept = BLANKED[table.name]
    filled = _FILLED.get(table.name, {})
    values = {
        name: filled.get(name, pl.lit(None, dtype=dtype)) for name, dtype in table.schema.items() if name not in kept
    }
    if status is not None:
        values[status] = pl.lit(TAKEN_DOWN)
    changed = [pl.when(is_taken).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()]
    return frame.with_columns(changed)


def withhold(table: Table, frame: pl.DataFrame, takedowns: Takedowns) -> tuple[pl.DataFrame, int]:
    """Return the rows of a table without what was taken down, and how many rows that was.

    Only tables that bring new ids into the lake are looked at: what is made from their rows is made without them.
    """
    if not takedowns or table.name not in MINTED or not frame.height:
        return frame, 0
    is_taken = takedowns.match_rows(table, frame)
    taken = int(is_taken.sum())
    if not taken:
        return frame, 0
    if table.name in BLANKED:
        return blank(table, frame, is_taken), taken
    return frame.filter(~is_taken), taken
