"""Compares records of a crawl before any is read: those whose URL or whose payload another record has."""

from __future__ import annotations

import polars as pl

#: What `find_repeats` returns.
REPEATS_SCHEMA = pl.Schema({"doc_id": pl.String, "extraction_status": pl.String, "extraction_detail": pl.String})

#: Columns of raw_crawl that records are compared by.
COMPARED = ("doc_id", "record_status", "kind", "url", "crawled_at", "payload_bytes", "payload_digest")

#: Which of several records is kept, strongest reason first: the earliest; of those the one with the shortest URL, which
#: carries no tracking or session parameters; then the smallest URL and the smallest id.
_POLICY = ("crawled_at", "url_chars", "url", "doc_id")
_READ_KINDS = ("html", "plain_text")


def find_repeats(index: pl.LazyFrame | pl.DataFrame, *, pages: bool, urls: bool, passes: int = 1) -> pl.DataFrame:
    """Return the records that repeat another one, with the id of the record kept for each.

    A record with an equal normalised URL is `repeated_url`; among the others, one with an equal payload digest and
    length is `repeated_page`. The record named in `extraction_detail` is itself never one of those returned. The
    result is sorted by id and depends on the records alone, not on their order or shards.

    Only whole records of pages and plain texts are compared; leave out beforehand what will not be extracted for
    another reason (a blocked URL), or a page may be dropped for one that is dropped too.

    Args:
        index: rows of RAW_CRAWL, of one dump or several; only `COMPARED` is read.
        pages: whether to look for equal payloads.
        urls: whether to look for equal URLs.
        passes: how many times the index is read, each time for a part of the keys: memory is 16 bytes per record
            divided by the passes, plus the repeated records themselves.

    Returns:
        doc_id, extraction_status, extraction_detail (the kept record's doc_id), one row per record that repeats.
    """
    is_read = (pl.col("record_status") == "ok") & pl.col("kind").is_in(_READ_KINDS)
    rows = index.lazy().filter(is_read).select("doc_id", "url", "crawled_at", "payload_bytes", "payload_digest")
    url_key = normalize_url(pl.col("url"))
    of_urls = _find_kept(rows.filter(url_key != ""), {"url_key": url_key}, passes) if urls else _NONE
    of_pages = _NONE
    if pages:
        left = rows.join(of_urls.lazy().select("doc_id"), on="doc_id", how="anti")
        of_pages = _find_kept(left, {name: pl.col(name) for name in ("payload_digest", "payload_bytes")}, passes)
    # what was kept for its URL may have gone for its payload: name the record that stays
    of_urls = of_urls.join(
        of_pages.rename({"doc_id": "kept", "kept": "kept_instead"}), on="kept", how="left", maintain_order="left"
    ).select("doc_id", kept=pl.coalesce("kept_instead", "kept"))
    named = [
        found.select("doc_id", extraction_status=pl.lit(status), extraction_detail="kept")
        for found, status in ((of_urls, "repeated_url"), (of_pages, "repeated_page"))
    ]
    return pl.concat(named).match_to_schema(REPEATS_SCHEMA).sort("doc_id")


_NONE = pl.DataFrame(schema={"doc_id": pl.String, "kept": pl.String})


def _find_kept(rows: pl.LazyFrame, key: dict[str, pl.Expr], passes: int) -> pl.DataFrame:
    """Return doc_id and kept doc_id of the records that go: those whose key, null in no part, another one has."""
    hashed = rows.filter(expression.is_not_null() for expression in key.values()).with_columns(
        key_hash=pl.struct([expression.alias(name) for name, expression in key.items()]).hash()
    )
    found = []
    for number in range(passes):
        part = hashed if passes == 1 else hashed.filter(pl.col("key_hash") % passes == number)
        counted = part.group_by("key_hash").len().filter(pl.col("len") > 1).select("key_hash")
        # only the records whose hash occurs again are held, and compared by the key itself
        repeated = part.join(counted, on="key_hash", how="semi").with_columns(**key).collect(engine="streaming")
        ranked = repeated.with_columns(url_chars=pl.col("url").str.len_chars()).sort(_POLICY, nulls_last=True)
        kept = ranked.select("doc_id", kept=pl.col("doc_id").first().over(list(key)))
        found.append(kept.filter(pl.col("doc_id") != pl.col("kept")))
    return pl.concat(found)


def normalize_url(url: pl.Expr) -> pl.Expr:
    """Return the URL that two addresses of one page share (RFC 3986, section 6.2.2 and 6.2.3).

    http and https are one; scheme and host have no case; the scheme's own port, an empty path, the fragment and white
    space at the ends do not count. Path and query do, with their case, order and parameters.
    """
    bare = url.str.strip_chars().str.replace(r"#[^!].*$|#$", "")
    split = bare.str.extract_groups(r"^([A-Za-z][A-Za-z0-9+.\-]*)://([^/?]*)(.*)$")
    scheme, host, rest = (split.struct.field(name) for name in ("1", "2", "3"))
    scheme, host = scheme.str.to_lowercase(), host.str.to_lowercase()
    is_web = scheme.is_in(["http", "https"])
    port = pl.when(scheme == "http").then(pl.lit(":80")).otherwise(pl.lit(":443"))
    host = pl.when(is_web).then(host.str.strip_suffix(port)).otherwise(host)
    rest = (
        pl.when(rest == "").then(pl.lit("/")).when(rest.str.starts_with("?")).then(pl.lit("/") + rest).otherwise(rest)
    )
    scheme = pl.when(is_web).then(pl.lit("http")).otherwise(scheme)
    return pl.coalesce(pl.concat_str(scheme, pl.lit("://"), host, rest), bare)
