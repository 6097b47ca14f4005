"""From a page's bytes to its main text, title and date, in a sandbox: every page gets a status, none stops the run."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.extraction.cleaning import clean_text
from mmpipe.extraction.decoding import decode_page
from mmpipe.extraction.sandbox import Outcome, Sandbox, SandboxLimits


@dataclass(frozen=True, slots=True)
class ExtractionSettings:
    """How pages become text; every field but the sandbox's limits changes the text, so it belongs to the recipe.

    Attributes:
        extractor: `trafilatura` (closest to gold text) or `resiliparse` (13 times as fast).
        include_comments: whether readers' comments count as main text. Without them token F1 on gold text is higher.
        is_fast: trafilatura without its fall-back extractors: 44 % faster, 2 points of F1 lower.
        max_page_bytes: a longer page is `oversized_page`.
        max_broken_ratio: a page with a larger share of undecodable or control characters is `undecodable_page`.
        latest_date: ISO date after which a page's date is not believed; None: the day of the run.
        timeout_seconds: CPU time that one page may take.
        stall_seconds: wall time after which a page is given up though it takes no CPU time.
        memory_bytes: address space of the extractor's process.
    """

    extractor: str = "trafilatura"
    include_comments: bool = False
    is_fast: bool = False
    max_page_bytes: int = 8 << 20
    max_broken_ratio: float = 0.2
    latest_date: str | None = None
    timeout_seconds: float = 20.0
    stall_seconds: float = 120.0
    memory_bytes: int = 4 << 30


@dataclass(frozen=True, slots=True)
class ExtractedPage:
    """What became of a page. `extraction_status` is one of tables.text.EXTRACTION_STATUSES; text only if it is `ok`."""

    id: str
    extraction_status: str
    detail: str | None = None
    text: str | None = None
    title: str | None = None
    date: str | None = None
    charset: str | None = None
    extractor: str | None = None


@dataclass(frozen=True, slots=True)
class PageText:
    """Main text as an extractor gives it, before cleaning; empty if it found none."""

    text: str
    title: str | None = None
    date: str | None = None


#: An extractor: decoded HTML and settings in, text out.
Extractor = Callable[[str, ExtractionSettings], PageText]


@dataclass(slots=True)
class PageExtractor:
    """Extracts pages in a child process; a context manager.

    Args:
        settings: what to extract with.
        extractor: a function to use instead of the one the settings name; importable by name.

    Raises:
        ConfigurationError: the settings name an unknown extractor.
    """

    settings: ExtractionSettings
    extractor: Extractor | None = None
    _sandbox: Sandbox[tuple[bytes, str | None], ExtractedPage] = field(init=False, repr=False)
    _name: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        extractor = self.extractor or find_extractor(self.settings.extractor)
        self._name = name_extractor(self.settings.extractor if self.extractor is None else extractor.__name__)
        self._sandbox = Sandbox(
            partial(extract_page, settings=self.settings, extractor=extractor),
            SandboxLimits(self.settings.timeout_seconds, self.settings.stall_seconds, self.settings.memory_bytes),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._sandbox.__exit__(*details)

    @property
    def child_pid(self) -> int | None:
        """Process id of the extractor's process, None while there is none."""
        return self._sandbox.child_pid

    def extract(self, pages: Iterable[tuple[str, bytes, str | None]]) -> Iterator[ExtractedPage]:
        """Yield what became of each page, in order.

        Args:
            pages: (id, body without content coding, charset of the HTTP Content-Type).
        """
        order: deque[ExtractedPage] = deque()
        for outcome in self._sandbox.map(self._admit(pages, order)):
            while order[0].extraction_status == "oversized_page":
                yield order.popleft()
            yield self._conclude(order.popleft().id, outcome)
        yield from order

    def _admit(
        self, pages: Iterable[tuple[str, bytes, str | None]], order: deque[ExtractedPage]
    ) -> Iterator[tuple[bytes, str | None]]:
        """Pass on the pages that are short enough, and note all of them in `order`."""
        for page_id, body, declared in pages:
            if len(body) > self.settings.max_page_bytes:
                detail = f"{len(body)} bytes or more; the limit is {self.settings.max_page_bytes}"
                order.append(ExtractedPage(page_id, "oversized_page", detail))
                continue
            order.append(ExtractedPage(page_id, "waiting"))
            yield body, declared

    def _conclude(self, page_id: str, outcome: Outcome[ExtractedPage]) -> ExtractedPage:
        page = outcome.result
        if page is None:
            return ExtractedPage(page_id, f"extraction_{outcome.failure}", outcome.detail, extractor=self._name)
        return ExtractedPage(
            page_id,
            page.extraction_status,
            page.detail,
            page.text,
            page.title,
            page.date,
            page.charset,
            None if page.extraction_status == "undecodable_page" else self._name,
        )


