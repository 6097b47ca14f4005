from __future__ import annotations

import re

import pytest

from mmpipe.demo.grammar import Dice, edit_article, expand, fill_slots, parse_genre, write_article
from mmpipe.demo.languages import LANGUAGES, write_foreign_article
from mmpipe.demo.names import make_known_facts
from mmpipe.demo.topics import GENRES, write_english_article


def test_choices_nest_and_slots_are_filled() -> None:
    seen = {expand("[a {x}|one [red|blue] {x}]", {"x": "egg"}, Dice(number)) for number in range(60)}
    assert seen == {"an egg", "one red egg", "one blue egg"}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a owl", "an owl"),
        ("A old hut", "An old hut"),
        ("a used cup", "a used cup"),
        ("a one-eyed cat", "a one-eyed cat"),
    ],
)
def test_article_fits_the_next_word(template: str, said: str) -> None:
    assert expand(template, {}, Dice(0)) == said


def test_slots_use_those_before_them() -> None:
    facts = fill_slots({"low": (3, 3), "name": ("{low} oaks",), "title": "The {name}"}, Dice(1))
    assert facts == {"low": "3", "name": "3 oaks", "title": "The 3 oaks"}


def test_genre_keeps_what_must_stay() -> None:
    genre = parse_genre("g", ("T",), {}, "== A | B\n!first stays.\n/ first in other words.\n\nsecond\nmay go.\n")
    assert genre.sections[0].headings == ("A", "B")
    assert genre.sections[0].items == (("!first stays.", "first in other words."), ("second may go.",))
    texts = {write_article(genre, {}, Dice(number), topic="t").paragraphs[0] for number in range(80)}
    assert all(text.startswith("First") for text in texts)
    assert any("Second may go." in text for text in texts)
    assert any("Second" not in text for text in texts)


@pytest.mark.parametrize("genre", GENRES, ids=lambda genre: genre.name)
def test_every_wording_of_a_genre_can_be_filled(genre) -> None:
    known = make_known_facts(Dice(genre.name))
    for number in range(12):
        article = write_article(genre, known, Dice(genre.name, number), topic="t")
        assert not re.search(r"[{}\[\]|]|\b(\w+) \1\b(?<!that that)", article.title + "\n" + article.text), article.text
        assert all(paragraph.endswith((".", "?", "!", '"')) for paragraph in article.paragraphs)


def test_articles_are_as_long_as_articles() -> None:
    lengths = [len(write_english_article("lengths", number).text.split()) for number in range(200)]
    assert min(lengths) >= 140
    assert max(lengths) <= 950
    assert max(lengths) >= 600


@pytest.mark.parametrize("language", LANGUAGES)
def test_foreign_articles_differ_and_hold_their_facts(language: str) -> None:
    texts = {write_foreign_article(language, "x", number).text for number in range(5)}
    assert len(texts) == 5
    for text in texts:
        assert re.search(r"\d{3}", text)
        assert len(text) > 250


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_edits_touch_the_share_of_words_asked_for(share: float) -> None:
    article = write_english_article("edits", 7)
    edited = edit_article(article, Dice("e"), share)
    before, after = article.text.split(), edited.text.split()
    kept = sum(word in set(before) for word in after)
    assert edited.text != article.text
    assert abs(len(before) - len(after)) <= share * len(before) + 1
    assert kept >= (1 - share) * len(before) - 2
    assert [heading for heading, _ in edited.sections] == [heading for heading, _ in article.sections]


def test_dice_depend_on_every_part() -> None:
    draws = {
        tuple(dice.number(0, 10**6) for _ in range(3)) for dice in (Dice("a", 1), Dice("a", 2), Dice("a1"), Dice(1))
    }
    assert len(draws) == 4
    assert Dice("a", 1).sample(range(100), 5) == Dice("a", 1).sample(range(100), 5)
