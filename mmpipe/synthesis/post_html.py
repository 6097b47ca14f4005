"""Turns the HTML of a forum post into plain text with code kept to the letter, in fences and backticks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCKS = frozenset(
    {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "table", "tr", "dl", "dt", "dd", "details", "summary"}
)
#: What has no words: pictures are left out, since a text pair has none.
_WORDLESS = frozenset({"img", "script", "style", "iframe", "svg"})
_SPACES = re.compile(r"[ \t\r\n\f\xa0]+")
_LINES = re.compile(r"[ \t]*\n[ \t]*")
_FENCE = re.compile(r"\x00(\d+)\x00")


def clean_post_html(html: str) -> str:
    """Return the text of a post's rendered HTML; empty if it has no words.

    Paragraphs are parted by an empty line, list items begin with `- ` or their number, quotations with `> `. A code
    block stands in a fence of backticks longer than any inside it, with its white space unchanged; inline code stands
    in backticks; of a link the words stay.
    """
    from lxml import etree
    from lxml import html as lxml_html

    if not html.strip():
        return ""
    try:
        # NUL marks the places of code below and cannot stand in HTML
        root = lxml_html.fragment_fromstring(html.replace("\x00", ""), create_parent="div")
    except (etree.ParserError, ValueError):
        return ""
    codes: list[str] = []
    text = _render(root, codes)
    text = _LINES.sub("\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return _FENCE.sub(lambda found: codes[int(found[1])], text)


def _render(element: Any, codes: list[str]) -> str:
    """Return the text of an element's inside, code replaced by marks so that nothing below touches its spaces."""
    parts = [_squeeze(element.text)]
    number = 0
    for child in element:
        # comments and processing instructions have a function for a tag
        if isinstance(child.tag, str):
            number += child.tag == "li"
            parts.append(_render_child(child, codes, number if element.tag == "ol" else 0))
        parts.append(_squeeze(child.tail))
    return "".join(parts)


def _render_child(child: Any, codes: list[str], number: int) -> str:
    special = _SPECIAL.get(child.tag)
    if special is not None:
        return special(child, codes)
    if child.tag in _WORDLESS:
        return ""
    inside = _render(child, codes)
    if child.tag == "li":
        return f"\n{f'{number}.' if number else '-'} {inside.strip()}\n"
    if child.tag in ("ul", "ol"):
        items = re.sub(r"\s*\n\s*", "\n", inside.strip())
        return f"\n\n{items}\n\n"
    return f"\n\n{inside}\n\n" if child.tag in _BLOCKS else inside


def _render_code_block(child: Any, codes: list[str]) -> str:
    code = "".join(child.itertext()).strip("\n")
    if not code.strip():
        return ""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    kept = _keep(f"{fence}\n{code}\n{fence}", codes)
    return f"\n\n{kept}\n\n"


def _render_inline_code(child: Any, codes: list[str]) -> str:
    code = "".join(child.itertext())
    if not code.strip():
        return code
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    return _keep(f"``{' ' + code + ' '}``" if longest == 1 else f"`{code}`", codes)


def _render_quotation(child: Any, codes: list[str]) -> str:
    inside = re.sub(r"\n{2,}", "\n\n", _LINES.sub("\n", _render(child, codes))).strip()
    return "\n\n" + "\n".join(f"> {line}".rstrip() for line in inside.split("\n")) + "\n\n"


def _render_break(_child: Any, _codes: list[str]) -> str:
    return "\n"


def _keep(code: str, codes: list[str]) -> str:
    codes.append(code)
    return f"\x00{len(codes) - 1}\x00"


def _squeeze(text: str | None) -> str:
    return _SPACES.sub(" ", text) if text else ""


_SPECIAL: dict[str, Callable[[Any, list[str]], str]] = {
    "pre": _render_code_block,
    "code": _render_inline_code,
    "blockquote": _render_quotation,
    "br": _render_break,
    "hr": _render_break,
}
