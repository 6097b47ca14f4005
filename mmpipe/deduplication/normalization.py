"""Says which differences between two texts do not count: case, white space, digits, accents, punctuation."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: What a character does to the word it stands in; stored in the top byte of a table entry.
SEPARATES, CONTINUES, STANDS_ALONE, VANISHES = range(4)

#: Scripts written without spaces between words: each character is taken for a word. First and last code point.
_UNSPACED_SCRIPTS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark and zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # Katakana, half width
)

#: The table reaches to here; beyond it lie the Han extensions (planes 2 and 3), then nothing that is a word.
TABLE_SIZE = 0x20000
LAST_HAN_EXTENSION = 0x3FFFF

_APOSTROPHES = frozenset("'’ʼ`´")


def normalize_exactly(text: str) -> str:
    """Return the text that two exact duplicates share: NFC, lower case, every run of white space one space."""
    return unicodedata.normalize("NFC", " ".join(text.split()).lower())


@lru_cache(maxsize=1)
def build_character_table() -> NDArray[np.uint32]:
    """Return for each code point below TABLE_SIZE what it is taken for when words are compared.

    An entry is `action << 24 | folded code point`. Folding follows datatrove's `simplify_text` in what it ignores
    (case, accents, punctuation, the digits of a number), with two differences for scripts that one rule for all
    would spoil: marks that carry the spelling (Indic and Thai vowel signs, viramas) stay, and characters of scripts
    without spaces are words of their own.

    Shape: (131072,), uint32.
    """
    import numpy as np

    table = np.zeros(TABLE_SIZE, dtype=np.uint32)
    for code in range(TABLE_SIZE):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cn", "Cc", "Cs", "Co"):
            continue
        table[code] = (_decide_action(character, category) << 24) | ord(_fold_character(character, category))
    return table


def _decide_action(character: str, category: str) -> int:
    if category == "Cf" or character in _APOSTROPHES or _is_optional_mark(character):
        return VANISHES
    if category[0] not in "LMN":
        return SEPARATES
    code = ord(character)
    return STANDS_ALONE if any(first <= code <= last for first, last in _UNSPACED_SCRIPTS) else CONTINUES


def _is_optional_mark(character: str) -> bool:
    """Whether this is an accent, a Hebrew or Arabic vowel point, or another mark that spelling often leaves out."""
    combining = unicodedata.combining(character)
    return combining == 1 or 10 <= combining <= 36 or 200 <= combining <= 240


def _fold_character(character: str, category: str) -> str:
    if category == "Nd":
        return "0"
    folded = character.casefold()
    folded = folded if len(folded) == 1 else character.lower()
    bare = "".join(part for part in unicodedata.normalize("NFD", folded) if not _is_optional_mark(part))
    # what still comes apart (Hangul syllables, letters with a mark that counts) stays as it is
    return bare if len(bare) == 1 else folded[0]
