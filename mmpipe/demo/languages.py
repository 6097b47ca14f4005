"""Holds the wording of the articles that are not English, and writes them."""

from __future__ import annotations

from mmpipe.demo.foreign_topics import FOREIGN_GENRES
from mmpipe.demo.grammar import Article, Dice, write_article
from mmpipe.demo.names import make_known_facts

#: Languages beside English, commonest first; ISO 639-1.
LANGUAGES = tuple(FOREIGN_GENRES)


def write_foreign_article(language: str, seed: int | str, number: int) -> Article:
    """Return article `number` of a series in one of `LANGUAGES`.

    Raises:
        KeyError: no article is written in that language.
    """
    dice = Dice("article", language, seed, number)
    genre = dice.pick(FOREIGN_GENRES[language])
    return write_article(
        genre, make_known_facts(dice), dice, topic=f"{language}-{genre.name}-{seed}-{number}", language=language
    )
