"""Each line rule takes what it is for; all together they do what DCLM's modifiers do one after the other."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmpipe.extraction.corrections import correct_text, find_step
from mmpipe.extraction.refinedweb_lines import correct_lines
from mmpipe.tables.correction_steps import CORRECTION_STEPS, COUNTER_WORDS, LINE_STEP
from mmpipe.tables.corrections import Edit, apply_edits, replay

KEPT = "A line that is kept."


def correct(text: str) -> tuple[str, list[str]]:
    edits = correct_lines(text)
    return apply_edits(text, edits), [edit.correction.removeprefix("refinedweb_") for edit in edits]


@pytest.mark.parametrize(
    ("line", "left", "correction"),
    [
        # upper case: more than half of all characters, white space and marks among them
        ("READ THIS now", None, "uppercase_line"),  # 8 of 13
        ("ABCDE fgh1", "ABCDE fgh1", None),  # 5 of 10 is not more than half
        ("ÉCOLE où", None, "uppercase_line"),  # 5 of 8
        # digits: every character
        ("2024", None, "numeric_line"),
        ("٣٤", None, "numeric_line"),
        ("20 24 30", "20 24 30", None),  # 6 of 8
        # counters: a number, K, M or B, one of the words, marks around
        ("3 likes", None, "counter_line"),
        ("* 1,234.5k Followers!", None, "counter_line"),
        ("(12 views)", None, "counter_line"),
        ("3 people like this", "3 people like this", None),
        ("some 3 likes", "some 3 likes", None),
        ("12 viewers came", "12 viewers came", None),
        # one word
        ("Share", None, "one_word_line"),
        ("   ", None, "one_word_line"),  # no word at all
        ("", "", None),
        ("Share this", "Share this", None),
        # phrases, in lines of at most ten words
        ("You have 2 Items in Cart today", "You have 2 today", "items_in_cart"),
        ("items in cart", None, "items_in_cart"),
        ("one two three four five six seven items in cart", "one two three four five six seven", "items_in_cart"),
        ("1 a b c d e f g items in cart", "1 a b c d e f g items in cart", None),  # eleven words
        ("The story goes on Read more...", "The story goes on", "read_more"),
        ("Read more... about it", "Read more... about it", None),  # not at the end
        ("Read more...", None, "read_more"),
        ("The story Read more!!!", "The story Read more!!!", None),
        ("Sign-in to see it", "to see it", "sign_in"),
        ("ſign-ın to see it", "to see it", "sign_in"),  # letters that are s and i to who ignores case
        ("Please sign-in here", "Please sign-in here", None),  # not at the start
        ("sign-in ", None, "one_word_line"),  # one word goes before phrases do
    ],
)  # fmt: skip
def test_one_line_among_others(line: str, left: str | None, correction: str | None) -> None:
    text = f"{KEPT}\n{line}\n{KEPT}"
    middle = [] if left is None else [left]
    assert correct(text) == ("\n".join([KEPT, *middle, KEPT]), [correction] if correction else [])


def test_the_dots_can_be_any_three_marks_as_in_dclms_code() -> None:
    text = "The story Read more!!!"
    assert correct_lines(text) == []
    assert correct_lines(text, any_three_marks=True) == [Edit("refinedweb_read_more", 9, 22)]


def test_rules_see_what_the_rules_before_left() -> None:
    # `read` and `more...` meet only when the phrase between them is gone, so that one removal is in two pieces
    text = f"{KEPT}\nwell read items in cart more...\n{KEPT}"
    assert correct(text) == (f"{KEPT}\nwell\n{KEPT}", ["read_more", "items_in_cart", "read_more"])
    # digits count after white space at the text's end is gone, so this line is one of digits
    assert correct(f"{KEPT}\n42  ") == (KEPT, ["numeric_line"])
    # what a phrase leaves is not looked at again
    assert correct(f"{KEPT}\nSign-in NOW a")[0] == f"{KEPT}\nNOW a"


def test_a_dropped_line_goes_with_one_newline() -> None:
    assert correct_lines("one two\nTHREE\nfour five") == [Edit("refinedweb_uppercase_line", 8, 14)]
    assert correct_lines("one two\nTHREE") == [Edit("refinedweb_uppercase_line", 7, 13)]
    assert correct_lines("THREE\none two") == [Edit("refinedweb_uppercase_line", 0, 6)]
    assert correct_lines("THREE") == [Edit("refinedweb_uppercase_line", 0, 5)]
    assert correct("\n one two\n\nTHREE\n") == ("one two", ["outer_space"] * 2 + ["uppercase_line", "outer_space"])
    assert correct_lines("") == []


def test_what_touches_and_goes_for_the_same_reason_is_one_edit() -> None:
    text = f"{KEPT}\none\ntwo\nTHREE\nfour\n{KEPT}\n" + "five\n" * 100_000
    assert [(text[edit.start : edit.end][:14], edit.correction[11:]) for edit in correct_lines(text)] == [
        ("one\ntwo\n", "one_word_line"),
        ("THREE\n", "uppercase_line"),
        ("four\n", "one_word_line"),
        ("\nfive\nfive\nfiv", "one_word_line"),
        ("\n", "outer_space"),
    ]


def test_options_move_the_limits() -> None:
    text = "ABC defg\n1 2 3 a\n5 claps\none\ntwo three four items in cart"
    edits = correct_lines(
        text, max_uppercase_ratio=0.3, max_numeric_ratio=0.4, counters=("claps",), min_words=1, max_substring_words=5
    )
    assert apply_edits(text, edits) == "one\ntwo three four items in cart"


PIECES = (
    "Items in cart", " items in cart", "read more", "Read more...", "READ MORE…!!", "Sign-in", "sign-in ", "ABC", "DEF",
    "word", "a", " ", "  ", "\t", "\n", "\n", "\n\n", "12", "3.4K", " likes", " followers", "!", "É", "٣", "ſign-in",
    "one two three four five six seven eight nine ten",
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=14).map("".join))


def correct_plainly(text: str, *, any_three_marks: bool) -> str:
    """Return the text after seven plain passes over its lines, each followed by a strip (but the fourth)."""

    def drop(text: str, is_bad: Callable[[str], object]) -> str:
        return "\n".join(line for line in text.split("\n") if not line or not is_bad(line))

    counter = re.compile(rf"^\W*\d(?:,|\.|\d)*[kmb]?\s+(?:{'|'.join(COUNTER_WORDS)})\W*$")
    text = drop(text, lambda line: sum(map(str.isupper, line)) / len(line) > 0.5).strip()
    text = drop(text, lambda line: sum(map(str.isdigit, line)) / len(line) > 0.999999).strip()
    text = drop(text, lambda line: counter.search(line.lower())).strip()
    text = drop(text, lambda line: len(line.split()) < 2)
    dots = "..." if any_three_marks else r"\.\.\."
    for phrase in (r"\s?items in cart", rf"\s?read more{dots}$", r"^sign-in\s?"):
        lines = []
        for line in text.split("\n"):
            left = re.sub(phrase, "", line, flags=re.IGNORECASE) if len(line.split()) <= 10 else line
            if not line or left.strip():
                lines.append(left)
        text = "\n".join(lines).strip()
    return text


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.booleans())
@example(" 12\nsign-in ABC DEF", False)
def test_all_together_do_what_seven_plain_passes_do(text: str, any_three_marks: bool) -> None:
    step = find_step(LINE_STEP, CORRECTION_STEPS[LINE_STEP] | {"any_three_marks": any_three_marks})
    corrected = correct_text(text, [step])  # raises if a span overlaps or lies outside
    assert corrected.text == correct_plainly(text, any_three_marks=any_three_marks)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_the_spans_tell_the_whole_story(text: str) -> None:
    steps = ["refinedweb_remove_urls", "dclm_collapse_newlines", LINE_STEP]
    corrected = correct_text(text, [find_step(name, CORRECTION_STEPS[name]) for name in steps])
    entries = [
        {
            "step": step,
            "correction": edit.correction,
            "start": edit.start,
            "end": edit.end,
            "replacement": edit.replacement,
        }
        for step, edit in corrected.edits
    ]
    assert replay(text, entries) == corrected.text
    assert replay(text, entries, before_step=0) == text
    assert all(0 <= edit.start < edit.end and edit.replacement == "" for _, edit in corrected.edits)
    for (step, edit), (later_step, later) in pairwise(corrected.edits):
        if step == later_step and step == steps.index(LINE_STEP):
            assert edit.end < later.start or edit.correction != later.correction


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_a_second_pass_finds_only_what_a_cut_phrase_left(text: str) -> None:
    edits = correct_lines(text)
    phrases = {"refinedweb_items_in_cart", "refinedweb_read_more", "refinedweb_sign_in"}
    # a line within the end's reach was judged with white space that has gone since
    if not phrases & {edit.correction for edit in edits} and text == text.strip():
        left = apply_edits(text, edits)
        lines_at_ends = {left.split("\n")[0], left.split("\n")[-1]} if left else set()
        again = correct_lines(left)
        gone = {line for edit in again for line in left[edit.start : edit.end].strip("\n").split("\n")}
        assert gone <= lines_at_ends


@pytest.mark.parametrize(
    "text",
    ["\n" * 300_000, "a b " * 500_000, "ab\n" * 200_000, "1." * 1_000_000, "." * 2_000_000, "items in cart " * 150_000,
     "x items in cart\n" * 100_000, "é" * 2_000_000, " " * 2_000_000],
    ids=["newlines", "words", "lines", "numbers", "dots", "phrases", "carts", "letters", "spaces"],
)  # fmt: skip
def test_time_grows_with_the_length_only(text: str) -> None:
    started = time.process_time()
    correct_lines(text)
    assert time.process_time() - started < 5
