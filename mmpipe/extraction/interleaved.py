"""From a page to its nodes in the order of the DOM: paragraphs of main text, and the pictures that stand among them."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: Why a picture of a page is no node of its document.
OUTSIDE = "outside_main_content"
NO_PLACE = "no_place_in_page"

#: Elements that hold no main content (OBELICS, Laurençon et al. 2023, arXiv 2306.16527, §3.1 and Appendix A.1.2,
#: simplifies the tree so), and roles that say the same.
_OUTSIDE_TAGS = frozenset(("nav", "footer", "aside", "button", "select", "dialog", "menu"))
_OUTSIDE_ROLES = frozenset(
    ("navigation", "banner", "contentinfo", "complementary", "search", "menu", "menubar", "dialog")
)
#: A header of a page is no content, that of an article is.
_CONTENT_TAGS = frozenset(("article", "main", "section"))
_UNSEEN_TAGS = frozenset(("script", "style", "template", "title", "head"))

_NO_LETTER = re.compile(r"[\W_]+")
_SIZE = re.compile(r"\s*(\d{1,5})(?:\.\d*)?\s*(?:px)?\s*$")

#: Letters that a line is looked for ahead of the one before it. A short line that is not where it should be may well
#: stand further on by chance, and would take everything after it along.
_SHORT_LINE, _NEAR, _FAR = 24, 2_000, 200_000
#: Lines not found, after which no line is looked for far ahead: a hostile page could ask for that a hundred thousand
#: times.
_MOST_MISSED = 500
#: A picture that opens an article stands beside a byline, a date, a credit: a part of the article with so many pictures
#: and letters at most is looked past. The part around it must be main text by this share of its letters, and no more
#: than so many elements up.
_MOST_PICTURES, _MOST_LETTERS, _LEAST_MAIN, _MOST_LEVELS = 2, 300, 0.5, 12
#: Letters of a line's beginning that are looked for where the whole is not found, because parsers read it differently.
_BEGINNING = 48


class Markup(NamedTuple):
    """What the page's <img> says of itself: the address as written, and the size it is shown at, pixels."""

    src: str | None
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class PageNode:
    """A paragraph or a picture of a page; exactly one of `text` and `position` is given.

    Attributes:
        text: a paragraph of main text, its lines kept.
        position: of the picture among the page's <img> elements, from 0, as `image_candidates.position` counts.
        markup: of the picture, where it has a place in the page.
        left_out: why a picture is no part of the document: `OUTSIDE` or `NO_PLACE`; None if it is one.
    """

    text: str | None = None
    position: int | None = None
    markup: Markup | None = None
    left_out: str | None = None


def find_nodes(html: str, positions: Collection[int]) -> list[PageNode]:
    """Return the paragraphs of a page's main text and the pictures asked for, in the order of the DOM.

    What is main text the block chooser says (`chooser`). A picture is part of the document where the text next to it,
    before or after, is, the caption of its own figure and its alternative text not counted; or where it stands in a
    small part, such as the head of an article with byline and date, of an element that is main text for the most part.
    A line is never cut: a picture inside one stands after it. Pictures in navigation, footers and the like, and those
    that stand among text that is not chosen, follow with `OUTSIDE`; positions that no <img> of the page has (such as a
    picture of the head) come last with `NO_PLACE`.

    Args:
        html: the decoded page.
        positions: places of the pictures among all <img> elements of the page, from 0, as
            `images.find_image_candidates` counts them.
    """
    from mmpipe.extraction.chooser import choose_page_blocks, load_model

    outline = _outline_page(html, frozenset(positions))
    choice = choose_page_blocks(html, load_model())
    lines = _list_lines(choice.text.tobytes(), choice.blocks, choice.chosen.tolist())
    starts = _locate_lines(lines, "".join(outline.pieces))
    main = [0, *accumulate(len(line.letters) * line.is_main for line in lines)]
    every = [0, *accumulate(len(line.letters) for line in lines)]
    pictures = []
    for picture in outline.pictures:
        is_in = not picture.is_outside and (
            _is_next_to_main(picture, lines, starts) or _is_in_main(picture, starts, main, every)
        )
        left_out = None if is_in else OUTSIDE
        pictures.append(PageNode(position=picture.position, markup=picture.markup, left_out=left_out))
    after_line: dict[int, list[PageNode]] = {}
    for picture, node in zip(outline.pictures, pictures, strict=True):
        after_line.setdefault(bisect_left(starts, picture.at), []).append(node)
    nodes = _join_lines(lines, after_line)
    known = {picture.position for picture in outline.pictures}
    return nodes + [PageNode(position=place, left_out=NO_PLACE) for place in sorted(set(positions) - known)]


