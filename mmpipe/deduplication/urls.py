"""Compares documents by their address: URL normalisation, and the documents whose normal URL another one has."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import xxhash

from mmpipe.deduplication.key_partitions import KeyPartitions, count_partitions
from mmpipe.errors import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Parameters that say how a reader came and not what is read, in lower case; `*` at the end stands for any ending.
#: Sources: the tracking-query-params-registry (public domain), and the vendors' own manuals, named beside each.
TRACKING_PARAMETERS = (
    "utm_*",  # Google Analytics, "Custom campaigns"; Urchin before it
    "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "srsltid", "_ga", "_gl",  # Google Ads, Marketing Platform, Merchant
    "fbclid", "igshid", "igsh", "fb_action_ids", "fb_action_types", "fb_source",  # Meta
    "msclkid", "twclid", "ttclid", "li_fat_id", "epik", "yclid", "ysclid", "_openstat",  # Microsoft, X, TikTok ...
    "mc_cid", "mc_eid", "mkt_tok", "_ke", "_kx", "_bta_tid", "_bta_c", "dm_i", "vero_id", "vero_conv",  # mailings
    "trk_contact", "trk_msg", "trk_module", "trk_sid", "oly_anon_id", "oly_enc_id", "wickedid", "rb_clickid",
    "_hsenc", "_hsmi", "__hssc", "__hstc", "__hsfp", "hsctatracking", "hsa_*",  # HubSpot
    "s_kwcid", "ef_id", "mkwid", "pcrid", "gdfms", "gdftrk", "gdffi",  # Adobe, Marin, GoDataFeed
    "elqtrackid", "elqtrack", "redirect_log_mongo_id", "redirect_mongo_id", "sb_referer_host",  # Eloqua, Springbot
    "pk_*", "piwik_*", "mtm_*", "matomo_*",  # Matomo, "Campaign tracking"
)  # fmt: skip

#: Parameters that name a visit: those that Heritrix's canonicalisation (StripSessionIDs, StripSessionCFIDs) removes.
SESSION_PARAMETERS = ("jsessionid", "phpsessid", "sid", "aspsessionid*", "cfid", "cftoken")

_PLAIN_HOST = re.compile(r"[a-z0-9_.-]+")

#: Rows of one batch, so that working arrays stay below about 100 MB.
_BATCH_ROWS = 131_072

#: What `find_url_duplicates` returns.
URL_DUPLICATES = pl.Schema(
    {
        "doc_id": pl.String,
        "rank": pl.Int64,
        "kept_doc_id": pl.String,
        "kept_rank": pl.Int64,
        "normalized_url": pl.String,
    }
)


@dataclass(frozen=True, slots=True)
class UrlSettings:
    """Which differences between two URLs do not count.

    Attributes:
        dropped_parameters: names of query parameters that do not count, in any case; `*` ends a beginning of names. `*`
            alone drops the query (ROOTS's catalogue part compares host and path).
        keeps_scheme: whether http and https differ. Where a port is named they always do.
        keeps_www: whether `www.` at the front of a host counts.
        keeps_trailing_slash: whether slashes at the end of a path count.
        keeps_hashbang: whether a fragment that begins with an exclamation mark counts (it names the page itself on
            single-page sites of the 2010s); other fragments never do.
        sorts_query: whether parameters are sorted by name, so that their order does not count.
    """

    dropped_parameters: tuple[str, ...] = TRACKING_PARAMETERS
    keeps_scheme: bool = False
    keeps_www: bool = True
    keeps_trailing_slash: bool = False
    keeps_hashbang: bool = True
    sorts_query: bool = False


def normalize_urls(urls: pl.Series, settings: UrlSettings | None = None) -> pl.Series:
    """Return the URL that addresses of one page share, for each.

    Of http and https URLs: the syntax-based normalisation of RFC 3986, 6.2.2 (case of scheme, host and percent-encoded
    octets, unreserved characters decoded, dot segments resolved) and the scheme-based of 6.2.3 (default and empty
    port, empty path); what a browser does to a sloppy one (WHATWG URL Standard, 4.4: spaces at the ends, tabs and line
    ends anywhere, backslashes; characters that may not stand there are encoded as UTF-8; 3.5: host names in Unicode by
    UTS 46; IPv6 addresses written shortest, RFC 5952); then what `settings` say. User names stay. The dot of a fully
    qualified host name does not count.

    All else stays as it is: other schemes, no host, a port above 65535, a host that UTS 46 refuses, more than 64 KiB.
    Nulls stay null. Normalising twice changes nothing, and a row depends on its own URL alone.
    """
    settings = settings or UrlSettings()
    parts = [
        _normalize_batch(urls.slice(begin, _BATCH_ROWS), settings) for begin in range(0, max(1, len(urls)), _BATCH_ROWS)
    ]
    return pl.concat(parts).alias(urls.name)


def hash_urls(normalized: pl.Series) -> pl.Series:
    """Return the xxh3 (64 bits) of each normalised URL's UTF-8; null for null."""
    digest = xxhash.xxh3_64_intdigest
    hashes = [None if url is None else digest(url) for url in normalized.cast(pl.Binary).to_list()]
    return pl.Series("url_hash", hashes, dtype=pl.UInt64)


def find_url_duplicates(
    documents: pl.DataFrame | pl.LazyFrame,
    settings: UrlSettings | None = None,
    *,
    scratch: Path,
    earlier: pl.DataFrame | pl.LazyFrame | None = None,
    memory_bytes: int = 1 << 30,
) -> pl.DataFrame:
    """Return the documents whose normalised URL a better one has, with that document: columns of URL_DUPLICATES.

    RefinedWeb compares URLs across its parts (Penedo et al. 2023, section 3.3); FineWeb found that comparing across
    dumps costs quality (Penedo et al. 2024, App. E.3). So scope is the caller's: with `earlier` a document also goes
    for one of an earlier dump, and without it only for one of its own. Documents without URL are left alone.

    The documents are read twice: once for hashes, 16 bytes per document in `scratch` (32 with `earlier`), and once more
    for those of which a hash occurs again, which are then compared by the URL itself. Memory is `memory_bytes` beside
    the documents that share a URL. Sorted by rank; the answer does not depend on the order of rows.

    Args:
        documents: `doc_id`, `rank` (0 is the best; each once), `url` (nullable).
        settings: which differences do not count.
        scratch: a folder for hashes; what is laid there is removed.
        earlier: documents of earlier dumps that stay: `doc_id`, `url_hash` (as `hash_urls` of equal settings), best
            first where two share a URL; `kept_rank` is null for these. Only the hashes are read, and the ids of
            those that match; 64 bits name the URL (at 3 billion against 300 billion, about fifty would match wrongly).
        memory_bytes: for hashes sorted at once.

    Raises:
        SchemaError: two documents that share a URL have one rank.
    """
    settings = settings or UrlSettings()
    rows = documents.lazy().select("doc_id", pl.col("rank").cast(pl.Int64), "url").drop_nulls("url")
    count = int(rows.select(pl.len()).collect().item())
    with KeyPartitions(scratch, "url_hashes", _HASH_AND_RANK, count_partitions(count, 64, memory_bytes)) as partitions:
        for batch in rows.select("rank", "url").collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False):
            hashes = hash_urls(normalize_urls(batch.get_column("url"), settings))
            records = np.empty(batch.height, dtype=_HASH_AND_RANK)
            records["key"], records["rank"] = hashes.to_numpy(), batch.get_column("rank").to_numpy()
            partitions.append(records)
        suspected, published = _find_shared(partitions, earlier.lazy() if earlier is not None else None, scratch)
    shared = rows.join(pl.LazyFrame({"rank": suspected}), on="rank", how="semi").collect(engine="streaming")
    return _describe(shared, published, settings)


