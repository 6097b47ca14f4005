"""Finds the noun phrases of captions: English by rules that need no weights, or any language by a spaCy pipeline."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.sampling.noun_phrase_words import (
    ADJECTIVES,
    BREAKS,
    DETERMINERS,
    NOUNS_IN_LY,
    NOUNS_LIKE_ADJECTIVES,
    NOUNS_LIKE_PARTICIPLES,
    NUMBERS,
    VERBS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Words (with inner apostrophes, hyphens and points, as in `usa.gov`, `u.s.`), or what stands between them.
_TOKENS = re.compile(r"(?:[^\W\d_]\.){2,}|[^\W_]+(?:['’.\-][^\W_]+)*|[^\w\s]|_")
#: Scripts without spaces between words: what stands there are no words, and the rules find none.
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af]"
)
_ADJECTIVE_ENDS = re.compile(r"\w{2,}(?:ful|ous|ive|able|ible|less|ish|ical|ial|ual|ant|ic|esque|y-looking)$")
_PARTICIPLE_ENDS = re.compile(r"\w*[aeiouy]\w*(?:ing|ed)$")
_DIGITS = re.compile(r"[\d]+(?:st|nd|rd|th|s)?$")


class PhraseChunker(Protocol):
    """Finds the noun phrases of captions; `name` says which one did, as floors and caps depend on it."""

    @property
    def name(self) -> str:
        """Name and version."""

    def chunk(self, captions: Sequence[str]) -> list[list[str]]:
        """Return the distinct noun phrases of each caption, lower-cased and without determiners, sorted."""


@dataclass(frozen=True, slots=True)
class RuleChunker:
    """Finds English noun phrases: adjectives, participles and numbers before nouns, closed classes and verbs between.

    A word is what the closed classes and lists of `noun_phrase_words` say, else what its suffix says, else a noun. A
    participle (-ing, -ed) before a noun modifies it, and is a verb if it follows a noun (`a dog running home`).
    A phrase ends with a noun. Of scripts without spaces between words (Han, Kana, Thai, Lao, Burmese, Khmer, Tibetan)
    no phrase is found, so a caption of these alone has none; other languages are read as if they were English.
    """

    name: str = "mmpipe_rules_en_1"

    def chunk(self, captions: Sequence[str]) -> list[list[str]]:
        """Return the distinct noun phrases of each caption, lower-cased and without determiners, sorted."""
        return [sorted(set(_list_phrases(caption.lower()))) for caption in captions]


@dataclass(frozen=True, slots=True)
class SpacyChunker:
    """Finds noun phrases by `noun_chunks` of a spaCy pipeline with a parser, as LLaVA did.

    Attributes:
        name: name and version of the pipeline.
        pipeline: the loaded pipeline.
    """

    name: str
    pipeline: Any

    def chunk(self, captions: Sequence[str]) -> list[list[str]]:
        """Return the distinct noun phrases of each caption, lower-cased and without determiners, sorted."""
        return [sorted(set(_list_chunks(document))) for document in self.pipeline.pipe(captions)]


def open_chunker(pipeline: str = "") -> PhraseChunker:
    """Return the rule chunker, or a spaCy pipeline's.

    Args:
        pipeline: folder of a spaCy pipeline; empty for the rules.

    Raises:
        WeightsNotFound: no such folder, or no pipeline in it.
        ConfigurationError: the pipeline has no parser, or its language no noun phrases.
    """
    if not pipeline:
        return RuleChunker()
    import spacy

    if not (Path(pipeline) / "meta.json").is_file():
        raise WeightsNotFound(f"No spaCy pipeline in {pipeline}: name a folder that nlp.to_disk wrote.")
    loaded = spacy.load(pipeline)
    try:
        list(loaded("A dog.").noun_chunks)
    except (ValueError, NotImplementedError) as error:
        raise ConfigurationError(f"The spaCy pipeline in {pipeline} cannot name noun phrases: {error}") from error
    meta = loaded.meta
    return SpacyChunker(f"spacy_{meta['lang']}_{meta['name']}_{meta['version']}", loaded)


def _list_chunks(document: Any) -> Iterator[str]:
    for chunk in document.noun_chunks:
        words = list(chunk)
        while words and (words[0].lower_ in DETERMINERS or words[0].pos_ in ("DET", "PRON")):
            words.pop(0)
        phrase = " ".join("".join(word.lower_ + word.whitespace_ for word in words).split())
        if phrase and words[-1].lower_ not in BREAKS:
            yield phrase


def _list_phrases(text: str) -> Iterator[str]:
    words: list[str] = []
    classes: list[str] = []
    for token in _TOKENS.findall(text):
        word = token.replace("’", "'")
        named = _classify(word)
        if named == "participle":
            named = "break" if classes and classes[-1] == "noun" else "modifier"
        if named in ("noun", "modifier"):
            words.append(word)
            classes.append(named)
            continue
        yield from _end_phrase(words, classes)
        words, classes = [], []
    yield from _end_phrase(words, classes)


def _end_phrase(words: list[str], classes: list[str]) -> Iterator[str]:
    """Yield what is left of a phrase without the modifiers behind its last noun, if there is one."""
    last = len(words)
    while last and classes[last - 1] != "noun":
        last -= 1
    if last:
        yield " ".join(words[:last])


def _classify(word: str) -> str:
    """Return noun, modifier, participle or break."""
    if not word[0].isalnum() or word in BREAKS or word in DETERMINERS or word in VERBS or _UNSPACED.search(word):
        return "break"
    if word in ADJECTIVES or word in NUMBERS or _DIGITS.match(word):
        return "modifier"
    if word in NOUNS_LIKE_PARTICIPLES or word in NOUNS_LIKE_ADJECTIVES or word in NOUNS_IN_LY:
        return "noun"
    if word.endswith("ly"):
        return "break"
    if _PARTICIPLE_ENDS.match(word):
        return "participle"
    return "modifier" if _ADJECTIVE_ENDS.match(word) else "noun"
