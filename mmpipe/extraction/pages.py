"""From a page's bytes to its main text, title and date, in a sandbox: every page gets a status, none stops the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, Self

import numpy as np

from mmpipe.extraction.cleaning import clean_text
from mmpipe.extraction.decoding import decode_page, encode_page
from mmpipe.extraction.extractors import (
    ExtractionSettings,
    Extractor,
    find_extractor,
    name_extractor,
)
from mmpipe.extraction.sandbox import Outcome, Sandbox, SandboxLimits


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


class PageLook(Protocol):
    """A quick look at a decoded page before the extractor."""

    def look(self, html: str) -> tuple[str, str] | None:
        """Return (extraction_status, detail) of a page that need not be extracted, None for one that must be."""


@dataclass(slots=True)
class PageExtractor:
    """Extracts pages in a child process; a context manager.

    Args:
        settings: what to extract with.
        extractor: a function to use instead of the one the settings name; importable by name.
        first_pass: looks at each decoded page first, in the child; crosses to it by pickle. A page that it names has
            its status and detail and is not extracted.
    """

    settings: ExtractionSettings
    extractor: Extractor | None = None
    first_pass: PageLook | None = None
    _sandbox: Sandbox[tuple[bytes, str | None], ExtractedPage] = field(init=False, repr=False)
    _name: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        extractor = self.extractor or find_extractor(self.settings.extractor)
        self._name = name_extractor(self.settings.extractor if self.extractor is None else extractor.__name__)
        self._sandbox = Sandbox(
            partial(extract_page, settings=self.settings, extractor=extractor, first_pass=self.first_pass),
            SandboxLimits(self.settings.timeout_seconds, self.settings.stall_seconds, self.settings.memory_bytes),
            # imports and compiled loops are loaded before the first page's time runs
            prepare=partial(extractor, _WARM_PAGE, self.settings),
            kept_seconds=_KEPT_SECONDS,
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
            self._name if page.extraction_status in ("ok", "no_main_text") else None,
        )


def extract_page(
    page: tuple[bytes, str | None],
    settings: ExtractionSettings,
    extractor: Extractor,
    first_pass: PageLook | None = None,
) -> ExtractedPage:
    """Decode, look at, extract and clean one page; this is what runs in the child."""
    body, declared = page
    decoded = decode_page(body, declared)
    broken = measure_broken_ratio(decoded.text)
    if broken > settings.max_broken_ratio:
        detail = f"{broken:.0%} of the characters are undecodable or control characters in {decoded.charset}"
        return ExtractedPage("", "undecodable_page", detail, charset=decoded.charset)
    if first_pass is not None and (spared := first_pass.look(decoded.text)) is not None:
        return ExtractedPage("", *spared, charset=decoded.charset)
    found = extractor(decoded.text, settings)
    text = clean_text(found.text)
    status = "ok" if text else "no_main_text"
    return ExtractedPage("", status, None, text or None, found.title, found.date, decoded.charset)


#: How long an extractor's process, a hundred megabytes, waits for the pages of the next shard.
_KEPT_SECONDS = 60.0
_WARM_PAGE = "<html><title>Warm</title><body><h1>Warm</h1><p>A page to load the extractor with, and its models.</p>"


def measure_broken_ratio(text: str) -> float:
    """Return the share of replacement and control characters among all, 0 for no text."""
    if not text:
        return 0.0
    # bytes are compared a hundred times as fast as characters are matched; in UTF-8 these are always themselves
    data = np.frombuffer(encode_page(text), np.uint8)
    controls = np.count_nonzero(data < _FIRST_PRINTABLE) + np.count_nonzero(data == _DELETE)
    for allowed in _ALLOWED_CONTROLS:
        if not controls:
            break
        controls -= np.count_nonzero(data == allowed)
    return (int(controls) + text.count("\ufffd")) / len(text)


_FIRST_PRINTABLE, _DELETE = 32, 127
#: What texts hold: line ends, tabulators, page ends, escape; NUL is gone.
_ALLOWED_CONTROLS = (10, 9, 13, 12, 27, 0)
