"""Records repeat by URL or payload; which one stays depends on the records, never on their order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.repeated_records import REPEATS_SCHEMA, find_repeats, normalize_url
from mmpipe.tables.crawl import RAW_CRAWL

DAY, LATER = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC)


def make_index(*rows: dict[str, Any]) -> pl.DataFrame:
    default = {
        "dump": "d", "warc_file": "f", "warc_offset": 0, "warc_length": 1, "record_type": "response",
        "record_status": "ok", "kind": "html", "url": None, "mime": "text/html", "charset": None, "http_status": 200,
        "crawled_at": DAY, "payload_bytes": 10, "payload_digest": None,
    }  # fmt: skip
    return pl.DataFrame([{**default, **row} for row in rows], schema=RAW_CRAWL.schema)


def find(*rows: dict[str, Any], pages: bool = True, urls: bool = True) -> list[tuple[str, str, str]]:
    found = find_repeats(make_index(*rows), pages=pages, urls=urls)
    assert found.schema == REPEATS_SCHEMA
    return found.rows()


@pytest.mark.parametrize(
    ("url", "shared"),
    [
        ("HTTP://Example.org:80", "http://example.org/"),
        ("https://example.org:443/#part", "http://example.org/"),
        ("https://EXAMPLE.org?a=1#", "http://example.org/?a=1"),
        (" http://example.org/a \n", "http://example.org/a"),
        ("http://example.org:443/", "http://example.org:443/"),
        ("http://example.org/A", "http://example.org/A"),
        ("http://example.org/a/", "http://example.org/a/"),
        ("http://example.org/#!/page", "http://example.org/#!/page"),
        ("ftp://X.org:80/b#c", "ftp://X.org:80/b"),
        ("http://x.org?a=1/b#!c", "http://x.org/?a=1/b#!c"),
        ("https://x.org?", "http://x.org/?"),
        ("http:/x.org/a", "http:/x.org/a"),
        ("not a url", "not a url"),
        ("", ""),
        (None, None),
    ],
)
def test_what_two_addresses_of_one_page_share(url: str | None, shared: str | None) -> None:
    frame = pl.DataFrame({"url": [url]}, schema={"url": pl.String})
    assert frame.select(url=normalize_url(pl.col("url"))).item() == shared


def test_the_earliest_then_the_shortest_url_stays() -> None:
    rows = (
        {"doc_id": "a", "url": "http://x.org/p?utm=1", "payload_digest": "sha1:A", "crawled_at": LATER},
        {"doc_id": "b", "url": "http://x.org/p?session=12", "payload_digest": "sha1:A"},
        {"doc_id": "c", "url": "http://x.org/z", "payload_digest": "sha1:A"},
        {"doc_id": "d", "url": "http://x.org/q", "payload_digest": "sha1:A", "crawled_at": None},
        {"doc_id": "e", "url": "http://x.org/other", "payload_digest": "sha1:B"},
    )  # fmt: skip
    assert find(*rows) == [(doc_id, "repeated_page", "c") for doc_id in ("a", "b", "d")]
    assert find(*rows, pages=False) == []


def test_only_whole_pages_and_texts_are_compared() -> None:
    same = {"url": "http://x.org/", "payload_digest": "sha1:A"}
    rows = (
        {"doc_id": "a", **same, "record_status": "truncated_record"},
        {"doc_id": "b", **same, "kind": "image"},
        {"doc_id": "c", **same},
        {"doc_id": "d", **same, "kind": "plain_text"},
        {"doc_id": "e", "url": None, "payload_digest": None},
        {"doc_id": "f", "url": None, "payload_digest": None},
        {"doc_id": "h", "url": " "},
        {"doc_id": "i", "url": " "},
        {"doc_id": "g", "url": "http://y.org/", "payload_digest": "sha1:A", "payload_bytes": 11},
    )
    assert find(*rows) == [("d", "repeated_url", "c")]
    assert find(*rows, urls=False) == [("d", "repeated_page", "c")]
    assert find(*rows, urls=False, pages=False) == []


def test_the_named_record_is_one_that_stays() -> None:
    rows = (
        {"doc_id": "a", "url": "http://x.org/1", "payload_digest": "sha1:A"},
        {"doc_id": "b", "url": "http://x.org/22", "payload_digest": "sha1:A"},
        {"doc_id": "c", "url": "https://x.org/22#x", "payload_digest": "sha1:C", "crawled_at": None},
    )
    # c goes for b's URL, and b for a's payload
    assert find(*rows) == [("b", "repeated_page", "a"), ("c", "repeated_url", "a")]


_RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["http://x.org/", "https://X.org", "http://x.org/a", "http://x.org/a#b", "", None]),
        st.sampled_from(["sha1:A", "sha1:B", "sha1:C", None]),
        st.sampled_from([None, DAY, LATER]),
    ),
    max_size=12,
)


@given(_RECORDS, st.randoms(use_true_random=False), st.integers(1, 3), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_order_and_passes_change_nothing_and_no_two_kept_records_are_alike(
    records: list[tuple[Any, Any, Any]], random: Any, passes: int, pages: bool, urls: bool
) -> None:
    rows = [
        {"doc_id": f"{number:02d}", "url": url, "payload_digest": digest, "crawled_at": crawled}
        for number, (url, digest, crawled) in enumerate(records)
    ]
    index = make_index(*rows)
    found = find_repeats(index, pages=pages, urls=urls)
    random.shuffle(rows)
    assert find_repeats(make_index(*rows).lazy(), pages=pages, urls=urls, passes=passes).equals(found)
    gone = found.get_column("doc_id")
    assert gone.n_unique() == found.height
    kept = index.filter(~pl.col("doc_id").is_in(gone.implode()))
    assert set(found.get_column("extraction_detail")) <= set(kept.get_column("doc_id"))
    if urls:
        shared = kept.select(url=normalize_url(pl.col("url"))).filter(pl.col("url") != "")
        assert shared.is_unique().all()
    if pages:
        assert kept.get_column("payload_digest").drop_nulls().is_unique().all()
    if urls and not pages:
        wanted = {normalize_url_plainly(url) for url, _, _ in records if url}
        assert kept.filter(pl.col("url") != "").height == len(wanted)


def normalize_url_plainly(url: str) -> str:
    return {"https://X.org": "http://x.org/", "http://x.org/a#b": "http://x.org/a"}.get(url, url)
