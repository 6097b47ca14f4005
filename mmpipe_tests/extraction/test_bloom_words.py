"""BLOOM's word corrections: which words go, what goes with them, and that nothing else is touched."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.extraction.bloom_words import remove_scraps
from mmpipe.extraction.corrections import Step, correct_text
from mmpipe.tables.correction_steps import CORRECTION_STEPS
from mmpipe.tables.special_characters import list_special_characters

OPTIONS: dict[str, Any] = dict(CORRECTION_STEPS["bloom_words"])
STEP: Step = partial(remove_scraps, **OPTIONS)
LONG = "a" * 26
CHINESE = "这是一个很长的句子没有空格所以不是一个单词而是很多单词"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see http://a.b for more", "see for more"),
        ("http://a.b is first\nand www.last", "is first\nand"),
        ("http://a www.b\nnext line", "\nnext line"),
        ("  http://a  www.b  then this", "then this"),
        (f"a {LONG} b", "a b"),
        (f"a {LONG[:25]} b", f"a {LONG[:25]} b"),
        # 27 characters, of which the last two are stripped before they are counted
        (f"a {LONG[:25]}!! b", f"a {LONG[:25]}!! b"),
        # nothing but signs, and more than 25 of them
        (f"a {'-' * 26} b", "a b"),
        # stripped of its signs, `//` holds nothing; `a//b` does
        ("left // right a//b", "left // right"),
        # looked at as `com`
        ("a .com b x.com", "a .com b"),
        # case counts
        ("HTTP:A stays", "HTTP:A stays"),
        (f"{CHINESE} http://x", CHINESE),
        ("", ""),
        ("\n\n", "\n\n"),
    ],
)  # fmt: skip
def test_words_go_and_lines_stay(text: str, left: str) -> None:
    assert correct_text(text, [STEP]).text == left


def test_each_removed_word_is_named_by_its_fault() -> None:
    edits = STEP(f"a http://b {LONG}")
    assert [(edit.correction, edit.start, edit.end) for edit in edits] == [
        ("bloom_word_substring", 1, 10),
        ("bloom_long_word", 10, 37),
    ]


@given(st.lists(st.sampled_from([*"ab.c/w!\n \t0漢", "http", LONG]), max_size=60).map("".join))
def test_what_is_left_are_the_words_that_the_definition_keeps(text: str) -> None:
    special = list_special_characters()

    def is_kept(word: str) -> bool:
        stripped = word.strip(special)
        if any(scrap in stripped for scrap in ("http", "www", ".com", "href", "//")):
            return False
        return len(word) <= 25 or "漢" in word or 0 < len(stripped) <= 25

    left = correct_text(text, [STEP]).text
    assert [line.split() for line in left.split("\n")] == [
        [word for word in line.split() if is_kept(word)] for line in text.split("\n")
    ]


def test_long_lines_and_many_lines_take_time_by_their_length() -> None:
    start = time.process_time()
    assert correct_text("x" * 2_000_000, [STEP]).text == ""
    assert correct_text("http://a " * 50_000, [STEP]).text.strip() == ""
    assert correct_text("\n" * 300_000, [STEP]).text == "\n" * 300_000
    assert time.process_time() - start < 10
