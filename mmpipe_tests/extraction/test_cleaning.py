"""URLs go, text stays, and cleaning twice changes nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.extraction.cleaning import clean_text

PIECES = st.sampled_from(
    ["http://", "HTTPS://", "www.", "a.b/c", "x", ".", ")", " ", "\t", "\n", "\n\n\n", "\r\n", "w", "Größe"]
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("see https://a.b/c?d=1&e=2 now", "see  now"),
        ("(www.a.com).", "()."),
        ("HTTP://A.B\nnext", "next"),
        ("a\n\n\n\nb", "a\n\nb"),
        ("a  \nb\t", "a\nb"),
        ("a\r\n\r\n\r\nb", "a\n\nb"),
        ("the www and http words stay: awww.", "the www and http words stay: awww."),
    ],
)
def test_cleaned(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    assert "\n\n\n" not in once
    assert not re.search(r"https?://", once, re.IGNORECASE)
    assert not re.search(r"[ \t]\n", once)
