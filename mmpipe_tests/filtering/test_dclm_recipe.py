"""Every rule of dclm.yaml removes a page made for it, in DCLM's order, and keeps a page that is made well."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from mmpipe.filtering.judge import judge
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.rules import Rule, find_rule
from mmpipe.filtering.text_rules import TEXT_RULES
from mmpipe_tests.filtering.test_refinedweb import (
    NOUNS,
    VERBS,
    measure_pages,
    repeat_words,
    write_good_text,
)

RECIPE = load_recipe("dclm")
GOOD = write_good_text()

CASES: dict[str, dict[str, Any]] = {
    "refinedweb_url_blocked_domain": {"url": "http://www.casino-jackpot.example/play"},
    "refinedweb_url_strict_subwords": {"url": "http://my-free-porn-tube.example/"},
    "refinedweb_url_hard_words": {"url": "http://news.example/XXX/today"},
    "refinedweb_url_soft_words": {"url": "http://news.example/casino-bonus"},
    "dclm_language": {"language": "de"},
    "dclm_language_score": {"language_score": 0.65},  # above it, not at it
    "gopher_word_count": {"text": " ".join(GOOD.split()[:49])},
    "gopher_mean_word_length": {"text": "a b c d " * 30 + "the be"},
    "dclm_symbol_to_word_ratio": {"text": GOOD.replace(" ", " #", 40).replace(".", " . . .", 30)},
    "gopher_bullet_line_ratio": {"text": "\n".join(f"* {line}" for line in GOOD.split("\n"))},
    "gopher_ellipsis_line_ratio": {"text": GOOD.replace(".\n", ". . .\n")},
    "gopher_alphabetic_word_ratio": {"text": GOOD + " ".join(f"{n} %" for n in range(1000, 1400))},
    "dclm_stop_word_occurrences": {"text": "the, to, " + " ".join(f"{n} {v}s" for n in NOUNS for v in VERBS) + " of"},
    # one line of six that stands twice: 2 of 6 at every occurrence, where datatrove counts 1
    "gopher_duplicate_line_ratio": {"text": "\n".join(["Read on.", "Read on.", *GOOD.split("\n")[:4]])},
    "gopher_duplicate_paragraph_ratio": {"text": "\n\n".join(["Read on.", GOOD] * 2)},
    "gopher_duplicate_line_char_ratio": {"text": "\n".join([GOOD, *GOOD.split("\n")[:2]])},
    "gopher_duplicate_paragraph_char_ratio": {"text": "\n\n".join([GOOD] * 2)},
    "gopher_top_2_gram_char_ratio": {"text": repeat_words(2, 1) + " buy now" * 60},
    "gopher_top_3_gram_char_ratio": {"text": repeat_words(3, 1) + " buy it now" * 60},
    "gopher_top_4_gram_char_ratio": {"text": repeat_words(4, 1) + " buy it right now" * 60},
    **{f"gopher_duplicate_{n}_gram_char_ratio": {"text": repeat_words(n, 12)} for n in range(5, 11)},
    "refinedweb_corrected_word_ratio": {"text": GOOD + "\n" + "\n".join(f"{n} likes" for n in range(99))},
    "dclm_quality_score": {"quality_score": 0.0181},
}  # fmt: skip


def find_failed(change: dict[str, Any]) -> list[str]:
    score = change.get("quality_score", 0.018112)
    pages = {name: value for name, value in change.items() if name != "quality_score"}
    signals = measure_pages(RECIPE, pages).with_columns(quality_score=pl.lit(score))
    return judge(signals, RECIPE.text.rules, key="doc_id", status="extraction_status").get_column("rule").to_list()


def test_the_good_page_fails_no_rule() -> None:
    assert find_failed({}) == []


@pytest.mark.parametrize("rule", [rule.name for rule in RECIPE.text.rules])
def test_every_rule_removes_the_page_made_for_it(rule: str) -> None:
    assert rule in CASES, f"{rule} has no page made for it in CASES: add one, so that the rule is known to work"
    assert rule in find_failed(CASES[rule])


def test_rules_stand_in_dclms_order() -> None:
    # a repeated page fails all four of its kind; the first named is DCLM's first
    failed = find_failed({"text": "\n\n".join([GOOD] * 2)})
    assert failed[:4] == [
        "gopher_duplicate_line_ratio",
        "gopher_duplicate_paragraph_ratio",
        "gopher_duplicate_line_char_ratio",
        "gopher_duplicate_paragraph_char_ratio",
    ]


def test_documents_are_judged_before_their_lines_are_corrected() -> None:
    # 49 good words and a counter of 2: 51 words as DCLM's length filter sees the page
    text = " ".join(GOOD.split()[:48]) + "\n3 likes"
    assert "gopher_word_count" not in find_failed({"text": text})
    assert "gopher_word_count" in find_failed({"text": text.replace("3 likes", "3")})
    # a stop word on a line that goes for its one word
    text = CASES["dclm_stop_word_occurrences"]["text"] + "\nthe"
    assert "dclm_stop_word_occurrences" not in find_failed({"text": text})


@pytest.mark.parametrize(
    ("name", "signal", "passing", "failing"),
    [
        ("dclm_quality_score", "quality_score", 0.018112, 0.018111),
        ("fineweb_edu_encoder_score", "encoder_score", 3.0, 2.99),
        ("dclm_symbol_to_word_ratio", "symbol_to_word_ratio", 0.1, 0.1001),
        ("dclm_stop_word_occurrences", "stop_word_occurrences", 2.0, 1.0),
        ("dclm_language_score", "language_score", 0.6501, 0.65),
        ("refinedweb_corrected_word_ratio", "corrected_word_ratio", 0.05, 0.0501),
    ],
)
def test_limits_are_kept_or_not_as_published(name: str, signal: str, passing: float, failing: float) -> None:
    rule: Rule = find_rule(name, TEXT_RULES)
    frame = pl.DataFrame(
        {signal: [passing, failing, None], "language": ["en"] * 3}, schema_overrides={signal: pl.Float64}
    )
    assert frame.select(kept=rule.passes()).get_column("kept").to_list() == [True, False, False]
