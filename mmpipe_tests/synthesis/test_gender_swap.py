from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.synthesis.gender_swap import describe_words, swap_captions, swap_gender
from mmpipe.synthesis.gendered_words import NAME_PAIRS, WORD_PAIRS


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("A man and his dog", "A woman and her dog"),
        ("A woman and her dog", "A man and his dog"),
        ("Two boys watch a policeman.", "Two girls watch a policewoman."),
        ("The coach talks to him.", "The coach talks to her."),
        ("The coach talks to her.", "The coach talks to him."),
        ("A friend waits for her in the rain", "A friend waits for him in the rain"),
        ("The red car is his.", "The red car is hers."),
        ("The red car is hers.", "The red car is his."),
        ("She hurt herself", "He hurt himself"),
        ("The queen's guard", "The king's guard"),
        ("He’s with the bride’s father", "She’s with the groom’s mother"),
        ("Her newly painted house", "His newly painted house"),
        ("Her family at home", "His family at home"),
        ("her 3 sons", "his 3 daughters"),
        ('her "best" hat', 'his "best" hat'),
        ("his or her ticket", "her or his ticket"),
        ("Ladies and gentlemen", "Gentlemen and ladies"),
        ("MEN AT WORK, He said", "WOMEN AT WORK, She said"),
        ("Mr. Smith", "Mrs. Smith"),
        ("A mother, her, and him", "A father, him, and her"),
    ],
)
def test_words_are_swapped_with_their_case(text, swapped):
    assert swap_gender(text).text == swapped


@pytest.mark.parametrize(
    "text",
    [
        "A red boat on a lake at dawn",
        "A man-made lake", "A king-size bed",
        "Germany and the management of manners",
        "Le fils de sa mère",
        "",
        "他和她在湖边",
    ],
)  # fmt: skip
def test_what_means_no_person_stays(text):
    swap = swap_gender(text)
    assert (swap.text, swap.swapped, swap.is_ambiguous) == (text, (), False)


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        # read as `his duck`: she may as well have ducked
        ("A man saw her duck", "A woman saw his duck"),
        ("Parents watch her dancing", "Parents watch him dancing"),
        ("A nurse watches her closely", "A nurse watches him closely"),
        ("He gives her flowers", "She gives his flowers"),
        ("The house is his and not mine", "The house is hers and not mine"),
    ],
)
def test_two_readings_are_told(text, swapped):
    swap = swap_gender(text)
    assert (swap.text, swap.is_ambiguous) == (swapped, True)


def test_what_was_swapped_is_listed():
    assert swap_gender("His sister sees HIM").swapped == (("His", "Her"), ("sister", "brother"), ("HIM", "HER"))


def test_names_are_swapped_only_when_asked():
    assert swap_gender("John and his sister Mary").text == "John and her brother Mary"
    assert swap_gender("John and his sister Mary", names=True).text == "Patricia and her brother James"
    assert swap_gender("JOHN at sea", names=True).text == "PATRICIA at sea"
    assert swap_gender("a john", names=True).swapped == ()


def test_every_word_stands_once_so_that_a_swap_can_be_undone():
    for pairs in (WORD_PAIRS, NAME_PAIRS):
        words = [word.lower() for pair in pairs for word in pair]
        assert len(words) == len(set(words))
    assert not {"her", "his", "him", "hers"} & {word for pair in WORD_PAIRS for word in pair}


_TWO_WAY = st.sampled_from([word for pair in (*WORD_PAIRS, *NAME_PAIRS) for word in pair])
_NEUTRAL = st.sampled_from(["dog", "a", "the", "réd", "stands", "7", "near", "ship", "湖"])
_CASES = st.sampled_from([str, str.upper, lambda word: word[0].upper() + word[1:]])
_GAPS = st.sampled_from([" ", ", ", ". ", "\n", "'s ", " (", "/"])
_WORDS = st.builds(lambda word, case: case(word), _TWO_WAY | _NEUTRAL, _CASES)
_TEXTS = st.lists(st.tuples(_WORDS, _GAPS), max_size=12).map(lambda parts: "".join(word + gap for word, gap in parts))
_PRONOUNS = st.sampled_from(
    [
        "{} sees him.",
        "{} sees her.",
        "his dog sees {}",
        "her dog sees {}",
        "it is hers. {}",
        "it is his. {}",
        "he or she",
    ]
)


@given(_TEXTS, st.booleans())
def test_swapping_twice_gives_the_text_again(text, names):
    once = swap_gender(text, names=names)
    assert not once.is_ambiguous
    assert swap_gender(once.text, names=names).text == text


@given(st.lists(_PRONOUNS, min_size=1, max_size=4), _TWO_WAY.filter(str.islower))
def test_pronouns_of_one_reading_come_back_too(templates, word):
    text = "; ".join(template.format(word) for template in templates)
    once = swap_gender(text)
    assert not once.is_ambiguous
    assert once.swapped
    assert swap_gender(once.text).text == text


@given(st.text(max_size=200))
def test_any_text_is_taken_and_only_listed_words_change(text):
    swap = swap_gender(text, names=True)
    assert (swap.text == text) == all(one == other for one, other in swap.swapped)
    assert len(swap.text.split()) == len(text.split())


def test_rows_are_made_only_where_a_word_was_swapped_and_never_fit_the_picture():
    pairs = [
        {"pair_id": "p1", "dump": "d", "caption": "A man on a boat"},
        {"pair_id": "p2", "dump": "d", "caption": "A boat"},
    ]
    (row,) = swap_captions(pairs)
    assert (row["pair_id"], row["caption"], row["source_caption"]) == ("p1", "A woman on a boat", "A man on a boat")
    assert (row["image_consistent"], row["is_kept"], row["model"]) == (False, True, describe_words(names=False))
    assert describe_words(names=True) != describe_words(names=False)
