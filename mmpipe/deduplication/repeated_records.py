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
    of_urls = _NONE
    if urls:
        named = rows.with_columns(url_key=normalize_url(pl.col("url"))).filter(pl.col("url_key") != "")
        of_urls = _find_kept(named, ["url_key"], passes)
    of_pages = _NONE
    if pages:
        left = rows.join(of_urls.lazy().select("doc_id"), on="doc_id", how="anti")
        of_pages = _find_kept(left, ["payload_digest", "payload_bytes"], passes)
    # what was kept for its URL may have gone for its payload: name the record that stays
    of_urls = of_urls.join(
        of_pages.rename({"doc_id": "kept", "kept": "kept_instead"}), on="kept", how="left", maintain_order="left"
    ).select("doc_id", kept=pl.coalesce("kept_instead", "kept"))
    stated = [
        found.select("doc_id", extraction_status=pl.lit(status), extraction_detail="kept")
        for found, status in ((of_urls, "repeated_url"), (of_pages, "repeated_page"))
    ]
    return pl.concat(stated).match_to_schema(REPEATS_SCHEMA).sort("doc_id")


_NONE = pl.DataFrame(schema={"doc_id": pl.String, "kept": pl.String})


def _find_kept(rows: pl.LazyFrame, key: list[str], passes: int) -> pl.DataFrame:
    """Return doc_id and kept doc_id of the records that go: those whose key, null in no part, another one has."""
    hashed = rows.drop_nulls(key).with_columns(key_hash=pl.struct(key).hash())
    found = []
    for number in range(passes):
        part = hashed if passes == 1 else hashed.filter(pl.col("key_hash") % passes == number)
        counted = part.group_by("key_hash").len().filter(pl.col("len") > 1).select("key_hash")
        # only the records whose hash occurs again are held, and compared by the key itself
        repeated = part.join(counted, on="key_hash", how="semi").collect(engine="streaming")
        ranked = repeated.with_columns(url_chars=pl.col("url").str.len_chars()).sort(_POLICY, nulls_last=True)
        kept = ranked.select("doc_id", kept=pl.col("doc_id").first().over(key))
        found.append(kept.filter(pl.col("doc_id") != pl.col("kept")))
    return pl.concat(found)


def normalize_url(url: pl.Expr) -> pl.Expr:
    """Return the URL that two addresses of one page share (RFC 3986, section 6.2.2 and 6.2.3).

    http and https are one; scheme and host have no case; the scheme's own port, an empty path, the fragment and white
    space at the ends do not count. Path and query do, with their case, order and parameters. Addresses of other
    schemes stay as they are, without fragment.
    """
    # literal splits: regular expressions over every URL of a crawl take four times as long
    address = url.str.strip_chars().str.splitn("#", 2)
    page, fragment = (address.struct.field(f"field_{number}") for number in range(2))
    # a fragment that begins with an exclamation mark names the page itself (single-page sites of the 2010s)
    kept = pl.when(fragment.str.starts_with("!")).then(pl.concat_str(pl.lit("#"), fragment)).otherwise(pl.lit(""))
    parts = page.str.splitn("/", 4)
    start, empty, authority, path = (parts.struct.field(f"field_{number}") for number in range(4))
    before_query = authority.str.splitn("?", 2)
    host, query = (before_query.struct.field(f"field_{number}").fill_null("") for number in range(2))
    scheme, host = start.str.to_lowercase(), host.str.to_lowercase()
    port = pl.when(scheme == "http:").then(pl.lit(":80")).otherwise(pl.lit(":443"))
    host = host.str.strip_suffix(port)
    # behind the host stands a path, a query without one (in which a slash may stand), or nothing
    has_query = authority.str.contains("?", literal=True)
    behind = pl.when(has_query).then(pl.concat_str(pl.lit("?"), query)).otherwise(pl.lit(""))
    behind = behind + pl.when(path.is_not_null() & has_query).then(pl.lit("/")).otherwise(pl.lit(""))
    behind = behind + path.fill_null("")
    whole = pl.concat_str(pl.lit("http://"), host, pl.lit("/"), behind, kept)
    return pl.when(scheme.is_in(["http:", "https:"]) & (empty == "")).then(whole).otherwise(page + kept)
