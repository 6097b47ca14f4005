"""Holds the wording of the English articles: one module per family of topics, listed in `GENRES`."""

from __future__ import annotations

from mmpipe.demo.grammar import Article, Dice, write_article
from mmpipe.demo.names import make_known_facts
from mmpipe.demo.topics.landmarks import LANDMARK, MUSEUM
from mmpipe.demo.topics.landscapes import RIVER, WALK

#: Every kind of English article, in the order in which they take turns.
GENRES = (LANDMARK, RIVER, MUSEUM, WALK)


def write_english_article(seed: int | str, number: int) -> Article:
    """Return article `number` of a series; two numbers or two seeds give two different texts."""
    genre = GENRES[number % len(GENRES)]
    dice = Dice("article", seed, number)
    topic = f"{genre.name}-{seed}-{number}"
    return write_article(genre, make_known_facts(dice), dice, topic=topic)
