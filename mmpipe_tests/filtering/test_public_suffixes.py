"""A host's registered domain is what tldextract says, from the same list, without importing it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.filtering.public_suffixes import (
    _ask_tldextract,
    _load_tldextract,
    find_registered_domain,
    make_rules,
    split_as_written,
)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.example.com", "example.com"),
        ("example.com", "example.com"),
        ("com", ""),
        ("co.uk", ""),
        ("x.co.uk", "x.co.uk"),
        ("a.b.ck", "a.b.ck"),  # *.ck
        ("b.ck", ""),
        ("www.ck", "www.ck"),  # !www.ck
        ("a.www.ck", "www.ck"),
        ("a.city.kawasaki.jp", "city.kawasaki.jp"),
        ("10.0.0.1", ""),
        ("[::1]", ""),
        ("localhost", ""),
        ("a.b.unknown-tld", "b.unknown-tld"),
        ("xn--85x722f.com.cn", "xn--85x722f.com.cn"),
        ("a..com", ".com"),
    ],
)
def test_known_hosts(host: str, domain: str) -> None:
    assert find_registered_domain(host) == (domain if ".." not in host else _ask_tldextract(host))


def test_every_rule_of_the_list_gives_what_tldextract_gives() -> None:
    names = [rule.lstrip("!*.") for rule in _load_tldextract().tlds]
    hosts = [host for name in names for host in (name, f"x.{name}", f"y.x.{name}", f"z.y.x.{name}")]
    assert len(hosts) > 20_000
    assert [(host, find_registered_domain(host)) for host in hosts] == [(host, _ask_tldextract(host)) for host in hosts]


_labels = st.sampled_from(["a", "www", "com", "co", "uk", "jp", "ck", "city", "kawasaki", "kobe", "1", "xn--p1ai", "ü"])


@given(st.lists(_labels, min_size=1, max_size=6).map(".".join))
def test_any_host_gives_what_tldextract_gives(host: str) -> None:
    is_address = host.replace(".", "").isdigit()
    assert find_registered_domain(host) == ("" if is_address or "." not in host else _ask_tldextract(host))


def test_the_list_is_read_without_the_package() -> None:
    script = (
        "import sys\nfrom mmpipe.filtering.public_suffixes import find_registered_domain\n"
        "assert find_registered_domain('a.b.co.uk') == 'b.co.uk'\nassert 'tldextract' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_rules_are_read_from_a_list() -> None:
    rules = make_rules(["// comment", "", "com", "*.bd", "!x.bd", "a.b.com  trailing words"])
    assert rules.depths == {"com": 3, "bd": 2}
    assert rules.suffixes == {"com", "a.b.com"}
    assert (rules.wildcards, rules.exceptions) == ({"bd"}, {"x.bd"})


def test_a_url_as_it_is_written() -> None:
    assert split_as_written("http://user@WWW.Example.co.UK:80/x") == ("Example.co.UK", "WWW.Example.co.UK")
    assert split_as_written("http://10.0.0.1/") == ("", "")