# where things stand ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Span:
    """An element: letters and pictures of the page before it and up to its end."""

    start: int
    first_picture: int
    end: int = 0
    last_picture: int = 0


@dataclass(slots=True)
class _Picture:
    """A picture, and where it stands: letters of the page before it, and before and after its figure.

    `around` are the elements that it stands in, the innermost first.
    """

    position: int
    at: int
    markup: Markup
    is_outside: bool
    figure_start: int
    figure_end: int
    around: Sequence[_Span]
    alt_letters: str


@dataclass(slots=True)
class _Outline:
    """A page's letters and digits in order, and the pictures asked for between them; built as the tree is walked."""

    positions: frozenset[int]
    pieces: list[str] = field(default_factory=list)
    pictures: list[_Picture] = field(default_factory=list)
    _at: int = 0
    _count: int = 0
    _unseen: int = 0
    _content: int = 0
    _outside: list[Any] = field(default_factory=list)
    _figures: list[tuple[int, list[_Picture]]] = field(default_factory=list)
    _spans: list[_Span] = field(default_factory=list)

    def start(self, element: Any) -> None:
        tag = element.tag
        self._spans.append(_Span(self._at, self._count))
        self._unseen += tag in _UNSEEN_TAGS
        self._content += tag in _CONTENT_TAGS
        if _is_outside(element, self._content):
            self._outside.append(element)
        if tag == "figure":
            self._figures.append((self._at, []))
        elif tag == "img":
            if self._count in self.positions:
                self._add_picture(element)
            self._count += 1
        self._write(element.text)

    def end(self, element: Any) -> None:
        span = self._spans.pop()
        span.end, span.last_picture = self._at, self._count
        self._unseen -= element.tag in _UNSEEN_TAGS
        self._content -= element.tag in _CONTENT_TAGS
        if self._outside and self._outside[-1] is element:
            self._outside.pop()
        if element.tag == "figure":
            for picture in self._figures.pop()[1]:
                picture.figure_end = self._at
        self._write(element.tail)

    def _add_picture(self, element: Any) -> None:
        start = self._figures[0][0] if self._figures else self._at
        around = self._spans[: -2 - _MOST_LEVELS : -1]
        alt = _NO_LETTER.sub("", element.get("alt") or "")
        picture = _Picture(
            self._count, self._at, _read_markup(element), bool(self._outside), start, self._at, around, alt
        )
        self.pictures.append(picture)
        if self._figures:
            self._figures[0][1].append(picture)

    def _write(self, text: str | None) -> None:
        if text and not self._unseen:
            self.pieces.append(_NO_LETTER.sub("", text))
            self._at += len(self.pieces[-1])


