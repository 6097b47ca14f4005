"""Cleans what may caption a picture, and finds the text that stands around it: the block it is in, or the nearest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Characters that are stored of a caption; `caption_written_chars` tells where one was longer.
MAX_CAPTION_CHARS = 5_000
#: Characters that are taken of the text around a picture: about what a text encoder of 77 tokens reads.
MAX_SURROUNDING_CHARS = 300
#: A figcaption is the caption of at most so many pictures of its figure; a gallery of more is described by none.
MAX_FIGURE_IMAGES = 1_000

# marks, embeddings and isolates that only say how a line is laid out, and controls that are no text at all; joiners
# stay, because words of Persian and emoji need them
_UNSPOKEN = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_WORD = re.compile(r"\w")
#: Elements that begin and end a block of text.
_BLOCKS = frozenset(
    ("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl",
     "dt", "fieldset", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "li",
     "main", "menu", "noscript", "ol", "p", "picture", "pre", "section", "summary", "table", "tbody", "td", "tfoot",
     "th", "thead", "tr", "ul")
)  # fmt: skip
#: Elements whose text is no reader's; a figcaption is, but has a column of its own.
_UNREAD = frozenset(
    ("button", "datalist", "figcaption", "head", "iframe", "math", "nav", "object", "script", "select", "style", "svg",
     "template", "textarea")
)  # fmt: skip
# how far a cut is moved to end at a space
_CUT_REACH = 40


def normalise_caption(text: str | None) -> str | None:
    """Return the text with runs of white space made one space, or None if nothing is left.

    Controls of bidirectional layout go: they say how a line is drawn, the letters stand in reading order without
    them, and an override that is never closed would turn whatever is printed after the caption.
    """
    return " ".join(_UNSPOKEN.sub("", text).split()) or None if text else None


def cut_caption(text: str | None) -> str | None:
    """Return the part of a caption that is stored."""
    return text if text is None else text[:MAX_CAPTION_CHARS].rstrip()


def find_figcaptions(root: Any) -> dict[Any, str]:
    """Return the text of each figure's own caption by figure element.

    A caption belongs to the nearest figure around it, and a figure of several has the first. Every caption is read
    once and no further than it can be stored, so that nested figures cost no more than flat ones.
    """
    found: dict[Any, str] = {}
    for caption in root.iter("figcaption"):
        figure = find_ancestor(caption, "figure", 12)
        if figure is None or figure in found:
            continue
        parts: list[str] = []
        chars = 0
        for part in caption.itertext():
            parts.append(part)
            chars += len(part)
            if chars > 4 * MAX_CAPTION_CHARS:  # most of it may be white space
                break
        text = normalise_caption(" ".join(parts))
        if text:
            found[figure] = text
    return found


def find_ancestor(element: Any, tag: str, levels: int) -> Any | None:
    """Return the nearest enclosing element of that name; the bound keeps pages of deeply nested tags linear."""
    parent = element.getparent()
    for _ in range(levels):
        if parent is None or parent.tag == tag:
            return parent
        parent = parent.getparent()
    return None


def find_surrounding_texts(root: Any, images: Sequence[Any]) -> list[str | None]:
    """Return the text around each image, at most `MAX_SURROUNDING_CHARS` characters, or None where there is none.

    An image inside a block of text has that block's. Any other has the nearest block before or after it: the one with
    which it shares the deeper element (the text of its own card comes before that of the next), and of two as near
    the one that follows. Text of menus, forms, scripts and figcaptions is not taken.

    Args:
        root: the page.
        images: `<img>` elements of the page, in its order.
    """
    from lxml import etree

    walk = _Walk({image: number for number, image in enumerate(images)}, [None] * len(images))
    steps = etree.iterwalk(root, events=("start", "end"))
    for event, element in steps:
        tag = element.tag
        if event == "start":
            if tag in _BLOCKS:
                walk.close_block()
            walk.depth += 1
            if tag in _UNREAD:
                steps.skip_subtree()
            elif tag == "img":
                walk.meet_image(element)
                walk.parts.append(" ")
            elif tag == "br":
                walk.parts.append(" ")
            elif element.text:
                walk.parts.append(element.text)
        else:
            if tag in _BLOCKS:
                walk.close_block()
            walk.go_up()
            if element.tail:
                walk.parts.append(element.tail)
    walk.close_block()
    return walk.end()


@dataclass(slots=True)
class _Walk:
    """A walk through a page: the block that is read, the last one before it, and images that wait for the next.

    `depth` counts open elements. The deeper the lowest depth between an image and a text, the nearer their common
    element.
    """

    numbers: dict[Any, int]
    texts: list[str | None]
    depth: int = 0
    parts: list[str] = field(default_factory=list)
    inside: list[tuple[int, int]] = field(default_factory=list)
    last: str | None = None
    depth_since_last: int = 0
    # images that wait, in groups by the lowest depth since, ascending; each with the depth shared with `last`
    waiting: list[tuple[int, list[tuple[int, int]]]] = field(default_factory=list)

    def meet_image(self, image: Any) -> None:
        number = self.numbers.get(image)
        if number is not None:
            self.inside.append((number, len(self.parts)))

    def go_up(self) -> None:
        self.depth -= 1
        self.depth_since_last = min(self.depth_since_last, self.depth)
        if self.waiting and self.waiting[-1][0] > self.depth:
            self._lower_waiting()

    def _lower_waiting(self) -> None:
        merged: list[tuple[int, int]] = []
        while self.waiting and self.waiting[-1][0] >= self.depth:
            _, group = self.waiting.pop()
            # the shorter list moves, so that an image moves a logarithmic number of times
            merged, group = (merged, group) if len(merged) >= len(group) else (group, merged)
            merged += group
        self.waiting.append((self.depth, merged))

    def close_block(self) -> None:
        text = normalise_caption("".join(self.parts))
        if text is not None and _WORD.search(text):
            for depth, group in self.waiting:
                for number, depth_before in group:
                    is_after = self.last is None or depth >= depth_before
                    self.texts[number] = _cut_around(text, 0) if is_after else _cut_end(self.last)
            self.waiting.clear()
            self._give_own(text)
            self.last, self.depth_since_last = text, self.depth
        elif self.inside:
            group = [(number, self.depth_since_last) for number, _ in self.inside]
            if self.waiting and self.waiting[-1][0] == self.depth:
                self.waiting[-1][1].extend(group)
            else:
                self.waiting.append((self.depth, group))
        self.parts.clear()
        self.inside.clear()

    def _give_own(self, text: str) -> None:
        if not self.inside:
            return
        is_whole = len(text) <= MAX_SURROUNDING_CHARS
        place = part = 0
        for number, stop in self.inside:
            if not is_whole:
                place += sum(len(" ".join(written.split())) for written in self.parts[part:stop])
                part = stop
            self.texts[number] = text if is_whole else _cut_around(text, place)

    def end(self) -> list[str | None]:
        """Return the texts; images that still wait have the last one before them."""
        for _, group in self.waiting:
            for number, _ in group:
                self.texts[number] = _cut_end(self.last)
        return self.texts


def _cut_end(text: str | None) -> str | None:
    return text if text is None else _cut_around(text, len(text))


def _cut_around(text: str, place: int) -> str:
    """Return the part of a text around a place, from and to a space where one is near."""
    if len(text) <= MAX_SURROUNDING_CHARS:
        return text
    start = min(max(place - MAX_SURROUNDING_CHARS // 2, 0), len(text) - MAX_SURROUNDING_CHARS)
    stop = start + MAX_SURROUNDING_CHARS
    if start:
        space = text.find(" ", start, start + _CUT_REACH)
        start = space + 1 if space >= 0 else start
    if stop < len(text) and text[stop] != " ":
        space = text.rfind(" ", stop - _CUT_REACH, stop)
        stop = space if space >= 0 else stop
    return text[start:stop].strip()
