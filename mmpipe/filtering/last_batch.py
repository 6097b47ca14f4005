"""Remembers what was measured of the texts asked about last: the families of a batch ask one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Measured = TypeVar("Measured")


class LastBatch(Generic[Measured]):
    """A measure of texts that is taken once for the same sequence object asked again and again.

    It holds the last texts and their measure until others are asked about.
    """

    def __init__(self, measure: Callable[[Sequence[str]], Measured]) -> None:
        self._measure = measure
        self._last: tuple[Sequence[str], Measured] | None = None

    def __call__(self, texts: Sequence[str]) -> Measured:
        """Return the measure of the texts."""
        if self._last is None or self._last[0] is not texts:
            self._last = texts, self._measure(texts)
        return self._last[1]

    def recall(self, texts: Sequence[str]) -> Measured | None:
        """Return the measure of the texts if they were asked about last."""
        return self._last[1] if self._last is not None and self._last[0] is texts else None
