"""Makes trafilatura say the same in half the time: paths with memory, plain elements, no fall-back that cannot win."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from lxml.etree import XPath, _Element

#: What readability writes for a video, the one text that it adds (trafilatura 2.3, readability_lxml).
_VIDEO = "VIDEO"
#: A result of another extractor is preferred from this many times the length of trafilatura's own (external.py).
_PREFERRED_RATIO = 2


@cache
def hasten_trafilatura() -> ModuleType:
    """Return trafilatura, changed once for this process; the same text comes out of every page.

    Of trafilatura 2.3's time on a page half goes into XPath expressions that call Python for every attribute
    (`attribute_paths`), a tenth into lxml's choice of a class for every element it shows, and a tenth into readability
    where the whole page holds too little text for readability's to be preferred. Whatever another version of
    trafilatura no longer has is left as it is.
    """
    import trafilatura
    from trafilatura import core, external, utils, xpaths

    # the package has a function of the module's name
    _remember_paths(xpaths, import_module("trafilatura.baseline"))
    parser = getattr(utils, "HTML_PARSER", None)
    if parser is not None:
        _show_plain_elements(parser)
        if {"compare_extraction", "try_readability"} <= vars(external).keys() and hasattr(core, "compare_extraction"):
            _Comparison(external, parser).install(core)
    module: ModuleType = trafilatura
    return module


def _remember_paths(xpaths: ModuleType, *modules: ModuleType) -> None:
    """Put expressions with memory into trafilatura's lists, in place (its modules hold the same lists), and modules."""
    from lxml.etree import XPath

    from mmpipe.extraction.attribute_paths import UnknownPath, compile_path

    for listed in vars(xpaths).values():
        if not isinstance(listed, list) or not all(isinstance(item, XPath) for item in listed):
            continue
        for at, expression in enumerate(listed):
            with suppress(UnknownPath):
                listed[at] = compile_path(expression)
    for module in modules:
        for name, expression in list(vars(module).items()):
            if isinstance(expression, XPath):
                with suppress(UnknownPath):
                    setattr(module, name, compile_path(expression))


def _show_plain_elements(parser: Any) -> None:
    """Let the parser's trees show elements of one class, where lxml.html asks a Python method for each one's."""
    from lxml.etree import ElementDefaultClassLookup, XPath
    from lxml.html import HtmlComment, HtmlElement

    @cache
    def compile_once(path: str) -> XPath:
        return XPath(path, smart_strings=False)

    class PageElement(HtmlElement):  # type: ignore[misc]
        def xpath(self, _path: str, **options: Any) -> Any:
            """Evaluate a path, compiled once and without strings that know their element, if nothing else is asked."""
            return super().xpath(_path, **options) if options else compile_once(_path)(self)

    parser.set_element_class_lookup(ElementDefaultClassLookup(element=PageElement, comment=HtmlComment))


class _Comparison:
    """Trafilatura's comparison with its fall-backs, that runs readability only where it can be preferred.

    It is preferred if its text is more than twice as long as trafilatura's own, or if the own text is empty, has no
    paragraph or more tables than paragraphs; and its text is a part of the page's.
    """

    def __init__(self, external: Any, parser: Any) -> None:
        from lxml.etree import XPath

        self._compare = external.compare_extraction
        self._try_readability = external.try_readability
        self._external = external
        self._parser = parser
        self._read = XPath(
            "descendant-or-self::*[not(self::script or self::style or self::fencedframe)]/text()", smart_strings=False
        )
        self._has_paragraph = XPath("boolean(.//p//text())")
        #: Length up to which readability's text loses, while a page is compared.
        self._limit = ContextVar("limit", default=0)

    def install(self, core: Any) -> None:
        core.compare_extraction = self._external.compare_extraction = self.compare
        self._external.try_readability = self.try_readability

    def compare(self, cleaned_tree: Any, raw_tree: Any, body: Any, text: str, options: Any) -> Any:
        """Stand for trafilatura.external.compare_extraction: the raw tree is what readability would get."""
        limit = 0
        if options.focus != "recall" and text:
            is_sound = self._has_paragraph(body) and len(body.findall(".//table")) <= len(body.findall(".//p"))
            limit = _PREFERRED_RATIO * (len(text) if is_sound else min(len(text), options.min_extracted_size))
        before = self._limit.set(limit)
        try:
            if self._cannot_win(raw_tree):
                raw_tree = self._make_empty()
            return self._compare(cleaned_tree, raw_tree, body, text, options)
        finally:
            self._limit.reset(before)

    def try_readability(self, raw_tree: Any) -> Any:
        """Stand for trafilatura.external.try_readability: by now the page's margins have been taken off."""
        return self._make_empty() if self._cannot_win(raw_tree) else self._try_readability(raw_tree)

    def _cannot_win(self, tree: _Element) -> bool:
        limit = self._limit.get()
        if not limit:
            return False
        words = "".join(self._read(tree)).split()
        # as long as the text would be, its white space collapsed
        most = sum(map(len, words)) + len(words) + len(_VIDEO) * sum(1 for _ in tree.iter("iframe"))
        return most <= limit

    def _make_empty(self) -> Any:
        return self._parser.makeelement("html")
