"""Corrects lines as C4 does: which lines go and why, citations, and where a line condemns its whole page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.tables.corrections import Edit, apply_edits

if TYPE_CHECKING:
    from collections.abc import Iterable

_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_ELLIPSIS = "..."
_LOREM_IPSUM = "lorem ipsum"
_JAVASCRIPT = "javascript"
_CURLY_BRACKET = "{"
_POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

_NO_EDITS: list[Edit] = []


@dataclass(slots=True)
class _Line:
    """A line that stays: where it stands, with its break and the blank lines behind it, and the edits inside it."""

    start: int
    body: int
    body_end: int
    end: int
    citations: list[Edit]


def correct_c4_lines(
    text: str,
    min_line_words: int = 5,
    count_cited_words: bool = False,
    require_terminal_mark: bool = True,
    terminal_marks: tuple[str, ...] = (".", "?", "!", '"'),
    max_word_chars: int = 1000,
    remove_citations: bool = True,
    remove_javascript: bool = True,
    remove_policy: bool = True,
) -> list[Edit]:
    """Remove the lines that C4 removes, white space around lines, blank lines, and citations; tag what condemns a page.

    C4 (Raffel et al. 2020, JMLR 21:140, §2.2); the order of the checks is that of TensorFlow Datasets,
    `text/c4_utils.py`, `clean_page`: too long a word, citations, terminal mark, too few words, lorem ipsum (tagged),
    javascript, curly bracket (tagged), policy. A line that has gone triggers no later check.

    The text after the edits is what C4 keeps of a page. C4 counts sentences before it clears the ends of the text, that
    is, before the edits named `c4_text_space` (white space that citations left there) and `c4_blank_line` (lines there
    that hold nothing but citations).

    Args:
        text: text whose lines end as in `str.splitlines`.
        min_line_words: fewest white-space words of a line.
        count_cited_words: whether words are counted before citations go, as datatrove counts; C4 counts after.
        require_terminal_mark: whether a line must end in one of `terminal_marks`, and not in an ellipsis.
        terminal_marks: what a line may end in.
        max_word_chars: most characters of a word of the line.
        remove_citations: whether `[1]`, `[edit]` and `[citation needed]` go.
        remove_javascript: whether lines that name JavaScript go.
        remove_policy: whether lines on cookies, privacy and terms of use go.
    """
    uncited = _CITATION.sub("", text) if remove_citations and "[" in text else text
    is_cited = len(uncited) < len(text)
    phrases = _find_phrases(uncited, is_javascript=remove_javascript, is_policy=remove_policy)
    edits: list[Edit] = []
    kept: list[_Line] = []
    at = 0
    for raw in text.splitlines(keepends=True):
        start, at = at, at + len(raw)
        line = raw.strip()
        if not line and min_line_words > 0:
            _add_blank_line(kept, edits, start, at)
            continue
        if len(line) > max_word_chars and any(len(word) > max_word_chars for word in line.split()):
            edits.append(Edit("c4_long_word", start, at))
            continue
        body = start + raw.index(line)
        body_end = body + len(line)
        words, citations = line, _NO_EDITS
        if is_cited and "[" in line:
            citations = [Edit("c4_citation", body + m.start(), body + m.end()) for m in _CITATION.finditer(line)]
            line = _CITATION.sub("", line)
        if require_terminal_mark and (not line.endswith(terminal_marks) or line.endswith(_ELLIPSIS)):
            edits.append(Edit("c4_no_terminal_mark", start, at))
        elif _has_too_few_words(words if count_cited_words else line, min_line_words):
            edits.append(Edit("c4_too_few_words", start, at))
        elif not phrases or _may_stay(line, phrases, edits, start, at):
            kept.append(_Line(start, body, body_end, at, citations))
    if is_cited or min_line_words <= 0:
        kept = _drop_blank_ends(text, kept, edits)
    edits += _join_lines(text, kept)
    # a tag stands before the edits inside its line
    edits.sort(key=lambda edit: (edit.start, edit.replacement is not None, edit.end))
    return edits


def _add_blank_line(kept: list[_Line], edits: list[Edit], start: int, end: int) -> None:
    """Let a blank line go with the line before it, whether that one stays or goes."""
    if kept and kept[-1].end == start:
        kept[-1].end = end
    elif edits and edits[-1].end == start:
        edits[-1] = Edit(edits[-1].correction, edits[-1].start, end)
    else:
        edits.append(Edit("c4_line_space", start, end))


def _has_too_few_words(line: str, min_line_words: int) -> bool:
    # splitting stops at the last word that counts
    return min_line_words > 0 and len(line.split(None, min_line_words - 1)) < min_line_words


def _find_phrases(text: str, *, is_javascript: bool, is_policy: bool) -> frozenset[str]:
    """Return which checks may find something in a line of the text, so that most texts skip them line by line."""
    lower = text.lower()
    found = {
        "c4_lorem_ipsum": _LOREM_IPSUM in lower,
        "c4_javascript": is_javascript and _JAVASCRIPT in lower,
        "c4_curly_bracket": _CURLY_BRACKET in text,
        "c4_policy": is_policy and any(policy in lower for policy in _POLICIES),
    }
    return frozenset(name for name, is_found in found.items() if is_found)


def _may_stay(line: str, phrases: frozenset[str], edits: list[Edit], start: int, end: int) -> bool:
    """Return whether a line stays, and append what was found in it; the order is C4's."""
    lower = line.lower()
    if "c4_lorem_ipsum" in phrases and _LOREM_IPSUM in lower:
        edits.append(Edit("c4_lorem_ipsum", start, end, None))
    if "c4_javascript" in phrases and _JAVASCRIPT in lower:
        edits.append(Edit("c4_javascript", start, end))
        return False
    if "c4_curly_bracket" in phrases and _CURLY_BRACKET in line:
        edits.append(Edit("c4_curly_bracket", start, end, None))
    if "c4_policy" in phrases and any(policy in lower for policy in _POLICIES):
        edits.append(Edit("c4_policy", start, end))
        return False
    return True


