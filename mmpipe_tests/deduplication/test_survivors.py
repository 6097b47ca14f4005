"""Who stays: a total order of documents, and greedy choice along it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.pair_files import PairLog, Scratch, list_neighbours
from mmpipe.deduplication.survivors import (
    CANONICAL_POLICY,
    DATE,
    ID,
    LENGTH,
    METHODS,
    PUBLISHED,
    Criterion,
    KeepPolicy,
    choose_survivors,
    explain_choice,
    rank_documents,
)
from mmpipe.errors import ConfigurationError

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
    assert rank_documents(frame, CANONICAL_POLICY)["doc_id"].to_list() == ["d", "c", "a", "b", "A", "e"]


def test_each_choice_has_its_reason() -> None:
    reasons = [explain_choice(kept, removed).split(":")[0] for kept, removed in pairwise(ROWS)]
    assert reasons == ["published by an earlier dump", "earlier date", "earlier date", "smaller id", "longer text"]
    assert explain_choice(ROWS[4], ROWS[5]) == "longer text: text_chars 9 against 8"
    assert explain_choice(ROWS[5], ROWS[0], CANONICAL_POLICY) == "longer text: text_chars 8 against 1"


def test_a_policy_says_its_order_and_refuses_what_cannot_be() -> None:
    quality = Criterion("higher quality", "quality_score", is_larger_better=True)
    policy = KeepPolicy((quality, LENGTH, DATE))
    assert policy.order == (PUBLISHED, quality, LENGTH, DATE, ID)
    assert policy.order_sql().startswith('"dump_sequence" ASC NULLS LAST, "quality_score" DESC NULLS LAST')
    assert KeepPolicy((DATE,), across="canonical").order == (DATE, ID)
    with pytest.raises(ConfigurationError, match="dump_sequence"):
        KeepPolicy((PUBLISHED,), across="canonical")
    with pytest.raises(ConfigurationError, match="decides twice"):
        KeepPolicy((DATE, DATE))
    with pytest.raises(ConfigurationError, match="across must be one of stable, canonical"):
        KeepPolicy(across="newest")  # type: ignore[arg-type]


def choose_naively(
    groups: list[int], pairs: dict[tuple[int, int], tuple[int, float]], published: int
) -> list[tuple[int, int]]:
    """Return the keeper and method of each document, by the definition: pairs of a text hold of all its copies."""
    keepers: list[tuple[int, int]] = []
    for document, group in enumerate(groups):
        reasons = []
        for kept in range(document):
            if document < published or keepers[kept][0] != kept:
                continue
            if groups[kept] == group:
                reasons.append((METHODS.index("exact"), -1.0, kept))
            for (one, other), (method, similarity) in pairs.items():
                ends = (kept, document) if METHODS[method] == "url" else (groups[kept], group)
                if ends in ((one, other), (other, one)):
                    reasons.append((method, -similarity, kept))
        keepers.append((min(reasons)[2], min(reasons)[0]) if reasons else (document, 255))
    return keepers


@given(st.integers(2, 12), st.integers(0, 3), st.data())
@settings(max_examples=200, deadline=None)
def test_survivors_are_those_of_the_definition(
    tmp_path_factory: pytest.TempPathFactory, count: int, published: int, data: st.DataObject
) -> None:
    texts = data.draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    groups = [texts.index(text) for text in texts]
    end = st.integers(0, count - 1)
    kind = st.tuples(st.sampled_from([0, 2, 3, 4]), st.sampled_from([0.5, 0.75, 1.0]))
    drawn = data.draw(st.dictionaries(st.tuples(end, end), kind, max_size=25))
    pairs = {}
    for (one, other), (method, similarity) in drawn.items():
        ends = (one, other) if method == 0 else (groups[one], groups[other])
        if ends[0] != ends[1]:
            pairs[min(ends), max(ends)] = (method, similarity)
    scratch = Scratch(tmp_path_factory.mktemp("scratch"), 1 << 20)
    log = PairLog(scratch)
    for (one, other), (method, similarity) in pairs.items():
        log.append(np.array([one]), np.array([other]), np.array([similarity]), method)
    survivors = choose_survivors(
        list_neighbours(log, count, scratch), np.array(groups), np.arange(count) < published, scratch
    )
    expected = choose_naively(groups, pairs, published)
    kept = {keeper for keeper, _ in expected}
    assert [keeper == place for place, keeper in enumerate(survivors.keepers.tolist())] == [
        keeper == place for place, (keeper, _) in enumerate(expected)
    ]
    for place, keeper in enumerate(survivors.keepers.tolist()):
        assert keeper in kept
        # a copy shares its text's keeper unless something stronger speaks; it never has a weaker reason than a pair
        if groups[place] == place:
            assert (keeper, survivors.methods[place]) == expected[place]
