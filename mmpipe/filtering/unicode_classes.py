"""Says what each Unicode character is to the `unicode` dialect: letter, digit, mark, space, end of line or sentence."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mmpipe.filtering.punctuation import list_sentence_terminals

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Word_Break classes (Unicode Standard Annex #29, table 3), as far as the rules of `unicode_words` tell them apart.
(
    OTHER, SPACE, LETTER, HEBREW, NUMERIC, KATAKANA, EXTEND_NUM_LET, EXTEND, JOINER, MID_LETTER, MID_NUM, MID_NUM_LET,
    SINGLE_QUOTE, DOUBLE_QUOTE, REGIONAL, PICTURE,
) = range(16)  # fmt: skip

#: Bits above the class.
CLASS_MASK = 15
IS_LETTER = 1 << 4  # general category L: what str.isalpha says
IS_WORD = 1 << 5  # letter or number: a word with none is a symbol
IS_SPACE = 1 << 6  # what str.isspace says
ENDS_LINE = 1 << 7  # where str.splitlines cuts
ENDS_SENTENCE = 1 << 8  # Unicode property Sentence_Terminal
ENDS_WIDE_SENTENCE = 1 << 9  # of these, the ones that no space follows: Chinese, Japanese
CLOSES = 1 << 10  # quotation marks and brackets, which may stand between the end of a sentence and the next
IS_LOWER = 1 << 11  # lower-case letter
IS_NOTABLE = 1 << 12  # what `unicode_lines` stops at: ends of lines and sentences, marks counted, the m of lorem ipsum

_LAST_ASSIGNED = 0x33480  # past it, only tags and variation selectors (plane 14) and private use
_PLANE_14 = range(0xE0000, 0xE01F0)

_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_WIDE_TERMINALS = "。！？｡﹖﹗"

#: Word_Break values that no general category gives away. A colon joins nothing, as in CLDR's root locale.
_SINGLE = {
    MID_LETTER: "\u00b7\u0387\u055f\u05f4\u2027\ufe13\ufe55\uff1a",
    MID_NUM: ",;\u037e\u0589\u060c\u060d\u066c\u07f8\u2044\ufe50\ufe54\uff0c\uff1b",
    MID_NUM_LET: ".\u2018\u2019\u2024\ufe52\uff07\uff0e",
    SINGLE_QUOTE: "'",
    DOUBLE_QUOTE: '"',
    NUMERIC: "\u066b\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u0890\u0891\u08e2\u19da\U000110bd\U000110cd",
    LETTER: "\u055a\u055b\u055c\u055e\u058a\u05f3\u070f\uab5b",
    EXTEND: "\u200c\uff9e\uff9f",
    JOINER: "\u200d",
    SPACE: "\u200b",  # zero width space parts words in Thai and Khmer
}

#: Half-open ranges of letters and signs that are of another class than their general category says.
_RANGES = {
    # modifier signs, and letters in circles
    LETTER: (
        (0x2C2, 0x2C6), (0x2D2, 0x2D8), (0x2DE, 0x2E0), (0x2E5, 0x300), (0x24B6, 0x24EA), (0xA708, 0xA717),
        (0xA720, 0xA722), (0xA789, 0xA78B), (0x1F130, 0x1F14A), (0x1F150, 0x1F16A), (0x1F170, 0x1F18A),
    ),
    HEBREW: ((0x5D0, 0x5EB), (0x5EF, 0x5F3), (0xFB1D, 0xFB1E), (0xFB1F, 0xFB29), (0xFB2A, 0xFB50)),
    KATAKANA: (
        (0x3031, 0x3036), (0x309B, 0x309D), (0x30A0, 0x30FB), (0x30FC, 0x3100), (0x31F0, 0x3200), (0x32D0, 0x32FF),
        (0x3300, 0x3358), (0xFF66, 0xFF9E), (0x1AFF0, 0x1AFFF), (0x1B000, 0x1B001), (0x1B120, 0x1B123),
        (0x1B155, 0x1B156), (0x1B164, 0x1B168),
    ),
    # one word a character: Hiragana, ideographs; with its marks: scripts that set no spaces (Line_Break=SA)
    OTHER: (
        (0x3006, 0x3008), (0x3021, 0x302A), (0x3038, 0x303B), (0x3041, 0x3097), (0x309D, 0x30A0), (0x3400, 0x4DC0),
        (0x4E00, 0xA000), (0xF900, 0xFB00), (0x17000, 0x18D09), (0x1B001, 0x1B120), (0x1B132, 0x1B133),
        (0x1B150, 0x1B153), (0x1B170, 0x1B2FC), (0x1F200, 0x1F201), (0x20000, 0x33480),
        (0x0E01, 0x0E50), (0x0E80, 0x0ED0), (0x0EDC, 0x0EE0), (0x1000, 0x1040), (0x1050, 0x1090), (0x109A, 0x10A0),
        (0x1780, 0x17D3), (0x17D7, 0x17D8), (0x17DC, 0x17DE), (0x1950, 0x1975), (0x1980, 0x19D0), (0x1A20, 0x1A7F),
        (0x1AA0, 0x1AAE), (0xA9E0, 0xA9F0), (0xA9FA, 0xA9FF), (0xAA60, 0xAA80), (0xAA80, 0xAAE0), (0x11700, 0x11730),
        (0x1173A, 0x11740), (0x11740, 0x11747),
    ),
}  # fmt: skip


@lru_cache(maxsize=1)
def describe_characters() -> NDArray[np.uint16]:
    """Return class and bits of every code point: 1,114,112 entries, by the Unicode version of Python's own tables."""
    table = np.zeros(0x110000, np.uint16)
    codes = [*range(_LAST_ASSIGNED), *_PLANE_14]
    table[codes] = [_describe(chr(code), unicodedata.category(chr(code))) for code in codes]
    for kind, ranges in _RANGES.items():
        for start, stop in ranges:
            part = table[start:stop]
            fits = np.isin(part & CLASS_MASK, (LETTER, OTHER, PICTURE))
            part[fits] = (part[fits] & ~np.uint16(CLASS_MASK)) | kind
    for kind, characters in _SINGLE.items():
        for character in characters:
            table[ord(character)] = (table[ord(character)] & ~np.uint16(CLASS_MASK)) | kind
    table[0x1F1E6:0x1F200] = REGIONAL
    table[0x1F3FB:0x1F400] = EXTEND  # skin tones
    for character in list_sentence_terminals():
        table[ord(character)] |= ENDS_SENTENCE | (ENDS_WIDE_SENTENCE if character in _WIDE_TERMINALS else 0)
    for character in _LINE_ENDS:
        table[ord(character)] |= ENDS_LINE
    table[(table & (ENDS_LINE | ENDS_SENTENCE)) != 0] |= IS_NOTABLE
    table[[ord(character) for character in "#…{mM"]] |= IS_NOTABLE
    for character in "\"'":
        table[ord(character)] |= CLOSES
    return table


def _describe(character: str, category: str) -> int:
    if character.isspace():
        return SPACE | IS_SPACE
    major = category[0]
    if major == "L":
        return LETTER | IS_LETTER | IS_WORD | (IS_LOWER if category == "Ll" else 0)
    if major == "M":
        return EXTEND
    if major == "N":
        return {"Nd": NUMERIC, "Nl": LETTER, "No": OTHER}[category] | IS_WORD
    kind = {"Pc": EXTEND_NUM_LET, "Cf": EXTEND, "So": PICTURE}.get(category, OTHER)
    return kind | (CLOSES if category in ("Pe", "Pf", "Pi") else 0)