def _join_lines(text: str, kept: list[_Line]) -> Iterable[Edit]:
    """Return the edits that leave one newline between kept lines and no white space around them."""
    for number, line in enumerate(kept):
        if line.start < line.body:
            yield Edit("c4_line_space", line.start, line.body)
        yield from line.citations
        if line.citations and number == 0:
            yield from _strip(text, line, is_left=True)
        if line.citations and number == len(kept) - 1:
            yield from _strip(text, line, is_left=False)
        newline = "\n" if number < len(kept) - 1 else ""
        if text[line.body_end : line.end] != newline:
            yield Edit("c4_line_space", line.body_end, line.end, newline)


def _drop_blank_ends(text: str, kept: list[_Line], edits: list[Edit]) -> list[_Line]:
    """Return the lines without those at the ends that hold nothing but citations."""
    is_blank = [not _read(text, line).strip() for line in kept]
    full = [number for number, blank in enumerate(is_blank) if not blank]
    first, last = (full[0], full[-1] + 1) if full else (len(kept), len(kept))
    edits += (Edit("c4_blank_line", line.start, line.end) for line in (*kept[:first], *kept[last:]))
    return kept[first:last]


def _read(text: str, line: _Line) -> str:
    shifted = (Edit(edit.correction, edit.start - line.body, edit.end - line.body) for edit in line.citations)
    return apply_edits(text[line.body : line.body_end], shifted)


def _strip(text: str, line: _Line, *, is_left: bool) -> Iterable[Edit]:
    """Return the edits that take the white space that citations left at one end of a line which is not blank."""
    ends = [line.body, *(at for edit in line.citations for at in (edit.start, edit.end)), line.body_end]
    pieces = list(zip(ends[::2], ends[1::2], strict=True))
    for start, end in pieces if is_left else reversed(pieces):
        piece = text[start:end]
        left = len(piece.lstrip() if is_left else piece.rstrip())
        if left < len(piece):
            yield Edit("c4_text_space", start, end - left) if is_left else Edit("c4_text_space", start + left, end)
        if left:
            return
