"""DCLM's counts by hand, one case at least for each point where its dialect is another than datatrove's."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.filtering.dclm_signals import measure_dclm
from mmpipe.filtering.gopher_signals import measure_gopher
from mmpipe.tables.text_signals import FAMILIES
from mmpipe_tests.filtering.batches import make_batch


def measure(text: str) -> dict[str, Any]:
    """Return both families of one text in DCLM's dialect."""
    batch = replace(make_batch([text]), dialect="dclm")
    return {**measure_gopher(batch).row(0, named=True), **measure_dclm(batch).row(0, named=True)}


WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliet"

CASES: dict[str, tuple[str, dict[str, float | None]]] = {
    # Unicode words for n-grams, white-space words for quality, fastText's that begin with a letter or digit for length
    "words": (
        '(see) the "old" e-mail 3.5 % well-known',
        # length: the, e-mail, 3.5, well-known (not those that begin with a mark); 7 white-space words of
        # 5 + 3 + 5 + 6 + 3 + 1 + 10 characters; without a letter: 3.5 and %
        {"word_count": 4, "mean_word_length": 33 / 7, "alphabetic_word_ratio": 5 / 7},
    ),
    # the mean is of all white-space words, marks and numbers too
    "average word length": ("-- ab ----", {"mean_word_length": 8 / 3}),
    # `x` twice of 4 lines: both count, and empty lines do not; lines are stripped before they are compared
    "duplicate lines": (
        "x\n\n  x \nyy\nzzz",
        {"duplicate_line_ratio": 2 / 4, "duplicate_line_char_ratio": 2 / 7},
    ),
    "a single line passes": ("only line\n\n", {"duplicate_line_ratio": 0, "duplicate_line_char_ratio": 0}),
    # no line at all is no pass
    "no line": (" \n ", {"duplicate_line_ratio": None, "duplicate_paragraph_char_ratio": None}),
    # cut at two newlines exactly: three leave one in front of the next, which is stripped; p, p, q, of 1 + 1 + 2
    "duplicate paragraphs": (
        "p\n\n\np\n\n\n\nqq",
        {"duplicate_paragraph_ratio": 2 / 3, "duplicate_paragraph_char_ratio": 2 / 4},
    ),
    # lines of two paragraphs repeat, the paragraphs do not; a paragraph of several lines is one segment
    "paragraphs are more than lines": (
        "a\nb\n\na\nc",
        {"duplicate_line_ratio": 2 / 4, "duplicate_paragraph_ratio": 0, "duplicate_paragraph_char_ratio": 0},
    ),
    # characters of the stripped, non-empty lines are the whole: 3 + 3 + 4, of which 6 repeat
    "characters of segments": ("  abc\nabc   \n\ndefg\n", {"duplicate_line_char_ratio": 6 / 10}),
    # `a bb` and `ccc d` twice each: the longest of equals, 4 x 2 of 3 + 4 + 1 + 3 + 4 + 1 characters
    "top n-gram": ("a bb. ccc d, y a bb z ccc d", {"top_2_gram_char_ratio": 8 / 16}),
    "an n-gram that occurs once passes": (WORDS, {"top_2_gram_char_ratio": 0, "top_4_gram_char_ratio": 0}),
    # all occurrences, each word once: a to e and a to e again, 10 of 11 characters
    "duplicate n-grams": (
        "a b c d e x a b c d e",
        {"duplicate_5_gram_char_ratio": 10 / 11, "duplicate_6_gram_char_ratio": 0},
    ),
    # `a` seven times: three overlapping 5-grams, 7 of 7 characters and not 15
    "overlaps count once": ("a a a a a a a", {"duplicate_5_gram_char_ratio": 1, "top_2_gram_char_ratio": 12 / 7}),
    # neither white space nor marks are in the whole: 4 of `ab`, `ab`, `c`, `ab`, `ab`
    "n-gram denominator": ("ab -- ab !!! c ab ab", {"top_2_gram_char_ratio": 8 / 9}),
    "shorter than n passes": ("one two", {"top_3_gram_char_ratio": 0, "duplicate_10_gram_char_ratio": 0}),
    "no words for n-grams pass": ("... !!!", {"top_2_gram_char_ratio": 0, "duplicate_5_gram_char_ratio": 0}),
    # #, ..., . . . and … summed: 2 + 1 + 1 + 1, of 9 white-space words (each of the three dots is one)
    "symbols": (
        "#one # is ... two . . . …",
        {"symbol_to_word_ratio": 5 / 9, "hash_to_word_ratio": 2 / 9, "ellipsis_to_word_ratio": 3 / 9},
    ),
    # ●, •, * and - at the start of stripped lines: 4 of 6
    "bullets": ("● a\n  • b\n* c\n- d\n‣ e\nf\n", {"bullet_line_ratio": 4 / 6}),
    # ..., . . . and … at the end of stripped lines: 3 of 4
    "ellipsis lines": ("a...\nb . . .\nc…  \nd.. .", {"ellipsis_line_ratio": 3 / 4}),
    # occurrences in any case, of white-space words: The, the, OF; not `the,`; two distinct
    "stop words": ("The end the, the OF", {"stop_word_occurrences": 3, "stop_word_count": 2}),
    "nothing": (
        "",
        {"word_count": 0, "mean_word_length": None, "symbol_to_word_ratio": None, "stop_word_occurrences": 0,
         "bullet_line_ratio": None, "top_2_gram_char_ratio": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_by_hand(case: str) -> None:
    text, expected = CASES[case]
    measured = measure(text)
    assert {name: measured[name] for name in expected} == {
        name: None if value is None else pytest.approx(value, abs=1e-12) for name, value in expected.items()
    }


def test_every_column_is_measured_once() -> None:
    assert set(measure(WORDS)) == {column.name for family in ("gopher", "dclm") for column in FAMILIES[family]}
    assert measure_gopher(replace(make_batch([]), dialect="dclm")).height == 0


def measure_plainly(text: str) -> dict[str, float | None]:
    """Return what DCLM's definitions say of a text, read plainly; words for n-grams are runs of letters and digits."""

    def share(part: float, whole: float) -> float | None:
        return part / whole if whole else None

    def repeat(end: str) -> tuple[float | None, float | None]:
        segments = [piece.strip() for piece in text.split(end) if piece.strip()]
        if len(segments) == 1:
            return 0, 0
        repeated = [segment for segment in segments if segments.count(segment) > 1]
        return share(len(repeated), len(segments)), share(sum(map(len, repeated)), sum(map(len, segments)))

    words, lines = text.split(), [line.strip() for line in text.split("\n") if line.strip()]
    grams_of = re.findall(r"[a-z0-9]+", text)
    chars = sum(map(len, grams_of))
    measured: dict[str, float | None] = {
        "word_count": sum(word[0].isalnum() for word in words),
        "mean_word_length": share(sum(map(len, words)), len(words)),
        "symbol_to_word_ratio": share(sum(map(text.count, ("#", "...", ". . .", "…"))), len(words)),
        "bullet_line_ratio": share(sum(line[0] in "●•*-" for line in lines), len(lines)),
        "ellipsis_line_ratio": share(sum(line.endswith(("...", ". . .", "…")) for line in lines), len(lines)),
        "alphabetic_word_ratio": share(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_word_occurrences": sum(word in ("the", "of") for word in words),
    }
    for kind, end in (("line", "\n"), ("paragraph", "\n\n")):
        measured[f"duplicate_{kind}_ratio"], measured[f"duplicate_{kind}_char_ratio"] = repeat(end)
    for n in range(2, 11):
        grams = [tuple(grams_of[at : at + n]) for at in range(len(grams_of) - n + 1)]
        counts = Counter(grams)
        most = max(counts.values(), default=1)
        longest = max((sum(map(len, gram)) for gram, times in counts.items() if times == most), default=0)
        inside = {at + step for at, gram in enumerate(grams) if counts[gram] > 1 for step in range(n)}
        part = (longest * most if most > 1 else 0) if n <= 4 else sum(len(grams_of[at]) for at in inside)
        measured[f"{'top' if n <= 4 else 'duplicate'}_{n}_gram_char_ratio"] = part / chars if chars else 0
    return measured


PIECES = st.sampled_from(
    ["the", "of", "a", "bb", "ccc", "12", " ", " ", " ", "\n", "\n\n", "...", " . . . ", "…", "#", "*", "-", "●", "!"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join))
def test_against_a_plain_reading(text: str) -> None:
    text = text.replace("...", " ... ").replace("-", " - ")  # a dot between letters would join them
    measured = measure(text)
    for name, value in measure_plainly(text).items():
        assert measured[name] == (None if value is None else pytest.approx(value, abs=1e-12)), name
