"""Turns the HTML of a forum post into plain text with code kept to the letter, in fences and backticks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCKS = frozenset({"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "dl", "dt", "dd", "details", "summary"})
#: What has no words: pictures are left out, since a text pair has none.
_WORDLESS = frozenset({"img", "script", "style", "iframe", "svg"})
_SPACES = re.compile(r"[ \t\r\n\f\xa0]+")
_LINES = re.compile(r"[ \t]*\n[ \t]*")
_BREAKS = re.compile(r"\s*\n\s*")
_FENCE = re.compile(r"\x00(\d+)\x00")


def clean_post_html(html: str) -> str:
    """Return the text of a post's rendered HTML; empty if it has no words.

    Paragraphs are parted by an empty line, list items begin with `- ` or their number, quotations with `> `. A code
    block stands in a fence of backticks longer than any inside it, with its white space unchanged; inline code stands
    in backticks; of a link the words stay. The cells of a table's row stand in one line, parted by ` | `. What a mark
    changes the sense of keeps it: `2^10`, `H_2O`, and `~~struck out~~`.
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
    # also between two elements; code is not there yet
    text = _LINES.sub("\n", re.sub(" {2,}", " ", text))
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return _FENCE.sub(lambda found: codes[int(found[1])], text)


def _render(element: Any, codes: list[str]) -> str:
    """Return the text of an element's inside, code replaced by marks so that nothing below touches its spaces."""
    parts = [_squeeze(element.text)]
    # a list may go on where another one ended
    number = int(element.get("start", "1")) - 1 if element.tag == "ol" and _is_number(element.get("start", "1")) else 0
    for child in element:
        # comments and processing instructions have a function for a tag
        if isinstance(child.tag, str):
            number += child.tag == "li"
            parts.append(_render_child(child, codes, number if element.tag == "ol" else None))
        parts.append(_squeeze(child.tail))
    return "".join(parts)


def _render_child(child: Any, codes: list[str], number: int | None) -> str:
    special = _SPECIAL.get(child.tag)
    if special is not None:
        return special(child, codes)
    if child.tag in _WORDLESS:
        return ""
    inside = _render(child, codes)
    if child.tag == "li":
        return f"\n{'-' if number is None else f'{number}.'} {inside.strip()}\n"
    if child.tag in ("ul", "ol"):
        items = _BREAKS.sub("\n", inside.strip())
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
    runs = set(re.findall(r"`+", code))
    mark = next("`" * count for count in range(1, len(runs) + 2) if "`" * count not in runs)
    # a space inside tells the marks from backticks that the code begins or ends with
    inside = f" {code} " if runs else code
    return _keep(f"{mark}{inside}{mark}", codes)


def _render_quotation(child: Any, codes: list[str]) -> str:
    inside = re.sub(r"\n{2,}", "\n\n", _LINES.sub("\n", re.sub(" {2,}", " ", _render(child, codes)))).strip()
    # its code is quoted too, line by line, and keeps its spaces
    inside = _FENCE.sub(lambda found: codes[int(found[1])], inside)
    quoted = _keep("\n".join(f"> {line}" if line else ">" for line in inside.split("\n")), codes)
    return f"\n\n{quoted}\n\n"


def _render_table(child: Any, codes: list[str]) -> str:
    return f"\n\n{_BREAKS.sub(chr(10), _render(child, codes).strip())}\n\n"


def _render_row(child: Any, codes: list[str]) -> str:
    cells = (cell for cell in child if isinstance(cell.tag, str))
    return "\n" + " | ".join(_BREAKS.sub(" ", _render(cell, codes).strip()) for cell in cells) + "\n"


def _render_raised(child: Any, codes: list[str]) -> str:
    """Return an exponent or index with its mark: without one 2 to the 10 would read 210."""
    inside = _render(child, codes).strip()
    if not inside:
        return ""
    mark = "^" if child.tag == "sup" else "_"
    return f"{mark}{inside}" if inside.isalnum() else f"{mark}({inside})"


def _render_struck(child: Any, codes: list[str]) -> str:
    inside = _render(child, codes)
    return f"~~{inside.strip()}~~" if inside.strip() and "\n" not in inside else inside


def _render_break(_child: Any, _codes: list[str]) -> str:
    return "\n"


def _keep(code: str, codes: list[str]) -> str:
    codes.append(code)
    return f"\x00{len(codes) - 1}\x00"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 9


def _squeeze(text: str | None) -> str:
    return _SPACES.sub(" ", text) if text else ""


_SPECIAL: dict[str, Callable[[Any, list[str]], str]] = {
    "pre": _render_code_block,
    "code": _render_inline_code,
    "blockquote": _render_quotation,
    "br": _render_break,
    "hr": _render_break,
    "table": _render_table,
    "tr": _render_row,
    "sup": _render_raised,
    "sub": _render_raised,
    "s": _render_struck,
    "strike": _render_struck,
    "del": _render_struck,
}
