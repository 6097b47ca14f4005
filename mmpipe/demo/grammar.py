"""Expands templates into sentences, paragraphs and articles; the sample crawl's wording stands in `topics`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import xxhash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_Item = TypeVar("_Item")

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU](?!ne\b|u[a-z]|nit|niv|se\b|sed\b))")

#: A slot's value: one of several texts, a whole number from a range (both ends included), or a template.
Slot = tuple[str, ...] | tuple[int, int] | str


class Dice:
    """Draws choices from a seed made of any parts; equal parts give equal draws on every machine."""

    def __init__(self, *parts: str | int) -> None:
        digest = xxhash.xxh3_128_intdigest("\0".join(str(part) for part in parts).encode())
        self._rng = np.random.default_rng(digest)

    def pick(self, items: Sequence[_Item]) -> _Item:
        """Return one of the items."""
        return items[int(self._rng.integers(len(items)))]

    def sample(self, items: Sequence[_Item], count: int) -> list[_Item]:
        """Return `count` different items, or all if there are fewer, in random order."""
        return [items[index] for index in self._rng.permutation(len(items))[:count]]

    def number(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return int(self._rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self._rng.random() < probability)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading (several wordings, or none) and its items; an item is a list of alternative wordings."""

    headings: tuple[str, ...]
    items: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Genre:
    """A kind of article: its titles, the slots its sentences are filled from, and its sections."""

    name: str
    titles: tuple[str, ...]
    slots: Mapping[str, Slot]
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Article:
    """A text to be put on a page: sections of an optional heading and paragraphs."""

    topic: str
    language: str
    title: str
    sections: tuple[tuple[str | None, tuple[str, ...]], ...]

    @property
    def paragraphs(self) -> list[str]:
        """All paragraphs in order, without headings."""
        return [paragraph for _, paragraphs in self.sections for paragraph in paragraphs]

    @property
    def text(self) -> str:
        """Headings and paragraphs, one per line: what a perfect extractor would find."""
        lines: list[str] = []
        for heading, paragraphs in self.sections:
            lines += [heading, *paragraphs] if heading else paragraphs
        return "\n".join(lines)


def parse_genre(name: str, titles: tuple[str, ...], slots: Mapping[str, Slot], body: str) -> Genre:
    """Read a genre from its written form.

    `== A | B` opens a section with alternative headings (`==` alone: no heading). Blank lines separate items; within
    an item a line that starts with `/ ` begins another wording. An item starting with `!` is never left out. Text may
    hold `{slot}`s and `[one|two]` choices, which nest.
    """
    sections: list[Section] = []
    for block in re.split(r"^==", body, flags=re.MULTILINE)[1:]:
        heading_line, _, rest = block.partition("\n")
        headings = tuple(heading.strip() for heading in heading_line.split("|") if heading.strip())
        items = []
        for written in re.split(r"\n\s*\n", rest.strip()):
            wordings = re.split(r"\n\s*/ ", written.strip())
            items.append(tuple(" ".join(wording.split()) for wording in wordings))
        sections.append(Section(headings, tuple(items)))
    return Genre(name, titles, slots, tuple(sections))


def fill_slots(slots: Mapping[str, Slot], dice: Dice, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a value for each slot, in order; a template may use the slots before it."""
    facts = dict(known or {})
    for name, slot in slots.items():
        if isinstance(slot, str):
            facts[name] = expand(slot, facts, dice)
        elif isinstance(slot[0], int) and isinstance(slot[1], int):
            facts[name] = str(dice.number(slot[0], slot[1]))
        else:
            facts[name] = expand(str(dice.pick(slot)), facts, dice)
    return facts


def expand(template: str, facts: Mapping[str, str], dice: Dice) -> str:
    """Return the template with its choices made, innermost first, and its slots filled."""
    while match := _CHOICE.search(template):
        choice = dice.pick(match.group(1).split("|"))
        template = template[: match.start()] + choice + template[match.end() :]
    return _ARTICLE.sub(r"\1n ", template.format_map(facts))


def write_article(genre: Genre, known: Mapping[str, str], dice: Dice, *, topic: str, language: str = "en") -> Article:
    """Return an article of the genre: each section keeps a random share of its items, in order, in paragraphs."""
    facts = fill_slots(genre.slots, dice, known)
    joint = "" if language in ("ja", "zh") else " "
    title = _capitalise(expand(dice.pick(genre.titles), facts, dice))
    sections = []
    for section in genre.sections:
        kept = [item for item in section.items if item[0].startswith("!") or dice.chance(0.92)]
        sentences = [_capitalise(expand(dice.pick(item).lstrip("! "), facts, dice)) for item in kept]
        paragraphs = []
        while sentences:
            size = dice.number(2, 5)
            # No stub of one sentence at the end of a section.
            size = len(sentences) if len(sentences) - size < 2 else size
            paragraphs.append(joint.join(sentences[:size]))
            sentences = sentences[size:]
        heading = expand(dice.pick(section.headings), facts, dice) if section.headings else None
        if paragraphs:
            sections.append((heading, tuple(paragraphs)))
    return Article(topic, language, title, tuple(sections))


def edit_article(article: Article, dice: Dice, share: float) -> Article:
    """Return the article with about that share of its words (at least one) replaced or left out."""
    paragraphs_before = article.paragraphs
    word_count = sum(len(paragraph.split()) for paragraph in paragraphs_before)
    chosen = set(dice.sample(range(word_count), max(1, round(share * word_count))))
    position = 0
    sections = []
    for heading, paragraphs in article.sections:
        edited = []
        for paragraph in paragraphs:
            words = []
            for word in paragraph.split():
                if position not in chosen:
                    words.append(word)
                elif dice.chance(0.7):
                    words.append(dice.pick(("quite", "indeed", "perhaps", "nearby", "still", "former", "local")))
                position += 1
            edited.append(" ".join(words))
        sections.append((heading, tuple(edited)))
    return replace(article, sections=tuple(sections))


def _capitalise(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
