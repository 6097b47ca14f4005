from __future__ import annotations

import hashlib
import time
from base64 import b64encode, urlsafe_b64encode
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.extraction.caption_texts import MAX_CAPTION_CHARS, MAX_FIGURE_IMAGES, MAX_SURROUNDING_CHARS
from mmpipe.extraction.image_addresses import MAX_INLINE_BYTES, parse_srcset, read_data_url
from mmpipe.extraction.images import ImageCandidate, find_image_candidates

PAGE = "https://example.org/news/today.html"


ALL_SOURCES = ("alt", "figcaption", "title", "surrounding", "og_title")


def find_one(html: str, *sources: str) -> ImageCandidate:
    (candidate,) = find_image_candidates(html, PAGE, caption_sources=sources or ALL_SOURCES)
    return candidate


def find_around(html: str) -> list[str | None]:
    return [found.surrounding for found in find_image_candidates(html, PAGE, caption_sources=ALL_SOURCES)]


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
        ("", None),
    ],
)
def test_address_is_absolute_ascii_http(source: str, expected: str | None) -> None:
    assert find_urls(f'<img src="{source}" alt="a cat">') == ([expected] if expected else [])


@pytest.mark.parametrize("source", ["ftp://example.org/a.jpg", "javascript:void(0)", "http://[half", "about:blank"])
def test_an_address_that_is_none_is_a_problem_of_its_own(source: str) -> None:
    (image,) = find_image_candidates(f'<img src=" {source} " alt="a cat">', PAGE)
    assert (image.image_url, image.problem) == (source, f"broken_address: {source}")
    assert find_urls(f'<img src="{source}" data-src="real.jpg" alt="cat">') == ["https://example.org/news/real.jpg"]


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
        if not (candidate.problem or "").startswith("broken_address: "):
            assert candidate.image_url.startswith(("http://", "https://", "data:"))
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
        "<picture>" + "<source srcset='data:,'></source>" * 5_000 + "<img alt=cat>" * 5_000,
        "<figure><img src=a.jpg><figcaption>x" * 5000,
        "<div><img src=a.jpg>" * 1000 + "</div>" * 1000,
        "<p>" + "<img src=a.jpg alt=cat> word" * 20_000,
        "<p>" + "word " * 1_000_000 + "<img src=a.jpg alt=cat>" * 2000,
        "<meta property=og:image content=a.jpg><meta property=og:title content=cat>" * 20_000,
        "<img alt=cat src=a.jpg style='" + "width:" * 300_000 + "'>",
    ],
)
def test_hostile_pages_take_linear_time(html: str) -> None:
    started = time.process_time()
    find_image_candidates(html, PAGE, caption_sources=ALL_SOURCES)
    assert time.process_time() - started < 5


def test_a_page_of_50_000_images_takes_seconds() -> None:
    card = "<div><a href=x><img src=/{0}.jpg alt='picture {0}'></a><p>Words about picture {0}</p></div>"
    html = "".join(card.format(number) for number in range(50_000))
    started = time.process_time()
    found = find_image_candidates(html, PAGE, caption_sources=ALL_SOURCES)
    assert time.process_time() - started < 10
    assert len(found) == 50_000
    assert found[-1].surrounding == "Words about picture 49999"


def test_every_text_is_kept_and_the_first_by_the_recipe_is_the_caption() -> None:
    html = """<figure><p>Around</p><img src=a.jpg alt=Alt title=Title><figcaption>Caption</figcaption></figure>"""
    texts = {"alt": "Alt", "figcaption": "Caption", "title": "Title", "surrounding": "Around", "og_title": None}
    for source, text in list(texts.items())[:4]:
        found = asdict(find_one(html, "og_title", source, "alt"))
        assert {name: found[name] for name in texts} == texts
        assert (found["caption"], found["caption_source"]) == (text, source)
    assert find_image_candidates(html, PAGE, caption_sources=("og_title",)) == []


def test_figcaption_belongs_to_the_nearest_figure_and_not_to_a_gallery_without_end() -> None:
    html = "<figure><img src=a.jpg><figure><img src=b.jpg><figcaption>inner</figcaption></figure></figure>"
    assert [(c.image_url[-5:], c.caption) for c in find_image_candidates(html, PAGE)] == [("b.jpg", "inner")]
    two = "<figure><img src=a.jpg><figcaption>first</figcaption><figcaption>second</figcaption></figure>"
    assert find_one(two, "figcaption").caption == "first"
    gallery = "<figure>" + "<img src=a.jpg>" * (MAX_FIGURE_IMAGES + 5) + "<figcaption>all</figcaption></figure>"
    assert len(find_image_candidates(gallery, PAGE)) == MAX_FIGURE_IMAGES


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        # its own block, whichever side
        ("<p>Before <img src=a> after</p><p>Next</p>", ["Before after"]),
        # the card's text, not the neighbour's
        ("<div><img src=a><h3>One</h3></div><div><img src=b><h3>Two</h3></div>", ["One", "Two"]),
        ("<div><h3>One</h3><img src=a></div><div><h3>Two</h3><img src=b></div>", ["One", "Two"]),
        # as near: the one that follows; nothing follows: the one before
        ("<p>One</p><img src=a><p>Two</p>", ["Two"]),
        ("<p>One</p><p><img src=a></p>", ["One"]),
        # text that nobody reads beside a picture
        ("<p>One</p><script>x</script><nav>Menu</nav><img src=a><style>y</style><button>Buy</button>", ["One"]),
        ("<figure><img src=a><figcaption>Cap</figcaption></figure>", [None]),
        ("<p>—</p><img src=a alt=cat><p>···</p>", [None]),
        ("<table><tr><td><img src=a></td><td>Cell</td></tr><tr><td>Other</td></tr></table>", ["Cell"]),
        ("<p>a<b>b</b>c<br>d</p><img src=a>", ["abc d"]),
    ],
)
def test_text_around_is_the_block_that_is_nearest(html: str, expected: list[str | None]) -> None:
    assert find_around(html) == expected