_HASH_AND_RANK = np.dtype([("key", "<u8"), ("rank", "<i8")])
_MATCHED = pl.Schema({"url_hash": pl.UInt64, "published_doc_id": pl.String})


def _find_shared(
    partitions: KeyPartitions, earlier: pl.LazyFrame | None, scratch: Path
) -> tuple[NDArray[np.int64], pl.DataFrame]:
    """Return the ranks of documents whose hash another one has, and hash and id of those of them that stay."""
    keys_file, ranks_file = scratch / "url_hashes.u64", scratch / "url_ranks.i64"
    suspected = [np.empty(0, dtype=np.int64)]
    published = pl.DataFrame(schema=_MATCHED)
    try:
        with keys_file.open("wb") as keys, ranks_file.open("wb") as ranks:
            for records in partitions.read_sorted():
                suspected.append(records["rank"][_mark_repeated(records["key"])])
                if earlier is not None:
                    np.ascontiguousarray(records["key"]).tofile(keys)
                    np.ascontiguousarray(records["rank"]).tofile(ranks)
        if earlier is not None and keys_file.stat().st_size:
            sorted_keys = np.memmap(keys_file, dtype=np.uint64, mode="r")
            published = _find_published(earlier, sorted_keys)
            matched = published.get_column("url_hash").to_numpy()
            bounds = [np.searchsorted(sorted_keys, matched, side) for side in ("left", "right")]
            all_ranks = np.memmap(ranks_file, dtype=np.int64, mode="r")
            suspected += [all_ranks[begin:end] for begin, end in zip(*bounds, strict=True)]
            return np.unique(np.concatenate(suspected)), published
    finally:
        keys_file.unlink(missing_ok=True)
        ranks_file.unlink(missing_ok=True)
    return np.unique(np.concatenate(suspected)), published


