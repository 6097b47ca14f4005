"""URLs are held against domains, hosts, URLs and words; lists are read once, checked, and mapped."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, RecipeError
from mmpipe.filtering.blocklists import Blocklist, hash_entries, open_blocklist
from mmpipe.filtering.list_files import ListTally, read_entries
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.public_suffixes import find_registered_domain
from mmpipe.filtering.recipe_sections import UrlSettings
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.url_signals import find_host, measure_urls, open_url_lists, trim_domain, trim_url
from mmpipe_tests.peers import find_peer


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
    signals = measure(UrlSettings(), "http://bad.co.uk/hard/soft-mild")
    asked = {name: value for name, value in signals.items() if name != "url_held_out" and "_ut1_" not in name}
    assert set(asked.values()) == {0.0}
    assert len(asked) == 6
    assert {value for name, value in signals.items() if name not in asked} == {None}  # no list was given
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


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, zstd.compress])
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


def test_held_out_sources_and_categories_are_signals_of_their_own(make_list) -> None:  # type: ignore[no-untyped-def]
    settings = UrlSettings(
        held_out=make_list("held.txt", "encyclopedia.example", "en.wiki.example"),
        categories={
            "adult": make_list("adult.txt", "bad.example", "shared.example/~bad/"),
            "gambling": make_list("gambling.txt", "bet.good.example"),
        },
    )
    expected = {
        "http://a.encyclopedia.example/x": (1, 0, 0),
        "http://de.wiki.example/": (0, 0, 0),
        "http://m.en.wiki.example/": (1, 0, 0),
        "http://www.bad.example/": (0, 1, 0),
        "http://www.shared.example/~bad": (0, 1, 0),
        "http://shared.example/~good": (0, 0, 0),
        "http://eu.bet.good.example/": (0, 0, 1),
    }
    frame = measure_urls(pl.Series(list(expected)), settings)
    assert list(frame.select("url_held_out", "url_ut1_adult", "url_ut1_gambling").iter_rows()) == list(
        expected.values()
    )
    assert set(frame.get_column("url_ut1_dating")) == {None}
    with pytest.raises(RecipeError, match="Did you mean 'gambling'"):
        UrlSettings(categories={"gamling": ()})


def test_the_packaged_sources_are_held_out_by_a_rule(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "extends: refinedweb\nurl: {held_out: [held-out-domains]}\ntext: {rules: [refinedweb_url_held_out]}\n"
    )
    recipe = load_recipe(str(tmp_path / "r.yaml"))
    urls = ["https://en.wikipedia.org/wiki/A", "https://fr.wikipedia.org/wiki/A", "https://math.stackexchange.com/q/1"]
    held = measure_urls(pl.Series(urls), recipe.url).get_column("url_held_out")
    assert held.to_list() == [1, 0, 1]
    assert recipe.text.rules[0].high == 0


def test_a_category_is_a_file_in_an_archive(tmp_path: Path) -> None:
    members = {"blacklists/adult/domains": "bad.example\n", "blacklists/adult/urls": "u.example/x\n",
               "blacklists/chat/domains": "chat.example\n"}  # fmt: skip
    with tarfile.open(tmp_path / "ut1.tar.xz", "w:xz") as archive:
        for name, text in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    (tmp_path / "r.yaml").write_text(
        "url:\n  categories:\n    adult: [ut1.tar.xz#adult/domains, ut1.tar.xz#adult/urls]\n"
        "    chat: [{list: 'ut1.tar.xz#chat/domains', licence: CC-BY-SA-4.0}]\n"
    )
    recipe = load_recipe(str(tmp_path / "r.yaml"))
    cache = tmp_path / "cache"
    urls = pl.Series(["http://bad.example/", "http://u.example/x/", "http://chat.example/"])
    for _ in range(2):
        frame = measure_urls(urls, recipe.url, cache)
        assert frame.get_column("url_ut1_adult").to_list() == [1, 1, 0]
        assert frame.get_column("url_ut1_chat").to_list() == [0, 0, 1]
        open_url_lists.cache_clear()
        # the archive is unpacked once per machine
        (tmp_path / "ut1.tar.xz").rename(tmp_path / "gone") if (tmp_path / "ut1.tar.xz").exists() else None
    (tmp_path / "gone").rename(tmp_path / "ut1.tar.xz")
    assert (
        load_recipe(str(tmp_path / "r.yaml"))
        .resolve()["url"]["categories"]["chat"][0]["list"]
        .endswith("#chat/domains")
    )
    other = (tmp_path / "r.yaml").read_text().replace("#chat/domains", "#adult/domains")
    (tmp_path / "other.yaml").write_text(other)
    digests = [load_recipe(str(tmp_path / name)).digest_section("signals") for name in ("r.yaml", "other.yaml")]
    assert digests[0] != digests[1]
    reference = ListReference(list="ut1.tar.xz#adlt/domains", path=str(tmp_path / "ut1.tar.xz"))
    with pytest.raises(ConfigurationError, match=r"no file 'adlt/domains' in .* Did you mean 'adult/domains'"):
        list(read_entries(reference, trim_domain))


def test_broken_lines_are_counted_left_out_and_never_fatal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "list"
    path.write_bytes(
        b"\xef\xbb\xbffirst.example\n# a comment\n\n0.0.0.0 two.example\nnul\x00l.example\n\xff\xfe\xfd.example\n"
        b"*.wild.example\n.dot.example.\nhttp://a.example/x\n" + b"x" * 20_000_000 + b"\n \t \n...\nlast.example"
    )
    tally = ListTally()
    entries = list(read_entries(ListReference(list="list", path=str(path)), trim_domain, tally))
    assert entries == ["first.example", "wild.example", "dot.example", "last.example"]
    assert (tally.entries, tally.broken) == (4, 6)
    assert "line 4: '0.0.0.0 two.example'" in tally.examples
    assert "6 lines are broken and left out, 4 entries are read" in caplog.text


def test_a_broken_archive_has_a_name(tmp_path: Path) -> None:
    for name, data in (("a.xz", lzma.compress(b"x" * 9999)[:50]), ("a.gz", gzip.compress(b"x" * 9999)[:30]),
                       ("a.tar.xz#b", b"no archive")):  # fmt: skip
        path = tmp_path / name.partition("#")[0]
        path.write_bytes(data)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            list(read_entries(ListReference(list=name, path=str(path)), trim_domain))


def test_as_written_is_what_datatrove_does(make_list, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    python = find_peer()
    given = {
        "domains": ["bad.co.uk", "ads.good.example", "10.0.0.1", "Upper.example", "good.com", "x.net", "b.s3.fr"],
        "urls": ["http://good.org/one", "good.org/two"],
        "strict": ["sub-word", "worst"],
        "hard": ["hard", "Harder"],
        "soft": ["soft", "mild", "tame"],
    }
    hosts = ["bad.co.uk", "www.bad.co.uk", "BAD.co.uk", "ads.good.example", "eu.ads.good.example", "10.0.0.1",
             "x.net:80", "upper.example", "good.com", "a.b.good.com", "user@x.net", "co.uk", "localhost", "good.org",
             "b.s3.fr", "a.b.s3.fr"]  # fmt: skip
    paths = ["", "/one", "/two", "/Hard", "/hard-x", "/soft", "/soft-mild", "/Soft-mild", "/SUB/WORD", "/theworst/"]
    urls = [f"http://{host}{path}" for host in hosts for path in paths]
    (tmp_path / "q.json").write_text(json.dumps([given, urls]))
    script = (
        "import json, sys\n"
        "from datatrove.pipeline.filters import URLFilter\n"
        "from datatrove.data import Document\n"
        "given, urls = json.load(open(sys.argv[1]))\n"
        "made = URLFilter(use_integrated_lists=False, extra_domains=given['domains'], extra_urls=given['urls'],\n"
        "    banned_words=given['hard'], soft_banned_words=given['soft'], banned_subwords=given['strict'])\n"
        "said = [made.filter(Document(text='x', id='1', metadata={'url': url})) for url in urls]\n"
        "print(json.dumps([one[1] if isinstance(one, tuple) else None for one in said]))\n"
    )
    ran = subprocess.run([python, "-c", script, tmp_path / "q.json"], capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip(f"datatrove cannot be run: {ran.stderr[-200:]}")
    theirs = json.loads(ran.stdout.splitlines()[-1])
    settings = UrlSettings(
        case_sensitive_words=True,
        as_written=True,
        domains=make_list("d", *given["domains"]),
        urls=make_list("u", *given["urls"]),
        strict_subwords=make_list("s", *given["strict"]),
        hard_words=make_list("h", *given["hard"]),
        soft_words=make_list("w", *given["soft"]),
    )
    reasons = {"url_blocked_domain": ("domain", 0), "url_blocked_host": ("subdomain", 0), "url_blocked_url": ("url", 0),
               "url_hard_words": ("hard_blacklisted", 0), "url_soft_words": ("soft_blacklisted", 1),
               "url_strict_subwords": ("blacklisted_subword", 0)}  # fmt: skip
    ours = [
        next((reason for name, (reason, high) in reasons.items() if row[name] > high), None)
        for row in measure_urls(pl.Series(urls), settings).iter_rows(named=True)
    ]
    assert [(url, one) for url, one in zip(urls, ours, strict=True)] == list(zip(urls, theirs, strict=True))
    assert set(theirs) == {None, *(reason for reason, _ in reasons.values())}


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
