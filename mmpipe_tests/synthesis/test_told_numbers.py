from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.synthesis.number_words import list_chinese_numbers, list_spelled_numbers
from mmpipe.synthesis.told_numbers import list_added_numbers, list_untold_numbers

TOLD = [
    ("It opened in the 20th century", "in the twentieth century"),
    ("the 20th of May", "May 20"),
    ("May 20", "the 20th of May"),
    ("the 3rd bridge", "three bridges"),
    ("the 1990s", "in 1990"),
    ("the 1990s", "in 1994"),
    ("the '90s", "the 1990s"),
    ("the 1800s", "in 1863"),
    ("1,000 men", "1000 men"),
    ("1000 men", "a thousand men"),
    ("1 000 men", "1.000 Mann"),
    ("1,900.50 crowns", "1.900,50 Kronen"),
    ("1,500,000", "1.5 million"),
    ("twenty rooms", "20 rooms"),
    ("20 rooms", "twenty rooms"),
    ("205 rooms", "two hundred and five rooms"),
    ("24 eggs", "two dozen eggs"),
    ("1931", "nineteen thirty-one"),
    ("2024", "twenty twenty-four"),
    ("18 km", "18km"),
    ("18km", "18 km"),
    ("$20k", "20,000 dollars"),
    ("5 million to 6 million", "5 to 6 million"),
    ("10:45", "10.45 h"),
    ("10:00", "at 10 o'clock"),
    ("2024-05-01", "1 May 2024"),
    ("2019-2020", "the 2019–20 season"),
    ("20个房间", "二十个房间"),
    ("1931年", "一九三一年"),
    ("35000人", "三万五千人"),
    ("1.2万人", "12,000"),
    ("1990年代", "1994年"),
    ("٢٠٢٤", "2024"),
    ("１９４８年", "1948"),
    ("B52", "B-52"),
    ("007 agents", "7 agents"),
    ("twenty-five people", "25"),
]
ADDED = [
    ("in 1990", "in the 1990s", "1990"),
    ("in 1994", "in the 1990s", "1994"),
    ("the 1980s", "in 1994", "1980s"),
    ("1990年", "1990年代", "1990"),
    ("1.5 km", "15 km", "1.5"),
    ("3.5 km", "2.5 km", "3.5"),
    ("3.14", "314", "3.14"),
    ("1,500", "1.5", "1,500"),
    ("1.5 million", "1.5 billion", "1.5 million"),
    ("20k", "20", "20k"),
    ("20 thousand", "20", "20 thousand"),
    ("20万", "20", "20万"),
    ("the 21st century", "the 20th century", "21"),
    ("thirty metres", "20 metres", "thirty"),
    ("two hundred rooms", "twenty rooms", "two hundred"),
    ("the twenty-first century", "1931", "twenty first"),
    ("2024-05-31", "May 2024", "2024-05-31"),
    ("14:45", "13:45", "14:45"),
]


@pytest.mark.parametrize(("text", "source"), TOLD)
def test_a_number_is_told_however_it_is_written(text: str, source: str) -> None:
    assert list_untold_numbers(text, source) == []
    assert list_added_numbers(text, source) == []


@pytest.mark.parametrize(("text", "source", "added"), ADDED)
def test_another_number_is_none_that_was_told(text: str, source: str, added: str) -> None:
    assert list_untold_numbers(text, source) == [added]
    assert list_added_numbers(text, source) == [added]


def test_small_numbers_are_left_to_the_caller() -> None:
    assert list_added_numbers("4 rooms, version 1.2.3", "rooms") == []
    assert list_untold_numbers("4 rooms", "rooms") == ["4"]
    assert not list_untold_numbers("four rooms", "rooms")


def test_the_numbers_of_a_list_are_none_that_it_tells() -> None:
    items = "\n".join(f"{n}. A stone." for n in range(1, 21))
    pairs = "\n".join(f"Question {n}: Which?\nAnswer {n}: That." for n in range(1, 16))
    assert list_added_numbers(items, "stones") == []
    assert list_added_numbers(pairs, "stones") == []
    # a number that no list leads to, and one within a line, are the text's own
    assert list_added_numbers(f"{items}\n31. A stone of 17 tons.", "stones") == ["31", "17"]
    assert list_added_numbers("1931. That was the year.", "stones") == ["1931"]
    shown = "It shows:\n1. A dog\n2. A cat"
    assert list_untold_numbers(shown, "a dog and a cat", are_words_held=True) == []
    assert list_untold_numbers(f"{shown}\n4. A bird", "a dog, a cat and a bird") == ["4"]


