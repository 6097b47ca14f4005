"""Every page gets one of the stated statuses, in order, whatever it does to the extractor."""

from __future__ import annotations

import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.extraction.pages import (
    ExtractionSettings,
    PageExtractor,
    choose_title,
    find_stated_date,
    measure_broken_ratio,
)
from mmpipe.tables.text import EXTRACTION_STATUSES
from mmpipe_tests.extraction.hostile_functions import extract_or_behave

PARAGRAPH = "The river rose in the night and by morning the lower fields were under water, as they are every spring. "
ARTICLE = f"""<!doctype html><html><head><meta charset="utf-8"><title>High water – The Valley Times</title>
<meta property="article:published_time" content="2021-03-04T05:06:07Z"></head><body>
<nav><a href="/">Home</a> <a href="/news">News</a></nav><article><h1>High water</h1>
<p>{PARAGRAPH * 3}</p><p>Größe und Maß. See https://example.org/levels for the levels. {PARAGRAPH * 2}</p></article>
<footer>All rights reserved</footer></body></html>""".encode()


@pytest.mark.parametrize("name", ["trafilatura", "resiliparse"])
def test_article(name: str) -> None:
    with PageExtractor(ExtractionSettings(extractor=name)) as extractor:
        (page,) = extractor.extract([("a", ARTICLE, None)])
    assert (page.id, page.extraction_status, page.detail, page.charset) == ("a", "ok", None, "utf-8")
    assert page.text is not None
    assert "lower fields" in page.text
    assert "Größe und Maß" in page.text
    assert "https://" not in page.text
    assert "All rights reserved" not in page.text
    assert (page.title, page.date) == ("High water", "2021-03-04")
    assert page.extractor is not None
    assert page.extractor.startswith(f"{name} ")


def test_every_status_in_order() -> None:
    settings = ExtractionSettings(
        max_page_bytes=10_000, timeout_seconds=0.5, stall_seconds=2.0, memory_bytes=1 << 30, extractor="trafilatura"
    )
    bodies = {
        "too long": b"x" * 10_001,
        "good": b"words",
        "too long too": b"x" * 20_000,
        "noise": b"\x01\x02\x03\x04ab",
        "hang": b"spin in native code",
        "crash": b"segfault",
        "bomb": b"eat memory",
        "bug": b"raise",
        "empty": b" ",
        "last": b"x" * 10_001,
    }
    with PageExtractor(settings, extract_or_behave) as extractor:
        pages = list(extractor.extract((name, body, None) for name, body in bodies.items()))
    assert [page.id for page in pages] == list(bodies)
    assert [page.extraction_status for page in pages] == [
        "oversized_page",
        "ok",
        "oversized_page",
        "undecodable_page",
        "extraction_timeout",
        "extraction_crash",
        "extraction_crash",
        "extraction_crash",
        "no_main_text",
        "oversized_page",
    ]
    assert {page.extraction_status for page in pages} <= set(EXTRACTION_STATUSES)
    assert [page.text is not None for page in pages] == [page.extraction_status == "ok" for page in pages]


@pytest.mark.parametrize("name", ["trafilatura", "resiliparse"])
@pytest.mark.parametrize(
    "bomb",
    [
        b"<div>" * 100_000,
        b"<b><i>" * 100_000,
        b"<table><tr><td>" * 30_000,
        b"<a " + b"x=1 " * 500_000,
        b"&" * 10**6,
        b"",
    ],
    ids=["deep", "misnested", "tables", "attributes", "ampersands", "nothing"],
)
def test_html_bombs_cost_one_page(name: str, bomb: bytes) -> None:
    settings = ExtractionSettings(extractor=name, timeout_seconds=2.0, memory_bytes=2 << 30)
    with PageExtractor(settings) as extractor:
        pages = list(extractor.extract([("bomb", bomb, None), ("after", ARTICLE, None)]))
    assert pages[0].extraction_status in EXTRACTION_STATUSES
    assert pages[1].extraction_status == "ok"


def test_unknown_extractor_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'trafilatura'"):
        PageExtractor(ExtractionSettings(extractor="trafilatur"))


def test_title_is_cut_to_the_heading_it_holds() -> None:
    assert choose_title([None], ["High water – The Valley Times"], [" High\n water "]) == "High water"
    assert choose_title(["Shared"], ["Title"], ["Else"]) == "Shared"
    assert choose_title([], [], []) is None


def test_stated_dates() -> None:
    assert find_stated_date('{"datePublished": "2020-01-02T00:00"}') == "2020-01-02"
    assert find_stated_date('<time class="x" datetime="2020-01-02">') == "2020-01-02"
    assert find_stated_date('<time datetime="2020-13-02">') is None


def test_broken_ratio() -> None:
    assert measure_broken_ratio("") == 0
    assert measure_broken_ratio("ab\x01\ufffd") == 0.5
    assert measure_broken_ratio("Größe\t\n") == 0
