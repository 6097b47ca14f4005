"""FineWeb's signals equal a plain reading of its filter, now and as released, and its limits keep what it keeps."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmpipe.errors import RecipeError
from mmpipe.filtering.punctuation import list_sentence_terminals
from mmpipe.filtering.recipe_sections import TextSettings
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.text_rules import TEXT_RULES
from mmpipe.filtering.text_signals import measure_text
from mmpipe_tests.filtering.test_datatrove_parity import measure_alone

CURRENT, RELEASE = load_recipe("fineweb"), load_recipe("fineweb_release")
NAMES = (
    "nonblank_line_count",
    "terminal_line_ratio",
    "short_line_ratio",
    "repeated_line_char_ratio",
    "newline_to_word_ratio",
)


def measure_plainly(text: str, words: int, *, is_release: bool) -> dict[str, float | None]:
    full = [line for line in text.split("\n") if line.strip()]
    lines = text.split("\n") if is_release else full
    marks = ".'\"!?" if is_release else list_sentence_terminals()
    met: set[str] = set()
    repeated = 0
    for line in full:
        repeated += len(line) if line in met else 0
        met.add(line)
    chars = len(text.replace("\n", ""))
    return {
        "nonblank_line_count": float(len(full)),
        "terminal_line_ratio": sum(line[-1:] in marks and line != "" for line in lines) / len(lines) if lines else None,
        "short_line_ratio": sum(len(line) <= 30 for line in lines) / len(lines) if lines else None,
        "repeated_line_char_ratio": repeated / chars if chars else None,
        "newline_to_word_ratio": text.count("\n") / words if words else None,
    }


WORDS = (
    "word",
    "x",
    "Stop.",
    "Stop?",
    "said'",
    'said"',
    "文。",
    "a" * 30,
    "a" * 31,
    " ",
    "\t",
    "\n",
    "\n\n",
    "\r",
    "\u2028",
)
texts = st.lists(st.sampled_from(WORDS) | st.just("\n"), max_size=30).map("".join)


@pytest.mark.parametrize("recipe", [CURRENT, RELEASE], ids=lambda recipe: recipe.name)
@given(st.lists(texts, min_size=1, max_size=5))
@example(["", " ", "\n", "\n \n", "a.\na.\n", "same line\nsame line\n\n"])
@settings(max_examples=100, deadline=None)
def test_signals_equal_a_plain_reading_of_the_filter(recipe: Any, batch: list[str]) -> None:
    is_release = recipe is RELEASE
    if is_release:
        tokenize = pytest.importorskip("nltk.tokenize")
        punkt = pytest.importorskip("nltk.tokenize.punkt").PunktSentenceTokenizer()
        words = [
            sum(len(tokenize.NLTKWordTokenizer().tokenize(sentence)) for sentence in punkt.tokenize(text))
            for text in batch
        ]
    else:
        words = [sum(not token.is_space for token in load_spacy()(text)) for text in batch]
    measured = measure_alone(batch, recipe).select(NAMES).to_dicts()
    assert measured == [
        measure_plainly(text, count, is_release=is_release) for text, count in zip(batch, words, strict=True)
    ]


@lru_cache(maxsize=1)
def load_spacy() -> Any:
    import spacy

    return spacy.blank("en")


@pytest.mark.parametrize(
    ("signal", "at_limit", "current", "release"),
    [
        ("terminal_line_ratio", 0.12, True, False),
        ("short_line_ratio", 0.67, True, False),
        ("repeated_line_char_ratio", 0.01, True, False),
        ("newline_to_word_ratio", 0.3, True, True),
    ],
)
def test_what_stands_at_the_limit_stays_now_and_went_then(
    signal: str, at_limit: float, *, current: bool, release: bool
) -> None:
    frame = pl.DataFrame({signal: [at_limit]})
    assert frame.select(TEXT_RULES[f"fineweb_{signal}"].passes()).item() is current
    assert frame.select(TEXT_RULES[f"fineweb_release_{signal}"].passes()).item() is release


def test_a_language_score_of_just_the_limit_is_not_enough() -> None:
    frame = pl.DataFrame({"language_score": [0.65, 0.6500001]})
    assert frame.select(TEXT_RULES["fineweb_language_score"].passes()).to_series().to_list() == [False, True]


def test_a_rule_of_the_release_needs_its_dialect() -> None:
    with pytest.raises(RecipeError, match="fineweb_release"):
        TextSettings(dialect="unicode", rules=(TEXT_RULES["fineweb_release_short_line_ratio"],))


def test_stop_words_counted_one_by_one_as_released_and_once_each_now() -> None:
    pytest.importorskip("nltk")
    text = "the the the of of with it was"
    counts = [measure_alone([text], recipe).item(0, "stop_word_count") for recipe in (RELEASE, CURRENT)]
    assert counts == [6, 3]


def test_gopher_measures_what_c4_has_not_touched() -> None:
    from mmpipe_tests.filtering.test_datatrove_parity import make_corrected

    text = "one two\nthe three words of it and of that are kept here.\n" * 3
    row = measure_text(make_corrected([text], CURRENT), CURRENT).row(0, named=True)
    assert row["duplicate_line_ratio"] > 0.5
    assert (row["nonblank_line_count"], row["word_count"]) == (3, 39)