def _describe(shared: pl.DataFrame, published: pl.DataFrame, settings: UrlSettings) -> pl.DataFrame:
    """Return URL_DUPLICATES from all documents of which a hash occurs again."""
    normalized = normalize_urls(shared.get_column("url"), settings)
    named = shared.select(
        "doc_id", "rank", normalized.alias("normalized_url"), hash_urls(normalized).alias("url_hash")
    ).sort("rank")
    twice = named.filter(pl.col("rank").is_duplicated())
    if twice.height:
        raise SchemaError(
            f"Documents to compare: rank {twice.item(0, 'rank')} is given to {twice.item(0, 'doc_id')} and to "
            f"{twice.item(1, 'doc_id')}. Rank each document once, best first."
        )
    best = pl.col("doc_id", "rank").first().over("normalized_url").name.prefix("best_")
    compared = named.with_columns(best).join(published, on="url_hash", how="left", maintain_order="left")
    is_published = pl.col("published_doc_id").is_not_null()
    return (
        compared.filter(is_published | (pl.col("rank") != pl.col("best_rank")))
        .select(
            "doc_id",
            "rank",
            kept_doc_id=pl.coalesce("published_doc_id", "best_doc_id"),
            kept_rank=pl.when(is_published).then(None).otherwise("best_rank"),
            normalized_url="normalized_url",
        )
        .match_to_schema(URL_DUPLICATES)
    )


