"""URLs are held against domains, hosts, URLs and words; lists are read once, checked, and mapped."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.blocklists import Blocklist, hash_entries, open_blocklist, read_entries
from mmpipe.filtering.recipe_sections import ListReference, UrlSettings
from mmpipe.filtering.url_signals import find_host, find_registered_domain, measure_urls, trim_domain, trim_url


@pytest.fixture
def make_list(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write_list(name: str, *entries: str) -> tuple[ListReference, ...]:
        path = tmp_path / name
        path.write_text("\n".join(["# made for a test", "", *entries]) + "\n", encoding="utf-8")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return (ListReference(list=name, path=str(path), sha256=sha256),)

    return write_list


@pytest.fixture
def url_settings(make_list) -> UrlSettings:  # type: ignore[no-untyped-def]
    return UrlSettings(
        domains=make_list("domains.txt", "Bad.co.uk", "ads.good.example", "10.0.0.1"),
        urls=make_list("urls.txt", "good.example/one/page", "https://www.good.example/two/"),
        strict_subwords=make_list("strict.txt", "sub-word", "worst"),
        hard_words=make_list("hard.txt", "hard", "Harder"),
        soft_words=make_list("soft.txt", "soft", "mild", "tame"),
    )


def measure(settings: UrlSettings, url: str | None) -> dict[str, float | None]:
    return measure_urls(pl.Series([url], dtype=pl.String), settings).to_dicts()[0]


@pytest.mark.parametrize(
    ("url", "domain", "host"),
    [
        ("http://bad.co.uk/", 1, 1),
        ("https://user:secret@WWW.bad.CO.UK.:8080/x", 1, 0),
        ("http://notbad.co.uk/", 0, 0),
        ("http://co.uk/", 0, 0),
        ("http://ads.good.example/", 0, 1),
        ("http://eu.ads.good.example/", 0, 1),
        ("http://good.example/?to=bad.co.uk", 0, 0),
        ("http://10.0.0.1/", 0, 1),
        ("http://10.0.0.2/", 0, 0),
        ("not a url", None, None),
    ],
)
def test_a_domain_is_blocked_with_all_its_hosts_and_a_host_with_those_below(
    url_settings: UrlSettings, url: str, domain: float | None, host: float | None
) -> None:
    signals = measure(url_settings, url)
    assert (signals["url_blocked_domain"], signals["url_blocked_host"]) == (domain, host)


@pytest.mark.parametrize("url", ["http://good.example/one/page", "https://www.GOOD.example/one/page/#top",
                                 "http://good.example/two"])  # fmt: skip
def test_two_spellings_of_a_listed_url_are_one(url_settings: UrlSettings, url: str) -> None:
    assert measure(url_settings, url)["url_blocked_url"] == 1
    assert measure(url_settings, url.replace(".example/", ".example/more/"))["url_blocked_url"] == 0


@pytest.mark.parametrize(
    ("url", "strict", "hard", "soft"),
    [
        ("http://x.example/Sub.Wording/the-worst", 2, 0, 0),
        ("http://x.example/HARD/hard-harder", 0, 2, 0),
        ("http://x.example/hardly/soften", 0, 0, 0),
        ("http://soft.example/mild?soft=1", 0, 0, 2),
    ],
)
def test_words_count_once_each(url_settings: UrlSettings, url: str, strict: int, hard: int, soft: int) -> None:
    signals = measure(url_settings, url)
    assert [signals[f"url_{name}"] for name in ("strict_subwords", "hard_words", "soft_words")] == [strict, hard, soft]


def test_case_counts_for_words_only_where_asked(url_settings: UrlSettings) -> None:
    from dataclasses import replace

    url = "http://x.example/HARD/Soft-mild/SUBWORD"
    assert measure(url_settings, url)["url_hard_words"] == 1
    signals = measure(replace(url_settings, case_sensitive_words=True), url)
    assert [signals[f"url_{name}"] for name in ("strict_subwords", "hard_words", "soft_words")] == [1, 0, 1]


def test_no_url_measures_nothing_and_no_list_blocks_nothing(url_settings: UrlSettings) -> None:
    assert set(measure(url_settings, None).values()) == {None}
    assert set(measure(UrlSettings(), "http://bad.co.uk/hard/soft-mild").values()) == {0.0}
    assert measure_urls(pl.Series([], dtype=pl.String), url_settings).height == 0


def test_hosts_and_registered_domains() -> None:
    assert find_host("HTTP://a@b.Example:80/p") == "b.example"
    assert find_host("https://[::1]:80/") == "[::1]"
    assert find_host("mailto:a@b.example") is None
    assert [find_registered_domain(host) for host in ("a.b.co.uk", "b.example", "localhost", "1.2.3.4", "[::1]")] == [
        "b.co.uk",
        "b.example",
        "",
        "",
        "",
    ]
    assert trim_url("https://WWW.a.example/B?c#d") == "a.example/B?c"


@given(st.sets(st.text(min_size=1, max_size=5)), st.lists(st.text(min_size=1, max_size=5)))
def test_a_blocklist_finds_what_a_set_finds(entries: set[str], asked: list[str]) -> None:
    blocklist = Blocklist(np.unique(hash_entries(entries)))
    assert blocklist.find(asked).tolist() == [entry in entries for entry in asked]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_lists_are_read_packed_or_plain(pack, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "list"
    path.write_bytes(pack(b"# head\n\nOne.example\r\ntwo.example.\n"))
    entries = read_entries(ListReference(list="list", path=str(path)), trim_domain)
    assert list(entries) == ["one.example", "two.example"]


def test_a_list_that_is_not_the_one_of_the_recipe_is_refused(make_list, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    references = make_list("domains.txt", "one.example")
    (tmp_path / "domains.txt").write_text("two.example\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"domains.txt is not the one .* state the new sha256"):
        open_blocklist(references, trim_domain)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_blocklist([ListReference(list="gone", path=str(tmp_path / "gone"), sha256="0")], trim_domain)


def test_a_long_list_is_hashed_once_and_then_mapped(make_list, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    references = make_list("domains.txt", *(f"host{number}.example" for number in range(20_000)))
    cache = tmp_path / "cache"
    first = open_blocklist(references, trim_domain, cache)
    (tmp_path / "domains.txt").unlink()  # the mapped hashes are enough
    second = open_blocklist(references, trim_domain, cache)
    assert isinstance(second.hashes, np.memmap)
    assert len(list(cache.rglob("*.npy"))) == 1
    assert first.find(["host7.example", "host20000.example"]).tolist() == [True, False]
    assert second.find(["host7.example", "host20000.example"]).tolist() == [True, False]


@pytest.mark.real_data
def test_a_real_list_of_urls_blocks_its_entries(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "lists" / "ut1-urls-2024-12.txt.xz"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    settings = UrlSettings(urls=(ListReference(list=path.name, path=str(path), sha256=sha256),))
    entries = list(read_entries(settings.urls[0], trim_url))
    assert len(entries) > 19_000
    urls = pl.Series([f"http://{entry}/" for entry in entries[::500]] + ["http://host.example/"])
    blocked = measure_urls(urls, settings, tmp_path).get_column("url_blocked_url")
    assert blocked.to_list() == [1.0] * (len(urls) - 1) + [0.0]
