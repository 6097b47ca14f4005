"""Holds the wording of the English articles: one module per family of topics, listed in `GENRES`."""

from __future__ import annotations

from mmpipe.demo.grammar import Article, Dice, expand, write_article
from mmpipe.demo.names import make_known_facts
from mmpipe.demo.topics.crafts import CRAFT, DRAWING
from mmpipe.demo.topics.everyday import FORUM, NEWS, REVIEW
from mmpipe.demo.topics.growing import GARDEN, RECIPE
from mmpipe.demo.topics.landmarks import LANDMARK, MUSEUM
from mmpipe.demo.topics.landscapes import ANIMAL, RIVER, WALK
from mmpipe.demo.topics.people import INVENTOR, MATCH, OBSERVATORY

#: Every kind of English article, in the order in which they take turns.
GENRES = (
    LANDMARK, RECIPE, INVENTOR, NEWS, RIVER, ANIMAL, REVIEW, DRAWING, MUSEUM, FORUM, OBSERVATORY, CRAFT, WALK, MATCH,
    GARDEN,
)  # fmt: skip


#: Genres that can be told of one and the same place, for the longer reads.
_OF_A_PLACE = (RIVER, LANDMARK, MUSEUM, WALK, RECIPE, NEWS, ANIMAL)
_LONG_TITLES = ("A weekend in {place1}", "{place1} and around", "Letters from {place1}", "Seven days near {place1}")
#: One article in so many is a long read.
_LONG_EVERY = 8


def write_english_article(seed: int | str, number: int) -> Article:
    """Return article `number` of a series; two numbers or two seeds give two different texts.

    One in eight is a long read (up to 900 words): three genres told of the same place.
    """
    dice = Dice("article", seed, number)
    known = make_known_facts(dice)
    if number % _LONG_EVERY != _LONG_EVERY - 1:
        genre = GENRES[number % len(GENRES)]
        return write_article(genre, known, dice, topic=f"{genre.name}-{seed}-{number}")
    topic = f"long_read-{seed}-{number}"
    parts = [write_article(genre, known, dice, topic=topic) for genre in dice.sample(_OF_A_PLACE, 3)]
    sections = [(heading or part.title, paragraphs) for part in parts for heading, paragraphs in part.sections]
    return Article(topic, "en", expand(dice.pick(_LONG_TITLES), known, dice), tuple(sections))
