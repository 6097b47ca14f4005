"""Knows the languages that are written without spaces between words, and cuts their texts into characters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

#: Chinese (with Cantonese and Wu), Japanese, Thai, Lao, Khmer, Burmese, Tibetan and Dzongkha, as lid.176 names them.
UNSPACED_LANGUAGES = frozenset(("zh", "yue", "wuu", "ja", "th", "lo", "km", "my", "bo", "dz"))

_SCRIPTS = (
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
    (0x3041, 0x30FF),  # Kana
    (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F),
    (0x0E00, 0x0E7F),  # Thai
    (0x0E80, 0x0EFF),  # Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0x1780, 0x17FF),  # Khmer
)


def cut_unspaced(text: str) -> list[str]:
    """Return the pieces of a text: each character of an unspaced script with its marks, and what lies between.

    What lies between is cut at white space.
    """
    return _compile_pieces().findall(text)


@lru_cache(maxsize=1)
def _compile_pieces() -> re.Pattern[str]:
    scripts = "".join(f"{chr(first)}-{chr(last)}" for first, last in _SCRIPTS)
    marks = "".join(
        chr(code)
        for first, last in _SCRIPTS
        for code in range(first, min(last, 0xFFFF) + 1)
        if unicodedata.category(chr(code)).startswith("M")
    )
    return re.compile(rf"[{scripts}][{re.escape(marks)}]*|[^\s{scripts}]+")
