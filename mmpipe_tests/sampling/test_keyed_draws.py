"""Keyed draws: what several independent draws make, and one even draw that tells the same."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmpipe.sampling.keyed_draws import combine_draws, describe_draws, hash_texts, mix_hashes, scale_to_unit

UNIT = st.floats(0, 1, exclude_max=True)
CHANCES = st.one_of(st.floats(1e-9, 1), st.just(1.0))


@given(st.lists(st.lists(st.tuples(CHANCES, UNIT), max_size=5), max_size=6), st.booleans())
@example([[(1.0, 1 - 2**-53)] * 2], False)
@example([[(1 - 2**-53, 1 - 2**-53)] * 3], False)
@example([[(0.4, 1 - 2**-53)] * 2], False)
def test_a_pair_is_kept_if_any_draw_succeeds_and_its_one_draw_says_so(
    pairs: list[list[tuple[float, float]]], keeps_lone: bool
) -> None:
    rows = np.array([row for row, draws in enumerate(pairs) for _ in draws], dtype=np.int64)
    chances = np.array([chance for draws in pairs for chance, _ in draws])
    draws = np.array([draw for of_pair in pairs for _, draw in of_pair])

    drawn = combine_draws(rows, chances, draws, np.full(len(pairs), 0.5), keeps_lone=keeps_lone)

    for row, of_pair in enumerate(pairs):
        kept = any(draw < chance for chance, draw in of_pair) if of_pair else keeps_lone
        assert bool(drawn.is_kept[row]) is kept
        assert bool(drawn.draw[row] < drawn.keep_probability[row]) is kept
        assert 0 <= drawn.draw[row] < 1
        expected = 1 - np.prod([1 - chance for chance, _ in of_pair]) if of_pair else float(keeps_lone)
        assert drawn.keep_probability[row] == pytest.approx(expected, abs=1e-12)


def test_the_one_draw_is_evenly_distributed_whatever_the_chances() -> None:
    generator = np.random.default_rng(1)
    count = 40_000
    rows = np.repeat(np.arange(count), 3)
    chances = np.tile([0.02, 0.3, 0.9], count)

    drawn = combine_draws(rows, chances, generator.random(3 * count), np.zeros(count))

    below = [(drawn.draw < share).mean() for share in (0.1, 0.25, 0.5, 0.75, 0.9)]
    assert below == pytest.approx([0.1, 0.25, 0.5, 0.75, 0.9], abs=4 * np.sqrt(0.25 / count))


def test_draws_of_one_pair_and_of_one_entry_are_independent() -> None:
    pairs, entries = hash_texts(f"pair {n}" for n in range(400)), hash_texts(f"entry {n}" for n in range(400))
    table = scale_to_unit(mix_hashes(pairs[:, None], entries[None, :], seed=1))

    assert table.mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / table.size))
    # means of rows and columns are as far from a half as those of independent draws, not further
    for axis in (0, 1):
        assert table.mean(axis=axis).std() == pytest.approx(np.sqrt(1 / 12 / 400), rel=0.2)
    assert abs(np.corrcoef(table[:, 0], table[:, 1])[0, 1]) < 0.2
    other = scale_to_unit(mix_hashes(pairs[:, None], entries[None, :], seed=2))
    assert abs(np.corrcoef(table.ravel(), other.ravel())[0, 1]) < 0.02


def test_draws_are_these_numbers_for_ever() -> None:
    # a corpus made again must be the same, so a change of the hash is a change of every corpus
    drawn = scale_to_unit(mix_hashes(hash_texts(["p", "q"]), hash_texts(["dog", "dog"]), seed=1))

    assert drawn.tolist() == pytest.approx([0.5315418817735375, 0.07917456911752097], abs=1e-15)


def test_the_rarest_subject_is_named_and_the_first_of_equals() -> None:
    rows = np.array([0, 0, 0, 2])
    counts = np.array([7, 3, 3, 9])
    subjects = np.array([0, 2, 1, 0])
    drawn = combine_draws(rows, np.full(4, 0.5), np.full(4, 0.9), np.zeros(3))

    told = describe_draws(drawn, rows, counts, subjects, pl.Series(["dog", "barn", "owl"]))

    assert told["rarest_entry"].to_list() == ["barn", None, "dog"]
    assert told["rarest_entry_pairs"].to_list() == [3, None, 9]
    assert told["entries_matched"].to_list() == [3, 0, 1]