def _mark_repeated(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return for each of sorted keys whether it has an equal neighbour."""
    marks = np.zeros(len(keys), dtype=np.bool_)
    equals = keys[1:] == keys[:-1]
    marks[1:] |= equals
    marks[:-1] |= equals
    return marks


def _find_published(earlier: pl.LazyFrame, keys: NDArray[np.uint64]) -> pl.DataFrame:
    """Return hash and id of the first earlier document for each of the sorted keys that has one."""
    found = [pl.DataFrame(schema=_MATCHED)]
    columns = earlier.select("url_hash", pl.col("doc_id").alias("published_doc_id"))
    for batch in columns.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
        hashes = batch.get_column("url_hash").to_numpy()
        places = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
        found.append(batch.filter(pl.Series(np.asarray(keys[places]) == hashes)))
    return pl.concat(found).unique("url_hash", keep="first", maintain_order=True)


def _normalize_batch(urls: pl.Series, settings: UrlSettings) -> pl.Series:
    from mmpipe.deduplication.url_kernels import HAS_ODD_HOST, LEFT_ALONE

    normalized, fates, hosts = _run_kernel(urls.fill_null(""), settings, is_prepared=False)
    odd = np.flatnonzero(fates == HAS_ODD_HOST)
    if len(odd):
        prepared = [_replace_host(url, *hosts[row]) for row, url in zip(odd, urls.gather(odd).to_list(), strict=True)]
        again, fates_again, _ = _run_kernel(pl.Series(prepared, dtype=pl.String), settings, is_prepared=True)
        # where even a prepared host will not do, the URL stays as it came
        done = np.flatnonzero(fates_again != LEFT_ALONE)
        normalized = normalized.scatter(odd[done], again.gather(done))
    return normalized if not urls.null_count() else pl.select(pl.when(urls.is_not_null()).then(normalized)).to_series()


def _run_kernel(
    urls: pl.Series, settings: UrlSettings, *, is_prepared: bool
) -> tuple[pl.Series, NDArray[np.uint8], NDArray[np.int64]]:
    import pyarrow as pa

    from mmpipe.deduplication.url_kernels import normalize_many

    _, offsets, data = urls.rechunk().to_arrow().cast(pa.large_string()).buffers()
    # read-only where there is no URL too: the loops are compiled for one kind of array
    starts = np.frombuffer(offsets if len(urls) else bytes(8), dtype=np.int64)[: len(urls) + 1]
    octets = np.frombuffer(data or b"", dtype=np.uint8)[: starts[-1]]
    names, bounds, prefixes = _pack_names(settings.dropped_parameters)
    out, ends, fates, hosts = normalize_many(
        octets,
        starts,
        names,
        bounds,
        prefixes,
        settings.keeps_scheme,
        settings.keeps_www,
        settings.keeps_trailing_slash,
        settings.keeps_hashbang,
        settings.sorts_query,
        is_prepared,
    )
    array = pa.LargeStringArray.from_buffers(len(urls), pa.py_buffer(ends), pa.py_buffer(out))
    return pl.Series(urls.name, array, dtype=pl.String), fates, hosts


@lru_cache(maxsize=8)
def _pack_names(patterns: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Return names end to end, where each begins, and how many of the first are beginnings of names."""
    beginnings = sorted({name[:-1].lower().encode() for name in patterns if name.endswith("*")})
    whole = sorted({name.lower().encode() for name in patterns if not name.endswith("*")})
    names = [*beginnings, *whole]
    bounds = np.cumsum([0, *map(len, names)], dtype=np.int64)
    return np.frombuffer(b"".join(names), dtype=np.uint8), bounds, len(beginnings)


def _replace_host(url: str, begin: int, end: int) -> str:
    """Return a URL with its host made plain; its bounds are those in the URL's UTF-8, cleaned as the kernel does."""
    octets = bytes(byte for byte in _strip_controls(url.encode()) if byte not in b"\t\n\r")
    host = prepare_host(octets[begin:end].decode("utf-8", "replace"))
    # a host that cannot be is told by a character that none has
    return (octets[:begin] + (host or "|").encode() + octets[end:]).decode()


def _strip_controls(octets: bytes) -> bytes:
    return octets.strip(bytes(range(33)))


@lru_cache(maxsize=65_536)
def prepare_host(host: str) -> str | None:
    """Return a host in the letters of DNS, or an IPv6 address in its shortest form; None if it is neither.

    Percent-encoded octets are decoded, names mapped by UTS 46 (non-transitional) and written in Punycode (WHATWG URL
    Standard, 3.3 and 3.5; RFC 5952 for addresses, whose zone is no part of a URL of the web).
    """
    import idna

    if host.startswith("["):
        try:
            address = ipaddress.IPv6Address(host[1:-1] if host.endswith("]") else "")
        except ValueError:
            return None
        return None if address.scope_id else f"[{address.compressed}]"
    try:
        name = idna.uts46_remap(_decode_octets(host), std3_rules=False, transitional=False)
        labels = [label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in name.split(".")]
    except (idna.IDNAError, UnicodeError, IndexError):
        return None
    # what UTS 46 maps to a slash or a colon would move the end of the host
    mapped = ".".join(labels)
    return mapped if _PLAIN_HOST.fullmatch(mapped) else None


def _decode_octets(host: str) -> str:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(host).decode("utf-8")
