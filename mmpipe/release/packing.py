"""Packs rows of tokens into sequences of one length: best fit, nothing lost, and nothing that sees its neighbour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mmpipe.errors import ConfigurationError, InvariantBroken
from mmpipe.release.loss_masks import IGNORED_LABEL, MaskedConversation
from mmpipe.release.pretraining import TokenizedDocument
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import PRETRAINING_DATASET

#: Rows of packed conversations. `seq_lengths` says how many tokens each conversation has, in order; a trainer that
#: attends within them and counts `position_ids` from 0 in each shows none of them its neighbour.
PACKED_CONVERSATIONS = pl.Schema(
    [
        ("sequence_id", pl.String()),
        ("input_ids", pl.List(pl.Int32)),
        ("labels", pl.List(pl.Int32)),
        ("position_ids", pl.List(pl.Int32)),
        ("seq_lengths", pl.List(pl.Int32)),
        ("row_ids", pl.List(pl.String)),
    ]
)


def pack_best_fit(lengths: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """Return the sequence of each item, by best fit in the order given.

    Each item goes where the least room is left that holds it; otherwise it opens a sequence. Sorted by falling length
    this is best-fit decreasing, at most 11/9 of the fewest sequences and a constant (Johnson 1973); for documents:
    Ding et al. 2024, "Fewer Truncations Improve Language Modeling" (arXiv 2404.10830). O(n log capacity).

    Args:
        lengths: (n,) tokens of each item, 1 to `capacity`.
        capacity: tokens of a sequence.

    Raises:
        ConfigurationError: the capacity is not positive.
        InvariantBroken: an item is empty or longer than a sequence.
    """
    if capacity < 1:
        raise ConfigurationError(f"Packing: sequence_length must be at least 1, not {capacity}.")
    if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= capacity:
        raise InvariantBroken(
            f"Packing: items have {int(lengths.min())} to {int(lengths.max())} tokens, a sequence 1 to {capacity}. "
            f"Cut or remove longer ones first."
        )
    from mmpipe.release.packing_kernel import place_items

    found: NDArray[np.int64] = place_items(np.ascontiguousarray(lengths, dtype=np.int64), capacity)
    return found


def sort_longest_first(lengths: NDArray[np.int64], ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the order of items by falling length, then id: it does not depend on the order they come in."""
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    return by_id[np.argsort(-lengths[by_id], kind="stable")] if len(by_id) else by_id


def measure_efficiency(tokens: int, sequences: int, sequence_length: int) -> float:
    """Return the share of the sequences' room that holds tokens, 0 to 1; 1 for none."""
    return tokens / (sequences * sequence_length) if sequences else 1.0


# conversations --------------------------------------------------------------------------------------------------------


def pack_conversations(conversations: Sequence[MaskedConversation], sequence_length: int) -> pl.DataFrame:
    """Return PACKED_CONVERSATIONS: whole conversations, packed best-fit decreasing, by the ids of their rows.

    Args:
        conversations: each of at most `sequence_length` tokens; `loss_masks.truncate` sees to that.
        sequence_length: most tokens in a sequence; none is padded.

    Raises:
        ConfigurationError: the length is not positive.
        InvariantBroken: a conversation is longer (it is named), or tokens in and packed differ.
    """
    long = next((row for row in conversations if not 1 <= len(row.ids) <= max(sequence_length, 1)), None)
    if long is not None:
        raise InvariantBroken(
            f"Packing: conversation {long.id} has {len(long.ids)} tokens, a sequence 1 to {sequence_length}. "
            f"Truncate or remove it first."
        )
    lengths = np.array([len(row.ids) for row in conversations], dtype=np.int64)
    order = sort_longest_first(lengths, [row.id for row in conversations])
    bins = pack_best_fit(lengths[order], sequence_length)
    rows = [_join_conversations([conversations[order[place]] for place in members]) for members in _list_members(bins)]
    frame = pl.DataFrame(rows, schema=PACKED_CONVERSATIONS)
    packed = int(frame.get_column("input_ids").list.len().sum())
    if packed != int(lengths.sum()):
        raise InvariantBroken(f"Packing: {int(lengths.sum())} tokens in, {packed} packed.")
    return frame


def _join_conversations(members: Sequence[MaskedConversation]) -> dict[str, Any]:
    labels = []
    for row in members:
        own = row.labels
        # a trainer shifts labels by one: the first token of a row would be predicted from its neighbour's last
        own[:1] = IGNORED_LABEL
        labels.append(own)
    lengths = [len(row.ids) for row in members]
    return {
        "sequence_id": make_id("packed conversations", *[row.id for row in members]),
        "input_ids": np.concatenate([row.ids for row in members]),
        "labels": np.concatenate(labels),
        "position_ids": np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        "seq_lengths": np.array(lengths, dtype=np.int32),
        "row_ids": [row.id for row in members],
    }


def list_boundaries(seq_lengths: Sequence[int]) -> NDArray[np.int32]:
    """Return the `cu_seqlens` of a sequence, (k + 1,): where each row begins, and the end; as flash attention wants."""
    return np.concatenate([[0], np.cumsum(seq_lengths)]).astype(np.int32)


