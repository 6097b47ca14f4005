from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html

from mmpipe.extraction.attribute_paths import AttributePath, UnknownPath, compile_path

NAMESPACES = {"re": "http://exslt.org/regular-expressions"}

PATHS = (
    ".//header",
    "(.//article)[1]",
    ".//cite|.//quote",
    ".//*[@role]",
    ".//*[@class='post' or @id=\"main\"]",
    ".//*[self::div or self::p][contains(@class, 'nav')]",
    ".//*[self::div or self::p][contains(@class, 'nav')][1]",
    "(.//*[self::div or self::section][starts-with(@id, 'main')])[1]|(.//main)[1]",
    ".//*[self::div][re:test(@id|@class, 'nav')]",
    ".//*[re:test(@id|@class, '^nav') or re:test(@id|@style, 'hidden') or @aria-hidden='true']",
    ".//*[re:test(@class, 'NAV|main$', 'i')]",
    ".//*[contains(translate(@class, 'NM', 'nm'), 'nav') and not(@id)]",
    ".//*[not(@class='post') and (@id='nav' or contains(@class, 'main'))]",
    ".//*[starts-with(@id|@class, 'na')]",
    ".//*[self::div or self::p][contains(@class, 'nav')][not(.//p) or @id='main']",
    ".//*[self::div][contains(@class, 'nav')][not(self::p) or @id]",
    ".//*[contains(@class, '')]",
)

_VALUES = st.sampled_from(["", "nav", "main", "post", "Nav main", "x nav", "NAV", "hidden", "true", "nav hidden"])
_NAMES = st.lists(st.sampled_from(["id", "class", "style", "role", "aria-hidden"]), unique=True, max_size=4)
_TAGS = st.sampled_from(["div", "p", "section", "main", "article", "header", "cite", "quote"])


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> etree._Element:
    element = etree.Element(draw(_TAGS))
    for name in draw(_NAMES):
        element.set(name, draw(_VALUES))
    if depth:
        element.extend(draw(st.lists(trees(depth - 1), max_size=4)))
    return element


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None)
@given(tree=trees())
def test_the_same_elements_come_in_the_same_order(path: str, tree: etree._Element) -> None:
    expression = etree.XPath(path, namespaces=NAMESPACES)
    compiled = compile_path(expression)
    assert compiled(tree) == expression(tree)
    for below in tree:
        assert compiled(below) == expression(below)


REFUSED = (
    "//header",
    ".//div/p",
    ".//*[position() < 3]",
    ".//*[.//h1]",
    ".//*[@class]/@id",
    ".//*[count(p) = 1]",
    "p",
    ".//*[re:test(@id, 'a', 'g')]",
    ".//*[contains(translate(@id, 'ab', 'a'), 'x')]",
)


@pytest.mark.parametrize("path", REFUSED)
def test_what_asks_for_more_is_refused(path: str) -> None:
    with pytest.raises(UnknownPath, match="no attribute path can say"):
        compile_path(etree.XPath(path, namespaces=NAMESPACES))


def test_most_of_trafilaturas_paths_on_content_are_known() -> None:
    from trafilatura import xpaths

    lists = [xpaths.BODY_XPATH, xpaths.OVERALL_DISCARD_XPATH, xpaths.REMOVE_COMMENTS_AND_LISTS_XPATH,
             xpaths.RAW_TREE_PRUNE_XPATH, xpaths.TEASER_DISCARD_XPATH, xpaths.PRECISION_DISCARD_XPATH]  # fmt: skip
    for expression in [item for listed in lists for item in listed]:
        if not isinstance(expression, AttributePath):  # put there by a page that was extracted before
            compile_path(expression)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    import mmpipe.extraction.attribute_paths as module

    monkeypatch.setattr(module, "_MOST_VERDICTS", 5)
    compiled = compile_path(etree.XPath(".//*[contains(@class, '7')]"))
    tree = html.fromstring("<div>" + "".join(f"<p class='c{n}'>x</p>" for n in range(20)) + "</div>")
    for _ in range(3):
        assert [e.get("class") for e in compiled(tree)] == ["c7", "c17"]
    (step,) = compiled.steps
    assert len(step._verdicts) <= 5 + 20
