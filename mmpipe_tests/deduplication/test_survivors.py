"""Who stays: a total order of documents, and greedy choice along it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.survivors import choose_survivors, explain_choice, rank_documents

ROWS = [
    {"doc_id": "e", "dump_sequence": 0, "text_chars": 1, "date": None},
    {"doc_id": "d", "dump_sequence": 2, "text_chars": 9, "date": "2020"},
    {"doc_id": "c", "dump_sequence": 2, "text_chars": 9, "date": "2020-05-01"},
    {"doc_id": "a", "dump_sequence": 2, "text_chars": 9, "date": None},
    {"doc_id": "b", "dump_sequence": 2, "text_chars": 9, "date": None},
    {"doc_id": "A", "dump_sequence": 2, "text_chars": 8, "date": "1999"},
]


@given(st.permutations(ROWS))
def test_the_order_is_total_and_blind_to_arrival(rows: list[dict[str, object]]) -> None:
    frame = pl.DataFrame(
        rows, schema={"doc_id": pl.String, "dump_sequence": pl.Int64, "text_chars": pl.Int64, "date": pl.String}
    )
    assert rank_documents(frame)["doc_id"].to_list() == ["e", "d", "c", "a", "b", "A"]


def test_each_choice_has_its_reason() -> None:
    reasons = [explain_choice(kept, removed).split(":")[0] for kept, removed in pairwise(ROWS)]
    assert reasons == ["published by an earlier dump", "earlier date", "earlier date", "smaller id", "longer text"]
    assert explain_choice(ROWS[4], ROWS[5]) == "longer text: text_chars 9 against 8"


@given(st.integers(2, 12), st.data())
@settings(max_examples=200, deadline=None)
def test_the_removed_have_a_kept_neighbour_and_the_kept_have_none(count: int, data: st.DataObject) -> None:
    pair = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda ends: ends[0] < ends[1])
    pairs = data.draw(st.dictionaries(pair, st.floats(0.5, 1.0), max_size=30))
    ends = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    keepers, similarities = choose_survivors(count, ends[:, 0], ends[:, 1], np.array(list(pairs.values())))
    for document in range(count):
        kept_neighbours = [one for one, other in pairs if other == document and keepers[one] == one]
        if keepers[document] == document:
            assert not kept_neighbours
            assert similarities[document] == 1.0
        else:
            assert keepers[document] in kept_neighbours
            assert similarities[document] == max(pairs[one, document] for one in kept_neighbours)