def _outline_page(html: str, positions: frozenset[int]) -> _Outline:
    from lxml import etree

    outline = _Outline(positions)
    # as `images.find_image_candidates` parses, so that both count the same elements
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(html.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return outline
    if root is not None:
        for event, element in etree.iterwalk(root, events=("start", "end")):
            (outline.start if event == "start" else outline.end)(element)
    return outline


def _is_outside(element: Any, content: int) -> bool:
    if element.tag in _OUTSIDE_TAGS or (element.tag == "header" and not content):
        return True
    role = element.get("role")
    return role is not None and role.strip().lower() in _OUTSIDE_ROLES


def _read_markup(image: Any) -> Markup:
    sizes = [_SIZE.match(image.get(name) or "") for name in ("width", "height")]
    src: str | None = image.get("src")
    return Markup(src, *(int(size[1]) if size else None for size in sizes))


class _Line(NamedTuple):
    """A line of a block of the page, and whether the block is main text."""

    text: str
    block: int
    is_main: bool
    letters: str


def _list_lines(text: bytes, blocks: Any, chosen: Sequence[bool]) -> list[_Line]:
    from mmpipe.extraction.html_runs import END, START

    return [
        _Line(line, block, is_main, _NO_LETTER.sub("", line))
        for block, ((start, end), is_main) in enumerate(zip(blocks[:, [START, END]].tolist(), chosen, strict=True))
        for line in text[start:end].decode("utf-8", "replace").split("\n")
        if line.strip()
    ]


def _locate_lines(lines: Sequence[_Line], letters: str) -> list[int]:
    """Return how many letters of the page stand before each line; the lines are in the page's order."""
    starts = []
    at = 0
    missed = 0
    for line in lines:
        wanted = line.letters
        is_near = len(wanted) < _SHORT_LINE or missed > _MOST_MISSED
        ahead = at + len(wanted) + (_NEAR if is_near else _FAR)
        found = letters.find(wanted, at, ahead)
        if found < 0 and len(wanted) > _BEGINNING:
            found = letters.find(wanted[:_BEGINNING], at, ahead)
        starts.append(at if found < 0 else found)
        missed += found < 0
        if found >= 0:
            at = found + len(wanted)
    # a line longer in one parser than in the other must not overtake its successor
    for index in range(len(starts) - 1, 0, -1):
        starts[index - 1] = min(starts[index - 1], starts[index])
    return starts


def _is_next_to_main(picture: _Picture, lines: Sequence[_Line], starts: Sequence[int]) -> bool:
    before = bisect_left(starts, picture.figure_start) - 1
    after = bisect_left(starts, picture.figure_end)
    # many pages write the alternative text below the picture once more, in no figure
    if picture.alt_letters:
        before -= before >= 0 and lines[before].letters == picture.alt_letters
        after += after < len(lines) and lines[after].letters == picture.alt_letters
    return (before >= 0 and lines[before].is_main) or (after < len(lines) and lines[after].is_main)


def _is_in_main(picture: _Picture, starts: Sequence[int], main: Sequence[int], every: Sequence[int]) -> bool:
    """Return whether the least element around a picture that has main text is main text for the most part.

    `main` and `every` are the letters of the lines before each line, of main text and of all.
    """
    for span in picture.around:
        first, last = bisect_left(starts, span.start), bisect_left(starts, span.end)
        if main[last] > main[first]:
            return main[last] - main[first] >= _LEAST_MAIN * (every[last] - every[first])
        if span.last_picture - span.first_picture > _MOST_PICTURES or every[last] - every[first] > _MOST_LETTERS:
            return False
    return False


def _join_lines(lines: Sequence[_Line], pictures: dict[int, list[PageNode]]) -> list[PageNode]:
    """Return lines of one block as one paragraph, cut where a picture stands between two; `pictures` by lines before.

    A picture that is left out cuts no paragraph.
    """
    nodes: list[PageNode] = []
    paragraph: list[str] = []
    block = -1

    def end_paragraph() -> None:
        if paragraph:
            nodes.append(PageNode(text="\n".join(paragraph)))
            paragraph.clear()

    left_out: list[PageNode] = []
    for index in range(len(lines) + 1):
        here = pictures.get(index, [])
        left_out += [node for node in here if node.left_out]
        shown = [node for node in here if not node.left_out]
        if shown or index == len(lines) or lines[index].block != block:
            end_paragraph()
        nodes += shown
        if index < len(lines):
            block = lines[index].block
            if lines[index].is_main:
                paragraph.append(lines[index].text)
    return nodes + left_out
