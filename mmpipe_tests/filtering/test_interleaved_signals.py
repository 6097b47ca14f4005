"""Signals of paragraphs and documents are those that OBELICS defines; rules are held against what they are about."""

from __future__ import annotations

import math
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import RecipeError
from mmpipe.filtering.interleaved_rules import (
    INTERLEAVED_RULES,
    MMC4_CORE,
    MMC4_NODE,
    OBELICS_DOCUMENT,
    OBELICS_NODE,
)
from mmpipe.filtering.interleaved_signals import (
    IMAGE_NODE_SIGNALS,
    TEXT_NODE_SIGNALS,
    drop_nodes,
    measure_documents,
    measure_punctuation,
    measure_texts,
    split_node_rules,
)
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.word_lists import find_flagged_words, find_stop_words
from mmpipe.tables.interleaved import DOCUMENT_SIGNALS
from mmpipe.tables.special_characters import collect_special_characters

RECIPE = load_recipe("bloom")
WORDS = ["the", "boat", "of", "Harbour,", "and", "(nets)", "--", "it's", "12", "is", "in", "old.", "a", "Fish!", "sex"]


def read_plainly(text: str) -> list[float]:
    """Return OBELICS' signals of an English text by its own definitions, one thing after the other."""
    special = "".join(collect_special_characters())
    words = [word for word in (piece.lower().strip(special) for piece in text.split()) if word]
    grams = Counter(text[i : i + 10] for i in range(len(text) - 9)).most_common()
    repeated = min(math.isqrt(len(grams)), sum(count > 1 for _, count in grams))
    characters = sum(count for _, count in grams[:repeated]) / max(sum(count for _, count in grams), 1)
    fives = Counter(tuple(words[i : i + 5]) for i in range(len(words) - 4))
    again = sum(count for count in fives.values() if count > 1) / max(sum(fives.values()), 1)
    signs = sum(character in special for character in text) / max(len(text), 1)
    stop, flagged = find_stop_words("en", RECIPE.words), find_flagged_words("en", RECIPE.words)
    assert stop
    assert flagged
    shares = [sum(word in known for word in words) / len(words) for known in (stop, flagged)]
    return [len(words), characters, again, signs, *shares]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=60).map(" ".join))
def test_signals_of_a_text_are_those_of_a_plain_reading(text: str) -> None:
    text = f"One {text}"
    measured = measure_texts([text, "other"], ["en", "en"], RECIPE, "node").row(0)

    assert list(measured[:6]) == pytest.approx(read_plainly(text))


@pytest.mark.parametrize(
    ("text", "least", "ratio"),
    [
        ("Well, it's here. Is it?", 0, 3 / 8),
        ("Well, it's here.", 12, 1.0),
        ("one two three four five six seven eight nine ten eleven twelve", 12, 0.0),
        ("今天，好。", 0, 2 / 4),
        ("", 0, 0.0),
        ("+ = $", 0, 0.0),
    ],
)
def test_punctuation_is_counted_per_word_or_mark(text: str, least: int, ratio: float) -> None:
    assert measure_punctuation(text, least) == pytest.approx(ratio)


def test_a_document_is_measured_over_all_its_texts() -> None:
    frame = pl.DataFrame(
        {
            "texts": [["the old boat", None, "in the harbour"], [None]],
            "images": [[None, "p1", None], ["p2"]],
            "matched_sim": [[0.25, 0.1], None],
            "language": ["en", None],
            "language_score": [0.9, None],
        },
        schema_overrides={"texts": pl.List(pl.String), "matched_sim": pl.List(pl.Float64)},
    )

    found = measure_documents(frame, RECIPE)

    assert {column.name for column in DOCUMENT_SIGNALS} <= set(found.columns)
    assert found["image_count"].to_list() == [1, 1]
    assert found["text_count"].to_list() == [2, 0]
    assert found["text_words"].to_list() == [6, 0]
    assert found["text_stop_word_ratio"].to_list() == [0.5, None]
    assert found["strong_match_ratio"].to_list() == [0.5, None]


def test_rules_are_held_against_paragraphs_or_pictures_and_the_first_is_named() -> None:
    nodes = pl.DataFrame(
        {
            "text": ["short", "long enough", None, None, None],
            "reason": [None, None, None, None, "repeated_image"],
            "value": [None, None, None, None, None],
            "node_words": [1.0, 9.0, None, None, None],
            "node_stop_word_ratio": [0.0, None, None, None, None],
            "node_best_similarity": [None, None, 0.15, 0.1, 0.0],
        },
        schema_overrides={"value": pl.Float64, "reason": pl.String},
    )
    rules = [INTERLEAVED_RULES[f"obelics_{name}"] for name in ("node_words", "node_stop_word_ratio")]

    found = drop_nodes(nodes, [*rules, *MMC4_NODE])

    assert found.select("reason", "value").rows() == [
        ("obelics_node_words", 1.0),
        # what was not measured passes no rule
        ("obelics_node_stop_word_ratio", None),
        (None, None),
        ("mmc4_node_best_similarity", 0.1),
        ("repeated_image", None),
    ]


def test_node_rules_are_about_nodes_and_document_rules_about_documents() -> None:
    documents = {column.name for column in DOCUMENT_SIGNALS}
    assert {rule.signal for rule in OBELICS_NODE} <= set(TEXT_NODE_SIGNALS)
    assert {rule.signal for rule in MMC4_NODE} <= set(IMAGE_NODE_SIGNALS)
    assert {rule.signal for rule in (*OBELICS_DOCUMENT, *MMC4_CORE)} <= documents
    both = split_node_rules([*MMC4_NODE, *OBELICS_NODE])
    assert (both["images"], both["texts"]) == (MMC4_NODE, OBELICS_NODE)
    with pytest.raises(RecipeError, match=r"node_rules.*text_words"):
        split_node_rules([INTERLEAVED_RULES["obelics_text_words"]])


def test_limits_are_those_of_the_papers() -> None:
    limits = {rule.name.partition("_")[2]: (rule.low, rule.high) for rule in (*OBELICS_NODE, *OBELICS_DOCUMENT)}
    assert limits == {
        "node_words": (4, 1000), "node_character_repetition_ratio": (None, 0.1),
        "node_word_repetition_ratio": (None, 0.1), "node_special_character_ratio": (None, 0.3),
        "node_stop_word_ratio": (0.3, None), "node_flagged_word_ratio": (None, 0.01),
        "node_punctuation_ratio": (0.001, None), "image_count": (1, 30), "text_words": (10, 2000),
        "text_character_repetition_ratio": (None, 0.1), "text_word_repetition_ratio": (None, 0.2),
        "text_special_character_ratio": (None, 0.275), "text_stop_word_ratio": (0.35, None),
        "text_flagged_word_ratio": (None, 0.01), "text_punctuation_ratio": (0.03, None), "language": (None, None),
        "language_score": (0.8, None),
    }  # fmt: skip
    # all keep equal values
    assert all(rule.low_is_kept and rule.high_is_kept for rule in INTERLEAVED_RULES.values())
    assert MMC4_NODE[0].low == 0.15
    assert [(rule.low, rule.high) for rule in MMC4_CORE] == [(4, 40), (2, 15), (0.75, None)]
