"""Splits one white-space chunk into words exactly as spaCy's blank English tokenizer does, mostly without asking it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

#: Longer chunks count as one word. spaCy peels affixes one by one and rescans the rest, so that a run of n brackets
#: costs n²: seconds at 4,000 characters, hours at a million.
LONGEST_CHUNK = 1_000

#: Most words of a chunk that is split by its shape; beyond, the check for special cases costs more than spaCy.
_MOST_WORDS = 6

#: Letters and digits that stand for all of their kind in a shape. `q` is in no special case of spaCy's.
_SHAPE = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "q" * 26 + "Q" * 26 + "7" * 10,
)

#: Where spaCy looks at which letter or digit it is, and not only whether it is one: after a dot (URLs, sentence ends),
#: after a digit (units), beside a currency or degree sign, in IPv4 addresses, after any apostrophe but the last.
_LETTERS_MATTER = re.compile(r"[.．][^\W_]*[^\W\d_]|\d[^\W\d_]|[^\W\d_].*\$|°|\d.*[.．].*[.．]|['’].*['’]")

#: Runs of one kind of letter or digit that are longer than tells anything.
_SHORT_RUN = 3
_LONG_RUN = re.compile(r"q{4,}|Q{4,}|7{4,}")

_APOSTROPHE = re.compile(r"['’]")


class ChunkSplitter:
    """Splits chunks into words; remembers the shapes it has seen.

    spaCy's tokenizer never joins across white space, and its expressions ask of most characters only whether they are
    a lower-case letter, an upper-case letter, a digit or a certain mark. So two chunks of one shape (`word,` and
    `then,`) are cut at the same places, unless a special case (`don't`, `Mr.`) is met; both are checked here, and
    whatever is in doubt goes to spaCy.
    """

    def __init__(self) -> None:
        self._spacy = _load_spacy()
        self._special_cases = self._spacy.special_cases
        self._cuts: dict[str, tuple[int, ...] | None] = {}
        self._short_cuts: dict[str, tuple[int, ...] | None] = {}

    def split(self, chunks: Iterable[str]) -> list[list[str]]:
        """Return the words of each chunk, a non-empty string without white space."""
        with self._spacy.memory_zone():  # else spaCy's vocabulary keeps every string it ever saw
            return [self._split_one(chunk) for chunk in chunks]

    def _split_one(self, chunk: str) -> list[str]:
        if (chunk.isalpha() and chunk not in self._special_cases) or len(chunk) > LONGEST_CHUNK:
            return [chunk]
        if _LETTERS_MATTER.search(chunk):
            return self._spacy.tokenize(chunk)
        shape = _find_shape(chunk)
        if shape not in self._cuts:
            self._cuts[shape] = self._find_cuts(shape)
        cuts = self._cuts[shape]
        if cuts is None or self._is_special(chunk, cuts):
            return self._spacy.tokenize(chunk)
        return _cut(chunk, cuts)

    def _find_cuts(self, shape: str) -> tuple[int, ...] | None:
        """Return where a shape is cut (0 and its length included), or None if its shape does not decide.

        How long a run of letters or digits is does not matter either, so that spaCy is asked about short runs only.
        """
        spans = [match.span() for match in _LONG_RUN.finditer(shape)]
        short = _LONG_RUN.sub(lambda match: match[0][:_SHORT_RUN], shape)
        if short not in self._short_cuts:
            self._short_cuts[short] = self._ask(short)
        cuts = self._short_cuts[short]
        if cuts is None:
            return None
        grown, longer = list(cuts), 0
        for start, stop in spans:
            inside = range(start - longer + 1, start - longer + _SHORT_RUN)
            if any(cut in inside for cut in cuts):
                return None
            longer += stop - start - _SHORT_RUN
            grown = [new + stop - start - _SHORT_RUN if new > start else new for new in grown]
        return tuple(grown)

    def _ask(self, shape: str) -> tuple[int, ...] | None:
        cuts = [0]
        for word in self._spacy.tokenize(shape):
            cuts.append(cuts[-1] + len(word))
        return None if len(cuts) > _MOST_WORDS + 1 or self._is_special(shape, tuple(cuts)) else tuple(cuts)

    def _is_special(self, chunk: str, cuts: tuple[int, ...]) -> bool:
        # spaCy looks for special cases in what is left after each affix and among the pieces between infixes: all of
        # these run from one cut to another. A case that is cut as the shape is (`'s`) changes nothing.
        for first, start in enumerate(cuts):
            for last in range(first + 1, len(cuts)):
                words = self._special_cases.get(chunk[start : cuts[last]])
                if words is not None and words != _cut(chunk, cuts[first : last + 1]):
                    return True
        return False


def _cut(chunk: str, cuts: tuple[int, ...]) -> list[str]:
    return [chunk[start:stop] for start, stop in pairwise(cuts)]


def _find_shape(chunk: str) -> str:
    apostrophe = _APOSTROPHE.search(chunk)
    if apostrophe is None:
        return chunk.translate(_SHAPE)
    # 's is an affix and 't is not: what follows the apostrophe counts letter by letter
    return chunk[: apostrophe.start()].translate(_SHAPE) + chunk[apostrophe.start() :]


@dataclass(frozen=True, slots=True)
class _Spacy:
    tokenize: Callable[[str], list[str]]
    special_cases: dict[str, list[str]]
    memory_zone: Callable[[], AbstractContextManager[object]]


@lru_cache(maxsize=1)
def _load_spacy() -> _Spacy:
    import spacy
    from spacy.attrs import ORTH

    language = spacy.blank("en")
    tokenizer: Any = language.tokenizer
    special_cases = {text: [piece[ORTH] for piece in pieces] for text, pieces in tokenizer.rules.items()}
    return _Spacy(lambda chunk: [token.text for token in tokenizer(chunk)], special_cases, language.memory_zone)
