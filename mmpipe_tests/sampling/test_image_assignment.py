"""No other way to give pictures their own sentences is likelier in sum; no sentence gets two before all have one."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmpipe.sampling.image_assignment import UNASSIGNED, assign_images, compare_embeddings

MATRICES = st.tuples(st.integers(0, 5), st.integers(0, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-100, 100).map(lambda value: value / 100))
)


@given(MATRICES)
def test_the_sum_is_the_greatest_that_one_to_one_allows(similarity: np.ndarray) -> None:
    pictures, sentences = similarity.shape

    chosen = assign_images(similarity, "left_out")

    placed = np.flatnonzero(chosen != UNASSIGNED)
    assert placed.size == min(pictures, sentences)
    assert len(set(chosen[placed])) == placed.size
    reached = similarity[placed, chosen[placed]].sum()
    wide = similarity if pictures <= sentences else similarity.T
    best = max(wide[range(len(wide)), list(order)].sum() for order in permutations(range(wide.shape[1]), len(wide)))
    assert reached == pytest.approx(best)


@given(MATRICES)
def test_the_rest_goes_to_its_likeliest_sentence_as_in_mmc4(similarity: np.ndarray) -> None:
    alone, stacked = assign_images(similarity, "left_out"), assign_images(similarity)

    assert (stacked[alone != UNASSIGNED] == alone[alone != UNASSIGNED]).all()
    rest = np.flatnonzero(alone == UNASSIGNED)
    if similarity.shape[1]:
        assert (stacked != UNASSIGNED).all()
        assert (similarity[rest, stacked[rest]] == similarity[rest].max(axis=1, initial=-9)).all()


def test_greedy_choice_would_be_worse() -> None:
    # the first picture's likeliest sentence is the only one that suits the second
    similarity = np.array([[0.30, 0.29, 0.1], [0.28, 0.0, 0.1]])

    assert assign_images(similarity).tolist() == [1, 0]


def test_the_example_that_mmc4_publishes() -> None:
    # allenai/mmc4, README: two pictures of a manual page; both are likest the second sentence
    similarity = [[0.24363446, 0.31758785, 0.27694184], [0.22331068, 0.32349196, 0.26118797]]

    assert assign_images(np.array(similarity)).tolist() == [2, 1]


def test_likenesses_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite matrix"):
        assign_images(np.array([[0.1, np.nan]]))
    with pytest.raises(ValueError, match="finite matrix"):
        assign_images(np.zeros(3))


def test_cosines_of_rounded_embeddings_are_cosines() -> None:
    rng = np.random.default_rng(0)
    pictures, sentences = rng.normal(size=(4, 16)), rng.normal(size=(3, 16))
    rounded = (pictures / np.linalg.norm(pictures, axis=1, keepdims=True)).astype(np.float16)

    cosines = compare_embeddings(rounded, sentences * 7)

    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in sentences] for a in pictures]
    assert np.allclose(cosines, expected, atol=2e-3)
    assert compare_embeddings(np.zeros((1, 16)), sentences).tolist() == [[0, 0, 0]]
