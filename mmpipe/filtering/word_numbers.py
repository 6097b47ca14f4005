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

    def total(self, values: NDArray[np.int64] | NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the sum, per text, of one value per piece."""
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])
        return np.asarray(sums[self.start[1:]] - sums[self.start[:-1]])

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
        self, table: Hashable, work_out: Callable[[Sequence[str]], NDArray[np.int64]], width: int = 1
    ) -> NDArray[np.int64]:
        """Return a table with one row per string met so far; only strings not met before are looked at.

        Args:
            table: name of the table.
            work_out: strings in, their rows out.
            width: columns; a table of one has one dimension.
        """
        shape = (0,) if width == 1 else (0, width)
        known = self._tables.get(table, np.zeros(shape, np.int64))
        if len(known) < len(self):
            new = list(self._numbers)[len(known) :]
            known = np.concatenate([known, work_out(new)])
            self._tables[table] = known
        return known