# documents ------------------------------------------------------------------------------------------------------------


def pack_documents_best_fit(
    documents: Iterable[TokenizedDocument], sequence_length: int, *, end_of_text: int, tokenizer: str
) -> pl.DataFrame:
    """Return PRETRAINING_DATASET rows in which a document is cut only where it is longer than a sequence.

    As `pretraining.pack_documents`, but packed best-fit decreasing instead of end to end (Ding et al. 2024, section 3):
    a document of n tokens and its end-of-text lies in ceil((n + 1) / sequence_length) sequences, as few as can be.
    Sequences are not quite full; no token is lost or padded. A sequence never mixes sources or epochs.

    Args:
        documents: in any order.
        sequence_length: most tokens per sequence.
        end_of_text: token id that ends a document.
        tokenizer: see `pretraining.describe_tokenizer`.

    Raises:
        ConfigurationError: the length is not positive.
        InvariantBroken: tokens in and tokens packed differ.
    """
    if sequence_length < 1:
        raise ConfigurationError(f"Packing: sequence_length must be at least 1, not {sequence_length}.")
    groups: dict[tuple[int, str], list[TokenizedDocument]] = {}
    tokens_in = 0
    for document in documents:
        tokens_in += len(document.ids) + 1
        groups.setdefault((document.epoch, document.source), []).append(document)
    parts = [
        _pack_group(members, sequence_length, end_of_text, (epoch, source, tokenizer))
        for (epoch, source), members in sorted(groups.items(), key=lambda group: group[0])
    ]
    packed = PRETRAINING_DATASET.conform(pl.concat([PRETRAINING_DATASET.make_empty(), *parts]))
    tokens_packed = int(packed.get_column("input_ids").list.len().sum())
    if tokens_in != tokens_packed:
        raise InvariantBroken(f"Packing: {tokens_in} tokens in, {tokens_packed} packed.")
    return packed


def _pack_group(
    documents: list[TokenizedDocument], sequence_length: int, end_of_text: int, group: tuple[int, str, str]
) -> pl.DataFrame:
    """Return the sequences of one source and epoch: pieces are moved as slices of one stream, not one by one."""
    documents.sort(key=lambda document: document.doc_id)
    sizes = np.array([len(document.ids) + 1 for document in documents], dtype=np.int64)
    stream = _join_documents(documents, sizes, end_of_text)
    counts = -(-sizes // sequence_length)
    owners = np.repeat(np.arange(len(sizes)), counts)
    places = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(np.cumsum(sizes) - sizes, counts) + places * sequence_length
    lengths = np.minimum(sequence_length, sizes[owners] - places * sequence_length)
    # documents stand by id and their pieces by place, so that a stable sort settles ties
    order = np.argsort(-lengths, kind="stable")
    members = _list_members(pack_best_fit(lengths[order], sequence_length))
    laid = order[np.concatenate(members)]
    borders = np.concatenate([[0], np.cumsum([len(each) for each in members])])
    token_borders = np.concatenate([[0], np.cumsum(lengths[laid])])[borders]
    spans = zip(starts[laid].tolist(), (starts + lengths)[laid].tolist(), strict=True)
    tokens = np.concatenate([stream[begin:end] for begin, end in spans])
    names = [documents[owner].doc_id for owner in owners[laid]]
    pieces = zip(names, places[laid].tolist(), lengths[laid].tolist(), strict=True)
    parts = [f"{name}\0{place}\0{length}" for name, place, length in pieces]
    epoch, source, tokenizer = group
    return pl.DataFrame(
        {
            "sequence_id": [
                make_id("best-fit sequence", *group, *parts[begin:end]) for begin, end in pairwise(borders.tolist())
            ],
            "input_ids": _make_lists(tokens, token_borders),
            "doc_ids": _make_lists(names, borders),
            "doc_lengths": _make_lists(lengths[laid].astype(np.int32), borders),
        }
    ).with_columns(epoch=pl.lit(epoch, dtype=pl.Int64), source=pl.lit(source), tokenizer=pl.lit(tokenizer))


def _join_documents(
    documents: Sequence[TokenizedDocument], sizes: NDArray[np.int64], end_of_text: int
) -> NDArray[np.int32]:
    """Return all documents one after another, each with its end-of-text."""
    stream = np.empty(int(sizes.sum()), dtype=np.int32)
    end = 0
    for document, size in zip(documents, sizes.tolist(), strict=True):
        end += size
        stream[end - size : end - 1] = document.ids
        stream[end - 1] = end_of_text
    return stream


def _make_lists(values: NDArray[np.int32] | list[str], borders: NDArray[np.int64]) -> pl.Series:
    """Return a column of lists: list i holds the values from border i to border i + 1."""
    import pyarrow as pa

    lists = pa.LargeListArray.from_arrays(pa.array(borders, pa.int64()), pa.array(values))
    return pl.Series(lists)


def _list_members(bins: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the items of each sequence, in the order in which they were laid."""
    if not len(bins):
        return []
    order = np.argsort(bins, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(bins[order])) + 1)
