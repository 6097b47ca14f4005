"""Splits one white-space chunk into words exactly as spaCy's blank English tokenizer does, mostly without asking it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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

_POSSESSIVES = frozenset(("'s", "'S", "’s", "’S"))

_LETTER_OR_DIGIT = re.compile(r"[^\W_]")

#: Chunks that spaCy is given at a time.
_CALL_CHUNKS = 10_000


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Where the chunks of one shape are cut, and which of their spans may be special cases."""

    words: tuple[slice, ...]
    spans: tuple[tuple[slice, int, int], ...]


class ChunkSplitter:
    """Splits chunks into words; remembers the shapes it has seen.

    spaCy's tokenizer never joins across white space, and its expressions ask of most characters only whether they are
    a lower-case letter, an upper-case letter, a digit or a certain mark. So two chunks of one shape (`word,` and
    `then,`) are cut at the same places, unless a special case (`don't`, `Mr.`) is met; both are checked here, and
    whatever is in doubt goes to spaCy by itself: among other chunks, spaCy may cut a row of emoticons otherwise.
    """

    def __init__(self) -> None:
        self._spacy = _load_spacy()
        self._cuts: dict[str, _Cuts | None] = {}
        self._short_cuts: dict[str, tuple[int, ...] | None] = {}

    def split(self, chunks: Sequence[str]) -> list[list[str]]:
        """Return the words of each chunk, a non-empty string without white space."""
        shapes = [_find_shape(chunk) for chunk in chunks]
        self._learn({shape for shape in shapes if shape} - self._cuts.keys())
        words = [self._split_one(chunk, shape) for chunk, shape in zip(chunks, shapes, strict=True)]
        doubtful = [index for index, split in enumerate(words) if split is None]
        for index, split in zip(doubtful, self._spacy.split_each([chunks[index] for index in doubtful]), strict=True):
            words[index] = split
        return cast("list[list[str]]", words)

    def _split_one(self, chunk: str, shape: str) -> list[str] | None:
        """Return the words of a chunk, None if only spaCy can tell."""
        special = self._spacy.special_cases.get(chunk)
        if special is not None:
            return special
        if chunk.isalpha() or len(chunk) > LONGEST_CHUNK:
            return [chunk]
        cuts = self._cuts[shape] if shape else None
        if cuts is None:
            return None
        words = [chunk[piece] for piece in cuts.words]
        for span, first, last in cuts.spans:
            if chunk[span] in self._spacy.special_cases and not _is_affix(words[first:last]):
                return None
        return words

    def _learn(self, shapes: Iterable[str]) -> None:
        """Find the cuts of new shapes.

        How long a run of letters or digits is does not matter either, so that spaCy is asked about short runs only.
        """
        short = {shape: _LONG_RUN.sub(lambda match: match[0][:_SHORT_RUN], shape) for shape in shapes}
        new = [shape for shape in dict.fromkeys(short.values()) if shape not in self._short_cuts]
        for shape, words in zip(new, self._spacy.split_joined(new), strict=True):
            ends = tuple(accumulate(map(len, words), initial=0))
            self._short_cuts[shape] = None if len(words) > _MOST_WORDS else ends
        for shape, shortened in short.items():
            short_ends = self._short_cuts[shortened]
            grown = None if short_ends is None else _grow(shape, short_ends)
            self._cuts[shape] = None if grown is None else self._describe(shape, grown)

    def _describe(self, shape: str, ends: tuple[int, ...]) -> _Cuts | None:
        words = tuple(slice(*piece) for piece in pairwise(ends))
        # spaCy looks for special cases in what is left after each affix and among the pieces between infixes: all of
        # these run from one cut to another
        spans = [
            (slice(ends[first], ends[last]), first, last)
            for first in range(len(words))
            for last in range(first + 1, len(words) + 1)
        ]
        for span, first, last in spans:
            if shape[span] in self._spacy.special_cases and not _is_affix(
                [shape[piece] for piece in words[first:last]]
            ):
                return None
        # a span of marks alone is the same in every chunk of the shape, and has just been looked up
        return _Cuts(words, tuple(entry for entry in spans if _LETTER_OR_DIGIT.search(shape[entry[0]])))


def _find_shape(chunk: str) -> str:
    """Return the shape of a chunk; empty if it needs none, or if it does not decide where the chunk is cut."""
    if chunk.isalpha() or len(chunk) > LONGEST_CHUNK or _LETTERS_MATTER.search(chunk):
        return ""
    if "'" not in chunk and "’" not in chunk:
        return chunk.translate(_SHAPE)
    # 's is an affix and 't is not: what follows the apostrophe counts letter by letter
    head, apostrophe, tail = chunk.partition("'" if "'" in chunk else "’")
    return head.translate(_SHAPE) + apostrophe + tail


def _is_affix(words: list[str]) -> bool:
    """Return whether a special case is one mark or `'s`, which spaCy cuts off in any case."""
    return len(words) == 1 and (len(words[0]) == 1 or words[0] in _POSSESSIVES)


def _grow(shape: str, ends: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the cuts of a shape from those of its shortened self; None if a long run itself is cut."""
    grown, added = list(ends), 0
    for match in _LONG_RUN.finditer(shape):
        start, stop = match.span()
        if any(start - added < end < start - added + _SHORT_RUN for end in ends):
            return None
        grown = [end + stop - start - _SHORT_RUN if end > start else end for end in grown]
        added += stop - start - _SHORT_RUN
    return tuple(grown)


@dataclass(frozen=True, slots=True)
class _Spacy:
    """spaCy's blank English tokenizer.

    Attributes:
        split_each: words of each chunk, one call a chunk: what it says does not depend on the others.
        split_joined: the same in one call a batch, several times as fast; may cut a row of emoticons otherwise.
        special_cases: words of each special case.
    """

    split_each: Callable[[Sequence[str]], list[list[str]]]
    split_joined: Callable[[Sequence[str]], list[list[str]]]
    special_cases: dict[str, list[str]]


@lru_cache(maxsize=1)
def _load_spacy() -> _Spacy:
    import spacy
    from spacy.attrs import ORTH

    language = spacy.blank("en")
    tokenizer: Any = language.tokenizer
    special_cases = {text: [piece[ORTH] for piece in pieces] for text, pieces in tokenizer.rules.items()}

    def split_each(chunks: Sequence[str]) -> list[list[str]]:
        with language.memory_zone():  # else spaCy's vocabulary keeps every string it ever saw
            return [[token.text for token in tokenizer(chunk)] for chunk in chunks]

    def split_joined(chunks: Sequence[str]) -> list[list[str]]:
        words: list[list[str]] = []
        for start in range(0, len(chunks), _CALL_CHUNKS):
            words.append([])
            with language.memory_zone():
                for token in tokenizer(" ".join(chunks[start : start + _CALL_CHUNKS])):
                    words[-1].append(token.text)
                    if token.whitespace_:
                        words.append([])
        return words

    return _Spacy(split_each, split_joined, special_cases)
