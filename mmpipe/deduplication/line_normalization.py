"""Says which differences between two lines do not count when repeated lines are looked for, in four dialects."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from mmpipe.deduplication.normalization import CONTINUES, SEPARATES, TABLE_SIZE, VANISHES

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: `ccnet_paper`: case, digits, accents, punctuation and the width of white space do not count (Wenzek et al. 2020,
#: section 3.1). `ccnet_code`: what the published code does instead (cc_net, text_normalizer.py, normalize_for_dedup):
#: accents count, and so does all punctuation but the marks below; controls do not. `lowercase`: only case and white
#: space at the ends do not count (C4's code, tensorflow_datasets). `exact`: case counts too (ROOTS's template lines).
LineDialect = Literal["ccnet_paper", "ccnet_code", "lowercase", "exact"]
LINE_DIALECTS: tuple[LineDialect, ...] = ("ccnet_paper", "ccnet_code", "lowercase", "exact")

#: Set beside the action of a character that str.strip takes away.
IS_SPACE = 4

# the marks that cc_net takes out (its list also has a full-width 1, which has become a 0 by then)
_CCNET_MARKS = frozenset("，。、„”“«»」「《》´∶：？！（）；–—．～’…━〈〉【】％►")


@lru_cache(maxsize=len(LINE_DIALECTS))
def build_line_table(dialect: LineDialect) -> NDArray[np.uint32]:
    """Return for each code point below TABLE_SIZE what it becomes: `(action | IS_SPACE) << 24 | code point`.

    A character becomes one character: a capital that is two in lower case (I with a dot) becomes the first of them.
    Characters that vanish go, those that separate become one space between others, those that continue stay.
    """
    folds = {"ccnet_paper": _fold_as_paper, "ccnet_code": _fold_as_code, "lowercase": _fold_case, "exact": _keep}
    fold = folds[dialect]
    table = np.empty(TABLE_SIZE, dtype=np.uint32)
    for code in range(TABLE_SIZE):
        character = chr(code)
        action, folded = fold(character)
        space = IS_SPACE if character.isspace() else 0
        table[code] = (action | space) << 24 | ord(folded)
    return table


def _keep(character: str) -> tuple[int, str]:
    return CONTINUES, character


def _fold_case(character: str) -> tuple[int, str]:
    return CONTINUES, character.lower()[0]


def _fold_as_code(character: str) -> tuple[int, str]:
    code = ord(character)
    if character in _CCNET_MARKS or code < 32 or 127 <= code < 160:
        return VANISHES, character
    return CONTINUES, "0" if unicodedata.category(character) == "Nd" else character.lower()[0]


def _fold_as_paper(character: str) -> tuple[int, str]:
    if character.isspace():
        return SEPARATES, " "
    category = unicodedata.category(character)
    if category == "Nd":
        return CONTINUES, "0"
    if category[0] == "P" or category in ("Mn", "Cc"):
        return VANISHES, character
    lowered = character.lower()[0]
    bare = [part for part in unicodedata.normalize("NFD", lowered) if unicodedata.category(part) != "Mn"]
    # what comes apart otherwise (Hangul syllables) stays as it is
    return CONTINUES, bare[0] if len(bare) == 1 else lowered
