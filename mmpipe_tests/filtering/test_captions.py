from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.filtering.captions import count_caption_chars, count_caption_words, normalise_spaces


def count(caption: str | None) -> tuple[float | None, float | None]:
    return pl.DataFrame({"caption": [caption]}, schema={"caption": pl.String}).select(
        count_caption_chars(), words=count_caption_words()
    ).row(0)  # fmt: skip


@pytest.mark.parametrize(
    ("caption", "chars", "words"),
    [
        ("A red kite", 10, 3),
        ("  A \n red\tkite ", 10, 3),
        ("it doesn't matter", 17, 3),
        ("a well-known 3.14 and 1,000", 27, 6),
        ("猫が好き", 4, 4),
        ("カタカナ", 4, 1),
        ("한국어 문장", 6, 2),
        ("हिन्दी भाषा", 11, 2),
        ("ภาษาไทย", 7, 7),
        ("Crème brûlée", 12, 2),
        ("Cre\u0300me", 6, 1),
        ("🙂 !", 3, 0),
        ("", 0, 0),
    ],
)
def test_caption_is_counted_in_any_script(caption: str, chars: int, words: int) -> None:
    assert count(caption) == (chars, words)


def test_no_caption_is_null_not_zero() -> None:
    assert count(None) == (None, None)


@given(st.text(max_size=80))
def test_counts_do_not_depend_on_white_space(caption: str) -> None:
    frame = pl.DataFrame({"caption": [caption, f" \t{caption}\n "]})
    spaced = frame.select(count_caption_chars(), words=count_caption_words()).rows()
    assert spaced[0] == spaced[1]
    assert spaced[0][0] == frame.select(normalise_spaces().str.len_chars()).item(0, 0)
    assert spaced[0][1] <= spaced[0][0]


@given(st.lists(st.text(alphabet="abcdefgéßж", min_size=1, max_size=6), max_size=10))
def test_spaced_words_are_those_between_spaces(words: list[str]) -> None:
    assert count(" ".join(words))[1] == len(words)
