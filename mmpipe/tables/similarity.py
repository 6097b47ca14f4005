"""Says what it means that a text is like those of a pool, and what a pool of texts is.

It stands here, below the rooms, because synthesis asks a pool that deduplication keeps, and neither imports the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Similar:
    """One text of a pool, by its name there, and how alike it is, 0 to 1."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Similarity:
    """How alike a text is to all texts of a pool.

    Attributes:
        best: similarity of the most similar one; 0 in an empty pool.
        mean: over the whole pool; 0 in an empty one.
        most_similar: the most similar ones, best first; equally similar ones in the order they were added.
    """

    best: float
    mean: float
    most_similar: tuple[Similar, ...]


class TextPool(Protocol):
    """Texts that new ones are compared with."""

    @property
    def threshold(self) -> float:
        """Highest similarity to any text of the pool that a new one may have."""

    def measure(self, text: str) -> Similarity:
        """Return how alike a text is to those of the pool."""

    def add(self, text: str, name: str) -> None:
        """Take a text in, whatever it is like."""

    def add_all(self, texts: Sequence[str], names: Sequence[str]) -> list[Similar | None]:
        """Take in one by one those not too similar; return None for each taken in, else what it is too similar to."""
