"""Verification: the bound is never below the similarity, and what is compared is what was signed."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.minhash_presets import PRESETS
from mmpipe.deduplication.shingles import shingle_texts
from mmpipe.deduplication.verification import bound_similarities, measure_similarities


@given(st.lists(st.text("ab ", max_size=20), min_size=2, max_size=8))
@settings(max_examples=80, deadline=None)
def test_no_pair_is_more_alike_than_its_bound(texts: list[str]) -> None:
    left, right = (part.astype(np.int64) for part in np.triu_indices(len(texts)))
    ids = pl.Series([str(number) for number in range(len(texts))])
    frame = pl.DataFrame({"doc_id": ids, "text": texts})
    similarities = measure_similarities(ids, left, right, frame, 2)
    bounds = bound_similarities(np.diff(shingle_texts(texts, 2)[1]), left, right)
    assert (similarities <= bounds).all()
    assert (bounds[left == right] == 1).all()


def test_characters_are_compared_where_characters_were_signed() -> None:
    ids = pl.Series(["a", "b"])
    frame = pl.DataFrame({"doc_id": ids, "text": ["x" * 30 + "abcdefgh", "X" * 30 + "ABCDEFGH"]})
    pair = np.array([0]), np.array([1])
    assert measure_similarities(ids, *pair, frame, PRESETS["nemo"].shingling).tolist() == [1.0]
    assert measure_similarities(ids, *pair, frame, PRESETS["nemo_as_is"].shingling).tolist() == [0.0]
