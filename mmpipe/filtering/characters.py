"""Turns texts into arrays of code points, and numbers distinct spans of them: what the compiled loops work on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


#: Characters that are taken at a time: what the loops write meanwhile stays in the processor's cache.
_PASS_CHARACTERS = 200_000


def encode_characters(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the code points of all texts, one after the other, and where each text starts; one more than texts."""
    # lone surrogates are code points like others
    characters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    return characters, find_starts(np.fromiter(map(len, texts), np.int64, len(texts)))


def find_starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each part starts if all stand one after the other, and at last where they end."""
    start = np.zeros(lengths.size + 1, np.int64)
    np.cumsum(lengths, out=start[1:])
    return start


def cut_passes(chars: NDArray[np.int64]) -> list[slice]:
    """Return which texts to take at a time, given the characters of each; at least one pass."""
    passes = []
    start = 0
    ends = np.cumsum(chars)
    while start < chars.size:
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PASS_CHARACTERS)))
        passes.append(slice(start, stop))
        start = stop
    return passes or [slice(0, 0)]


class SpanDictionary:
    """Numbers distinct spans of code points as they are met, and keeps their characters.

    Attributes:
        count: distinct spans so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._start = np.zeros(1024, np.int64)
        self._characters = np.zeros(8192, np.uint32)
        self._hashes = np.zeros(1024, np.uint64)
        self._slots = np.full(2048, -1, np.int32)

    @property
    def start(self) -> NDArray[np.int64]:
        """Where each span starts in `characters`; one more than there are spans."""
        return self._start[: self.count + 1]

    @property
    def characters(self) -> NDArray[np.uint32]:
        """Code points of all spans, one after the other."""
        return self._characters[: self._start[self.count]]

    @property
    def index(self) -> tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint32]]:
        """What `chunk_kernels` finds a span's number by."""
        return self._slots, self._hashes, self._start, self._characters

    def number(
        self, characters: NDArray[np.uint32], begins: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Return the number of each span of `characters`; those not met before take the next."""
        from mmpipe.filtering.chunk_kernels import number_spans, reinsert

        numbers = np.empty(begins.size, np.int32)
        done = 0
        while done < begins.size:
            done, self.count = number_spans(characters, begins, lengths, done, numbers, *self.index, self.count)
            if done < begins.size:  # some array is full
                room = int(self._start[self.count] + lengths[done])
                if room > self._characters.size:
                    self._characters = _grow(self._characters, max(2 * self._characters.size, 2 * room))
                if self.count + 2 > self._hashes.size:
                    self._start = _grow(self._start, 2 * self._start.size)
                    self._hashes = _grow(self._hashes, 2 * self._hashes.size)
                if 2 * (self.count + 1) > self._slots.size:
                    self._slots = np.full(4 * self._slots.size, -1, np.int32)
                    reinsert(self._hashes[: self.count], self._slots)
        return numbers

    def read(self, numbers: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """Return spans as strings."""
        start = self._start
        return [
            self._characters[start[number] : start[number + 1]].tobytes().decode("utf-32-le", "surrogatepass")
            for number in numbers
        ]


def _grow(values: NDArray[Any], size: int) -> NDArray[Any]:
    grown = np.zeros(size, values.dtype)
    grown[: values.size] = values
    return grown
