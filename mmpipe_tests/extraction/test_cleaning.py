"""Line ends become newlines, runs of newlines are shortened, and doing it twice changes nothing."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.extraction.cleaning import clean_text, collapse_newlines
from mmpipe.tables.corrections import Edit, apply_edits

PIECES = st.sampled_from(["x", " ", "\t", "\n", "\n\n\n", "\r\n", "\r", "\u2028", "Größe"])
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc\n", "a\nb\nc"),
        ("  a  \n b\t", "a  \n b"),
        ("a\n\n\n\nb", "a\n\n\n\nb"),
        ("see https://a.b/c now", "see https://a.b/c now"),
        ("\r\n \t", ""),
    ],
)
def test_only_line_ends_and_the_ends_of_the_text_are_cleaned(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@settings(deadline=None)
@given(TEXTS)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


def test_surplus_newlines_go_and_the_others_stay_where_they_are() -> None:
    assert collapse_newlines("a\n\n\n\nb\n\nc\n\n\n") == [Edit("dclm_newlines", 3, 5), Edit("dclm_newlines", 11, 12)]
    assert collapse_newlines("a\n \n\nb") == []  # DCLM: a line of white space ends a run
    assert apply_edits("a\n\n\nb", collapse_newlines("a\n\n\nb", most_newlines=1)) == "a\nb"


@settings(deadline=None)
@given(TEXTS, st.integers(1, 3))
def test_no_longer_run_is_left_and_a_second_pass_finds_nothing(text: str, most: int) -> None:
    left = apply_edits(text, collapse_newlines(text, most))
    assert left == re.sub(rf"\n{{{most},}}", lambda run: run[0][:most], text)
    assert collapse_newlines(left, most) == []


def test_a_million_newlines_take_no_time() -> None:
    started = time.process_time()
    assert len(collapse_newlines("\n" * 1_000_000 + "x")) == 1
    assert len(collapse_newlines("\n\n\nx" * 250_000)) == 250_000
    assert time.process_time() - started < 5
