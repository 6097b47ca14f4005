"""The extractors behind one argument: decoded HTML and settings in, main text with title and date out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.extraction.block_text import write_blocks
from mmpipe.extraction.chooser import ChooserModel, choose_page_blocks, load_model, read_model_digest
from mmpipe.extraction.faster_trafilatura import hasten_trafilatura
from mmpipe.extraction.metadata import find_stated_date, find_stated_title


@dataclass(frozen=True, slots=True)
class ExtractionSettings:
    """How pages become text; every field but the sandbox's limits changes the text, so it belongs to the recipe.

    Attributes:
        extractor: `trafilatura`, `resiliparse`, `justext`, or `chooser`, which chooses a page's blocks by a model.
        favor: trafilatura's precision or recall mode.
        is_fast: trafilatura without its fall-back extractors.
        output: `plain` text or `markdown` (trafilatura and chooser).
        include_comments: whether readers' comments count as main text. Without them token F1 on gold text is higher.
        include_tables: whether tables are kept.
        include_links: whether the targets of links are kept (trafilatura and resiliparse).
        deduplicate: trafilatura's own removal of repeated segments.
        metadata: title and date where the page states them (`stated`: a fifth of a millisecond), the date also by
            htmldate's search (`searched`), or not at all (`none`).
        timeout_seconds: CPU time that one page may take.
        max_page_bytes: a longer page is `oversized_page`.
        max_broken_ratio: a page with a larger share of undecodable or control characters is `undecodable_page`.
        latest_date: ISO date after which a searched date is not believed; None: the day of the run.
        stall_seconds: wall time after which a page is given up though it takes no CPU time.
        memory_bytes: address space of the extractor's process.

    Raises:
        ConfigurationError: the extractor is unknown, or cannot do what is asked.
    """

    extractor: str = "trafilatura"
    favor: Literal["none", "precision", "recall"] = "none"
    is_fast: bool = False
    output: Literal["plain", "markdown"] = "plain"
    include_comments: bool = False
    include_tables: bool = True
    include_links: bool = False
    deduplicate: bool = False
    metadata: Literal["stated", "searched", "none"] = "searched"
    timeout_seconds: float = 30.0
    max_page_bytes: int = 20_000_000
    max_broken_ratio: float = 0.2
    latest_date: str | None = None
    stall_seconds: float = 120.0
    memory_bytes: int = 4 << 30

    def __post_init__(self) -> None:
        find_extractor(self.extractor)
        for name, value, able in _LIMITED:
            if getattr(self, name) == value and self.extractor not in able:
                setting = f"{name}: {str(value).lower()}"
                raise ConfigurationError(
                    f"extraction: {self.extractor} cannot do `{setting}`: leave it out, or set `extractor` to "
                    f"{' or '.join(able)}."
                )


#: What not every extractor can do: setting, value, who can. Nothing is quietly ignored.
_LIMITED: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("favor", "precision", ("trafilatura",)),
    ("favor", "recall", ("trafilatura",)),
    ("is_fast", True, ("trafilatura",)),
    ("output", "markdown", ("trafilatura", "chooser")),
    ("include_comments", True, ("trafilatura", "resiliparse")),
    ("include_tables", False, ("trafilatura", "resiliparse", "chooser")),
    ("include_links", True, ("trafilatura", "resiliparse")),
    ("deduplicate", True, ("trafilatura",)),
)


@dataclass(frozen=True, slots=True)
class PageText:
    """Main text as an extractor gives it, before cleaning; empty if it found none."""

    text: str
    title: str | None = None
    date: str | None = None


#: An extractor: decoded HTML and settings in, text out.
Extractor = Callable[[str, ExtractionSettings], PageText]


def extract_with_trafilatura(html: str, settings: ExtractionSettings) -> PageText:
    """Extract with trafilatura (Barbaresi 2021); a searched date is read from the same tree.

    Title and date are not trafilatura's: its metadata step costs a third of the extraction for authors, tags and site
    names that nobody asked for.
    """
    trafilatura = hasten_trafilatura()
    page = _drop_forbidden_entities(html)
    # parsed once where a date is searched too; a tree that is given is copied
    source = trafilatura.load_html(page) if settings.metadata == "searched" else page
    if source is None:
        return PageText("")
    if settings.deduplicate:
        # its memory of segments spans pages: what came before must not change a page
        from trafilatura.deduplication import LRU_TEST

        LRU_TEST.clear()
    text = trafilatura.extract(
        source,
        output_format="markdown" if settings.output == "markdown" else "txt",
        include_comments=settings.include_comments,
        include_tables=settings.include_tables,
        include_links=settings.include_links,
        deduplicate=settings.deduplicate,
        fast=settings.is_fast,
        favor_precision=settings.favor == "precision",
        favor_recall=settings.favor == "recall",
    )
    # the date last: its search takes elements out of the tree
    return PageText(text or "", *_read_metadata(html, settings, source))


#: Controls and non-characters as numbers: XML 1.0, §2.2 forbids them even so. `&#0;` and surrogates parsers replace.
_FORBIDDEN_ENTITY = re.compile(
    "&#(?:0*(?:[1-8]|1[124-9]|2[0-9]|3[01]|6553[45])(?![0-9])"
    "|[xX]0*(?:[1-8bBcCeEfF]|1[0-9a-fA-F]|[fF]{3}[eEfF])(?![0-9a-fA-F]));?"
)


def _drop_forbidden_entities(html: str) -> str:
    """Return the page without the entities of which a single one makes trafilatura give up a page."""
    if "&#" not in html:
        return html
    return _FORBIDDEN_ENTITY.sub("", html)


def extract_with_resiliparse(html: str, settings: ExtractionSettings) -> PageText:
    """Extract with Resiliparse's main-content rules (Bevendorff et al. 2018), as DCLM did."""
    from resiliparse.extract.html2text import extract_plain_text

    text = extract_plain_text(
        html,
        main_content=True,
        list_bullets=False,
        alt_texts=False,
        links=settings.include_links,
        comments=settings.include_comments,
        skip_elements=None if settings.include_tables else ["table"],
    )
    return PageText(text, *_read_metadata(html, settings))


