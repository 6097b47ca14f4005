"""The picture of verbs and objects: its words, its caption, equal bytes for equal counts."""

from __future__ import annotations

import re

import polars as pl

from mmpipe.release.verb_noun_plot import draw_verb_nouns

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