@given(st.text(alphabet="ab é\u200f", min_size=1, max_size=900), st.text(alphabet="cd ", max_size=900))
def test_text_around_is_a_bounded_piece_of_the_block(before: str, after: str) -> None:
    (found,) = find_image_candidates(f"<p>{before}<img src=a alt=x>{after}</p>", PAGE)
    whole = " ".join(f"{before} {after}".replace("\u200f", "").split())
    assert (found.surrounding or "") in whole
    assert len(found.surrounding or "") <= MAX_SURROUNDING_CHARS
    if 0 < len(whole) <= MAX_SURROUNDING_CHARS:
        assert found.surrounding == whole


def test_long_block_is_cut_around_the_image_and_at_spaces() -> None:
    text = " ".join(f"w{number:05d}" for number in range(2000))
    middle = text.index("w01000 ")
    (around,) = find_around(f"<p>{text[:middle]}<img src=a>{text[middle:]}</p>")
    assert around
    assert set(around.split()) <= set(text.split())
    assert "w00999" in around.split()
    assert "w01000" in around.split()
    (before,) = find_around(f"<p>{text}</p><img src=a>")
    assert before
    assert text.endswith(f" {before}")


def test_open_graph_image_has_the_pages_title_once() -> None:
    head = """<meta property="og:title" content="A lake"><meta property="og:image" content="/a.jpg">
              <meta property="og:image:alt" content="Boats"><meta property="og:image:width" content="1200">
              <meta name="og:image" content="b.jpg">"""
    first, second = find_image_candidates(f"{head}<img src=c.jpg>", PAGE, caption_sources=("alt", "og_title"))
    assert (first.image_url, first.element, first.position) == ("https://example.org/a.jpg", "og_image", 1)
    assert (first.caption, first.caption_source, first.og_title, first.rendered_width) == (
        "Boats",
        "alt",
        "A lake",
        1200,
    )
    assert (second.caption, second.caption_source, second.position) == ("A lake", "og_title", 2)
    shown, _ = find_image_candidates(f"{head}<img src=/a.jpg>", PAGE, caption_sources=("og_title",))
    assert (shown.element, shown.position, shown.alt, shown.og_title) == ("img", 0, "Boats", "A lake")
    assert [found.caption for found in find_image_candidates(head, PAGE)] == ["Boats"]
    assert find_image_candidates(f"{head}<img src=/a.jpg alt=Own>", PAGE)[0].alt == "Own"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("width=300 height=' 200px '", (300, 200)),
        ("width=300 style='max-width:9px; WIDTH : 120.5px;height:80%'", (120, None)),
        ("width=100% height=auto", (None, None)),
        ("width=0 height=-5", (None, None)),
        ("width=99999999999", (None, None)),
    ],
)
def test_size_on_the_page_is_read_from_style_and_attributes(attributes: str, expected: tuple[Any, Any]) -> None:
    found = find_one(f"<img src=a.jpg alt=cat {attributes}>")
    assert (found.rendered_width, found.rendered_height) == expected


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64," + b64encode(PNG).decode(),
        "DATA:image/png;base64, " + b64encode(PNG).decode().rstrip("="),
        "data:image/png;base64," + urlsafe_b64encode(PNG).decode(),
        "data:image/png;charset=x;base64," + quote(b64encode(PNG).decode()),
        "data:image/png," + quote(PNG),
    ],
)
def test_image_in_the_page_itself_is_decoded(url: str) -> None:
    found = find_one(f"<img alt=cat src='{url}'>")
    digest = hashlib.sha256(PNG).hexdigest()
    assert (found.inline, found.problem, found.image_url) == (PNG, None, f"data:image/png;sha256={digest}")


def test_image_in_the_page_that_cannot_be_had_is_named() -> None:
    assert find_one("<img alt=cat src='data:,'>").problem == "data_url: no bytes"
    large = read_data_url("data:image/png;base64," + "A" * (MAX_INLINE_BYTES * 2))
    assert (large.inline, (large.problem or "")[:9]) == (None, "data_url:")
    assert len(large.url) < 100
    fits = read_data_url("data:image/png;base64," + b64encode(bytes(MAX_INLINE_BYTES)).decode())
    assert len(fits.inline or b"") == MAX_INLINE_BYTES


@given(st.text(max_size=200))
def test_no_data_url_raises(noise: str) -> None:
    for head in ("data:", "data:image/png;base64,"):
        address = read_data_url(head + noise)
        assert (address.inline is None) == (address.problem is not None)


def test_caption_of_a_megabyte_is_cut_and_its_length_told() -> None:
    found = find_one(f"<img src=a.jpg alt='{'word ' * 200_000}'>")
    assert found.caption == ("word " * 200_000)[:MAX_CAPTION_CHARS].rstrip()
    assert found.alt == found.caption
    assert found.caption_written_chars == 999_999
    assert find_one("<img src=a.jpg alt=' a  cat '>").caption_written_chars == 5


def test_right_to_left_captions_keep_their_letters_without_controls_of_layout() -> None:
    found = find_one("<img src=a.jpg alt='\u202bקטה\u202c \u200fمی\u200cخواهم\u2067 \u202e'>")
    assert found.caption == "קטה می\u200cخواهم"
