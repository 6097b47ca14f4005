"""Every rule of refinedweb.yaml removes a page made for it, and keeps a page that is made well."""

from __future__ import annotations

import random
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import polars as pl
import pytest

from mmpipe.extraction.corrections import correct_text, find_step
from mmpipe.filtering.judge import count_funnel, judge
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.filtering.rules import Rule
from mmpipe.filtering.text_signals import measure_text
from mmpipe.tables.corrections import CORRECTION
from mmpipe.tables.keep import keep
from mmpipe.tables.text import EXTRACTED_TEXT

RECIPE = load_recipe("refinedweb")
NOUNS = (
    "river", "mountain", "kitchen", "garden", "teacher", "bridge", "winter", "forest", "letter", "window", "market",
    "village", "engine", "harbour", "doctor", "painter", "orchard", "lantern", "valley", "museum",
)  # fmt: skip
VERBS = ("crosses", "paints", "follows", "repairs", "forgets", "visits", "describes", "carries", "borrows", "measures")
ADJECTIVES = ("quiet", "ancient", "yellow", "narrow", "patient", "broken", "distant", "gentle", "curious", "wooden")
PATTERNS = (
    "The {0} {1} {2} a {3} {4} near house {5}.",
    "Every {4} of {5} {2} that {0} {1} with care.",
    "{5} years later, our {3} {1} still {2} some {4} and a {0} {6}.",
    "To be {0} is what one {4} wants from the {6} when it {2} {5} {1}s.",
    "We have {5} {1}s, but no {3} {4} {2} them {0}ly.",
    "Nobody {2} {4} or {1} as {0} as number {5} of {6}.",
)


def write_sentence(chooser: random.Random) -> str:
    one, two = chooser.sample(ADJECTIVES, 2)
    nouns = chooser.sample(NOUNS, 3)
    number = chooser.randint(100, 99_999)
    return chooser.choice(PATTERNS).format(one, nouns[0], chooser.choice(VERBS), two, nouns[1], number, nouns[2])


@lru_cache(maxsize=1)
def write_good_text() -> str:
    chooser = random.Random(7)
    return "\n".join(" ".join(write_sentence(chooser) for _ in range(3)) for _ in range(12))


def repeat_words(count: int, times: int) -> str:
    """Return a text with one phrase of that many words, scattered that many times."""
    chooser = random.Random(count)
    phrase = " ".join(f"{chooser.choice(ADJECTIVES)}{index}" for index in range(count))
    return " ".join(f"{write_sentence(chooser)} {phrase}." for _ in range(times))


GOOD = {
    "url": "https://www.letters.example/2024/garden",
    "text": write_good_text(),
    "language": "en",
    "language_score": 0.9,
}

#: What is changed of the good page, by the rule that takes it for that.
CASES: dict[str, dict[str, Any]] = {
    "refinedweb_url_blocked_domain": {"url": "http://www.casino-jackpot.example/play"},
    "refinedweb_url_blocked_host": {"url": "http://eu.ads.news-portal.example/today"},
    "refinedweb_url_blocked_url": {"url": "https://www.forum.example/spam/buy-followers/"},
    "refinedweb_url_strict_subwords": {"url": "http://my-free-porn-tube.example/"},
    "refinedweb_url_hard_words": {"url": "http://news.example/XXX/today"},
    "refinedweb_url_soft_words": {"url": "http://news.example/casino-bonus"},
    "refinedweb_url_held_out": {"url": "https://en.wikipedia.org/wiki/Garden"},
    "refinedweb_language": {"language": "de"},
    "refinedweb_language_score": {"language_score": 0.6499},
    "gopher_duplicate_paragraph_ratio": {"text": "\n\n".join(["Read more here.", write_good_text()] * 3)},
    "gopher_duplicate_paragraph_char_ratio": {"text": "\n\n".join([write_good_text()] * 2)},
    "gopher_duplicate_line_ratio": {"text": write_good_text().replace("\n", "\nShare this.\n")},
    "gopher_duplicate_line_char_ratio": {"text": "\n".join([write_good_text()] * 2)},
    "gopher_top_2_gram_char_ratio": {"text": repeat_words(2, 1) + " buy now" * 60},
    "gopher_top_3_gram_char_ratio": {"text": repeat_words(3, 1) + " buy it now" * 60},
    "gopher_top_4_gram_char_ratio": {"text": repeat_words(4, 1) + " buy it right now" * 60},
    **{f"gopher_duplicate_{n}_gram_char_ratio": {"text": repeat_words(n, 12)} for n in range(5, 11)},
    "gopher_word_count": {"text": " ".join(write_good_text().split()[:40])},
    "gopher_mean_word_length": {"text": "a b c d " * 30 + "the be"},
    "gopher_hash_to_word_ratio": {"text": write_good_text().replace(" ", " #", 200)},
    "gopher_ellipsis_to_word_ratio": {"text": write_good_text().replace(" ", " … ", 120)},
    "gopher_bullet_line_ratio": {"text": "\n".join(f" - {line}" for line in write_good_text().split("\n"))},
    "gopher_ellipsis_line_ratio": {"text": write_good_text().replace(".\n", "...\n")},
    "gopher_alphabetic_word_ratio": {"text": write_good_text() + " ".join(str(n) for n in range(1000, 1400))},
    "gopher_stop_word_count": {"text": " ".join(f"{noun}s{n}" for n in range(9) for noun in NOUNS)},
    "refinedweb_corrected_word_ratio": {"text": "\n".join([write_good_text(), *(f"{n} likes" for n in range(99))])},
}


