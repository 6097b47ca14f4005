"""Corrects text line by line as RefinedWeb does, in DCLM's order, and says which line went for what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from mmpipe.tables.correction_steps import COUNTER_WORDS
from mmpipe.tables.corrections import Edit

#: White space at the ends of the text, which DCLM strips after nearly every rule.
_OUTER = "refinedweb_outer_space"
_UPPER = bytes(range(65, 91))
_DIGITS = bytes(range(48, 58))


@dataclass(slots=True)
class _Line:
    """A line of the text, from character `start` to before its newline at `end`.

    Attributes:
        text: what is left of it.
        pieces: spans of the text that are left of it.
        cuts: what was cut out of it.
        dropped: what the whole line was dropped for.
    """

    start: int
    end: int
    text: str
    pieces: tuple[tuple[int, int], ...] = ()
    cuts: tuple[Edit, ...] = ()
    dropped: str | None = None

    def cut(self, first: int, last: int, correction: str) -> None:
        """Remove characters `first` to `last` of what is left."""
        left: list[tuple[int, int]] = []
        at = 0
        for start, end in self.pieces or ((self.start, self.end),):
            low, high = max(first - at, 0), min(last - at, end - start)
            if low < high:
                self.cuts = (*self.cuts, Edit(correction, start + low, start + high))
                left += [(start, start + low), (start + high, end)]
            else:
                left.append((start, end))
            at += end - start
        self.pieces = tuple(piece for piece in left if piece[0] < piece[1])
        self.text = self.text[:first] + self.text[last:]


def correct_lines(
    text: str,
    max_uppercase_ratio: float = 0.5,
    max_numeric_ratio: float = 0.999999,
    counters: tuple[str, ...] = COUNTER_WORDS,
    min_words: int = 2,
    max_substring_words: int = 10,
    any_three_marks: bool = False,
) -> list[Edit]:
    """Drop lines of capitals, digits, counters and single words; cut shop and sign-in phrases out of short lines.

    RefinedWeb (Penedo et al. 2023, arXiv 2306.01116), G.2; DCLM (Li et al. 2024, arXiv 2406.11794), `modifiers.py`, in
    the order and with the values of `baselines_configs/dclm_baseline_refinedweb.yaml`: each rule sees what the rules
    before it left, and white space at the ends of the text goes too. One pass by definition, not until nothing changes:
    what is left of `Sign-in HERE` may itself be a line of capitals. What touches and goes for the same reason is one
    edit, such as a list of lines of one word.

    Args:
        text: any text.
        max_uppercase_ratio: a line with a larger share of upper-case characters is dropped.
        max_numeric_ratio: a line with a larger share of digits is dropped.
        counters: a line of a number, with or without K, M or B, and one of these words is dropped.
        min_words: a line of fewer white-space words is dropped, unless it is empty.
        max_substring_words: lines of at most so many words lose the phrases.
        any_three_marks: whether `Read more` at a line's end goes with any three characters after it, as in DCLM's code,
            where the dots are a regular expression's; else with three dots only.
    """
    lines: list[_Line] = []
    at = 0
    for piece in text.split("\n"):
        lines.append(_Line(at, at + len(piece), piece))
        at += len(piece) + 1
    counter = _compile_counter(counters)
    left = lines
    for correction, is_bad in (
        ("uppercase_line", lambda line: _has_more(line, max_uppercase_ratio, str.isupper, _UPPER)),
        ("numeric_line", lambda line: _has_more(line, max_numeric_ratio, str.isdigit, _DIGITS)),
        ("counter_line", lambda line: _NUMBER_FIRST.match(line) and counter.match(line.lower())),
    ):
        left = _strip(_drop(left, f"refinedweb_{correction}", is_bad))
    left = _drop(left, "refinedweb_one_word_line", lambda line: len(line.split(maxsplit=min_words)) < min_words)
    lower = text.lower()
    is_sought = not text.isascii() and any(character in text for character in _ODD_CASES)
    for phrase, correction, pattern in _PHRASES_ANY if any_three_marks else _PHRASES:
        is_sought = is_sought or phrase in lower  # and so are those after it: a cut may bring their parts together
        left = _strip(_cut_phrase(left, correction, pattern, max_substring_words) if is_sought else left)
    return _list_edits(lines, len(text))


_NUMBER_FIRST = re.compile(r"\W*\d")
#: What expressions that ignore case take for i and s, and lower-casing does not.
_ODD_CASES = "İıſ"
_ITEMS_IN_CART = ("items in cart", "refinedweb_items_in_cart", re.compile(r"\s?items in cart", re.IGNORECASE))
_READ_MORE = ("read more", "refinedweb_read_more", re.compile(r"\s?read more\.\.\.\Z", re.IGNORECASE))
_READ_MORE_ANY = ("read more", "refinedweb_read_more", re.compile(r"\s?read more...\Z", re.IGNORECASE))
_SIGN_IN = ("sign-in", "refinedweb_sign_in", re.compile(r"\Asign-in\s?", re.IGNORECASE))
_PHRASES = (_ITEMS_IN_CART, _READ_MORE, _SIGN_IN)
_PHRASES_ANY = (_ITEMS_IN_CART, _READ_MORE_ANY, _SIGN_IN)


@lru_cache(maxsize=16)
def _compile_counter(counters: tuple[str, ...]) -> re.Pattern[str]:
    words = "|".join(map(re.escape, counters)) or "(?!)"
    return re.compile(rf"\W*\d[,.\d]*[kmb]?\s+(?:{words})\W*\Z")


def _has_more(line: str, ratio: float, is_wanted: Callable[[str], bool], wanted: bytes) -> bool:
    """Return whether more than this share of a line's characters is wanted; `wanted` holds those of ASCII."""
    ascii_part = line.encode("ascii", "ignore")
    most = len(line) - len(ascii_part.translate(None, wanted))
    # characters beyond ASCII are looked at one by one only if they decide
    return most / len(line) > ratio and (len(ascii_part) == len(line) or sum(map(is_wanted, line)) / len(line) > ratio)


