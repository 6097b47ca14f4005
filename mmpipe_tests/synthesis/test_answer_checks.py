"""Verifiers of final answers: the hard cases, one line each, and what holds for all numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.answer_checks import (
    AnswerCheck,
    check_answer,
    extract_boxed,
    extract_choice,
    extract_final,
    extract_last_number,
    normalize_text,
)
from mmpipe.synthesis.answer_numbers import find_quantities, read_quantity

NUMBER = AnswerCheck(kind="number")
EXACT = AnswerCheck(kind="number", relative=0.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", "5"),
        ("-5", "-5"),
        ("−5", "-5"),
        ("–5", "-5"),
        ("+5", "5"),
        ("5.", "5"),
        ("= −5", "-5"),
        ("- 5", "-5"),
        ("1/2", "1/2"),
        ("-1/2", "-1/2"),
        ("1 1/2", "3/2"),
        ("½", "1/2"),
        ("1½", "3/2"),
        (r"\frac{1}{2}", "1/2"),
        (r"-\frac{3}{4}", "-3/4"),
        (r"\dfrac12", "1/2"),
        (r"1\frac{1}{2}", "3/2"),
        (r"$\frac{1}{2}$", "1/2"),
        ("1,234", "1234"),
        ("1,234.50", "2469/2"),
        ("1.234,5", "2469/2"),
        ("0,5", "1/2"),
        ("1,00,000", "100000"),
        ("1 234 567", "1234567"),
        ("1\u00a0234,5", "2469/2"),
        ("1'234", "1234"),
        ("1.234.567", "1234567"),
        (".5", "1/2"),
        ("-.5", "-1/2"),
        ("1.5e3", "1500"),
        ("2E−2", "1/50"),
        ("$1,200.50", "2401/2"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("５", "5"),
        ("٣", "3"),
        ("共5个", "5"),
        ("3.5万", "35000"),
        ("2 million", "2000000"),
        ("the 5th", "5"),
        ("**42**", "42"),
        (r"12{,}000", "12000"),
        (r"\text{about } 7", "7"),
        ("1/3", "1/3"),
    ],
)
def test_numbers_are_read_exactly(text: str, value: str) -> None:
    read = read_quantity(text)
    assert read is not None
    assert read.value == Fraction(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        "5²",
        "2^10",
        "3√2",
        r"\sqrt{2}",
        "5x",
        "2π",
        "12:30",
        "1/2/2020",
        "1.2.3",
        "1,2,3",
        "1/0",
        "A4",
        "H2O",
        "2 3",
        "1 3/2",
        "2 km 3",
        "x_1",
        "3+4",
        "3 × 10^8",
        "1e999",
    ],
)
def test_what_is_no_number_is_not_read_as_one(text: str) -> None:
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    ("said", "right", "is_right"),
    [
        ("5", "-5", False),
        ("-5", "5", False),
        ("−5", "-5", True),
        ("12", "1/2", False),
        ("1/2", "12", False),
        ("0.5", "1/2", True),
        ("50%", "0.5", True),
        ("50%", "50", False),
        ("0.3333333", "1/3", True),
        ("0.33", "1/3", False),
        ("1,000", "1000", True),
        ("1.000", "1000", False),
        ("52", "5.2", False),
        ("5²", "52", False),
        ("5 apples", "5", True),
        ("100", "1e2", True),
        ("", "5", False),
        ("There are 3 + 4 = 7 birds. The answer is 7.", "7", True),
        ("First 7, then 9.", "7", False),
        ("Work: 12 - 5 = 7\n#### 7", "7", True),
        (r"So \boxed{\frac{7}{2}} it is, in 2020.", "3.5", True),
        ("The answer is 18 eggs in 3 days.", "18", True),
        ("The answer is 3 + 4 = 7.", "7", True),
        ("The answer is $5^2$.", "5", False),
        ("答案是 8。", "8", True),
        ("It is 10-5", "-5", False),
        ("The answer is 6. Wait: the answer is 8.", "8", True),
        ("The answer is 12/25/2020", "12", False),
        ("Between 3-5, so the answer is: −2", "-2", True),
        ("The answer is one.", "1", False),
        # what follows a cue is one sentence, and what an answer is not is none
        ("The answer is 10. Check: 5 + 4 = 9, so 9 is too few.", "10", True),
        ("The answer is approx. 10. He has 3 left.", "10", True),
        ("答案是10。因为5加5。", "10", True),
    ],
)
def test_hard_numbers(said: str, right: str, is_right: bool) -> None:
    assert check_answer(said, right, NUMBER).is_right is is_right


@pytest.mark.parametrize(
    ("said", "right", "reason"),
    [
        ("1.5 km", "1500 m", ""),
        ("1500", "1500 m", "unit_missing"),
        ("1500 g", "1500 m", "wrong_unit"),
        ("1,5 kg", "1500 g", ""),
        ("90 minutes", "1.5 hours", ""),
        ("36 km/h", "10 m/s", ""),
        ("5 mW", "5 MW", "wrong_answer"),
        ("5 mw", "5 MW", "wrong_unit"),
        ("$5", "5 dollars", ""),
        ("500 cents", "$5", ""),
        ("€5", "$5", "wrong_unit"),
        ("20 °C", "20 °F", "wrong_unit"),
        ("3 apples", "3 apple", ""),
        ("3 pears", "3 apples", "wrong_unit"),
        ("4 m^2", "4 m²", ""),
        ("4 m", "4 m²", "wrong_unit"),
        ("50%", "50 kg", "wrong_unit"),
        ("50%", "50%", ""),
        ("50", "50%", "unit_missing"),
        ("2 km", "1500 m", "wrong_answer"),
        ("a long way", "1500 m", "answer_unreadable"),
        ("30 kg", "30", ""),
        ("1 year", "12 months", ""),
    ],
)
def test_quantities_are_converted_never_ignored(said: str, right: str, reason: str) -> None:
    assert check_answer(said, right, AnswerCheck(kind="quantity")).reason == reason


def test_percent_and_tolerance() -> None:
    percent = AnswerCheck(kind="percent")
    for said in ("50", "50%", "50 percent", "50 per cent", "50％"):
        assert check_answer(said, "50%", percent).is_right
    assert not check_answer("0.5", "50%", percent).is_right
    assert check_answer("0.34", "0.33", AnswerCheck(absolute=0.01)).is_right
    assert not check_answer("0.341", "0.33", AnswerCheck(absolute=0.01)).is_right
    assert check_answer("1500", "1500 m", AnswerCheck(kind="quantity", may_leave_unit=True)).is_right
    assert not check_answer("1501", "1500 m", AnswerCheck(kind="quantity", may_leave_unit=True)).is_right


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("B) a dog", "B"),
        ("B: a dog", "B"),
        ("Ｂ", "B"),
        ("The answer is (B).", "B"),
        ("The answer is B", "B"),
        ("Answer: c", "C"),
        (r"\boxed{B}", "B"),
        (r"\boxed{\text{C}}", "C"),
        ("答案：B", "B"),
        ("A dog runs.", None),
        ("I think so", None),
        ("A or B", None),
        ("(A), (B)", None),
        ("E", None),
        ("The answer is not A.", None),
        ("The answer is not (A).", None),
        ("(A) is wrong, so (B)", None),
        ("Only (C) fits.", "C"),
        ("The answer is option B.", "B"),
        ("The answer is A. No: the answer is B.", "B"),
        ("", None),
        ("The answer is A dog", None),
    ],
)
def test_option_letters(text: str, letter: str | None) -> None:
    assert extract_choice(text, 4) == letter


def test_options_by_text_and_letter() -> None:
    check, options = AnswerCheck(kind="choice"), ["a cat", "the dog", "银行", "dog"]
    assert check_answer("The answer is a cat.", "A", check, options).is_right
    assert check_answer("银 行", "C", check, options).is_right
    # "the dog" and "dog" are one text: neither letter may be read off it
    assert check_answer("dog", "B", check, options).reason == "answer_unreadable"
    assert check_answer("(B)", "A", check, options).reason == "wrong_answer"
    # options named by letters, out of order: the text decides
    assert check_answer("The answer is B", "A", check, ["B", "A"]).is_right is False
    assert check_answer("The answer is B", "B", check, ["B", "A"]).is_right
    with pytest.raises(ConfigurationError, match="neither a letter"):
        check_answer("A", "a bird", check, options)


@pytest.mark.parametrize(
    ("said", "right", "is_right"),
    [
        ("The Harbour Museum.", "harbour museum", True),
        ("“Paris”", "paris", True),
        ("東京 都", "東京都", True),
        ("東京", "京都", False),
        ("C++", "C", False),
        ("C#", "C", False),
        ("-5", "5", False),
        ("café", "cafe\u0301", True),
        ("Ｔｏｋｙｏ", "tokyo", True),
        ("", "", False),
        ("The answer is New  York.", "New York", True),
        ("不是", "是", False),
        ("答案：北京。", "北京", True),
        ("1/2", "12", False),
        ("U.S.", "U.S", True),
        ("São Paulo", "Sao Paulo", False),
    ],
)
def test_texts(said: str, right: str, is_right: bool) -> None:
    assert check_answer(said, right, AnswerCheck(kind="text")).is_right is is_right


def test_boxes_balance_and_the_last_one_counts() -> None:
    assert extract_boxed(r"\boxed{1} then \boxed{\frac{1}{2}}.") == r"\frac{1}{2}"
    assert extract_boxed(r"\boxed{never closed") is None
    assert extract_final(r"The answer is 3, no: \boxed{4}") == "4"
    assert extract_last_number("3 birds, -1/2 of 8 and A4") == "8"
    assert extract_last_number("none at all") is None
    assert [str(found.value) for found in find_quantities("From 3–5 to -2, at 12:30 on 1/2/2020.")] == ["3", "5", "-2"]


@pytest.mark.parametrize(
    "said",
    [
        "The answer is not 5 but 10.",
        "The answer is not a quantity but a concept. When you add 5 to itself, it results in 10.",
        "The answer is found by adding. To 5 he adds 5, and has 10.",
    ],
)
def test_a_denial_or_a_sentence_without_a_number_is_no_final_answer(said: str) -> None:
    for right in ("5", "10"):
        assert check_answer(said, right, NUMBER).reason == "answer_unreadable"


@pytest.mark.parametrize("said", ["The answer is that Mr. Smith has 5.", "The answer is St. Ives and U.S. $5. Then 7."])
def test_the_full_stop_of_an_abbreviation_ends_no_sentence(said: str) -> None:
    assert check_answer(said, "5", NUMBER).is_right


def test_a_right_answer_that_cannot_be_read_stops() -> None:
    with pytest.raises(ConfigurationError, match="no number"):
        check_answer("5", "five", NUMBER)
    with pytest.raises(ConfigurationError, match="Did you mean 'number'"):
        AnswerCheck(kind="numbr")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="Tolerances"):
        AnswerCheck(relative=-1.0)


@given(st.fractions(max_denominator=10_000), st.fractions(max_denominator=10_000))
def test_exact_numbers_are_equal_only_to_themselves(one: Fraction, other: Fraction) -> None:
    assert check_answer(f"So it follows. The answer is {one}.", str(one), EXACT).is_right
    assert check_answer(str(one), str(other), EXACT).is_right is (one == other)


@given(st.integers(-(10**12), 10**12))
def test_writing_a_number_otherwise_changes_nothing(number: int) -> None:
    for written in (f"{number:,}", f"${number}", f"{number}.0", str(number).replace("-", "−"), rf"\boxed{{{number}}}"):
        assert check_answer(written, str(number), EXACT).is_right, written


@given(st.text(max_size=60))
def test_no_text_breaks_a_reader(text: str) -> None:
    assert normalize_text(normalize_text(text)) is not None
    check_answer(text, "5", NUMBER)
    check_answer(text, "5 km", AnswerCheck(kind="quantity"))
    assert extract_choice(text, 4) in {"A", "B", "C", "D", None}