def extract_page(page: tuple[bytes, str | None], settings: ExtractionSettings, extractor: Extractor) -> ExtractedPage:
    """Decode, extract and clean one page; this is what runs in the child."""
    body, declared = page
    decoded = decode_page(body, declared)
    broken = measure_broken_ratio(decoded.text)
    if broken > settings.max_broken_ratio:
        detail = f"{broken:.0%} of the characters are undecodable or control characters in {decoded.charset}"
        return ExtractedPage("", "undecodable_page", detail, charset=decoded.charset)
    found = extractor(decoded.text, settings)
    text = clean_text(found.text)
    status = "ok" if text else "no_main_text"
    return ExtractedPage("", status, None, text or None, found.title, found.date, decoded.charset)


def measure_broken_ratio(text: str) -> float:
    """Return the share of replacement and control characters among all, 0 for no text."""
    if not text:
        return 0.0
    # deleting bytes is ten times as fast as matching characters; in UTF-8 these bytes are always themselves
    data = text.encode("utf-8", "ignore")
    controls = len(data) - len(data.translate(None, _CONTROLS))
    return (controls + text.count("\ufffd")) / len(text)


#: What no text holds; tabulators, line and page ends and escape are left out.
_CONTROLS = bytes([*range(1, 9), 11, *range(14, 27), *range(28, 32), 127])


def extract_with_trafilatura(html: str, settings: ExtractionSettings) -> PageText:
    """Extract with trafilatura (Barbaresi 2021); the tree is parsed once for text, title and date.

    Title and date are read from the same tree (htmldate without its extensive search) because trafilatura's own
    metadata step costs a third of the extraction for authors, tags and site names that nobody asked for.
    """
    import trafilatura
    from htmldate import find_date

    tree = trafilatura.load_html(html)
    if tree is None:
        return PageText("")
    title = choose_title(
        [
            value
            for meta in tree.iterfind(".//meta")
            if meta.get("property") == "og:title"
            for value in [meta.get("content")]
        ],
        ["".join(node.itertext()) for node in tree.iterfind(".//title")],
        ["".join(node.itertext()) for node in tree.iterfind(".//h1")],
    )
    text = trafilatura.extract(tree, include_comments=settings.include_comments, fast=settings.is_fast)
    date = find_date(tree, extensive_search=False, original_date=True, max_date=settings.latest_date)
    return PageText(text or "", title, date)


def extract_with_resiliparse(html: str, settings: ExtractionSettings) -> PageText:
    """Extract with Resiliparse's main-content rules (Bevendorff et al. 2018), as DCLM did."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(html)
    text = extract_plain_text(
        tree, main_content=True, list_bullets=False, alt_texts=False, comments=settings.include_comments
    )
    document = tree.document
    if document is None:
        return PageText(text)
    # one element by selector and all by tag name are ways that the parser has an index for
    shared = document.query_selector('meta[property="og:title"]')
    headings = document.get_elements_by_tag_name("h1")
    title = choose_title(
        [shared.getattr("content") if shared is not None else None],
        [tree.title],
        [headings[position].text for position in range(min(len(headings), 3))],
    )
    return PageText(text, title, find_stated_date(html))


EXTRACTORS: dict[str, Extractor] = {
    "trafilatura": extract_with_trafilatura,
    "resiliparse": extract_with_resiliparse,
}


def find_extractor(name: str) -> Extractor:
    """Return the extractor of a name.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if name not in EXTRACTORS:
        raise ConfigurationError(f"extraction: no extractor {name!r}.{name_nearest(name, EXTRACTORS)}")
    return EXTRACTORS[name]


def name_extractor(name: str) -> str:
    """Return an extractor's name with its version, as it stands in the rows."""
    from importlib.metadata import version

    return f"{name} {version(name)}" if name in EXTRACTORS else name


def choose_title(shared: list[Any], titles: list[Any], headings: list[Any]) -> str | None:
    """Return a page's title: og:title, else <title>, else <h1>; cut to the <h1> where that is a part of it.

    Sites add their name to the title; the first heading that stands in it is what the page itself is called.
    """
    candidates = [" ".join(text.split()) for text in (*shared[:1], *titles[:1], *headings[:1]) if text]
    title = next((text for text in candidates if text), None)
    headings = [" ".join(text.split()) for text in headings[:3] if text]
    return next((text for text in headings if title and len(text) > 3 and text in title), title)


_ISO_DATE = r"(\d{4})-(\d{2})-(\d{2})"
#: Case-sensitive and each with a literal start, which is forty times as fast as one pattern for all.
_STATED_DATES = (
    re.compile(r"\"datePublished\"\s*:\s*\"" + _ISO_DATE),
    re.compile(r"article:published_time[\"'][^>]{0,80}?content=[\"']" + _ISO_DATE),
    re.compile(r"itemprop=[\"']datePublished[\"'][^>]{0,80}?(?:content|datetime)=[\"']" + _ISO_DATE),
    re.compile(r"<time[^>]{0,200}?datetime=[\"']" + _ISO_DATE),
)


def find_stated_date(html: str) -> str | None:
    """Return the publication date that a page states in JSON-LD, a meta tag, microdata or a <time> element."""
    for pattern in _STATED_DATES:
        found = pattern.search(html)
        if found and "1995" <= found[1] <= "2100" and "01" <= found[2] <= "12" and "01" <= found[3] <= "31":
            return "-".join(found.groups())
    return None