@pytest.mark.parametrize(
    ("text", "evidence", "untold"),
    [
        ("Clara Benn paid for four rooms", "Clara Benn paid for three rooms", ["four"]),
        ("three rooms", "3 rooms", []),
        ("the two towers", "both towers", []),
        ("one of the first rooms, the second", "rooms", []),
        ("ten of them", "the tenth of them", []),
    ],
)
def test_small_words_are_held_where_the_caller_says_so(text: str, evidence: str, untold: list[str]) -> None:
    assert list_untold_numbers(text, evidence, are_words_held=True) == untold
    assert list_untold_numbers(text, evidence) == []


FORMS = (
    "{0}", "{0:,}", "the {0}th", "{0}km", "{0} km", "({0})", "{0}.", "中{0}个", "€{0}", "{0}%", "-{0}", "a {0}-fold",
)  # fmt: skip


@given(st.integers(13, 10**7), st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_every_form_of_a_number_tells_every_other(number: int, form: str, other: str) -> None:
    assert not list_untold_numbers(form.format(number), f"Of old, {other.format(number)} and more")


@given(st.integers(13, 10**7), st.integers(13, 10**7), st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_no_form_of_a_number_tells_a_different_one(number: int, told: int, form: str, other: str) -> None:
    if number != told:
        assert list_untold_numbers(form.format(number), other.format(told))
        assert list_added_numbers(form.format(number), other.format(told))


@given(st.integers(100, 209), st.integers(1000, 2099))
def test_a_decade_is_told_by_its_own_years_alone_and_tells_none(decade: int, year: int) -> None:
    is_century = decade % 10 == 0
    is_within = year // 100 == decade // 10 if is_century else year // 10 == decade
    assert (list_untold_numbers(f"the {decade}0s", f"in {year}") == []) is is_within
    assert list_untold_numbers(f"in {year}", f"the {decade}0s")


_SMALL_NAMES = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
"""
_SMALL = _SMALL_NAMES.split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905


def _spell(number: int) -> str:
    """Spell a number below a million as English does; written apart from the reader."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f"-{_SMALL[number % 10]}" if number % 10 else "")
    if number < 1000:
        rest = f" and {_spell(number % 100)}" if number % 100 else ""
        return f"{_SMALL[number // 100]} hundred{rest}"
    last = number % 1000
    link = " and" if last < 100 else ""
    return f"{_spell(number // 1000)} thousand" + (f"{link} {_spell(last)}" if last else "")


@given(st.integers(0, 999_999))
def test_numbers_in_words_are_read(number: int) -> None:
    (read,) = list_spelled_numbers(f"It had {_spell(number)} rooms")
    assert read.values == (number,)
    assert not list_untold_numbers(_spell(number), f"{number:,}")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("five six", [5, 6]),
        ("forty and fifty", [40, 50]),
        ("ten sixty-six", [1066]),
        ("twenty-first, third", [21, 3]),
        ("a hundred men; hundreds; oneness, often", [100]),
        ("three million two hundred thousand", [3_200_000]),
        ("3 million", []),
    ],
)
def test_words_that_do_not_go_on_with_a_number_begin_another(text: str, numbers: list[int]) -> None:
    assert [one.values[0] for one in list_spelled_numbers(text)] == numbers


def test_chinese_numerals_are_read() -> None:
    assert {20, 1931, 35_000, 120_000_000, 205, 12} <= list_chinese_numbers(
        "二十 一九三一 三万五千 一亿二千万 两百零五 十二"
    )


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_text_adds_nothing_to_itself_whatever_it_is(text: str, other: str) -> None:
    assert list_untold_numbers(text, text) == []
    assert set(list_added_numbers(text, other)) <= set(list_untold_numbers(text, other))


def test_a_long_row_of_digits_takes_no_time() -> None:
    assert list_added_numbers("9" * 200_000, "1" * 200_000) == ["9" * 200_000]
    assert list_untold_numbers("9 " * 20_000 + "two " * 20_000, "9 2") == []
