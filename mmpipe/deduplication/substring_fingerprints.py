"""Fingerprints of a corpus: made text by text, brought together by key, in memory or in scratch files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

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

#: Bytes per fingerprint, at most, while those of a range of keys are sorted and compared.
WORKING_BYTES = 160

#: What `substring_kernels.select_fingerprints` returns: (fingerprints, 2) of key and place.
Fingerprints: TypeAlias = "NDArray[np.uint64]"


def make_fingerprints(
    units: Units, origin: int, settings: SubstringSettings, pool: ThreadPoolExecutor, workers: int
) -> list[Fingerprints]:
    """Return the fingerprints of some documents that stand in the corpus from place `origin` on."""
    from mmpipe.deduplication.substring_kernels import select_fingerprints

    starts = np.concatenate([[0], np.cumsum(units.lengths)])
    edges = np.searchsorted(starts, np.linspace(0, starts[-1], workers + 1))
    edges = np.unique(np.concatenate([[0], edges, [len(starts) - 1]]))

    def select(part: tuple[int, int]) -> Fingerprints:
        own = starts[part[0] : part[1] + 1]
        within = units.units[own[0] : own[-1]]
        place = origin + int(own[0])
        found: Fingerprints = select_fingerprints(within, own - own[0], place, settings.width, settings.gap, HASH_MASK)
        return found

    return list(pool.map(select, zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)))


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Fingerprints whose keys begin with the same bits, in a file or in memory."""

    prefix: int
    bits: int
    path: Path | None
    held: tuple[Fingerprints, ...] = ()

    def read(self) -> Fingerprints:
        """Return them, in any order."""
        if self.path is None:
            return np.concatenate(self.held)
        return np.fromfile(self.path, dtype=np.uint64).reshape(-1, 2)

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
        self._files: dict[tuple[int, int], int] = {}
        self._were_split: set[tuple[int, int]] = set()

    def add(self, found: Fingerprints) -> None:
        """Add fingerprints, in any order."""
        if not len(found):
            return
        self._held.append(found)
        self._held_count += len(found)
        if self._held_count > self._most:
            self._spill()

    def list_ranges(self) -> list[KeyRange]:
        """Return all fingerprints as ranges of keys, in ascending order. More may be added later."""
        if not self._files:
            return [KeyRange(0, 0, None, tuple(self._held))] if self._held else []
        self._spill()
        waiting = list(self._files)
        while waiting:
            name = waiting.pop()
            if self._files[name] > self._most:
                waiting += self._split(*name)
        in_order = sorted(self._files, key=lambda name: name[0] << (64 - name[1]))
        return [KeyRange(*name, self._name(*name)) for name in in_order]

    def _name(self, prefix: int, bits: int) -> Path:
        return self._folder / f"keys-{bits}-{prefix:x}.scratch"

    def _spill(self) -> None:
        if self._held:
            records = np.concatenate(self._held)
            self._held, self._held_count = [], 0
            self._scatter(records, _SPLIT_BITS)

    def _split(self, prefix: int, bits: int) -> list[tuple[int, int]]:
        """Split a file by further bits, a part of it at a time, and return what came of it.

        A file of a single key stays as it is, however large.
        """
        path = self._name(prefix, bits)
        stored = np.memmap(path, dtype=np.uint64, mode="r").reshape(-1, 2)
        if (stored[:, 0] == stored[0, 0]).all():
            return []
        del self._files[prefix, bits]
        self._were_split.add((prefix, bits))
        for begin in range(0, len(stored), self._most):
            self._scatter(np.array(stored[begin : begin + self._most]), bits + _SPLIT_BITS)
        path.unlink()
        inner = range(prefix << _SPLIT_BITS, (prefix + 1) << _SPLIT_BITS)
        return [(name, bits + _SPLIT_BITS) for name in inner if (name, bits + _SPLIT_BITS) in self._files]

    def _scatter(self, records: Fingerprints, bits: int) -> None:
        digits = ((records[:, 0] >> np.uint64(64 - bits)) & np.uint64((1 << _SPLIT_BITS) - 1)).astype(np.uint16)
        order = np.argsort(digits, kind="stable")  # of 16 bits: by counting
        records = records[order]
        edges = np.searchsorted(digits[order], np.arange((1 << _SPLIT_BITS) + 1))
        for digit in np.flatnonzero(np.diff(edges)):
            part = records[edges[digit] : edges[digit + 1]]
            prefix = int(part[0, 0]) >> (64 - bits)
            if (prefix, bits) in self._were_split:
                self._scatter(part, bits + _SPLIT_BITS)
                continue
            with self._name(prefix, bits).open("ab") as file:
                file.write(part.data)
            self._files[prefix, bits] = self._files.get((prefix, bits), 0) + len(part)
