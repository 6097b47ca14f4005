"""URLs go with what belongs to them, text stays, and a second pass finds nothing."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmpipe.extraction.bare_urls import remove_marked_urls, remove_urls
from mmpipe.extraction.top_level_domains import TOP_LEVEL_DOMAINS
from mmpipe.tables.corrections import Edit, apply_edits

PIECES = (
    "http://", "HTTPS://", "https://", "ftp://", "www.", "a.b", ".com", ".org", "com", "x", "é", "_", ".", ")", ",",
    "!", "/", "@", ":", " ", "   ", "\t", "\n", "\n\n\n", "w", "1.2.3.4", "1.2.3.", "4", "a" * 255, "b" * 130, "Größe",
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=10).map("".join))

# DCLM's two expressions read plainly: a host of up to 256 characters under a top-level domain; four numbers
_NAMES = "|".join(sorted(TOP_LEVEL_DOMAINS, key=len, reverse=True))
_TAIL = r"[-a-zA-Z0-9()@:%_+.~#?&/=]*"
_HOST = re.compile(rf"\s{{0,10}}(?:(?:https?|ftp)://)?[-a-zA-Z0-9@:%._+~#=]{{1,256}}\.(?:{_NAMES})\b{_TAIL}")
_ADDRESS = re.compile(rf"\s{{0,10}}\b(?:(?:https?|ftp)://)?(?:[0-2]?[0-9]{{1,2}}\.){{3}}[0-2]?[0-9]{{1,2}}{_TAIL}")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see https://a.b/c?d=1&e=2 now", "see  now"),
        ("(www.a.com).", "()."),
        ("HTTP://A.B\nnext", "\nnext"),
        ("text http://a.b \nnext", "text  \nnext"),
        ("text  http://a.b\nnext", "text\nnext"),
        ("ends in http://a.b", "ends in"),
        ("the www and http words stay: awww.x example.com", "the www and http words stay: awww.x example.com"),
    ],
)
def test_marked_urls_go(text: str, left: str) -> None:
    assert apply_edits(text, remove_marked_urls(text)) == left


@settings(deadline=None)
@given(TEXTS)
def test_no_marked_url_is_left(text: str) -> None:
    left = apply_edits(text, remove_marked_urls(text))
    assert remove_marked_urls(left) == []
    assert not re.search(r"https?://", left, re.IGNORECASE)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("go to example.com now", "go to now"),  # the white space before goes too
        ("go to\nhttp://example.com/a?b=(c)&d=e#f, now", "go to, now"),
        ("mail me@example.org!", "mail!"),
        ("ftp://x.de/y and xhttp://a.com/", " and x"),
        ("end of a sentence.So it goes", "end of a sentence.So it goes"),  # top-level domains are lower-case
        ("a sentence.so it goes", "a it goes"),  # and .so is one: DCLM's own loss
        ("file.txt and e.g. and x.community_", "file.txt and e.g. and x.community_"),
        ("call 10.0.0.255:80/x or 1.2.3 or v1.2.3.4", "call or 1.2.3 or v1.2.3.4"),
        ("http://1.2.3.4 xhttp://1.2.3.4", " xhttp://"),
        ("a" + " " * 12 + "b.com", "a  "),  # ten of white space at most
        (".com is no host, nor is é.com", ".com is no host, nor is é.com"),
        ("x" * 300 + ".com", "x" * 44),  # a host of 256 at most
        ("foo.comhttp://a.org!", "!"),  # what a removal leaves is looked at again
        ("no http://localhost/", "no http://localhost/"),
    ],
)
def test_hosts_and_addresses_go(text: str, left: str) -> None:
    assert apply_edits(text, remove_urls(text)) == left


def test_every_span_has_its_kind() -> None:
    assert remove_urls("a b.com c 1.2.3.4 d") == [Edit("dclm_url", 1, 7), Edit("dclm_ip_address", 9, 17)]
    # the white space before the address reaches over the host that was removed: one span
    text = "x" + " " * 12 + "a.com 1.2.3.4"
    assert remove_urls(text) == [Edit("dclm_ip_address", 1, len(text))]


def test_dclms_look_at_the_first_letters_can_be_repeated() -> None:
    assert remove_urls("Our site a.com", needs_leading_domain=True) == []  # no domain starts like this
    assert remove_urls("The site a.com", needs_leading_domain=True) == [Edit("dclm_url", 8, 14)]  # .th is one
    assert remove_urls("Our host 1.2.3.4", needs_leading_domain=True) == [Edit("dclm_ip_address", 8, 16)]


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@example("a.comhttp://b.comhttp://c.com!")
@example("x.com" + "a" * 256 + ".org!")
@example("foo.comhttp://1.2.3.4!")
def test_hosts_go_as_two_plain_expressions_take_them(text: str) -> None:
    left = apply_edits(text, remove_urls(text))
    assert remove_urls(left) == []
    once = _HOST.sub("", text)
    if _HOST.sub("", once) == once:
        assert left == _ADDRESS.sub("", once)
    else:  # what DCLM's one pass leaves, DCLM's next pass takes
        while (again := _HOST.sub("", once)) != once:
            once = again
        assert "".join(left.split()) == "".join(_ADDRESS.sub("", once).split())


@pytest.mark.parametrize(
    "text",
    ["a." * 1_000_000, "a.comhttp://" * 200_000 + "a.com!", " " * 2_000_000, "a" * 2_000_000, "http://" * 300_000,
     "http://" + "." * 2_000_000, "x" + ".com!" * 400_000, "1." * 1_000_000, "\n" * 1_000_000],
    ids=["labels", "nested", "spaces", "letters", "schemes", "dots", "heads", "numbers", "newlines"],
)  # fmt: skip
def test_time_grows_with_the_length_only(text: str) -> None:
    started = time.process_time()
    remove_marked_urls(text)
    remove_urls(text)
    assert time.process_time() - started < 5
