"""Limits by language: which rows pass, what a removal shows, what digests cover, and how recipes write them."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import RecipeError, SchemaError
from mmpipe.filtering.judge import count_funnel, judge
from mmpipe.filtering.recipe_overrides import apply_overrides
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.rules import Limits, Rule, set_limit

RATIO = Rule(
    name="paper_ratio",
    signal="ratio",
    low=0.1,
    source="test",
    by_language={"en": Limits(low=0.3), "zh": Limits(low=0.2, high=0.9), "xx": Limits()},
)
SCHEMA = {"id": pl.String, "language": pl.String, "ratio": pl.Float64}


def make_signals(*rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame([(f"{i:03d}", *row) for i, row in enumerate(rows)], schema=SCHEMA, orient="row")


def find_passing(rule: Rule, *rows: tuple[object, ...]) -> list[bool]:
    return make_signals(*rows).select(rule.passes()).to_series().to_list()


def test_each_row_is_held_to_the_limits_of_its_language() -> None:
    rows = [("en", 0.2), ("en", 0.3), ("zh", 0.2), ("zh", 0.95), ("de", 0.1), ("de", 0.05), (None, 0.1), (None, 0.05)]
    assert find_passing(RATIO, *rows) == [False, True, True, False, True, False, True, False]


def test_null_and_nan_fail_in_every_language_that_is_limited() -> None:
    assert find_passing(RATIO, ("en", None), ("zh", math.nan), ("de", None), (None, math.nan)) == [False] * 4
    assert find_passing(RATIO, ("xx", None), ("xx", -1.0)) == [True, True]


def test_a_rule_with_limits_by_language_only_speaks_of_no_other_language() -> None:
    rule = Rule(name="paper_ratio", signal="ratio", source="test", by_language={"en": Limits(high=0)})
    rows = [("en", 0.0), ("en", 1.0), ("en", None), ("de", 1.0), ("de", None), (None, None)]
    assert find_passing(rule, *rows) == [True, False, False, True, True, True]


def test_a_removal_shows_the_limit_that_the_row_was_held_to() -> None:
    removals = judge(make_signals(("en", 0.2), ("zh", 0.95), ("de", 0.0)), [RATIO], key="id", status=None)
    assert removals.select("id", "low", "high").rows() == [("000", 0.3, None), ("001", 0.2, 0.9), ("002", 0.1, None)]


@given(st.lists(st.tuples(st.sampled_from(["en", "zh", "xx", "de", None]), st.none() | st.floats(-0.1, 1.1))))
def test_judge_and_funnel_agree_with_the_plain_reading(rows: list[tuple[str | None, float | None]]) -> None:
    def passes(language: str | None, value: float | None) -> bool:
        low, high = {"en": (0.3, 9.0), "zh": (0.2, 0.9)}.get(str(language), (0.1, 9.0))
        return language == "xx" or (value is not None and low <= value <= high)

    signals = make_signals(*rows)
    failed = [f"{i:03d}" for i, row in enumerate(rows) if not passes(*row)]
    assert judge(signals, [RATIO], key="id", status=None).get_column("id").to_list() == failed
    funnel = count_funnel(signals.lazy(), [RATIO], key="id", status=None)
    assert (funnel.rows_kept, funnel.rows_removed) == (len(rows) - len(failed), len(failed))


def test_strict_limits_are_strict_in_every_language() -> None:
    rule = Rule(
        name="p_ratio", signal="ratio", low=0.1, low_is_kept=False, source="t", by_language={"en": Limits(low=0.3)}
    )
    assert find_passing(rule, ("en", 0.3), ("en", 0.31), ("de", 0.1), ("de", 0.11)) == [False, True, False, True]


def test_signals_without_languages_cannot_be_judged_by_language() -> None:
    with pytest.raises(SchemaError, match="limits by language"):
        judge(make_signals().drop("language"), [RATIO], key="id", status=None)


def test_the_description_and_the_resolved_rule_hold_every_language() -> None:
    assert RATIO.describe() == "0.1 <= ratio (en: 0.3 <= ratio; xx: no limit; zh: 0.2 <= ratio <= 0.9)"
    assert RATIO.resolve()["by_language"]["zh"] == {"low": 0.2, "high": 0.9}
    assert "by_language" not in Rule(name="p_x", signal="x", low=1, source="t").resolve()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"low": 1, "by_language": {"en": Limits(low=2, high=1)}}, "language 'en', keeps nothing"),
        ({"low": 1, "by_language": {"en": Limits(low=math.inf)}}, "finite"),
        ({"by_language": {"en": Limits()}}, "neither"),
        ({"allowed": ("a",), "by_language": {"en": Limits(low=1)}}, "both"),
    ],
)
def test_limits_by_language_that_make_no_sense_are_refused(limits: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Rule(name="p_x", signal="x", source="t", **limits)  # type: ignore[arg-type]


def test_one_limit_of_one_language_is_moved_and_the_others_stay() -> None:
    (moved,) = set_limit([RATIO], "paper_ratio", "low", 0.5, word="zh")
    assert moved.by_language == {"en": Limits(low=0.3), "zh": Limits(low=0.5, high=0.9), "xx": Limits()}
    (new,) = set_limit([RATIO], "paper_ratio", "high", 0.7, word="de")
    assert new.by_language["de"] == Limits(low=0.1, high=0.7)
    with pytest.raises(RecipeError, match="no limit 'lo'"):
        set_limit([RATIO], "paper_ratio", "lo", 1, word="en")
    with pytest.raises(RecipeError, match="no limit 'allowed'"):
        set_limit([RATIO], "paper_ratio", "allowed", ("a",), word="en")


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_recipe_writes_limits_by_language_and_its_resolved_form_loads_again(tmp_path: Path) -> None:
    languages = "{de: {low: 0.5}, zh: {low: 0.7, high: null}, fr: {}}"
    entry = f"{{rule: refinedweb_language_score, low: 0.6, by_language: {languages}}}"
    recipe = load_recipe(write(tmp_path, f"name: own\ntext: {{rules: [{entry}]}}"))
    assert recipe.text.rules[0].by_language == {"de": Limits(low=0.5), "zh": Limits(low=0.7), "fr": Limits()}
    again = load_recipe(write(tmp_path, recipe.dump()))
    assert again.resolve() == recipe.resolve()
    assert again.digest_section("text") == recipe.digest_section("text")
    moved = apply_overrides(recipe, ["refinedweb_language_score.de.low=0.4"])
    assert moved.text.rules[0].by_language["de"].low == 0.4
    assert moved.digest_section("text") != recipe.digest_section("text")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{rule: gopher_word_count, by_language: {en: {lo: 1}}}", r"own.yaml:1: unknown key 'lo'. Did you mean 'low'"),
        ("{rule: gopher_word_count, by_language: {en: {low: few}}}", r"own.yaml:1: `low`: expected a number"),
        ("{rule: gopher_word_count, by_language: [en]}", r"own.yaml:1: expected `key: value` lines"),
        ("{rule: gopher_word_count, by_language: {en: {low: 9e9}}}", r"own.yaml:1: .*'en', keeps nothing"),
        ("{rule: refinedweb_language, by_language: {en: {low: 1}}}", r"own.yaml:1: .*both"),
    ],
)
def test_wrong_limits_by_language_stop_at_load(entry: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, f"text: {{rules: [{entry}]}}"))


def test_an_override_of_no_known_form_is_refused() -> None:
    with pytest.raises(RecipeError, match="not of the form"):
        apply_overrides(load_recipe("refinedweb"), ["gopher_word_count.en.low.more=1"])


def test_lists_of_words_are_read_by_language_or_from_a_folder(tmp_path: Path) -> None:
    lists = tmp_path / "words"
    lists.mkdir()
    for name in ("en", "pt-br.txt", "README.md", "USERS"):
        (lists / name).write_text("word\n", encoding="utf-8")
    recipe = load_recipe(write(tmp_path, "words: {flagged: {folder: words, licence: own}, stop: {en: [words/en]}}"))
    assert list(recipe.words.flagged) == ["en", "pt-br"]
    assert recipe.words.flagged["en"][0].licence == "own"
    assert recipe.words.stop["en"][0].sha256 == recipe.words.flagged["en"][0].sha256
    for text, message in (
        ("words: {flagged: {folder: nowhere}}", "No folder 'nowhere'"),
        ("words: {flagged: {folder: words, sha: 1}}", "unknown key 'sha'"),
        ("words: {flagged: {en: [nowhere]}}", "No list 'nowhere'"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe(write(tmp_path, text))


def test_a_changed_word_list_moves_the_signals_only_where_a_family_searches_for_it(tmp_path: Path) -> None:
    list_path = tmp_path / "en"
    digests = {}
    for signals in ("gopher", "toxicity"):
        for word in ("one", "two"):
            list_path.write_text(word, encoding="utf-8")
            recipe = load_recipe(write(tmp_path, f"words: {{flagged: {{en: [en]}}}}\ntext: {{signals: [{signals}]}}"))
            digests[signals, word] = recipe.digest_section("signals")
    assert digests["gopher", "one"] == digests["gopher", "two"]
    assert digests["toxicity", "one"] != digests["toxicity", "two"]
