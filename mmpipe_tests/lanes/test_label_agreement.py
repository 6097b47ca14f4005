from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.label_agreement import compare_labels, measure_kappa

REMOVALS = pl.DataFrame({"pair_id": ["a", "a", "b", "e"], "rule": ["size", "blur", "size", "blur"]})
PAIRS = ["a", "b", "c", "d", "e", "f"]


def make_labels(**columns: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def test_all_rules_are_held_to_the_label():
    labels = make_labels(pair_id=["a", "b", "c", "d", "z"], label=["remove", "keep", "remove", "keep", "keep"])
    agreement = compare_labels(labels, PAIRS, REMOVALS, ["size", "blur"])
    overall = agreement.overall
    assert (agreement.labelled, agreement.unknown) == (4, 1)
    assert (overall.labelled, overall.taken, overall.wanted, overall.both) == (4, 2, 2, 1)
    assert (overall.precision, overall.recall, overall.kappa) == (0.5, 0.5, 0.0)
    assert {rule.rule: (rule.taken, rule.both) for rule in agreement.rules} == {"size": (2, 1), "blur": (1, 1)}


def test_a_rule_is_held_to_its_own_column():
    labels = make_labels(
        pair_id=["a", "b", "c"], label=["keep", "keep", "keep"], size=["1", "0", None], gone=["0", "0", "1"]
    )
    agreement = compare_labels(labels, PAIRS, REMOVALS, ["size", "blur", "gone"])
    found = {rule.rule: (rule.labelled, rule.taken, rule.wanted, rule.both) for rule in agreement.rules}
    assert found["size"] == (2, 2, 1, 1)
    assert found["gone"] == (3, 0, 1, 0)
    gone = next(rule for rule in agreement.rules if rule.rule == "gone")
    assert (gone.precision, gone.recall) == (None, 0.0)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (make_labels(id=["a"], label=["keep"]), "no column pair_id"),
        (make_labels(pair_id=["a", "a"], label=["keep", "keep"]), "twice"),
        (make_labels(pair_id=["a"], label=["perhaps"]), "'perhaps'"),
        (make_labels(pair_id=["a"], siz=["1"]), "Did you mean 'size'"),
    ],
)
def test_a_sample_that_cannot_be_read_is_refused(labels, said):
    with pytest.raises(ConfigurationError, match=said):
        compare_labels(labels, PAIRS, REMOVALS, ["size", "blur"])


def test_kappa_of_cohens_own_kind():
    # 20 both, 5 and 10 alone, 15 neither: agreed 0.7, by chance 0.5
    assert measure_kappa(20, 5, 10, 15) == pytest.approx(0.4)
    assert measure_kappa(7, 0, 0, 3) == 1.0
    assert measure_kappa(0, 5, 5, 0) == -1.0
    assert measure_kappa(0, 0, 0, 0) is None
    assert measure_kappa(4, 0, 0, 0) is None


@given(*(st.integers(0, 12) for _ in range(4)))
def test_kappa_is_the_sum_over_rows_and_treats_both_sides_alike(both, first, second, neither):
    ours = measure_kappa(both, first, second, neither)
    # swapping the raters, or what is called taken, changes nothing
    assert measure_kappa(both, second, first, neither) == ours
    assert measure_kappa(neither, second, first, both) == pytest.approx(ours)
    pairs = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    if ours is None:
        assert len(set(pairs)) <= 1
        return
    # the chance that a row of one and a row of the other agree, counted pair by pair
    by_chance = sum(one == other for one, _ in pairs for _, other in pairs) / len(pairs) ** 2
    agreed = sum(one == other for one, other in pairs) / len(pairs)
    assert ours == pytest.approx((agreed - by_chance) / (1 - by_chance))


@given(st.permutations(PAIRS))
def test_the_order_of_rows_says_nothing(order):
    words = {"a": "remove", "b": "keep", "c": "remove", "d": "keep", "e": "keep", "f": "remove"}
    labels = make_labels(pair_id=order, label=[words[pair] for pair in order])
    straight = make_labels(pair_id=PAIRS, label=[words[pair] for pair in PAIRS])
    assert compare_labels(labels, PAIRS, REMOVALS, []) == compare_labels(straight, PAIRS, REMOVALS, [])
