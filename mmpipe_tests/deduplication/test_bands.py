"""Candidates: exactly the pairs that share a band key, less what the hubs cut."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.bands import find_candidates
from mmpipe.deduplication.duplicate_index import build_index
from mmpipe.deduplication.duplicate_index_writing import unpack_band_keys
from mmpipe.deduplication.minhash import MinHashSettings, sign_documents
from mmpipe.deduplication.pair_files import Scratch
from mmpipe.errors import SchemaError


def list_pairs(keys: list[list[int]], settled: set[int], hubs: int) -> tuple[set[tuple[int, int]], bool]:
    """Return what find_candidates must: slowly, by the definition."""
    pairs, is_cut = set(), False
    for band in keys:
        for key in set(band):
            bucket = [place for place, other in enumerate(band) if other == key]
            for place in bucket:
                old = [other for other in bucket if other < place and other in settled and place not in settled]
                new = [other for other in bucket if other < place and other not in settled]
                pairs |= {(hub, place) for hub in [*old[:hubs], *new[:hubs]]}
                is_cut |= len(old) > hubs or len(new) > hubs
    return pairs, is_cut


@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 5), st.sampled_from([2048, 1 << 20]), st.data())
@settings(max_examples=25, deadline=None)
def test_candidates_are_the_pairs_of_the_definition(
    tmp_path_factory: pytest.TempPathFactory, documents: int, bands: int, hubs: int, memory: int, data: st.DataObject
) -> None:
    # keys far apart, so that they fall into several ranges
    key = st.sampled_from([0, 1, 2**63, 2**64 - 1])
    keys = data.draw(st.lists(st.lists(key, min_size=documents, max_size=documents), min_size=bands, max_size=bands))
    settled = data.draw(st.sets(st.integers(0, documents - 1)))
    split = data.draw(st.integers(0, documents))  # the keys may lie in two indexes
    folder = tmp_path_factory.mktemp("indexes")
    shape = MinHashSettings(bands=bands, rows=1)
    texts = pl.DataFrame({"doc_id": [f"{place:02d}" for place in range(documents)], "text": "one"})
    signed = sign_documents(texts.with_columns(dump=pl.lit("d"), date=pl.lit(None, dtype=pl.String)), shape)
    packed = [np.array(row, dtype="<u8").tobytes() for row in zip(*keys, strict=True)]
    signed = signed.with_columns(band_keys=pl.Series(packed, dtype=pl.Binary))
    indexes = [
        build_index(folder / str(number), part.lazy(), shape)
        for number, part in enumerate((signed[:split], signed[split:]))
    ]
    is_settled = np.isin(np.arange(documents), list(settled))
    nodes = [np.arange(split) + 1, np.arange(split, documents) + 1]
    codes, is_cut = find_candidates(
        indexes, nodes, np.ones(documents, dtype=bool), is_settled, Scratch(folder, memory, 2), hubs=hubs
    )
    pairs = [divmod(code, documents) for code in codes.read_within(0, documents**2).tolist()]
    assert pairs == sorted(pairs)
    assert (set(pairs), is_cut) == list_pairs(keys, settled, hubs)


def test_keys_of_another_number_of_bands_are_refused() -> None:
    with pytest.raises(SchemaError, match="other settings"):
        unpack_band_keys(pl.Series([b"12345678" * 2, b"12345678"]), 2)
