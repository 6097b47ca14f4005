"""Counts sentences as spaCy's rule sentencizer does, from word numbers, in a compiled loop: no text is parsed again."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mmpipe.filtering.tokens import WordDictionary

#: No character above is punctuation.
_LAST_PUNCTUATION = 0x1FFFF

#: What spaCy makes a token of white space of: all but one space between two chunks.
_TOKENS_OF_SPACE = re.compile(r"^\s+|(?<=\S) (\s+)|(?<=\S)[^\S ]\s*")
_IS_UNEVEN = re.compile(r"\s\s|[^\S ]|^ ")

#: Stands for a token of white space: to the sentencizer both are tokens that are no punctuation.
_ANY_WORD = "a"


def count_sentences(lines: Sequence[str], dictionary: WordDictionary) -> NDArray[np.int64]:
    """Return the number of sentences of each line.

    spaCy 3, `pipeline/sentencizer.pyx`: a sentence ends after a token that is a sentence terminal and all punctuation
    that follows; white space beyond the one space between words is a token, which ends it too. A line without any token
    is one sentence, as datatrove 0.10 counts (`utils/text.py`, `split_into_parts`).

    Args:
        lines: lines without their line breaks.
        dictionary: numbers their words.
    """
    spelled = list(lines)
    for number, line in enumerate(lines):
        # all white space but the blank is unprintable; most lines need no closer look
        if ("  " in line or line[:1] == " " or not line.isprintable()) and _IS_UNEVEN.search(line):
            spelled[number] = _TOKENS_OF_SPACE.sub(f" {_ANY_WORD} ", line)
    batch = dictionary.read(spelled)
    sentences = np.empty(len(lines), np.int64)
    _count(batch.words, batch.start, batch.table.start, batch.table.characters, _list_classes(), sentences)
    return sentences


@numba.njit(cache=True, nogil=True)
def _count(
    words: NDArray[np.int32],
    start: NDArray[np.int64],
    word_start: NDArray[np.int64],
    characters: NDArray[np.uint32],
    classes: NDArray[np.uint8],
    sentences: NDArray[np.int64],
) -> None:
    for line in range(start.size - 1):
        sentences[line] = 1
        has_ended = False
        for word in words[start[line] : start[line + 1]]:
            first, end = word_start[word], word_start[word + 1]
            is_punctuation = True
            for character in characters[first:end]:
                if character >= classes.size or not classes[character] & 1:
                    is_punctuation = False
                    break
            is_terminal = end - first == 1 and characters[first] < classes.size and classes[characters[first]] & 2 > 0
            if has_ended and not is_punctuation and not is_terminal:
                sentences[line] += 1
                has_ended = False
            elif is_terminal:
                has_ended = True


@lru_cache(maxsize=1)
def _list_classes() -> NDArray[np.uint8]:
    """Return for each code point: 1 if it is punctuation, plus 2 if spaCy's sentencizer ends sentences with it."""
    from spacy.pipeline import Sentencizer

    codes = range(_LAST_PUNCTUATION + 1)
    classes = np.fromiter((unicodedata.category(chr(code))[0] == "P" for code in codes), np.uint8, len(codes))
    classes[[ord(mark) for mark in Sentencizer.default_punct_chars]] |= 2
    return classes
