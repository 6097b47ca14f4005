"""Candidates: exactly the pairs that share a band key, less what the hubs cut."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.bands import find_candidates, unpack_band_keys
from mmpipe.errors import SchemaError


def list_pairs(keys: list[list[int]], published: int, hubs: int) -> tuple[set[tuple[int, int]], bool]:
    """Return what find_candidates must: slowly, by the definition."""
    pairs, is_cut = set(), False
    for band in keys:
        for key in set(band):
            bucket = [place for place, other in enumerate(band) if other == key]
            old = [place for place in bucket if place < published]
            new = [place for place in bucket if place >= published]
            pairs |= {(hub, place) for place in new for hub in [*old[:hubs], *new[:hubs]] if hub < place}
            is_cut |= bool(new) and (len(old) > hubs or len(new) > hubs + 1)
    return pairs, is_cut


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 12), st.integers(1, 5), st.data())
@settings(max_examples=200, deadline=None)
def test_candidates_are_the_pairs_of_the_definition(
    documents: int, bands: int, published: int, hubs: int, data: st.DataObject
) -> None:
    key = st.integers(0, 3)
    row = st.lists(key, min_size=documents, max_size=documents)
    keys = data.draw(st.lists(row, min_size=bands, max_size=bands))
    split = data.draw(st.integers(0, documents))  # the keys may lie in two places
    matrix = np.array(keys, dtype=np.uint64)
    better, worse, is_cut = find_candidates(
        [matrix[:, :split], matrix[:, split:]], np.arange(documents), np.arange(documents) < published, hubs=hubs
    )
    pairs = list(zip(better.tolist(), worse.tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert (set(pairs), is_cut) == list_pairs(keys, published, hubs)


def test_only_the_documents_asked_for_are_searched_in_the_order_given() -> None:
    keys = np.array([[5, 6, 5, 5]], dtype=np.uint64)
    better, worse, _ = find_candidates([keys], np.array([3, 1, 0]), np.zeros(3, dtype=bool))
    assert (better.tolist(), worse.tolist()) == ([0], [2])


def test_keys_of_another_number_of_bands_are_refused() -> None:
    with pytest.raises(SchemaError, match="other settings"):
        unpack_band_keys(pl.Series([b"12345678" * 2, b"12345678"]), 2)
