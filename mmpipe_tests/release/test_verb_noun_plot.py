"""The picture of verbs and objects: its words, its caption, equal bytes for equal counts."""

from __future__ import annotations

import re

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.release.verb_noun_plot import choose_colour, draw_verb_nouns, measure_luminance

SHOWN = pl.DataFrame(
    {
        "verb": ["write", "write", "give"],
        "noun": ["poem", "letter", "tip"],
        "instructions": [600, 2, 398],
        "method": ["rule"] * 3,
    }
)


def list_texts(picture: bytes) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture.decode())


def test_words_stand_in_both_rings_but_where_there_is_no_room() -> None:
    texts = list_texts(draw_verb_nouns(SHOWN, 4000))
    assert texts[:-1] == ["write", "give", "poem", "tip"]
    assert texts[-1] == "1,000 of 4,000 instructions (25%): verb and direct object by rule, without a parser"


def test_a_word_wider_than_its_piece_of_the_inner_ring_is_not_drawn() -> None:
    shown = pl.DataFrame(
        {"verb": ["write", "name"], "noun": ["poem", "topic"], "instructions": [991, 9], "method": ["rule"] * 2}
    )
    # the outer ring is longer: there is room for the same share
    assert list_texts(draw_verb_nouns(shown, 1000))[:-1] == ["write", "poem", "topic"]


def test_the_parser_is_named_and_bytes_are_equal() -> None:
    parsed = SHOWN.with_columns(method=pl.lit("parser"))
    assert list_texts(draw_verb_nouns(parsed, 1000))[-1].endswith("(100%): verb and direct object by a parser")
    assert draw_verb_nouns(SHOWN, 10) == draw_verb_nouns(SHOWN, 10)
    assert draw_verb_nouns(SHOWN, 10, "png") == draw_verb_nouns(SHOWN, 10, "png")
    assert draw_verb_nouns(SHOWN, 10, "png").startswith(b"\x89PNG")


def test_no_instruction_is_an_empty_picture() -> None:
    assert list_texts(draw_verb_nouns(SHOWN.clear(), 0)) == [
        "0 of 0 instructions (0%): verb and direct object by rule, without a parser"
    ]


@given(st.floats(0, 1))
def test_white_words_can_be_read_on_every_colour(hue: float) -> None:
    for wanted, contrast in ((0.09, 7.0), (0.17, 4.5)):
        lightness = measure_luminance(choose_colour(hue, wanted))
        assert 1.05 / (lightness + 0.05) >= contrast
        assert abs(lightness - wanted) < 1e-3


def test_words_are_white_and_the_caption_is_the_page_s() -> None:
    picture = draw_verb_nouns(SHOWN, 4000).decode()
    *words, caption = re.findall(r"<text([^>]*)>", picture)
    assert all("fill: #ffffff" in word for word in words)
    assert "fill" not in caption


def test_luminance_is_that_of_white_black_and_grey() -> None:
    assert measure_luminance((1, 1, 1)) == 1.0
    assert measure_luminance((0, 0, 0)) == 0.0
    assert round(measure_luminance((0.5, 0.5, 0.5)), 3) == 0.214
