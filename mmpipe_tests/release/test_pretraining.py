"""Packing: every token in is in the sequences once, in order, and each piece has its document."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.release.pretraining import TokenizedDocument, describe_tokenizer, pack_documents, tokenize_documents
from mmpipe.tables.instructions import PRETRAINING_DATASET

END = 0


class LetterTokenizer:
    """A token per character: small enough to check by eye."""

    name = "letters"
    digest = "0123456789abcdef"
    end_of_text = END

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [[ord(letter) for letter in text] for text in texts]


def pack(documents: list[TokenizedDocument], length: int) -> pl.DataFrame:
    return pack_documents(documents, length, end_of_text=END, tokenizer="letters@0")


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.lists(st.integers(1, 9), max_size=12)), max_size=15
    ),
    st.integers(1, 9),
)
@settings(max_examples=150, deadline=None)
def test_tokens_in_are_tokens_packed(parts: list[tuple[str, int, list[int]]], length: int) -> None:
    documents = [TokenizedDocument(f"d{i}", source, epoch, ids) for i, (source, epoch, ids) in enumerate(parts)]
    packed = pack(documents, length)
    assert PRETRAINING_DATASET.conform(packed).equals(packed)
    assert packed["sequence_id"].is_unique().all()
    assert packed.select(pl.col("doc_lengths").list.sum() == pl.col("input_ids").list.len()).to_series().all()
    for source in "ab":
        for epoch in range(2):
            rows = packed.filter((pl.col("source") == source) & (pl.col("epoch") == epoch))
            mine = [document for document in documents if (document.source, document.epoch) == (source, epoch)]
            stream = [token for document in mine for token in [*document.ids, END]]
            assert [token for ids in rows["input_ids"].to_list() for token in ids] == stream
            # only the last sequence is short
            assert all(count == length for count in rows["input_ids"].list.len().to_list()[:-1])
            pieces: dict[str, int] = {}
            for row in rows.iter_rows(named=True):
                assert all(piece > 0 for piece in row["doc_lengths"])
                for doc_id, piece in zip(row["doc_ids"], row["doc_lengths"], strict=True):
                    pieces[doc_id] = pieces.get(doc_id, 0) + piece
            assert pieces == {document.doc_id: len(document.ids) + 1 for document in mine}
            assert list(pieces) == [document.doc_id for document in mine]


def test_a_long_document_straddles_sequences_whose_ids_differ() -> None:
    packed = pack([TokenizedDocument("long", "web", 0, [7] * 11)], 4)
    assert packed["doc_ids"].to_list() == [["long"]] * 3
    assert packed["doc_lengths"].to_list() == [[4], [4], [4]]
    assert packed["input_ids"].to_list()[-1] == [7, 7, 7, END]
    assert packed["sequence_id"].n_unique() == 3


def test_the_same_document_in_two_epochs_has_two_sequences() -> None:
    documents = [TokenizedDocument("d", "web", epoch, [1, 2]) for epoch in (0, 1)]
    packed = pack(documents, 8)
    assert packed["epoch"].to_list() == [0, 1]
    assert packed["sequence_id"].n_unique() == 2


def test_documents_are_tokenized_in_order_with_their_source() -> None:
    frame = pl.DataFrame({"doc_id": ["x", "y"], "source": "s", "epoch": 0, "text": ["ab", ""]})
    tokenizer = LetterTokenizer()
    assert list(tokenize_documents(frame, tokenizer)) == [("x", "s", 0, [97, 98]), ("y", "s", 0, [])]
    packed = pack_documents(
        tokenize_documents(frame, tokenizer),
        16,
        end_of_text=tokenizer.end_of_text,
        tokenizer=describe_tokenizer(tokenizer),
    )
    assert packed["input_ids"].to_list() == [[97, 98, END, END]]
    assert packed["tokenizer"].to_list() == ["letters@0123456789abcdef"]


def test_nothing_packs_to_nothing_and_no_length_is_refused() -> None:
    assert pack([], 4).is_empty()
    with pytest.raises(ConfigurationError, match="sequence_length"):
        pack([], 0)
