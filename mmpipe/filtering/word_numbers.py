"""Numbers the distinct pieces of texts, so that whatever is asked of a word is worked out once per distinct word."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cut:
    """Numbered pieces of some texts: those of text i are `numbers[start[i]:start[i + 1]]`."""

    numbers: NDArray[np.int64]
    start: NDArray[np.int64]

    @property
    def owners(self) -> NDArray[np.int64]:
        """The text that each piece belongs to."""
        return np.repeat(np.arange(self.start.size - 1), np.diff(self.start))

    def total(self, values: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the sum, per text, of one value per piece."""
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])
        return np.asarray(sums[self.start[1:]] - sums[self.start[:-1]])

    def take(self, rows: NDArray[np.int64]) -> Cut:
        """Return the pieces of some texts."""
        lengths = np.diff(self.start)[rows]
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        places = np.repeat(self.start[:-1][rows] - ends[:-1], lengths) + np.arange(ends[-1])
        return Cut(self.numbers[places], ends)

    def select(self, keep: NDArray[np.bool_]) -> Cut:
        """Return the pieces that are kept."""
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep)])
        return Cut(self.numbers[keep], ends[self.start])


class Numbering:
    """Gives strings numbers as they are met, and keeps tables of what was worked out about each."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__
        self._tables: dict[Hashable, NDArray[np.int64]] = {}
        self._sparse: dict[Hashable, NDArray[np.int32]] = {}
        self._strings: list[str] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, strings: Iterable[str], count: int) -> NDArray[np.int64]:
        """Return the number of each of `count` strings; one not met before takes the next."""
        # a missing string takes its number inside the dictionary, so that the loop over millions stays in C
        return np.fromiter(map(self._numbers.__getitem__, strings), np.int64, count)

    def cut(self, pieces: Sequence[Sequence[str]]) -> Cut:
        """Return the numbers of each text's pieces."""
        start = np.zeros(len(pieces) + 1, np.int64)
        np.cumsum([len(own) for own in pieces], out=start[1:])
        return Cut(self.number(chain.from_iterable(pieces), int(start[-1])), start)

    def find(self, string: str) -> int | None:
        """Return the number of a string that was met, else None."""
        return self._numbers.get(string)

    def describe(
        self, table: Hashable, work_out: Callable[[Sequence[str]], NDArray[np.int64]], width: int
    ) -> NDArray[np.int64]:
        """Return a table with one row per string met so far; only strings not met before are looked at.

        Args:
            table: name of the table.
            work_out: strings in, their rows out.
            width: columns.
        """
        rows = self._tables.get(table, np.zeros((0, width), np.int64))
        if len(rows) < len(self):
            rows = np.concatenate([rows, work_out(self._list_strings()[len(rows) :])])
            self._tables[table] = rows
        return rows

    def look_up(
        self, table: Hashable, numbers: NDArray[np.int64], work_out: Callable[[Sequence[str]], NDArray[np.int64]]
    ) -> NDArray[np.int32]:
        """Return one value, 0 or more, for each number; each string is looked at once, and only if it is asked for.

        Args:
            table: name of the table.
            numbers: numbers of strings.
            work_out: strings in, their values out.
        """
        known = self._sparse.get(table, np.zeros(0, np.int32))
        if known.size < len(self):
            known = np.concatenate([known, np.full(len(self) - known.size, -1, np.int32)])
            self._sparse[table] = known
        missing = np.unique(numbers[known[numbers] < 0])
        if missing.size:
            strings = self._list_strings()
            known[missing] = work_out([strings[number] for number in missing.tolist()])
        return known[numbers]

    def _list_strings(self) -> list[str]:
        if len(self._strings) < len(self):
            self._strings = list(self._numbers)
        return self._strings
