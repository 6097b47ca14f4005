from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.extraction.images import find_image_candidates, parse_srcset

PAGE = "https://example.org/news/today.html"


def find_urls(html: str, page: str = PAGE) -> list[str]:
    return [candidate.image_url for candidate in find_image_candidates(html, page)]


def test_alt_comes_before_figcaption_and_both_are_told() -> None:
    html = """<figure><img src="a.jpg" alt=" A  red\n kite "><figcaption>The <b>kite</b> flies</figcaption></figure>
              <figure><img src="b.jpg" alt=""><figcaption>Only this</figcaption></figure>"""
    first, second = find_image_candidates(html, PAGE)
    assert (first.caption, first.caption_source, first.alt, first.figcaption) == (
        "A red kite", "alt", "A red kite", "The kite flies",
    )  # fmt: skip
    assert (second.caption, second.caption_source, second.alt, second.position) == ("Only this", "figcaption", None, 1)


def test_images_that_nobody_described_are_counted_but_not_returned() -> None:
    html = '<img src="a.jpg"><img src="b.jpg" alt=" "><img src="c.jpg" alt="a cat">'
    assert [(c.image_url[-5:], c.position) for c in find_image_candidates(html, PAGE)] == [("c.jpg", 2)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.jpg", "https://example.org/news/a.jpg"),
        ("/a.jpg#part", "https://example.org/a.jpg"),
        ("//cdn.example.org/a.jpg", "https://cdn.example.org/a.jpg"),
        (" a\n b.jpg ", "https://example.org/news/a%20b.jpg"),
        ("grün.jpg?q=ä", "https://example.org/news/gr%C3%BCn.jpg?q=%C3%A4"),
        ("http://münchen.example/a.jpg", "http://xn--mnchen-3ya.example/a.jpg"),
        ("data:image/gif;base64,R0lGOD", None),
        ("ftp://example.org/a.jpg", None),
        ("javascript:void(0)", None),
        ("http://[half", None),
        ("", None),
    ],
)
def test_address_is_absolute_ascii_http(source: str, expected: str | None) -> None:
    assert find_urls(f'<img src="{source}" alt="a cat">') == ([expected] if expected else [])


def test_base_href_is_honoured() -> None:
    assert find_urls('<base href="/archive/"><img src="a.jpg" alt="cat">') == ["https://example.org/archive/a.jpg"]
    assert find_urls('<base href="http://[x"><img src="a.jpg" alt="cat">') == ["https://example.org/news/a.jpg"]


@pytest.mark.parametrize(
    "tag",
    [
        '<img src="data:image/gif;base64,R0" data-src="real.jpg" alt="cat">',
        '<img src="/img/placeholder.gif" data-original="real.jpg" alt="cat">',
        '<img data-lazy-src="real.jpg" alt="cat">',
        '<img srcset="small.jpg 100w, real.jpg 800w, middle.jpg 300w" alt="cat">',
        '<picture><source srcset="small.webp 1x, real.jpg 2x"><img alt="cat"></picture>',
        '<img src="data:," data-src="real.jpg" alt="cat"><noscript><img src="real.jpg" alt="cat"></noscript>',
    ],
)
def test_lazy_images_are_found_once_at_their_real_address(tag: str) -> None:
    assert find_urls(tag) == ["https://example.org/news/real.jpg"]


def test_real_source_is_not_replaced_by_a_lazy_attribute() -> None:
    assert find_urls('<img src="real.jpg" data-src="other.jpg" alt="cat">') == ["https://example.org/news/real.jpg"]
    assert find_urls('<img src="/blank.gif" alt="cat">') == ["https://example.org/blank.gif"]


@pytest.mark.parametrize(
    ("srcset", "expected"),
    [
        ("a.jpg, b.jpg 2x", [("a.jpg", 1.0), ("b.jpg", 2.0)]),
        ("a.jpg 1x,b.jpg 1.5x", [("a.jpg", 1.0), ("b.jpg", 1.5)]),
        ("big,1.jpg 800w", [("big,1.jpg", 800.0)]),
        ("a.jpg odd(1,2) 3w, b.jpg", [("a.jpg", 3.0), ("b.jpg", 1.0)]),
        (" , ,", []),
    ],
)
def test_srcset_is_split_as_the_standard_says(srcset: str, expected: list[tuple[str, float]]) -> None:
    assert parse_srcset(srcset) == expected


@given(st.text(alphabet=st.sampled_from(list("<>=\"'/ imgsrcaltfigure#:.,\x00\ud800é&;!-")), max_size=200))
def test_no_page_raises(noise: str) -> None:
    for candidate in find_image_candidates(f"<img alt=x src=a>{noise}<img src={noise} alt={noise}>", PAGE):
        assert candidate.image_url.startswith(("http://", "https://"))
        assert candidate.image_url.isascii()
        assert candidate.caption == (candidate.alt or candidate.figcaption)


@pytest.mark.parametrize("html", ["", " ", "<!-- <img ", "<img ", '<?xml version="1.0" encoding="latin1"?><img >'])
def test_pages_of_almost_nothing_give_nothing(html: str) -> None:
    assert find_image_candidates(html, PAGE) == []


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 200_000 + "<img src=a.jpg alt=cat>" * 1000,
        "<figure>" + "<img src=a.jpg alt=cat>" * 20_000 + "<figcaption>x",
        "<img srcset='" + "a.jpg, " * 100_000 + "' alt=cat>",
    ],
)
def test_hostile_pages_take_linear_time(html: str) -> None:
    started = time.process_time()
    find_image_candidates(html, PAGE)
    assert time.process_time() - started < 5
