"""Fingerprints of a corpus: made text by text, brought together by key, in memory or in scratch files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.substring_settings import SubstringSettings
    from mmpipe.deduplication.substring_store import Units

#: A file that is too large is split by so many more bits of the key.
_SPLIT_BITS = 8

#: All bits of a hash count. Tests leave some out, so that hashes agree by chance.
HASH_MASK = np.uint64(0xFFFFFFFFFFFFFFFF)

#: Bytes per fingerprint where it is stored, and at most while a file of them is sorted and compared.
STORED_BYTES, WORKING_BYTES = 16, 160


class Fingerprints(NamedTuple):
    """Keys and what `substring_kernels.select_fingerprints` packs with them: (fingerprints,) uint64 each."""

    keys: NDArray[np.uint64]
    places: NDArray[np.uint64]


def make_fingerprints(
    units: Units, origin: int, settings: SubstringSettings, pool: ThreadPoolExecutor, workers: int
) -> list[Fingerprints]:
    """Return the fingerprints of some documents that stand in the corpus from place `origin` on."""
    from mmpipe.deduplication.substring_kernels import select_fingerprints

    starts = np.concatenate([[0], np.cumsum(units.lengths)])
    edges = np.unique(np.searchsorted(starts, np.linspace(0, starts[-1], workers + 1)))
    edges = np.unique(np.concatenate([[0], edges, [len(starts) - 1]]))

    def select(part: tuple[int, int]) -> Fingerprints:
        own = starts[part[0] : part[1] + 1]
        within = units.units[own[0] : own[-1]]
        return Fingerprints(
            *select_fingerprints(within, own - own[0], origin + own[0], settings.width, settings.gap, HASH_MASK)
        )

    return list(pool.map(select, zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)))


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Fingerprints whose keys begin with the same bits, in a file or (with an empty name) in memory."""

    prefix: int
    bits: int
    path: Path | None
    held: tuple[Fingerprints, ...] = ()

    def read(self) -> Fingerprints:
        """Return them, in any order."""
        if self.path is None:
            return Fingerprints(*(np.concatenate(parts) for parts in zip(*self.held, strict=True)))
        keys, places = np.fromfile(self.path, dtype=np.uint64).reshape(-1, 2).T
        return Fingerprints(np.ascontiguousarray(keys), np.ascontiguousarray(places))

    def slice_sorted(self, keys: NDArray[np.uint64]) -> slice:
        """Return where keys of this range lie in a sorted array."""
        if not self.bits:
            return slice(0, len(keys))
        lowest = np.uint64(self.prefix << (64 - self.bits))
        highest = np.uint64(((self.prefix + 1) << (64 - self.bits)) - 1)
        return slice(int(np.searchsorted(keys, lowest)), int(np.searchsorted(keys, highest, side="right")))


class FingerprintFiles:
    """Fingerprints by the first bits of their key: in memory while they are few, then in files that fit it."""

    def __init__(self, folder: Path, most: int) -> None:
        """Hold at most `most` fingerprints at once, except where more than that share one key."""
        self._folder = folder
        self._most = max(1, most)
        self._held: list[Fingerprints] = []
        self._held_count = 0
        self._leaves: dict[tuple[int, int], int] = {}
        self._were_split: set[tuple[int, int]] = set()

    def add(self, found: Fingerprints) -> None:
        """Add fingerprints, in any order."""
        if not len(found.keys):
            return
        self._held.append(found)
        self._held_count += len(found.keys)
        if self._held_count > self._most:
            self._spill()

    def list_ranges(self) -> list[KeyRange]:
        """Return all fingerprints as ranges of keys in ascending order."""
        if not self._leaves:
            return [KeyRange(0, 0, None, tuple(self._held))] if self._held else []
        self._spill()
        waiting = sorted(self._leaves, reverse=True)
        ranges = []
        while waiting:
            prefix, bits = waiting.pop()
            if self._leaves[prefix, bits] > self._most and bits + _SPLIT_BITS <= 64 and self._split(prefix, bits):
                inner = [leaf for leaf in self._leaves if leaf[1] == bits + _SPLIT_BITS]
                waiting.extend(sorted((leaf for leaf in inner if leaf[0] >> _SPLIT_BITS == prefix), reverse=True))
                continue
            ranges.append(KeyRange(prefix, bits, self._name(prefix, bits)))
        return ranges

    def _name(self, prefix: int, bits: int) -> Path:
        return self._folder / f"keys-{bits}-{prefix:x}.scratch"

    def _spill(self) -> None:
        if not self._held:
            return
        keys, places = (np.concatenate(parts) for parts in zip(*self._held, strict=True))
        self._held, self._held_count = [], 0
        self._scatter(keys, places, _SPLIT_BITS)

    def _split(self, prefix: int, bits: int) -> bool:
        """Split a file by further bits, a part of it at a time; not if all its keys are one."""
        path = self._name(prefix, bits)
        stored = np.memmap(path, dtype=np.uint64, mode="r").reshape(-1, 2)
        if (stored[:, 0] == stored[0, 0]).all():
            return False
        del self._leaves[prefix, bits]
        self._were_split.add((prefix, bits))
        for begin in range(0, len(stored), self._most):
            part = np.array(stored[begin : begin + self._most])
            self._scatter(part[:, 0].copy(), part[:, 1].copy(), bits + _SPLIT_BITS)
        path.unlink()
        return True

    def _scatter(self, keys: NDArray[np.uint64], places: NDArray[np.uint64], bits: int) -> None:
        digits = ((keys >> np.uint64(64 - bits)) & np.uint64((1 << _SPLIT_BITS) - 1)).astype(np.uint16)
        order = np.argsort(digits, kind="stable")
        records = np.stack([keys[order], places[order]], axis=1)
        edges = np.searchsorted(digits[order], np.arange((1 << _SPLIT_BITS) + 1))
        for digit in np.flatnonzero(np.diff(edges)):
            part = records[edges[digit] : edges[digit + 1]]
            prefix = int(part[0, 0]) >> (64 - bits)
            if (prefix, bits) in self._were_split:
                self._scatter(part[:, 0].copy(), part[:, 1].copy(), bits + _SPLIT_BITS)
                continue
            with self._name(prefix, bits).open("ab") as file:
                file.write(part.data)
            self._leaves[prefix, bits] = self._leaves.get((prefix, bits), 0) + len(part)
