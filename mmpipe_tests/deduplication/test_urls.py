"""URLs: what does not count does not count, what counts counts, and normalising twice changes nothing."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.urls import (
    SESSION_PARAMETERS,
    TRACKING_PARAMETERS,
    UrlSettings,
    find_url_duplicates,
    hash_urls,
    normalize_urls,
)
from mmpipe.errors import SchemaError
from mmpipe_tests.peers import find_peer


def normalize(url: str, **options: object) -> str:
    found = normalize_urls(pl.Series([url], dtype=pl.String), replace(UrlSettings(), **options))[0]
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTP://Example.COM:80/a/./b/../c/?utm_source=x&b=2&a=1&FBCLID=3#top", "http://example.com/a/c?b=2&a=1"),
        ("https://example.com", "http://example.com/"),
        ("https://example.com:443/x", "http://example.com/x"),
        ("https://example.com:80/x", "https://example.com:80/x"),
        ("http://example.com:8080", "http://example.com:8080/"),
        ("http://example.com:00080/", "http://example.com/"),
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com./", "http://example.com/"),
        ("http://[2001:DB8:0:0::1]:8080/x", "http://[2001:db8::1]:8080/x"),
        ("http://müller.DE/ü?x=ü y", "http://xn--mller-kva.de/%C3%BC?x=%C3%BC%20y"),
        ("http://i❤.ws/", "http://xn--i-7iq.ws/"),
        ("http://例え。テスト/", "http://xn--r8jz45g.xn--zckzah/"),
        ("http://user:p%7E@h/", "http://user:p~@h/"),
        ("http://:@h/", "http://h/"),
        ("http://h/%7efoo%2f%e4", "http://h/~foo%2F%E4"),
        ("http://h/%%341", "http://h/%2541"),
        ("http://h/a%2e%2E/b/%2e%2e/c", "http://h/a../c"),
        ("http://h/../../a", "http://h/a"),
        ("http://h/a/..", "http://h/"),
        ("http://h//a//b//", "http://h//a//b"),
        ("http://h?", "http://h/"),
        ("http://h?&&a=1&", "http://h/?a=1"),
        ("http://h/?utm%5Fsource=1&utm_=2&xutm_a=3&gclid", "http://h/?xutm_a=3"),
        ("http://h/?a[]=1&b={}|", "http://h/?a%5B%5D=1&b=%7B%7D%7C"),
        (" \x00http://ex\tample.com\\a\n ", "http://example.com/a"),
        ("http://h/#!page", "http://h/#!page"),
        ("http://%65xample.com/", "http://example.com/"),
    ],
)
def test_what_does_not_count(url: str, normal: str) -> None:
    assert normalize(url) == normal
    assert normalize(normal) == normal


@pytest.mark.parametrize(
    "garbage",
    [
        "", " ", "mailto:A@B", "http://", "http:///x", "http://A..b/", "http://H:99999/", "http://H:x/", "http://A b/",
        "http://[::1", "http://[::G]/", "http://[fe80::1%25eth0]/", "http://[::1]x/", "HTTP:/H", "//H/", "http://%FF/",
        "http://a／b/", "http://a%2Fb/", "http://\udfff".encode("utf-8", "replace").decode(), "http://.", "http://:80/",
        "HTTP://" + "A" * 70_000,
    ],
)  # fmt: skip
def test_garbage_stays_as_it_is(garbage: str) -> None:
    assert normalize(garbage) == garbage


def test_options() -> None:
    assert normalize("https://h/", keeps_scheme=True) == "https://h/"
    assert normalize("http://www.www.h.org/", keeps_www=False) == "http://h.org/"
    assert normalize("http://www.org/", keeps_www=False) == "http://www.org/"
    assert normalize("http://h/a/?b", keeps_trailing_slash=True) == "http://h/a/?b"
    assert normalize("http://h/#!a", keeps_hashbang=False) == "http://h/"
    assert normalize("http://h/?b=2&a=2&b=1&a=1&aa=0&a", sorts_query=True) == "http://h/?a=2&a=1&a&aa=0&b=2&b=1"
    assert normalize("http://h/?sid=4&a=1&PHPSESSID=2", dropped_parameters=SESSION_PARAMETERS) == "http://h/?a=1"
    assert normalize("http://h/?utm_source=4", dropped_parameters=()) == "http://h/?utm_source=4"
    assert normalize("http://h/a?x=4&&y#z", dropped_parameters=("*",)) == "http://h/a"
    names = [f"p{random.Random(number).randrange(10**6)}={number}" for number in range(1500)]
    expected = "&".join(sorted(names, key=lambda piece: piece.split("=")[0]))
    assert normalize("http://h/?" + "&".join(names), sorts_query=True) == "http://h/?" + expected


def test_the_list_of_parameters_is_lower_case_and_has_none_twice() -> None:
    assert len(set(TRACKING_PARAMETERS)) == len(TRACKING_PARAMETERS)
    assert all(name == name.lower() for name in TRACKING_PARAMETERS)


_PIECES = st.sampled_from(
    ["http://", "https://", "HTTP://", "www.", "a", "B", "é", "例", "❤", "ß", ".", "..", "/", "//", "\\", "?", "&", "=",
     "#", "#!", "%", "%41", "%2f", "%2e", "%C3", "%25", ":", ":80", ":443", "@", "[", "]", "[::1]", "utm_a", "gclid",
     " ", "\t", "\n", "\x00", "+", ";", "|", "！", "／", "。", "\u200b", "\u00ad", "x" * 70, "xn--", "0"]
)  # fmt: skip
_URLS = st.one_of(
    st.text(max_size=30),
    st.lists(_PIECES, max_size=14).map("".join),
    st.lists(_PIECES, max_size=14).map(lambda pieces: "http://" + "".join(pieces)),
    st.lists(_PIECES, max_size=12).map(lambda pieces: "https://h.org/" + "".join(pieces)),
)
_SETTINGS = st.builds(
    UrlSettings,
    keeps_scheme=st.booleans(),
    keeps_www=st.booleans(),
    keeps_trailing_slash=st.booleans(),
    keeps_hashbang=st.booleans(),
    sorts_query=st.booleans(),
)


@given(st.lists(_URLS, max_size=12), _SETTINGS)
@settings(max_examples=700, deadline=None)
def test_normalising_twice_changes_nothing_and_rows_are_alone(urls: list[str], options: UrlSettings) -> None:
    column = pl.Series("url", [url.encode("utf-8", "replace").decode() for url in urls], dtype=pl.String)
    once = normalize_urls(column, options)
    assert normalize_urls(once, options).to_list() == once.to_list()
    apart = [normalize_urls(column[row : row + 1], options)[0] for row in range(len(column))]
    assert apart == once.to_list()
    for url, normal in zip(column, once, strict=True):
        assert normal == url or normal.isascii()


def test_nulls_and_slices_stay_in_their_rows() -> None:
    column = pl.concat([pl.Series("u", ["http://A"]), pl.Series("u", [None, "http://ü.de", "http://B/"])])
    assert normalize_urls(column).to_list() == ["http://a/", None, "http://xn--tda.de/", "http://b/"]
    assert normalize_urls(column[1:3]).to_list() == [None, "http://xn--tda.de/"]
    assert normalize_urls(column[:0]).to_list() == []
    assert hash_urls(normalize_urls(column))[1] is None


def frame_of(urls: list[str | None]) -> pl.DataFrame:
    rows = [(f"d{rank:03d}", rank, url) for rank, url in enumerate(urls)]
    return pl.DataFrame(rows, schema={"doc_id": pl.String, "rank": pl.Int64, "url": pl.String}, orient="row")


@given(st.lists(st.sampled_from(["http://a", "https://a/", "http://b", "HTTP://B/", "x", None]), max_size=20),
       st.randoms(use_true_random=False), st.integers(1, 4000))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_best_of_each_url_is_kept(
    tmp_path_factory: pytest.TempPathFactory, urls: list[str | None], order: random.Random, memory: int
) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    frame = frame_of(urls)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=order.randrange(1000))
    found = find_url_duplicates(shuffled.lazy(), scratch=scratch, memory_bytes=memory)
    first: dict[str, int] = {}
    expected = []
    for rank, url in enumerate(urls):
        if url is None:
            continue
        key = normalize(url)
        if key in first:
            expected.append((f"d{rank:03d}", rank, f"d{first[key]:03d}", first[key], key))
        first.setdefault(key, rank)
    assert found.rows() == expected
    assert not list(scratch.iterdir())


def test_earlier_dumps_win_and_only_their_matches_are_named(tmp_path: Path) -> None:
    published = pl.Series(["http://b/", "http://c/", "http://b/"])
    earlier = pl.DataFrame({"doc_id": ["e1", "e2", "e3"], "url_hash": hash_urls(published)})
    frame = frame_of(["http://a", "http://b?utm_id=1", "http://a/", "http://b", None])
    found = find_url_duplicates(frame, scratch=tmp_path, earlier=earlier.lazy())
    assert found.select("doc_id", "kept_doc_id", "kept_rank").rows() == [
        ("d001", "e1", None), ("d002", "d000", 0), ("d003", "e1", None)
    ]  # fmt: skip
    # one that is alone in its own dump goes too, and one partition or many say the same
    alone = frame_of([f"http://h/{number}" for number in range(200)])
    some = pl.DataFrame({"doc_id": ["x", "y"], "url_hash": hash_urls(pl.Series(["http://h/7", "http://h/190"]))})
    for memory in (1 << 20, 64):
        found = find_url_duplicates(alone, scratch=tmp_path, earlier=some, memory_bytes=memory)
        assert found.select("doc_id", "kept_doc_id").rows() == [("d007", "x"), ("d190", "y")]
    assert find_url_duplicates(frame[:0], scratch=tmp_path, earlier=earlier).is_empty()


def test_equal_ranks_are_refused(tmp_path: Path) -> None:
    frame = frame_of(["http://a", "http://a"]).with_columns(rank=pl.lit(1))
    with pytest.raises(SchemaError, match=r"rank 1 is given to d00. and to d00"):
        find_url_duplicates(frame, scratch=tmp_path)


@pytest.mark.real_data
def test_real_urls_agree_with_a_browsers_parser(shared_data: Path) -> None:
    """With every option off, what differs from the WHATWG parser's own form is what RFC 3986 asks for beyond it."""
    peer = find_peer("can_ada")
    with gzip.open(shared_data / "web" / "gold.jsonl.gz") as lines:
        urls = [json.loads(line)["url"] for line in lines]
    code = "import json, sys, can_ada\nprint(json.dumps([can_ada.parse(url).href for url in json.load(sys.stdin)]))\n"
    ran = subprocess.run([peer, "-c", code], input=json.dumps(urls), capture_output=True, text=True, check=True)
    parsed = pl.Series(json.loads(ran.stdout))
    options = UrlSettings((), keeps_scheme=True, keeps_trailing_slash=True, keeps_hashbang=False)
    ours = normalize_urls(pl.Series(urls), options)
    assert normalize_urls(parsed, options).to_list() == ours.to_list()
    without_fragment = parsed.str.splitn("#", 2).struct.field("field_0")
    assert (without_fragment == ours).mean() > 0.97
