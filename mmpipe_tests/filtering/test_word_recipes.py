"""Each rule of bloom.yaml and redpajama2.yaml removes a page made for it, in the languages that it limits."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from mmpipe.filtering.judge import judge
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.rules_bloom import BLOOM_LANGUAGES
from mmpipe.filtering.text_signals import measure_text
from mmpipe.tables.text import EXTRACTED_TEXT
from mmpipe_tests.filtering.test_refinedweb import write_good_text

NOUNS = ("river", "mountain", "kitchen", "garden", "teacher", "bridge", "winter", "forest", "letter", "window")
VERBS = ("crosses", "paints", "follows", "repairs", "forgets", "visits", "describes", "carries", "borrows", "measures")
CHINESE = "天地人山水火风雨花草树木鸟鱼虫马牛羊狗猫红黄蓝白黑大小多少高低远近来去看听说读写走跑"


def write_chinese(stop_share: float) -> str:
    chooser = random.Random(5)
    return "".join("的" if chooser.random() < stop_share else chooser.choice(CHINESE) for _ in range(1500))


def find_failed(recipe_name: str, **changed: Any) -> set[str]:
    recipe = load_recipe(recipe_name)
    row = {"doc_id": "a", "extraction_status": "ok", "text": write_good_text(), "language": "en",
           "language_score": 0.99, "url": "https://a.example/"} | changed  # fmt: skip
    schema = {name: EXTRACTED_TEXT.schema[name] for name in row}
    signals = measure_text(pl.DataFrame([row], schema=schema), recipe)
    return set(judge(signals, recipe.text.rules, key="doc_id", status="extraction_status").get_column("rule"))


def test_a_good_page_passes_both() -> None:
    assert find_failed("bloom") == set()
    assert find_failed("redpajama2") == set()


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("bloom_language", {"language": "de"}),
        ("bloom_language_score", {"language_score": 0.79}),
        ("bloom_stripped_word_count", {"text": "The cat is on the mat."}),
        ("bloom_character_repetition_ratio", {"text": write_good_text() + " ha" * 60}),
        ("bloom_word_repetition_ratio", {"text": "\n".join([write_good_text()] * 2)}),
        ("bloom_special_character_ratio", {"text": write_good_text().replace(" ", " --- ")}),
        ("bloom_stop_word_ratio", {"text": " ".join(f"{noun} {verb}" for noun in NOUNS for verb in VERBS)}),
        ("bloom_flagged_word_ratio", {"text": write_good_text().replace(" the ", " porn ")}),
    ],
)
def test_each_rule_of_bloom_removes_a_page_made_for_it(rule: str, changed: dict[str, Any]) -> None:
    assert rule in find_failed("bloom", **changed)


def test_bloom_holds_each_language_to_its_own_limit() -> None:
    # 0.79 is enough in Indonesian (0.70) and Portuguese (0.60), and not in English (0.80) or Bengali (0.95)
    failed = {
        language: "bloom_language_score" in find_failed("bloom", language=language, language_score=0.79)
        for language in ("id", "pt", "en", "bn")
    }
    assert failed == {"id": False, "pt": False, "en": True, "bn": True}
    # a text of two words is too short in every language but Chinese, which wants one
    assert "bloom_stripped_word_count" not in find_failed("bloom", language="zh", text="你好")
    assert "bloom_stripped_word_count" in find_failed("bloom", language="eu", text="kaixo mundua")


def test_bloom_measures_chinese_by_characters() -> None:
    assert "bloom_stop_word_ratio" not in find_failed("bloom", language="zh", text=write_chinese(0.6))
    assert "bloom_flagged_word_ratio" in find_failed("bloom", language="zh", text=write_chinese(0.6) + "色情色情色情")


def test_no_language_of_bloom_loses_pages_for_want_of_a_list() -> None:
    recipe = load_recipe("bloom")
    rows = [{"doc_id": own, "extraction_status": "ok", "text": "a b", "language": own, "language_score": 1.0,
             "url": None} for own in BLOOM_LANGUAGES]  # fmt: skip
    schema = {name: EXTRACTED_TEXT.schema[name] for name in rows[0]}
    signals = measure_text(pl.DataFrame(rows, schema=schema), recipe)
    assert signals.select("stop_word_ratio", "flagged_word_ratio").null_count().row(0) == (0, 0)


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("redpajama2_language", {"language": "ru"}),
        ("refinedweb_language_score", {"language_score": 0.49}),
        ("redpajama2_rps_doc_word_count", {"text": "The cat is on the mat."}),
        ("redpajama2_rps_doc_mean_word_length", {"text": "a b c d " * 30}),
        ("redpajama2_rps_doc_symbol_to_word_ratio", {"text": write_good_text().replace(" ", " # ")}),
        ("redpajama2_rps_lines_start_with_bulletpoint", {"text": "• " + write_good_text().replace("\n", "\n• ")}),
        ("redpajama2_rps_doc_frac_chars_top_2gram", {"text": "river bridge " * 60 + write_good_text()}),
        ("redpajama2_rps_doc_frac_chars_top_3gram", {"text": "river bridge garden " * 60 + write_good_text()}),
        ("redpajama2_rps_doc_frac_chars_top_4gram", {"text": "river bridge garden tree " * 60 + write_good_text()}),
        *(
            (f"redpajama2_rps_doc_frac_chars_dupe_{n}grams", {"text": "\n".join([write_good_text()] * 2)})
            for n in range(5, 11)
        ),
        ("redpajama2_rps_doc_frac_lines_end_with_ellipsis", {"text": write_good_text().replace(".", "...")}),
    ],
)
def test_each_rule_of_redpajama2_removes_a_page_made_for_it(rule: str, changed: dict[str, Any]) -> None:
    assert rule in find_failed("redpajama2", **changed)
    assert rule in {own.name for own in load_recipe("redpajama2").text.rules}