def _drop(lines: list[_Line], correction: str, is_bad: Callable[[str], object]) -> list[_Line]:
    """Return the lines without the bad ones; an empty line is never bad."""
    left = []
    for line in lines:
        if line.text and is_bad(line.text):
            line.dropped = correction
        else:
            left.append(line)
    return left


def _cut_phrase(lines: list[_Line], correction: str, pattern: re.Pattern[str], most_words: int) -> list[_Line]:
    """Return the lines with the phrase cut out of the short ones; a line that only held it is dropped."""
    left = []
    for line in lines:
        found = list(pattern.finditer(line.text)) if line.text else []
        if found and len(line.text.split(maxsplit=most_words + 1)) <= most_words:
            for match in reversed(found):
                line.cut(*match.span(), correction)
            if not line.text or line.text.isspace():
                line.dropped = correction
                continue
        left.append(line)
    return left


def _strip(lines: list[_Line]) -> list[_Line]:
    """Return the lines without blank ones at either end, and without white space there."""
    first, last = 0, len(lines)
    while first < last and not lines[first].text.strip():
        lines[first].dropped = _OUTER
        first += 1
    while last > first and not lines[last - 1].text.strip():
        last -= 1
        lines[last].dropped = _OUTER
    left = lines[first:last]
    if left:
        blank = len(left[0].text) - len(left[0].text.lstrip())
        if blank:
            left[0].cut(0, blank, _OUTER)
        length = len(left[-1].text.rstrip())
        if length < len(left[-1].text):
            left[-1].cut(length, len(left[-1].text), _OUTER)
    return left


def _list_edits(lines: list[_Line], text_chars: int) -> list[Edit]:
    """Return the edits in order, those that touch and have the same reason as one."""
    edits: list[Edit] = []
    reason, start, end = "", 0, 0
    # runs are joined before they are edits: a page may have a million lines of one word
    for correction, first, last in _list_removals(lines, text_chars):
        if correction == reason and first == end:
            end = last
            continue
        if start < end:
            edits.append(Edit(reason, start, end))
        reason, start, end = correction, first, last
    if start < end:
        edits.append(Edit(reason, start, end))
    return edits


def _list_removals(lines: list[_Line], text_chars: int) -> Iterator[tuple[str, int, int]]:
    """Yield what goes, in order; a dropped line goes with its newline, the last ones with the newline before."""
    last_kept = max((number for number, line in enumerate(lines) if line.dropped is None), default=len(lines))
    for number, line in enumerate(lines):
        if line.dropped is None:
            for edit in sorted(line.cuts, key=lambda edit: edit.start):
                yield edit.correction, edit.start, edit.end
        elif number > last_kept:
            yield line.dropped, line.start - 1, line.end
        elif line.start < text_chars:
            yield line.dropped, line.start, min(line.end + 1, text_chars)