def extract_with_justext(html: str, settings: ExtractionSettings) -> PageText:
    """Extract with jusText (Pomikálek 2011) and the stop words of the language that the page states.

    A page that states none, or one without a stop list, is judged by lengths and links only, as jusText provides for.
    """
    import justext
    from lxml.etree import ParserError

    words = _find_stop_words(html)
    limits = {} if words else {"stopwords_low": 0.0, "stopwords_high": 0.0}
    try:
        paragraphs = justext.justext(html.encode("utf-8", "replace"), words, encoding="utf-8", **limits)
    except ParserError:  # lxml's word for a page without any element
        paragraphs = []
    text = "\n".join(paragraph.text for paragraph in paragraphs if not paragraph.is_boilerplate)
    return PageText(text, *_read_metadata(html, settings))


def extract_with_chooser(html: str, settings: ExtractionSettings) -> PageText:
    """Extract the blocks that the chooser takes for main text.

    Of pages with too many blocks it takes resiliparse's text, and of pages that show none (scripts would write them)
    trafilatura's, which also looks where nothing is shown.
    """
    return extract_with_model(html, settings, load_model())


def extract_with_model(html: str, settings: ExtractionSettings, model: ChooserModel) -> PageText:
    """Extract as `extract_with_chooser` does, with a model other than the packaged one."""
    choice = choose_page_blocks(html, model)
    if choice.is_cut:
        return extract_with_resiliparse(html, replace(settings, output="plain"))
    if not choice.chosen.any():
        return extract_with_trafilatura(html, settings)
    is_markdown = settings.output == "markdown"
    text = write_blocks(choice.text, choice.blocks, choice.chosen, is_markdown, settings.include_tables)
    return PageText(text, *_read_metadata(html, settings))


def _read_metadata(html: str, settings: ExtractionSettings, source: Any = None) -> tuple[str | None, str | None]:
    if settings.metadata == "none":
        return None, None
    title = find_stated_title(html)
    if settings.metadata == "stated":
        return title, find_stated_date(html)
    from htmldate import find_date

    page = html if source is None else source
    return title, find_date(page, extensive_search=False, original_date=True, max_date=settings.latest_date)


def _find_stop_words(html: str) -> frozenset[str]:
    """Return jusText's stop list of the language that the <html> tag states, empty if it has none."""
    import justext
    from trafilatura.settings import JUSTEXT_LANGUAGES

    stated = re.search(r"<html[^>]{0,500}?\blang\s*=\s*[\"']?([A-Za-z]{2})", html[:20_000], re.IGNORECASE)
    name = JUSTEXT_LANGUAGES.get(stated[1].lower()) if stated else None
    return justext.get_stoplist(name) if name else frozenset()


EXTRACTORS: dict[str, Extractor] = {
    "trafilatura": extract_with_trafilatura,
    "resiliparse": extract_with_resiliparse,
    "justext": extract_with_justext,
    "chooser": extract_with_chooser,
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
    """Return an extractor's name with its version, as it stands in the rows; the chooser's is its model's digest."""
    from importlib.metadata import version

    if name == "chooser":
        return f"chooser {read_model_digest()}"
    return f"{name} {version(name)}" if name in EXTRACTORS else name
