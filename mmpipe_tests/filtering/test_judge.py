"""The judge names every failing rule, once per row, whatever the order or the sharding; null and NaN never pass."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import RecipeError, SchemaError
from mmpipe.filtering.judge import count_funnel, judge
from mmpipe.filtering.rules import Rule, set_limit
from mmpipe.tables.keep import keep
from mmpipe.tables.removals import describe_removals

RULES = (
    Rule(name="paper_length", signal="length", low=2, high=5, source="test"),
    Rule(name="paper_share", signal="share", high=0.5, high_is_kept=False, source="test"),
    Rule(name="paper_language", signal="language", allowed=("en", "no"), source="test"),
)
SCHEMA = {"id": pl.String, "status": pl.String, "length": pl.Float64, "share": pl.Float64, "language": pl.String}
REMOVALS = describe_removals("removals", "id", "signals")


def make_signals(*rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def find_failed(*rows: tuple[object, ...]) -> list[tuple[str, str]]:
    removals = REMOVALS.conform(judge(make_signals(*rows), RULES, key="id", status="status"))
    return list(removals.select("id", "rule").iter_rows())


numbers = st.none() | st.floats(-1, 7) | st.sampled_from([2.0, 5.0, 0.5, math.nan])
rows_of_signals = st.lists(
    st.tuples(st.sampled_from(["ok", "ok", "not_html"]), numbers, numbers, st.sampled_from(["en", "no", "de", None])),
    max_size=30,
).map(lambda rows: make_signals(*((f"{i:03d}", *row) for i, row in enumerate(rows))))


def test_a_row_gets_every_rule_it_fails_with_value_and_limits() -> None:
    removals = judge(make_signals(("a", "ok", 9.0, 0.7, "de")), RULES, key="id", status="status")
    assert removals.to_dicts() == [
        {"id": "a", "rule": "paper_length", "signal": "length", "value": 9.0, "value_text": None, "low": 2.0,
         "high": 5.0, "allowed": None},
        {"id": "a", "rule": "paper_share", "signal": "share", "value": 0.7, "value_text": None, "low": None,
         "high": 0.5, "allowed": None},
        {"id": "a", "rule": "paper_language", "signal": "language", "value": None, "value_text": "de", "low": None,
         "high": None, "allowed": ["en", "no"]},
    ]  # fmt: skip


def test_values_equal_to_a_limit_pass_unless_the_rule_is_strict() -> None:
    assert find_failed(("a", "ok", 2.0, 0.4, "en"), ("b", "ok", 5.0, 0.4, "no")) == []
    assert find_failed(("a", "ok", 2.0, 0.5, "en")) == [("a", "paper_share")]


def test_null_and_nan_never_pass() -> None:
    assert find_failed(("a", "ok", None, math.nan, None)) == [
        ("a", "paper_length"),
        ("a", "paper_share"),
        ("a", "paper_language"),
    ]
    low_only = (Rule(name="paper_length", signal="length", low=2, source="test"),)
    removals = judge(make_signals(("a", "ok", math.nan, 0.0, "en")), low_only, key="id", status="status")
    assert removals.get_column("value").to_list() == [None]


def test_an_unreadable_row_is_removed_under_its_status_and_judged_no_further() -> None:
    removals = judge(make_signals(("a", "not_html", None, None, None)), RULES, key="id", status="status")
    assert removals.select("rule", "signal", "value_text").rows() == [("not_html", "status", "not_html")]


@given(rows_of_signals)
def test_rows_in_are_rows_kept_and_distinct_rows_removed(signals: pl.DataFrame) -> None:
    kept = keep(signals, judge(signals, RULES, key="id", status="status"), key="id")
    assert signals.height == kept.frame.height + kept.rows_removed
    passes = kept.frame.filter(
        pl.col("length").is_between(2, 5) & (pl.col("share") < 0.5) & pl.col("language").is_in(["en", "no"])
    )
    assert passes.height == kept.frame.height


@given(rows_of_signals, st.randoms(), st.integers(0, 30))
def test_order_and_shards_do_not_matter(signals: pl.DataFrame, chooser: object, cut: int) -> None:
    whole = judge(signals, RULES, key="id", status="status")
    order = list(range(signals.height))
    chooser.shuffle(order)  # type: ignore[attr-defined]
    shuffled = signals[order]
    assert judge(shuffled, RULES, key="id", status="status").equals(whole)
    shards = [judge(part, RULES, key="id", status="status") for part in (shuffled[:cut], shuffled[cut:])]
    assert pl.concat(shards).sort("id", maintain_order=True).equals(whole)


@given(rows_of_signals)
def test_the_funnel_is_what_judging_and_keeping_makes(signals: pl.DataFrame) -> None:
    kept = keep(signals, judge(signals, RULES, key="id", status="status"), key="id")
    for frame in (signals, signals.lazy()):
        funnel = count_funnel(frame, RULES, key="id", status="status")
        assert (funnel.rows_in, funnel.rows_kept, funnel.rows_removed) == (
            kept.rows_in,
            kept.frame.height,
            kept.rows_removed,
        )
        assert list(funnel.removed_by_rule.items()) == list(kept.removed_by_rule.items())


def test_without_a_status_column_every_row_is_judged() -> None:
    signals = make_signals(("a", "not_html", 3.0, 0.1, "en"))
    assert judge(signals, RULES, key="id", status=None).is_empty()


def test_a_missing_signal_is_named_with_the_nearest() -> None:
    signals = make_signals().rename({"length": "lenght"})
    with pytest.raises(SchemaError, match=r"'length'.*Did you mean 'lenght'"):
        judge(signals, RULES, key="id", status="status")
    with pytest.raises(SchemaError, match="'length'"):
        count_funnel(signals, RULES, key="id", status="status")


def test_a_rule_of_the_wrong_kind_and_a_rule_named_twice_are_refused() -> None:
    wrong = Rule(name="paper_language", signal="language", low=1, source="test")
    with pytest.raises(SchemaError, match="words"):
        judge(make_signals(), [wrong], key="id", status="status")
    with pytest.raises(RecipeError, match="named twice"):
        judge(make_signals(), [RULES[0], RULES[0]], key="id", status="status")


def test_a_null_key_or_status_is_refused() -> None:
    with pytest.raises(SchemaError, match="status is null in 1 rows"):
        judge(make_signals(("a", None, 3.0, 0.1, "en")), RULES, key="id", status="status")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "neither"),
        ({"low": 1, "allowed": ("a",)}, "both"),
        ({"low": 2, "high": 1}, "above high"),
        ({"low": math.nan}, "finite"),
        ({"allowed": ()}, "keeps nothing"),
    ],
)
def test_a_rule_that_limits_nothing_or_everything_cannot_be_made(limits: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Rule(name="paper_x", signal="x", source="test", **limits)  # type: ignore[arg-type]


def test_moving_a_limit_leaves_the_other_rules_alone() -> None:
    moved = set_limit(RULES, "paper_length", "low", 3)
    assert moved[0].low == 3.0
    assert moved[1:] == RULES[1:]
    with pytest.raises(RecipeError, match="Did you mean 'paper_length'"):
        set_limit(RULES, "paper_lenght", "low", 3)
    with pytest.raises(RecipeError, match="no limit 'lo'"):
        set_limit(RULES, "paper_length", "lo", 3)


def test_a_rule_describes_its_limit() -> None:
    assert [rule.describe() for rule in RULES] == ["2 <= length <= 5", "share < 0.5", "language in {en, no}"]
