from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.synthesis.grounding import (
    count_words,
    list_words,
    measure_copied_words,
    measure_grounding,
    measure_order,
    measure_repetition,
)
from mmpipe.synthesis.question_kinds import fits_question, shares_topic
from mmpipe.synthesis.told_numbers import list_untold_numbers

WORDS = ["whale", "tower", "1902", "the", "of", "Rome", "bridge", "walks"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def test_grounding_counts_content_words() -> None:
    evidence = "The whale skeleton is 18 metres long."
    assert measure_grounding("How long are whales?", evidence) == 1.0
    assert measure_grounding("The whale is 19 metres long", evidence) == 0.75
    assert measure_grounding("of the", evidence) == 0.0


def test_every_number_is_told() -> None:
    evidence = "In 1931 Clara Benn paid 1,900.50 crowns for 3 rooms."
    assert not list_untold_numbers("She paid 1,900.50 crowns in 1931", evidence)
    assert not list_untold_numbers("She paid many crowns", evidence)
    assert list_untold_numbers("Clara Benn paid 1,905.50 crowns for the 3 rooms", evidence)
    assert list_untold_numbers("The 4th room", evidence)
    assert not list_untold_numbers("There were 3 rooms", "There were three rooms.")
    assert list_untold_numbers("There were 4 rooms", "There were three rooms.")


@pytest.mark.parametrize(
    "evidence", ["12,000 crowns", "12.000 Kronen", "12\u202f000 couronnes", "12'000 Franken", "12000"]
)
def test_thousands_are_told_however_they_are_parted(evidence: str) -> None:
    assert not list_untold_numbers("It cost 12000", evidence)
    assert not list_untold_numbers("It cost 12,000", evidence)
    assert list_untold_numbers("It cost 12001", evidence)
    assert list_untold_numbers("It cost 12,100", evidence)


def test_order_sees_who_did_what_to_whom() -> None:
    evidence = "Athletic Holmhurst defeated Tarnhaven City by 3 goals."
    assert measure_order("Athletic Holmhurst defeated Tarnhaven City.", evidence) == 1.0
    assert measure_order("Tarnhaven City defeated Athletic Holmhurst.", evidence) == 0.4


def test_copies_and_loops() -> None:
    assert measure_repetition("a b c a b c a b c") == pytest.approx(4 / 7)
    assert measure_repetition("a b") == 0.0


def test_two_characters_of_a_script_without_spaces_are_a_copied_word() -> None:
    assert measure_copied_words("镇上的居民每年春天都会清洗什么？", "镇上的居民每年春天都会清洗石桥。") == 6.5
    assert measure_copied_words("who found the old stone bridge?", "Holt found the old stone tower") == 4


def test_scripts_without_spaces_have_words() -> None:
    assert list_words("他在Rome走") == ["他", "在", "rome", "走"]


@given(TEXTS, TEXTS)
def test_measures_stay_in_range_and_a_text_grounds_itself(text: str, other: str) -> None:
    for measured in (measure_grounding(text, other), measure_order(text, other), measure_repetition(text)):
        assert 0.0 <= measured <= 1.0
    assert measure_order(text, other) <= measure_grounding(text, other)
    assert 0 <= measure_copied_words(text, other) <= count_words(text)
    assert measure_copied_words(text, text) == count_words(text)


@pytest.mark.parametrize(
    ("question", "answer", "fits"),
    [
        ("How old was she?", "She died in 1939.", False),
        ("How old was she?", "She was 82 years old.", True),
        ("How many metres up does the river rise?", "The river runs 306 kilometres.", False),
        ("How many boats are there?", "There are three small boats.", True),
        ("How many boats are there?", "Three.", True),
        ("How much is the pocket?", "It lacks the pocket.", False),
        ("When did it open?", "It opened in spring.", True),
        ("When did it open?", "It opened the door.", False),
        ("Who scored from a free kick?", "The game was over.", False),
        ("Who designed the bridge?", "The bridge was designed by Clara Benn.", True),
        ("Why is it red?", "It was painted.", True),
        ("Wie alt war sie?", "Sie war alt.", True),
    ],
)
def test_an_answer_is_of_the_kind_asked_for(question: str, answer: str, fits: bool) -> None:
    assert fits_question(question, answer) is fits


def test_long_answers_share_a_word_with_the_question() -> None:
    assert not shares_topic("How does soap help?", "Soda is sold cheaply in blue bottles.")
    assert shares_topic("How does soap help?", "Soap makes every leaf slippery for weeks.")
    assert shares_topic("Who?", "Clara Benn")
