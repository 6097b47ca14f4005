"""Says what datatrove takes a text for before it compares it: `simplify_text` and spaCy's words, as tables.

The rules are those of datatrove 0.10.1 (`datatrove.utils.text.simplify_text` with its default `TextNormConfig`, then
`SpaCyTokenizer` for English): lower case; a number, with or without a decimal part, becomes 0; marks of punctuation
and control characters become spaces; combining marks go; spaCy cuts what stands between spaces.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: What a character of lower-cased text does; stored in the top byte of a table entry, above what it is replaced by.
COPIED, SPACED, DIGIT, DROPPED, HANGUL, UNSURE = range(6)

#: Marks the entry of a letter, in bit 23 (a code point takes 21).
LETTER = 1 << 23

#: Between the two halves of a decimal number.
DECIMAL_SEPARATORS = ".,،٫⎖⎗⎘"

#: Chunks of more bytes count as one word: spaCy would take minutes for a row of ten thousand emoji.
LONGEST_CHUNK_BYTES = 1_000

#: Places of `SpacyChunks.cases`, a power of two.
CASE_SLOTS = 1 << 15

# the characters of datatrove's PUNCTUATION, besides its control characters
_MARKS = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
_CONTROLS = "".join(chr(code) for code in (*range(32), *range(127, 160)) if code not in (9, 10))
_TO_SPACES = str.maketrans(dict.fromkeys(_MARKS + _CONTROLS, " "))
# the zeros of digits that Unicode 15 to 17 added: datatrove's expressions know them, Python 3.11 does not yet
_NEW_ZEROS = (0x10D40, 0x116D0, 0x116DA, 0x11BF0, 0x11DE0, 0x11F50, 0x16130, 0x16D70, 0x1CCF0, 0x1E4F0, 0x1E5F1)
_NEW_DIGITS = "".join(chr(zero + digit) for zero in _NEW_ZEROS for digit in range(10))
_NUMBER = re.compile(rf"[\d{_NEW_DIGITS}]+(?:[{re.escape(DECIMAL_SEPARATORS)}][\d{_NEW_DIGITS}]+)?")

# the code points beside those of the basic and the first supplementary plane that are not simply copied: Han that
# stands for other Han, and the last variation selectors
_FAR_RANGES = ((0x2F800, 0x2FA20), (0xE0100, 0xE01F0))
_NEAR_END = 0x20000
_HANGUL_FIRST, _HANGUL_LAST = 0xAC00, 0xD7A3


def simplify(text: str) -> str:
    """Return the text as datatrove simplifies it, still in one piece; what the table calls UNSURE goes this way."""
    spaced = " ".join(_NUMBER.sub("0", text.lower()).translate(_TO_SPACES).split())
    decomposed = unicodedata.normalize("NFD", spaced)
    return "".join(character for character in decomposed if unicodedata.category(character) != "Mn").strip()


@lru_cache(maxsize=1)
def build_simplification_table() -> NDArray[np.uint32]:
    """Return for each code point of text `action << 24 | replacement`, shape (1114112,), uint32.

    Text beyond ASCII must be lower-cased before: it is not done character by character.
    """
    import numpy as np

    # what lies beyond is Han or nothing; spaCy is asked what is not known for a letter
    table = np.arange(0x110000, dtype=np.uint32) | np.uint32(COPIED << 24)
    for first, end in ((0, _NEAR_END), *_FAR_RANGES):
        for code in range(first, end):
            table[code] = _describe(chr(code))
    # ASCII text comes as it is: Python would copy it to lower-case it
    table[ord("A") : ord("Z") + 1] = table[ord("a") : ord("z") + 1]
    return table


def _describe(character: str) -> int:  # noqa: PLR0911
    category = unicodedata.category(character)
    if category == "Nd" or character in _NEW_DIGITS:
        return DIGIT << 24 | ord("0")
    if character.isspace() or ord(character) in _TO_SPACES:
        return SPACED << 24 | ord(" ")
    if _HANGUL_FIRST <= ord(character) <= _HANGUL_LAST:
        return HANGUL << 24 | ord(character)
    if category == "Cs":
        return COPIED << 24 | ord(character)
    decomposed = unicodedata.normalize("NFD", character)
    left = "".join(part for part in decomposed if unicodedata.category(part) != "Mn")
    if not left:
        return DROPPED << 24
    # what comes apart into several, and what marks around it could change places with
    if len(left) > 1 or unicodedata.combining(left):
        return UNSURE << 24
    return COPIED << 24 | (LETTER if unicodedata.category(left)[0] == "L" else 0) | ord(left)
