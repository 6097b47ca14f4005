"""Pairs by rank become pairs by id, in the columns that clustering takes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mmpipe.deduplication.named_pairs import NAMED_PAIRS, name_pairs, name_url_pairs
from mmpipe.deduplication.urls import find_url_duplicates
from mmpipe.errors import InvariantBroken

DOCUMENTS = pl.DataFrame({"doc_id": ["a", "b", "c"], "rank": [7, 3, 5], "url": ["http://h", "HTTP://h/", "x"]})


def test_ranks_become_ids_in_the_order_of_the_pairs() -> None:
    pairs = pl.DataFrame({"better": [5, 3, 3], "worse": [7, 7, 5], "similarity": [0.5, 1.0, 0.25]})
    named = name_pairs(pairs, DOCUMENTS.lazy(), "simhash")
    assert named.rows() == [("c", "a", 0.5, "simhash"), ("b", "a", 1.0, "simhash"), ("b", "c", 0.25, "simhash")]
    assert named.schema == NAMED_PAIRS
    assert name_pairs(pairs[:0], DOCUMENTS, "semantic").schema == NAMED_PAIRS


def test_urls_are_pairs_too(tmp_path: Path) -> None:
    named = name_url_pairs(find_url_duplicates(DOCUMENTS, scratch=tmp_path))
    assert named.rows() == [("b", "a", 1.0, "url")]
    assert named.schema == NAMED_PAIRS


def test_ranks_that_are_not_one_documents_are_refused() -> None:
    pairs = pl.DataFrame({"better": [3], "worse": [4], "similarity": [0.5]})
    with pytest.raises(InvariantBroken, match="name 2 ranks, of which documents have 1"):
        name_pairs(pairs, DOCUMENTS, "simhash")
    with pytest.raises(InvariantBroken, match="in 3 rows"):
        name_pairs(pairs, DOCUMENTS.with_columns(rank=pl.Series([3, 4, 4])), "simhash")
