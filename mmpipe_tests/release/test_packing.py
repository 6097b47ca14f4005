"""Packing: best fit as a plain search finds it, no token lost, and no row that could see its neighbour."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, InvariantBroken
from mmpipe.release.loss_masks import IGNORED_LABEL, MaskedConversation
from mmpipe.release.packing import (
    PACKED_CONVERSATIONS,
    list_boundaries,
    measure_efficiency,
    pack_best_fit,
    pack_conversations,
    pack_documents_best_fit,
    sort_longest_first,
)
from mmpipe.release.pretraining import TokenizedDocument
from mmpipe.tables.instructions import PRETRAINING_DATASET

END = 0


def search_best_fit(lengths: list[int], capacity: int) -> list[int]:
    """Best fit by looking at every sequence: the least room that holds the item, the last that got so much."""
    rooms: list[list[int]] = []  # room, when it came to have it, sequence
    found = []
    for step, length in enumerate(lengths):
        fitting = [room for room in rooms if room[0] >= length]
        if fitting:
            chosen = min(fitting, key=lambda room: (room[0], -room[1]))
        else:
            chosen = [capacity, step, len(rooms)]
            rooms.append(chosen)
        chosen[0] -= length
        chosen[1] = step
        found.append(chosen[2])
    return found


@given(st.integers(1, 40), st.data())
@settings(max_examples=200)
def test_the_tree_finds_what_a_search_finds(capacity: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, capacity), max_size=60))
    found = pack_best_fit(np.array(lengths, dtype=np.int64), capacity)
    assert found.tolist() == search_best_fit(lengths, capacity)
    for sequence in set(found.tolist()):
        assert sum(length for length, place in zip(lengths, found, strict=True) if place == sequence) <= capacity


def make_rows(lengths: list[int]) -> list[MaskedConversation]:
    rows, token = [], 1
    for number, length in enumerate(lengths):
        ids = np.arange(token, token + length, dtype=np.int32)
        rows.append(MaskedConversation(f"r{number:04}", ids, ((length // 2, length),)))
        token += length
    return rows


@given(st.lists(st.integers(1, 16), max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_each_conversation_lies_whole_in_one_sequence(lengths: list[int], shuffler: random.Random) -> None:
    rows = make_rows(lengths)
    packed = pack_conversations(rows, 16)
    assert packed.schema == PACKED_CONVERSATIONS
    seen = []
    for row in packed.iter_rows(named=True):
        borders = list_boundaries(row["seq_lengths"]).tolist()
        assert borders[-1] == len(row["input_ids"]) == len(row["labels"]) == len(row["position_ids"]) <= 16
        for row_id, begin, end in zip(row["row_ids"], borders, borders[1:], strict=False):
            own = rows[int(row_id[1:])]
            seen.append(row_id)
            assert row["input_ids"][begin:end] == own.ids.tolist()
            assert row["position_ids"][begin:end] == list(range(end - begin))
            # shifted by a trainer, the first label would be predicted from the neighbour
            assert row["labels"][begin] == IGNORED_LABEL
            assert row["labels"][begin + 1 : end] == own.labels.tolist()[1:]
    assert sorted(seen) == [row.id for row in rows]
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert pack_conversations(shuffled, 16).equals(packed)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.lists(st.integers(1, 9), max_size=25)), max_size=20
    ),
    st.integers(1, 12),
)
@settings(max_examples=100)
def test_documents_are_cut_as_little_as_can_be_and_lose_nothing(
    parts: list[tuple[str, int, list[int]]], length: int
) -> None:
    documents = [TokenizedDocument(f"d{n:03}", source, epoch, ids) for n, (source, epoch, ids) in enumerate(parts)]
    packed = pack_documents_best_fit(documents, length, end_of_text=END, tokenizer="letters@0")
    assert PRETRAINING_DATASET.conform(packed).equals(packed)
    assert packed["sequence_id"].is_unique().all()
    pieces: dict[str, list[list[int]]] = {document.doc_id: [] for document in documents}
    sources = {document.doc_id: (document.source, document.epoch) for document in documents}
    for row in packed.iter_rows(named=True):
        assert 1 <= len(row["input_ids"]) == sum(row["doc_lengths"]) <= length
        borders = list_boundaries(row["doc_lengths"]).tolist()
        for doc_id, begin, end in zip(row["doc_ids"], borders, borders[1:], strict=False):
            assert sources[doc_id] == (row["source"], row["epoch"])
            pieces[doc_id].append(row["input_ids"][begin:end])
    for document in documents:
        whole = [*document.ids, END]
        assert len(pieces[document.doc_id]) == -(-len(whole) // length)
        assert sorted(token for piece in pieces[document.doc_id] for token in piece) == sorted(whole)
    shuffled = list(reversed(documents))
    again = pack_documents_best_fit(shuffled, length, end_of_text=END, tokenizer="letters@0")
    assert again.equals(packed)


def test_sequences_of_2048_are_98_percent_full() -> None:
    chooser = random.Random(3)
    # a web corpus's long tail: most documents short, some longer than a sequence
    documents = [
        TokenizedDocument(f"d{n:05}", "web", 0, [1] * min(20_000, int(chooser.lognormvariate(6, 1.2))))
        for n in range(2000)
    ]
    packed = pack_documents_best_fit(documents, 2048, end_of_text=END, tokenizer="t@0")
    tokens = int(packed["input_ids"].list.len().sum())
    assert tokens == sum(len(document.ids) + 1 for document in documents)
    assert measure_efficiency(tokens, packed.height, 2048) > 0.98


def test_the_order_is_by_length_then_id() -> None:
    lengths = np.array([2, 5, 2, 5], dtype=np.int64)
    assert sort_longest_first(lengths, ["d", "b", "c", "a"]).tolist() == [3, 1, 2, 0]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InvariantBroken, match="conversation r0001 has 9 tokens"):
        pack_conversations(make_rows([3, 9]), 8)
    with pytest.raises(InvariantBroken, match="items have 3 to 9 tokens"):
        pack_best_fit(np.array([3, 9]), 8)
    with pytest.raises(ConfigurationError, match="sequence_length"):
        pack_best_fit(np.array([1]), 0)
    with pytest.raises(ConfigurationError, match="sequence_length"):
        pack_documents_best_fit([], 0, end_of_text=END, tokenizer="t")


def test_nothing_packs_to_nothing() -> None:
    assert pack_conversations([], 8).equals(pl.DataFrame(schema=PACKED_CONVERSATIONS))
    assert pack_documents_best_fit([], 8, end_of_text=END, tokenizer="t").is_empty()
    assert measure_efficiency(0, 0, 8) == 1.0
