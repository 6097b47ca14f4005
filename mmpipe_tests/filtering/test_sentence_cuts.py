"""Sentences hold every character of their text, end where readers end them, and know abbreviations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.filtering.sentence_cuts import cut_sentences


@pytest.mark.parametrize(
    ("text", "language", "sentences"),
    [
        ("Dr. Smith paid $3.50 in Washington, D.C. then. He left!", "en",
         ["Dr. Smith paid $3.50 in Washington, D.C. then.", "He left!"]),
        ('He left! "Really?" she asked.', "en", ["He left!", '"Really?"', "she asked."]),
        ("One line\nanother line. And more", "en", ["One line", "another line.", "And more"]),
        ("今天天气很好。我们去公园吧！“好的。”他说", "zh", ["今天天气很好。", "我们去公园吧！", "“好的。”", "他说"]),
        ("Das ist z.B. ein Test. Hier ist noch einer.", "de", ["Das ist z.B. ein Test.", "Hier ist noch einer."]),
        ("No such language. Cut all the same.", "qqq", ["No such language.", "Cut all the same."]),
        ("สวัสดี", "th", ["สวัสดี"]),
        (" \n\t ", "en", []),
    ],
)  # fmt: skip
def test_sentences_end_where_readers_end_them(text: str, language: str, sentences: list[str]) -> None:
    assert cut_sentences(text, language) == sentences


@given(st.text('ab.?!。"“” \n(Dr)3,', max_size=60), st.sampled_from(["en", "zh", "de", None]))
def test_no_character_is_lost(text: str, language: str | None) -> None:
    sentences = cut_sentences(text, language)

    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() and sentence for sentence in sentences)
