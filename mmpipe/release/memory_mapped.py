"""Writes token sequences as a memory-mapped dataset, `.bin` and `.idx`, as Megatron's trainers map them.

Layout (Megatron-LM, `core/datasets/indexed_dataset.py`, version 1), little-endian, nothing between the parts:

    NAME.bin    every token of every sequence, one after another, in the type that the index names
    NAME.idx    9 bytes   "MMIDIDX" and two zero bytes
                uint64    version, 1
                uint8     type of a token: 8 is uint16, 4 is int32
                uint64    number of sequences, s
                uint64    number of document borders, d
                int32 s   tokens of each sequence
                int64 s   byte of the .bin at which each begins
                int64 d   sequence at which each document begins, and s at the end

Tokens are uint16 where the vocabulary has at most 65,536 ids, else int32: Megatron knows no uint32, whose bytes are the
same for every id below 2^31.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmpipe.errors import ConfigurationError, InvariantBroken

MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQQ")
_VERSION = 1
_UINT16_IDS = 1 << 16

#: Megatron's number of each type of token that this module writes.
_CODES: dict[np.dtype[Any], int] = {np.dtype("<u2"): 8, np.dtype("<i4"): 4}


@dataclass(frozen=True, slots=True)
class SequenceIndex:
    """What an .idx says.

    Attributes:
        dtype: of a token in the .bin.
        lengths: (s,) tokens of each sequence.
        pointers: (s,) byte at which each begins.
        document_borders: (d,) sequence at which each document begins, and s at the end.
    """

    dtype: np.dtype[Any]
    lengths: NDArray[np.int32]
    pointers: NDArray[np.int64]
    document_borders: NDArray[np.int64]

    def take(self, tokens: NDArray[Any], place: int) -> NDArray[Any]:
        """Return sequence `place` of the .bin's tokens, a one-dimensional array or memory map; nothing is copied."""
        begin = int(self.pointers[place]) // self.dtype.itemsize
        return tokens[begin : begin + int(self.lengths[place])]


def choose_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """Return the type of a token for ids from 0 to below `vocabulary_size`.

    Raises:
        ConfigurationError: the size is not positive, or more than 31 bits hold.
    """
    if not 1 <= vocabulary_size <= 1 << 31:
        raise ConfigurationError(f"Memory map: {vocabulary_size} is no size of a vocabulary.")
    return np.dtype("<u2") if vocabulary_size <= _UINT16_IDS else np.dtype("<i4")


def render_tokens(sequences: Iterable[Sequence[int] | NDArray[Any]], vocabulary_size: int) -> Iterator[bytes]:
    """Yield the bytes of the .bin, one sequence after another.

    Raises:
        ConfigurationError: the vocabulary's size is none.
        InvariantBroken: an id is outside of the vocabulary; the sequence's place is named.
    """
    dtype = choose_dtype(vocabulary_size)
    for place, sequence in enumerate(sequences):
        ids = np.asarray(sequence, dtype=np.int64)
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary_size:
            raise InvariantBroken(
                f"Memory map: sequence {place} has ids from {ids.min()} to {ids.max()}, the vocabulary 0 to "
                f"{vocabulary_size - 1}. It was made with another tokenizer."
            )
        yield ids.astype(dtype).tobytes()


def render_index(
    lengths: Sequence[int] | NDArray[Any], vocabulary_size: int, document_borders: Sequence[int] | None = None
) -> bytes:
    """Return the bytes of the .idx.

    Args:
        lengths: tokens of each sequence, in the order of the .bin.
        vocabulary_size: of the tokenizer; decides the type of a token.
        document_borders: sequence at which each document begins, and the number of sequences at the end; None where
            each sequence is a document, as packed ones are.

    Raises:
        ConfigurationError: the vocabulary's size is none.
        InvariantBroken: a length does not fit, or the borders do not rise from 0 to the number of sequences.
    """
    dtype = choose_dtype(vocabulary_size)
    counts = np.asarray(lengths, dtype=np.int64)
    if counts.size and not 0 <= int(counts.min()) <= int(counts.max()) < 1 << 31:
        raise InvariantBroken("Memory map: a sequence has 2^31 tokens or more, or fewer than none.")
    borders = np.arange(len(counts) + 1) if document_borders is None else np.asarray(document_borders, dtype=np.int64)
    if not len(borders) or borders[0] != 0 or borders[-1] != len(counts) or (np.diff(borders) < 0).any():
        raise InvariantBroken(f"Memory map: document borders must rise from 0 to the {len(counts)} sequences.")
    pointers = np.concatenate([[0], np.cumsum(counts)[:-1]]) * dtype.itemsize if len(counts) else counts
    header = _HEADER.pack(MAGIC, _VERSION, _CODES[dtype], len(counts), len(borders))
    return b"".join(
        [header, counts.astype("<i4").tobytes(), pointers.astype("<i8").tobytes(), borders.astype("<i8").tobytes()]
    )


def parse_index(index: bytes) -> SequenceIndex:
    """Return what the bytes of an .idx say; the inverse of `render_index`.

    Raises:
        InvariantBroken: they are none, or not as long as they say.
    """
    if len(index) < _HEADER.size or index[: len(MAGIC)] != MAGIC:
        raise InvariantBroken("Memory map: these bytes are no index (.idx).")
    _, version, code, count, borders = _HEADER.unpack_from(index)
    types = {number: dtype for dtype, number in _CODES.items()}
    if version != _VERSION or code not in types:
        raise InvariantBroken(f"Memory map: version {version} or token type {code} is not one that is written here.")
    if len(index) != _HEADER.size + 12 * count + 8 * borders:
        raise InvariantBroken(f"Memory map: an index of {count} sequences cannot have {len(index)} bytes.")
    place = _HEADER.size
    lengths = np.frombuffer(index, "<i4", count, place)
    pointers = np.frombuffer(index, "<i8", count, place + 4 * count)
    return SequenceIndex(types[code], lengths, pointers, np.frombuffer(index, "<i8", borders, place + 12 * count))