def make_pages(*changes: dict[str, Any]) -> pl.DataFrame:
    """Return one EXTRACTED_TEXT row per change of the good page."""
    fixed = dict.fromkeys(EXTRACTED_TEXT.column_names) | {"dump": "test", "extraction_status": "ok"} | GOOD
    rows = [fixed | {"doc_id": f"{number:03d}"} | change for number, change in enumerate(changes)]
    return EXTRACTED_TEXT.conform(pl.DataFrame(rows, schema=EXTRACTED_TEXT.schema))


def correct_pages(pages: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Return the pages with what the recipe's correction steps made of their texts."""
    steps = [find_step(item.step, item.options) for item in recipe.corrections.steps]
    corrected = [None if text is None else correct_text(text, steps) for text in pages.get_column("text")]
    entries = [[{"step": step, **asdict(edit)} for step, edit in item.edits] if item else None for item in corrected]
    return pages.with_columns(
        corrected_text=pl.Series([item.text if item else None for item in corrected], dtype=pl.String),
        corrections=pl.Series(entries, dtype=pl.List(CORRECTION)),
    )


def measure_pages(recipe: Recipe, *changes: dict[str, Any]) -> pl.DataFrame:
    """Return the signals of one page per change of the good page, corrected and measured as the recipe says."""
    return measure_text(correct_pages(make_pages(*changes), recipe), recipe)


def find_failed(change: dict[str, Any]) -> list[str]:
    signals = measure_pages(RECIPE, change)
    return judge(signals, RECIPE.text.rules, key="doc_id", status="extraction_status").get_column("rule").to_list()


def test_the_good_page_fails_no_rule() -> None:
    assert find_failed({}) == []


@pytest.mark.parametrize("rule", [rule.name for rule in RECIPE.text.rules])
def test_every_rule_removes_the_page_made_for_it(rule: str) -> None:
    assert rule in CASES, f"{rule} has no page made for it in CASES: add one, so that the rule is known to work"
    assert rule in find_failed(CASES[rule])


def test_no_case_is_left_of_a_rule_that_is_gone() -> None:
    assert sorted(CASES) == sorted(rule.name for rule in RECIPE.text.rules)


@pytest.mark.parametrize("rule", [*RECIPE.images.rules, *RECIPE.instructions.rules], ids=lambda rule: rule.name)
def test_every_rule_of_the_other_lanes_removes_values_beyond_its_limit_and_keeps_those_within(rule: Rule) -> None:
    step = 1e-6
    beyond = [
        *([rule.low - step] if rule.low is not None else []),
        *([rule.high + step] if rule.high is not None else []),
    ]
    within = [
        *([rule.low + step] if rule.low is not None else []),
        *([rule.high - step] if rule.high is not None else []),
    ]
    values = [*beyond, *within, None]
    ids = [str(index) for index in range(len(values))]
    # limits of their own are those of methods that read files
    signals = pl.DataFrame({"id": ids, rule.signal: values, "method": "grounded_questions"})
    removed = judge(signals, [rule], key="id", status=None).get_column("id").to_list()
    assert removed == sorted([*(str(index) for index in range(len(beyond))), str(len(values) - 1)])


def test_the_line_from_pages_to_kept_rows_accounts_for_each() -> None:
    pages = make_pages({}, *CASES.values(), {"extraction_status": "not_html", "text": None}, {"text": ""})
    signals = measure_text(correct_pages(pages, RECIPE), RECIPE)
    removals = judge(signals, RECIPE.text.rules, key="doc_id", status="extraction_status")
    kept = keep(pages, removals, key="doc_id")
    assert kept.frame.get_column("doc_id").to_list() == ["000"]
    assert kept.rows_in == kept.frame.height + kept.rows_removed == len(CASES) + 3
    assert set(kept.removed_by_rule) == {*CASES, "not_html"}
    funnel = count_funnel(signals, RECIPE.text.rules, key="doc_id", status="extraction_status")
    assert funnel.removed_by_rule == kept.removed_by_rule
