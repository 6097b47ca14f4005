"""Cuts a text into its sentences as spaCy's rules do: its tokenizer knows abbreviations, its sentencizer the marks."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from mmpipe.filtering.punctuation import list_sentence_terminals
from mmpipe.filtering.unspaced import UNSPACED_LANGUAGES

#: Any language: spaCy's rules that hold for all.
_ANY = "xx"

#: spaCy refuses longer texts; a paragraph is far below.
_MOST_CHARACTERS = 100_000


def cut_sentences(text: str, language: str | None = None) -> list[str]:
    """Return the sentences of a text, without the white space around them; together they hold every other character.

    Lines are sentences of their own. In a language written without spaces a sentence ends with its mark; elsewhere
    spaCy 3 decides (`lang/*/tokenizer_exceptions.py`, `pipeline/sentencizer.pyx`, MIT), which needs no weights.

    Args:
        text: any text.
        language: as lid.176 names it; what spaCy does not know is cut by the rules for any language.
    """
    sentences: list[str] = []
    for line in text.split("\n"):
        if language in UNSPACED_LANGUAGES:
            found = _compile_marks().findall(line)
        else:
            cutter = _open_cutter(language or _ANY)
            parts = (line[start : start + _MOST_CHARACTERS] for start in range(0, len(line), _MOST_CHARACTERS))
            found = _move_openings([sentence.text for part in parts for sentence in cutter(part).sents])
        sentences += [stripped for sentence in found if (stripped := sentence.strip())]
    return sentences


#: Opening marks at the end of a sentence, after white space: the sentencizer takes all punctuation that follows a stop.
_OPENING = re.compile(r"(?<=\S)\s+[\"'“„‘‚«‹(\[¿¡]+\s*$")


def _move_openings(sentences: list[str]) -> list[str]:
    for index in range(len(sentences) - 1):
        opening = _OPENING.search(sentences[index])
        if opening:
            sentences[index + 1] = sentences[index][opening.start() :] + sentences[index + 1]
            sentences[index] = sentences[index][: opening.start()]
    return sentences


@lru_cache(maxsize=1)
def _compile_marks() -> re.Pattern[str]:
    marks = re.escape("".join(sorted(list_sentence_terminals())))
    closing = re.escape("\"'”’」』）)]】》〉")
    return re.compile(f"[^{marks}]*[{marks}]+[{closing}]*|[^{marks}]+")


@lru_cache(maxsize=64)
def _open_cutter(language: str) -> Any:
    import spacy

    try:
        cutter = spacy.blank(language)
    except (ImportError, ValueError, OSError):
        # a language that spaCy has not, or that needs a package of its own
        if language == _ANY:
            raise
        return _open_cutter(_ANY)
    cutter.add_pipe("sentencizer")
    return cutter
