"""C4's lines: the text left is C4's own, for every order of its checks, and each span says why it went."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmpipe.extraction.c4_lines import correct_c4_lines
from mmpipe.extraction.corrections import correct_text, find_step
from mmpipe.tables.correction_steps import CORRECTION_STEPS

DATATROVE: dict[str, Any] = {
    "min_line_words": 3,
    "count_cited_words": True,
    "terminal_marks": (".", "?", "!", '"', "'"),
}


def clean_plainly(text: str, options: dict[str, Any]) -> tuple[str, list[str]]:
    """Return what C4 leaves, read off its description line by line, and what condemned the page."""
    options = {**CORRECTION_STEPS["c4_lines"], **options}
    kept, found = [], []
    for raw in text.splitlines():
        stripped = raw.strip()
        line = (
            re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", stripped) if options["remove_citations"] else stripped
        )
        counted = stripped if options["count_cited_words"] else line
        if any(len(word) > options["max_word_chars"] for word in stripped.split()):
            continue
        if options["require_terminal_mark"] and (
            not any(line.endswith(mark) for mark in options["terminal_marks"]) or line.endswith("...")
        ):
            continue
        if len(counted.split()) < options["min_line_words"]:
            continue
        if "lorem ipsum" in line.lower():
            found.append("c4_lorem_ipsum")
        if options["remove_javascript"] and "javascript" in line.lower():
            continue
        if "{" in line:
            found.append("c4_curly_bracket")
        policies = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
        if options["remove_policy"] and any(policy in line.lower() for policy in policies):
            continue
        kept.append(line)
    return "\n".join(kept).strip(), found


PIECES = (
    "word", "a", " ", "  ", "\t", "\n", "\n\n", "\r\n", "\x0b", "\u2028", ".", "...", "!", '"', "'", "[1]", "[]",
    "[edit]", "[citation needed]", "[", "]", "Lorem ipsum", "lorem[2] ipsum", "JavaScript", "{", "Terms of Use",
    "use[3] cookies",
    "longlonglong", "\u00a0", "İ", "Σ",
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.just(" "), max_size=40).map("".join)
options = st.fixed_dictionaries(
    {},
    optional={
        "min_line_words": st.sampled_from([-1, 0, 1, 2, 3]),
        "count_cited_words": st.booleans(),
        "require_terminal_mark": st.booleans(),
        "max_word_chars": st.sampled_from([8, 1000]),
        "remove_citations": st.booleans(),
        "remove_javascript": st.booleans(),
        "remove_policy": st.booleans(),
    },
)


@given(texts, options)
@example("[1] [2] [3]\n  [4] a word stays. [5]\n[6] [7] [8]", {**DATATROVE, "require_terminal_mark": False})
@example(" \n \n", {"min_line_words": 0, "require_terminal_mark": False})
@settings(max_examples=500, deadline=None)
def test_what_is_left_and_what_condemns_is_what_a_plain_reading_of_c4_says(text: str, chosen: dict[str, Any]) -> None:
    after = correct_text(text, [find_step("c4_lines", {**CORRECTION_STEPS["c4_lines"], **chosen})])
    left, found = clean_plainly(text, chosen)
    assert after.text == left
    assert [edit.correction for _, edit in after.edits if edit.replacement is None] == found


@pytest.mark.parametrize(
    ("line", "corrections"),
    [
        ("Two words only here.", ["c4_too_few_words"]),
        ("This line ends in no mark at all", ["c4_no_terminal_mark"]),
        ("This line ends in an ellipsis...", ["c4_no_terminal_mark"]),
        ("This line ends in a quote mark'", ["c4_no_terminal_mark"]),
        ("This one has a " + "x" * 1001 + " word.", ["c4_long_word"]),
        ("You must enable JavaScript for this.", ["c4_javascript"]),
        ("We love cookies and our cookie policy.", ["c4_policy"]),
        ("Five words[1] stand in here.", ["c4_citation"]),
        # the mark that is left alone is a word
        ("These are enough words[1] [2].", ["c4_citation", "c4_citation"]),
        ("The words lorem ipsum stand here.", ["c4_lorem_ipsum"]),
        ("The words lorem ipsum and JavaScript.", ["c4_lorem_ipsum", "c4_javascript"]),
        ("JavaScript comes before the { bracket.", ["c4_javascript"]),
        ("The { bracket before our privacy policy.", ["c4_curly_bracket", "c4_policy"]),
        ("Only { four words.", ["c4_too_few_words"]),
    ],
)
def test_each_line_goes_for_the_first_reason_in_the_order_of_c4(line: str, corrections: list[str]) -> None:
    found = [edit.correction for edit in correct_c4_lines(f"This line is all right.\n{line}\nAnd so is this one.")]
    assert found == corrections


def test_a_megabyte_of_open_brackets_or_of_one_line_takes_no_time() -> None:
    for text in ("[" * 1_000_000, "[1" * 500_000, "word " * 200_000 + ".", "\n" * 300_000):
        correct_c4_lines(text)
