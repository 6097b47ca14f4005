"""Bands for a recall: the promise is kept, nothing in the budget is more selective, and presets are their sources'."""

from __future__ import annotations

import itertools

import pytest
from datasketch.lsh import _false_positive_probability
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.minhash import MinHashSettings
from mmpipe.deduplication.minhash_parameters import (
    choose_bands,
    compute_recall,
    describe_curve,
    search_bands_by_threshold,
)
from mmpipe.deduplication.minhash_presets import PRESETS
from mmpipe.errors import ConfigurationError


@given(st.floats(0.5, 0.999), st.floats(0.3, 0.95), st.integers(40, 70))
@settings(max_examples=8, deadline=None)
def test_no_bands_in_the_budget_are_more_selective(recall: float, jaccard: float, budget: int) -> None:
    try:
        chosen = choose_bands(recall, jaccard, budget)
    except ConfigurationError:
        chosen = None
    reaching = [
        (_false_positive_probability(jaccard, bands, rows), bands * rows)
        for bands, rows in itertools.product(range(1, budget + 1), repeat=2)
        if bands * rows <= budget and 1 - (1 - jaccard**rows) ** bands >= recall
    ]
    assert (chosen is None) == (not reaching)
    if chosen is not None:
        assert chosen.recall >= recall
        assert chosen.permutations <= budget
        assert chosen.stray_area == pytest.approx(min(reaching)[0], abs=1e-6)


def test_the_known_budgets() -> None:
    chosen = choose_bands(0.99, 0.8, 9000)
    assert (chosen.bands, chosen.rows) == (398, 20)
    assert choose_bands(0.99, 0.8, 300).permutations == 32 * 9
    # one band fewer misses the promise
    assert compute_recall(0.8, 397, 20) < 0.99 <= chosen.recall


@pytest.mark.parametrize(("recall", "jaccard", "budget"), [(0.99, 0.001, 100), (1.0, 0.8, 100), (0.9, 0.0, 100)])
def test_what_cannot_be_reached_is_refused(recall: float, jaccard: float, budget: int) -> None:
    with pytest.raises(ConfigurationError):
        choose_bands(recall, jaccard, budget)


def test_a_threshold_alone_gives_datasketchs_bands() -> None:
    chosen = search_bands_by_threshold(0.8, 128)
    assert (chosen.bands, chosen.rows) == (9, 13)
    assert chosen.recall == pytest.approx(0.399, abs=0.001)


def test_the_curve_of_the_presets_is_the_reference_table() -> None:
    expected = {  # computed from 1 - (1 - s^rows)^bands at 0.5, 0.7, 0.8 and 0.9
        "refinedweb": (0.000, 0.302, 0.995, 1.0),
        "fineweb": (0.053, 0.565, 0.924, 1.0),
        "nemo": (0.002, 0.177, 0.677, 0.997),
        "dclm": (0.003, 0.358, 0.964, 1.0),
        "redpajama2_0.7": (0.027, 0.438, 0.867, 0.999),
        "redpajama2_0.8": (0.001, 0.084, 0.399, 0.929),
        "redpajama2_0.9": (0.0, 0.001, 0.019, 0.311),
    }
    for name, recalls in expected.items():
        curve = describe_curve(PRESETS[name].bands, PRESETS[name].rows, [0.5, 0.7, 0.8, 0.9])
        assert curve["recall"].to_list() == pytest.approx(recalls, abs=0.0006)
    assert describe_curve(14, 8)["recall"][-1] == 1.0


def test_presets_that_differ_in_hashing_never_compare() -> None:
    digests = {preset.signature_digest for preset in PRESETS.values()}
    assert len(digests) == len(PRESETS)
    with pytest.raises(ConfigurationError, match="either shingle_words or shingle_characters"):
        MinHashSettings(shingle_characters=24)
    with pytest.raises(ConfigurationError, match="permutations must be one of"):
        MinHashSettings(permutations="legacy")  # type: ignore[arg-type]
