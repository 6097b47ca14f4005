"""Mixing: the arithmetic of epochs, and a choice of documents that depends on nothing but the documents."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.sampling.mixing import choose_documents, plan_mixture


def make_documents(counts: dict[str, int]) -> pl.DataFrame:
    rows = [(f"{source}{i}", source, 10 + (i * 37) % 91) for source, count in counts.items() for i in range(count)]
    return pl.DataFrame(rows, schema={"doc_id": pl.String, "source": pl.String, "tokens": pl.Int64}, orient="row")


def test_epochs_give_tokens_and_weights() -> None:
    shares = {
        share.source: share for share in plan_mixture({"web": 1000, "books": 100}, epochs={"web": 1.1, "books": 2.23})
    }
    assert shares["web"].planned_tokens == 1100
    assert shares["books"].planned_tokens == 223
    assert shares["web"].weight == pytest.approx(1100 / 1323)


def test_weights_give_the_epochs_of_llama() -> None:
    # arXiv 2302.13971, Table 1: weight and epochs of a 1.4 T token run give back the sources' tokens, and vice versa
    table = {
        "commoncrawl": (67.0, 1.10),
        "c4": (15.0, 1.06),
        "github": (4.5, 0.64),
        "wikipedia": (4.5, 2.45),
        "books": (4.5, 2.23),
        "arxiv": (2.5, 1.06),
        "stackexchange": (2.0, 1.03),
    }
    total = 1_400_000_000_000
    tokens = {source: round(weight / 100 * total / epochs) for source, (weight, epochs) in table.items()}
    weights = {source: weight for source, (weight, _) in table.items()}
    plan = plan_mixture(tokens, weights=weights, total_tokens=total)
    assert {share.source: round(share.epochs, 2) for share in plan} == {name: row[1] for name, row in table.items()}
    assert sum(share.planned_tokens for share in plan) == pytest.approx(total, abs=len(plan))
    largest = plan_mixture(tokens, weights=weights)
    assert max(share.epochs for share in largest) == pytest.approx(1.0)


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 40), min_size=1), st.data())
@settings(max_examples=60, deadline=None)
def test_tokens_read_are_tokens_planned_to_half_a_document(counts: dict[str, int], data: st.DataObject) -> None:
    frame = make_documents(counts)
    epochs = {source: data.draw(st.floats(0, 3)) for source in counts}
    chosen = choose_documents(frame, epochs, seed=1)
    for source, count in counts.items():
        tokens = int(frame.filter(pl.col("source") == source)["tokens"].sum())
        read = chosen.filter(pl.col("source") == source)
        assert abs(int(read["tokens"].sum()) - tokens * epochs[source]) <= 50.001  # the longest has 100
        full = int(epochs[source])
        assert read.filter(pl.col("epoch") < full).height == full * count
        assert read.select("doc_id", "epoch").is_unique().all()


def test_the_choice_depends_on_the_documents_alone() -> None:
    frame = make_documents({"a": 200, "b": 50})
    expected = choose_documents(frame, {"a": 0.5, "b": 2.25}, seed=3)
    for seed in range(3):
        shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed)
        assert choose_documents(shuffled, {"a": 0.5, "b": 2.25}, seed=3).equals(expected)
    assert not choose_documents(frame, {"a": 0.5, "b": 2.25}, seed=4).equals(expected)


def test_a_larger_fraction_takes_all_that_a_smaller_one_takes() -> None:
    frame = make_documents({"a": 300})
    taken = [set(choose_documents(frame, {"a": part}, seed=1)["doc_id"]) for part in (0.0, 0.1, 0.4, 0.9, 1.0)]
    assert all(small <= large for small, large in pairwise(taken))
    assert [len(taken[0]), len(taken[-1])] == [0, 300]


def test_each_epoch_is_shuffled_anew_and_sources_are_mixed() -> None:
    chosen = choose_documents(make_documents({"a": 60, "b": 60}), {"a": 2, "b": 2}, seed=1)
    first, second = chosen.filter(pl.col("epoch") == 0), chosen.filter(pl.col("epoch") == 1)
    assert chosen["epoch"].is_sorted()
    assert first["doc_id"].to_list() != second["doc_id"].to_list()
    assert 20 < first.head(60).filter(pl.col("source") == "a").height < 40


def test_no_documents_give_no_documents() -> None:
    assert choose_documents(make_documents({}), {}, seed=1).is_empty()


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        ({"epochs": {"wbe": 1, "books": 1}}, "Did you mean 'web'"),
        ({"epochs": {"web": 1}}, "no epochs for books"),
        ({"epochs": {"web": -1, "books": 1}}, "at least 0"),
        ({"epochs": {"web": float("nan"), "books": 1}}, "at least 0"),
        ({"epochs": {"web": 1, "books": 1}, "weights": {"web": 1, "books": 1}}, "either"),
        ({}, "either"),
        ({"weights": {"web": 0, "books": 0}}, "all weights are 0"),
        ({"epochs": {"web": 1, "books": 1}, "total_tokens": 5}, "total_tokens goes with weights"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(amounts: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        plan_mixture({"web": 10, "books": 10}, **amounts)


def test_a_source_without_tokens_can_only_be_left_out() -> None:
    with pytest.raises(ConfigurationError, match="no tokens"):
        plan_mixture({"web": 10, "books": 0}, weights={"web": 1, "books": 1})
    assert plan_mixture({"web": 10, "books": 0}, weights={"web": 1, "books": 0})[0].epochs == 0
