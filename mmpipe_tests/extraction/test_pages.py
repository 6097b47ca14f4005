"""Every page gets one of the stated statuses, in order, whatever it does to the extractor."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.extraction.extractors import find_extractor
from mmpipe.extraction.metadata import choose_title, find_stated_date
from mmpipe.extraction.pages import (
    ExtractionSettings,
    PageExtractor,
    measure_broken_ratio,
)
from mmpipe.tables.text import EXTRACTION_STATUSES
from mmpipe_tests.extraction.hostile_functions import extract_or_behave

PARAGRAPH = "The river rose in the night and by morning the lower fields were under water, as they are every spring. "
ARTICLE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>High water – The Valley Times</title>
<meta property="article:published_time" content="2021-03-04T05:06:07Z"></head><body>
<nav><a href="/">Home</a> <a href="/news">News</a></nav><article><h1>High water</h1>
<p>{PARAGRAPH * 3}</p><p>Größe und Maß. See https://example.org/levels for the levels. {PARAGRAPH * 2}</p></article>
<footer>All rights reserved</footer></body></html>""".encode()


@pytest.mark.parametrize("name", ["trafilatura", "resiliparse", "justext", "chooser"])
def test_article(name: str) -> None:
    with PageExtractor(ExtractionSettings(extractor=name)) as extractor:
        (page,) = extractor.extract([("a", ARTICLE, None)])
    assert (page.id, page.extraction_status, page.detail, page.charset) == ("a", "ok", None, "utf-8")
    assert page.text is not None
    assert "lower fields" in page.text
    assert "Größe und Maß" in page.text
    assert "All rights reserved" not in page.text
    assert (page.title, page.date) == ("High water", "2021-03-04")
    assert page.extractor is not None
    assert page.extractor.startswith(f"{name} ")


@pytest.mark.parametrize("name", ["trafilatura", "chooser"])
@pytest.mark.parametrize("entity", ["&#1;", "&#0031;", "&#11", "&#x1F;", "&#X0e;", "&#xFFFE;", "&#65535;"])
def test_an_entity_that_xml_forbids_costs_itself_alone(name: str, entity: str) -> None:
    page = ARTICLE.decode().replace("<p>", f"<p>Here{entity} and ", 1)
    text = find_extractor(name)(page, ExtractionSettings(extractor=name)).text
    assert "lower fields" in text
    assert "Größe und Maß" in text
    allowed = page.replace(entity, "&#233;&#x2014;&#10;&#128512;&#x10FFFF;")  # they begin as the forbidden ones do
    assert "Hereé— 😀" in find_extractor(name)(allowed, ExtractionSettings(extractor=name)).text


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


@pytest.mark.parametrize("name", ["trafilatura", "resiliparse", "chooser"])
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


class OtherLanguage:
    """A first pass that spares pages which hold a word."""

    def look(self, html: str) -> tuple[str, str] | None:
        return ("other_language", "de 0.99") if "Maß" in html else None


def test_first_pass_spares_the_extractor() -> None:
    with PageExtractor(ExtractionSettings(), extract_or_behave, first_pass=OtherLanguage()) as extractor:
        pages = list(extractor.extract([("a", "Maß".encode(), None), ("b", b"words", None)]))
    assert [(page.id, page.extraction_status, page.detail, page.extractor) for page in pages] == [
        ("a", "other_language", "de 0.99", None),
        ("b", "ok", None, "extract_or_behave"),
    ]


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("resiliparse", {"output": "markdown"}),
        ("resiliparse", {"favor": "precision"}),
        ("justext", {"include_comments": True}),
        ("justext", {"include_tables": False}),
        ("chooser", {"include_links": True}),
        ("chooser", {"is_fast": True}),
        ("chooser", {"deduplicate": True}),
    ],
)
def test_what_an_extractor_cannot_do_stops_at_load(name: str, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} cannot do `{next(iter(setting))}"):
        ExtractionSettings(extractor=name, **setting)


RICH = """<html lang=en><title>t</title><body><main><article><h2>Levels of the river</h2><p>{0}</p><ul><li>{0}</li>
<li>{0}</li></ul><table><tr><th>Place</th><th>Level</th></tr><tr><td>Upper bridge of the valley</td><td>412</td></tr>
</table><p>{0}</p>
<pre><code>def level(x):
    return x + 1
</code></pre><p>{0} <a href="https://example.org/more">More levels</a> {0}</p></article></main></body></html>"""


@pytest.mark.parametrize("name", ["trafilatura", "resiliparse", "chooser"])
def test_lists_tables_and_code_are_kept(name: str) -> None:
    html = RICH.format(PARAGRAPH)
    text = find_extractor(name)(html, ExtractionSettings(extractor=name)).text
    assert "Upper bridge" in text
    assert "    return x + 1" in text
    without = find_extractor(name)(html, ExtractionSettings(extractor=name, include_tables=False)).text
    assert "Upper bridge" not in without
    assert "lower fields" in without


@pytest.mark.parametrize("name", ["trafilatura", "chooser"])
def test_markdown_marks_headings_and_code(name: str) -> None:
    text = find_extractor(name)(RICH.format(PARAGRAPH), ExtractionSettings(extractor=name, output="markdown")).text
    assert "## Levels" in text
    assert "```\ndef level" in text
    assert "- The river" in text


@pytest.mark.parametrize("name", ["trafilatura", "resiliparse"])
def test_links_are_kept_where_asked(name: str) -> None:
    html = RICH.format(PARAGRAPH)
    assert "example.org" in find_extractor(name)(html, ExtractionSettings(extractor=name, include_links=True)).text
    assert "example.org" not in find_extractor(name)(html, ExtractionSettings(extractor=name)).text


@pytest.mark.parametrize("metadata", ["none", "stated", "searched"])
def test_metadata_only_where_asked(metadata: Literal["none", "stated", "searched"]) -> None:
    page = find_extractor("chooser")(ARTICLE.decode(), ExtractionSettings(extractor="chooser", metadata=metadata))
    assert (page.title, page.date) == ((None, None) if metadata == "none" else ("High water", "2021-03-04"))


def test_deduplication_remembers_no_other_page() -> None:
    settings = ExtractionSettings(deduplicate=True)
    texts = {find_extractor("trafilatura")(ARTICLE.decode(), settings).text for _ in range(6)}
    assert len(texts) == 1


def test_unknown_extractor_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'trafilatura'"):
        ExtractionSettings(extractor="trafilatur")


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
