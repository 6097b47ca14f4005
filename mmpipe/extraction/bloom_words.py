"""Removes words that are scraps of markup or of URLs, and words too long to be words, as BLOOM's corpus did."""

from __future__ import annotations

import re

from mmpipe.tables.corrections import Edit
from mmpipe.tables.special_characters import collect_special_characters, list_special_characters

_WORD = re.compile(r"\S+")

#: Scripts written without spaces (Thai to Myanmar, Khmer, Kana, Han): a run of them is a sentence, not a long word.
_UNSPACED = re.compile(
    r"[\u0e00-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)


def remove_scraps(text: str, longest_word: int = 25, substrings: tuple[str, ...] = ()) -> list[Edit]:
    """Remove words that hold one of the substrings, then words of more than `longest_word` characters.

    BigScience data-preparation, 01b_oscar_cleaning_and_filtering/filtering.py: words stand between white space and are
    looked at without the special characters at their ends: `//` alone stays, and so does a word that is short enough
    without them. Lines stay, also those
    left empty; the white space before a removed word goes with it. A word with characters of a script written without
    spaces is never too long: BLOOM corrects no Chinese text.

    Args:
        text: a text.
        longest_word: most characters of a word; BLOOM's own are 25, in Bengali, Catalan and Urdu 20, in Portuguese 19,
            in Basque 28, in Indonesian 30, in French 45.
        substrings: what no word may hold, case-sensitive; BLOOM's own are http, www, .com, href and //.
    """
    edits: list[Edit] = []
    line_start = 0
    for line in text.split("\n"):
        edits += _correct_line(text, line_start, line_start + len(line), longest_word, substrings)
        line_start += len(line) + 1
    return edits


def _correct_line(text: str, start: int, end: int, longest_word: int, substrings: tuple[str, ...]) -> list[Edit]:
    edits: list[Edit] = []
    at, is_line_start = start, True
    for match in _WORD.finditer(text, start, end):
        fault = _find_fault(match[0], longest_word, substrings)
        if fault:
            edits.append(Edit(fault, at, match.end()))
        elif is_line_start:
            if edits:  # the line must not start with the space that stood behind what was removed
                edits[-1] = Edit(edits[-1].correction, edits[-1].start, match.start())
            is_line_start = False
        at = match.end()
    return edits


def _find_fault(word: str, longest_word: int, substrings: tuple[str, ...]) -> str:
    is_long = len(word) > longest_word
    if not is_long and not any(substring in word for substring in substrings):
        return ""
    stripped = _strip(word)
    if any(substring in stripped for substring in substrings):
        return "bloom_word_substring"
    if not is_long or 0 < len(stripped) <= longest_word or _UNSPACED.search(word):
        return ""
    return "bloom_long_word"


def _strip(word: str) -> str:
    special = collect_special_characters()
    return word.strip(list_special_characters()) if word[0] in special or word[-1] in special else word
