"""FLAN mixtures: cap, rate maximum, weights of collections, and counts that are exact."""

from __future__ import annotations

from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.flan_mixtures import FLAN_2022_WEIGHTS, count_draws, draw_mixture, plan_flan_mixture


def test_the_rate_maximum_bounds_a_task_and_the_cap_its_rows() -> None:
    shares = plan_flan_mixture({"small": 1_000, "middle": 3_000, "large": 500_000})
    assert [(share.task, share.used_rows, share.weight) for share in shares] == [
        ("large", 30_000, Fraction(3, 7)),
        ("middle", 3_000, Fraction(3, 7)),
        ("small", 1_000, Fraction(1, 7)),
    ]


def test_the_published_weights_over_a_hundred_thousand_draws() -> None:
    collections = {f"{name}-{number}": name for name in FLAN_2022_WEIGHTS for number in range(2)}
    sizes = {task: 100 + 4_000 * task.endswith("1") for task in collections}
    shares = plan_flan_mixture(sizes, collections=collections, weights=FLAN_2022_WEIGHTS)
    counts = count_draws(shares, 100_000)
    drawn = {name: counts[f"{name}-0"] + counts[f"{name}-1"] for name in FLAN_2022_WEIGHTS}
    assert drawn == {
        "flan2021": 40_000, "t0": 32_000, "niv2": 20_000, "cot": 5_000, "dialog": 3_000}  # fmt: skip
    # within a collection 100 and 3,000 of 3,100
    assert counts["t0-0"] == round(32_000 * 100 / 3_100)


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 50_000), min_size=1, max_size=8),
    st.integers(0, 5_000),
)
def test_counts_sum_exactly_and_are_within_one_of_their_share(sizes: dict[str, int], total: int) -> None:
    if not sum(sizes.values()):
        with pytest.raises(ConfigurationError):
            plan_flan_mixture(sizes)
        return
    shares = plan_flan_mixture(sizes)
    counts = count_draws(shares, total)
    assert sum(share.weight for share in shares) == 1
    assert sum(counts.values()) == total
    assert all(abs(counts[share.task] - share.weight * total) < 1 for share in shares)
    assert counts == count_draws(plan_flan_mixture(dict(reversed(sizes.items()))), total)


def test_weights_are_the_decimals_written() -> None:
    shares = plan_flan_mixture({"a": 5, "b": 5}, collections={"a": "x", "b": "y"}, weights={"x": 0.1, "y": 0.9})
    assert [share.weight for share in shares] == [Fraction(1, 10), Fraction(9, 10)]


def make_rows(sizes: dict[str, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [(f"{task}{number}", task) for task, size in sizes.items() for number in range(size)],
        schema=["instruction_id", "task"],
        orient="row",
    )


def test_draws_repeat_a_small_task_only_when_it_is_used_up() -> None:
    sizes = {"a": 10, "b": 40}
    shares = plan_flan_mixture(sizes, rate_maximum=10, examples_cap=20)
    drawn = draw_mixture(make_rows(sizes), shares, 60)
    assert dict(drawn.group_by("task").len().iter_rows()) == {"a": 30, "b": 30}
    repeats = (
        drawn.group_by("task", "instruction_id").len().group_by("task").agg(pl.col("len").sort(), pl.len().alias("n"))
    )
    by_task = {task: (lengths, count) for task, lengths, count in repeats.iter_rows()}
    assert by_task["a"] == ([3] * 10, 10)
    # capped to 20 rows, of which ten come twice
    assert by_task["b"] == ([1] * 10 + [2] * 10, 20)
    assert sorted(drawn.filter(pl.col("task") == "a")["epoch"].to_list()) == [0] * 10 + [1] * 10 + [2] * 10


def test_draws_hang_on_ids_and_seed_alone() -> None:
    sizes = {"a": 100, "b": 300}
    shares = plan_flan_mixture(sizes)
    one = draw_mixture(make_rows(sizes), shares, 80)
    assert one.equals(draw_mixture(make_rows(sizes).reverse(), shares, 80))
    assert not one.equals(draw_mixture(make_rows(sizes), shares, 80, seed=1))
    fewer = draw_mixture(make_rows(sizes), shares, 40)
    assert set(fewer["instruction_id"]) <= set(one["instruction_id"])
    assert one["task"].to_list() != sorted(one["task"].to_list())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"weights": {"x": 1}}, "go together"),
        ({"rate_maximum": 0}, "at least 1"),
        ({"collections": {"a": "x"}, "weights": {"x": 1}}, "no collection for b"),
        (
            {"collections": {"a": "x", "b": "ys"}, "weights": {"x": 1, "y": 1}},
            "no weight for 'ys' of b. Did you mean 'y'",
        ),
        ({"collections": {"a": "x", "b": "x"}, "weights": {"x": 1, "y": 1}}, "y has a weight but no rows"),
        ({"collections": {"a": "x", "b": "x"}, "weights": {"x": -1}}, "a weight is negative"),
        ({"collections": {"a": "x", "b": "x"}, "weights": {"x": 0}}, "nothing is left to mix"),
    ],
)
def test_mixtures_that_cannot_be_stop(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        plan_flan_mixture({"a": 5, "b": 5}, **arguments)  # type: ignore[arg-type]


def test_draws_stop_when_the_rows_are_not_those_planned_with() -> None:
    shares = plan_flan_mixture({"a": 5})
    with pytest.raises(ConfigurationError, match="planned with 5 rows and has 4"):
        draw_mixture(make_rows({"a": 4}), shares, 3)
    with pytest.raises(ConfigurationError, match="-1 draws"):
        count_draws(shares, -1)
