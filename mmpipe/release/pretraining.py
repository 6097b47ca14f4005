"""Renders documents for a language-model trainer: token ids, packed end to end into sequences of one length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import polars as pl

from mmpipe.errors import ConfigurationError, InvariantBroken
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import PRETRAINING_DATASET

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# documents tokenized in one call: enough for a batch encoder to be busy, little enough for memory
_BATCH_DOCUMENTS = 256


class Tokenizer(Protocol):
    """What turns texts into token ids; `models.tokenizer.load_tokenizer` returns one."""

    @property
    def name(self) -> str:
        """Hub name, folder or file it was loaded from."""

    @property
    def digest(self) -> str:
        """Digest of its vocabulary and rules."""

    @property
    def end_of_text(self) -> int:
        """Id of the token that ends a document."""

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, with no special token added."""


class TokenizedDocument(NamedTuple):
    """One document's tokens, without the end-of-text that packing adds."""

    doc_id: str
    source: str
    epoch: int
    ids: Sequence[int]


def tokenize_documents(documents: pl.DataFrame, tokenizer: Tokenizer) -> Iterator[TokenizedDocument]:
    """Yield documents tokenized, in their order.

    Args:
        documents: `doc_id`, `source`, `epoch`, `text`.
        tokenizer: what to tokenize with.
    """
    for batch in documents.select("doc_id", "source", "epoch", "text").iter_slices(_BATCH_DOCUMENTS):
        encoded = tokenizer.encode_batch(batch.get_column("text").to_list())
        for (doc_id, source, epoch, _), ids in zip(batch.iter_rows(), encoded, strict=True):
            yield TokenizedDocument(doc_id, source, epoch, ids)


def describe_tokenizer(tokenizer: Tokenizer) -> str:
    """Return the value of the `tokenizer` column: name and digest."""
    return f"{tokenizer.name}@{tokenizer.digest}"


def pack_documents(
    documents: Iterable[TokenizedDocument], sequence_length: int, *, end_of_text: int, tokenizer: str
) -> pl.DataFrame:
    """Return PRETRAINING_DATASET rows: documents one after another, cut every `sequence_length` tokens.

    Each document is followed by `end_of_text`, which counts as its last token. A document may straddle sequences; then
    it stands in `doc_ids` of each of them, and in `doc_lengths` with the tokens it has there, so a trainer can keep
    attention within documents. A sequence never mixes sources or epochs. The last sequence of each source and epoch
    is short and is kept: no token is dropped or padded.

    Args:
        documents: in reading order.
        sequence_length: tokens per sequence.
        end_of_text: token id that ends a document.
        tokenizer: see `describe_tokenizer`.

    Raises:
        ConfigurationError: the length is not positive.
        InvariantBroken: tokens in and tokens packed differ.
    """
    import numpy as np

    if sequence_length < 1:
        raise ConfigurationError(f"pretraining_dataset: sequence_length must be at least 1, not {sequence_length}.")
    groups: dict[tuple[int, str], list[tuple[str, NDArray[np.int32]]]] = {}
    tokens_in = 0
    for document in documents:
        ids = np.empty(len(document.ids) + 1, dtype=np.int32)
        ids[:-1] = document.ids
        ids[-1] = end_of_text
        tokens_in += len(ids)
        groups.setdefault((document.epoch, document.source), []).append((document.doc_id, ids))
    rows = [
        {**row, "epoch": epoch, "source": source, "tokenizer": tokenizer}
        for (epoch, source), members in sorted(groups.items(), key=lambda group: group[0])
        for row in _pack_group(members, sequence_length, (epoch, source, tokenizer))
    ]
    packed = PRETRAINING_DATASET.conform(pl.DataFrame(rows, schema=PRETRAINING_DATASET.schema))
    tokens_packed = int(packed.get_column("doc_lengths").list.sum().sum())
    if not tokens_in == tokens_packed == int(packed.get_column("input_ids").list.len().sum()):
        raise InvariantBroken(f"pretraining_dataset: {tokens_in} tokens in, {tokens_packed} packed.")
    return packed


def _pack_group(
    members: list[tuple[str, NDArray[np.int32]]], sequence_length: int, group: tuple[int, str, str]
) -> Iterator[dict[str, str | list[str] | NDArray[np.int32]]]:
    import numpy as np

    ends = np.cumsum([len(ids) for _, ids in members])
    starts = ends - [len(ids) for _, ids in members]
    stream = np.concatenate([ids for _, ids in members])
    for begin in range(0, len(stream), sequence_length):
        end = min(begin + sequence_length, len(stream))
        first = int(np.searchsorted(ends, begin, side="right"))
        last = int(np.searchsorted(starts, end, side="left"))
        lengths = np.minimum(ends[first:last], end) - np.maximum(starts[first:last], begin)
        doc_ids = [doc_id for doc_id, _ in members[first:last]]
        # where the first document is entered tells its pieces apart; the rest follows from ids and lengths
        entered = begin - int(starts[first])
        yield {
            "sequence_id": make_id("sequence", *group, entered, *doc_ids, *lengths.tolist()),
            "input_ids": stream[begin:end],
            "doc_ids": doc_ids,
            "doc_lengths": lengths.astype(np.int32),
        }
