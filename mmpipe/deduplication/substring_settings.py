"""Says what a repeat is: its unit, its least length, and which of its occurrences stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mmpipe.errors import ConfigurationError, name_nearest

Unit = Literal["bytes", "tokens"]
Keep = Literal["first", "none"]
Overlaps = Literal["keep", "cut"]

#: RefinedWeb (arXiv 2306.01116, §3.3 and G.3) and Lee et al. (arXiv 2107.06499, §4.1): 50 tokens, 100 bytes of them.
DEFAULT_LENGTHS = {"bytes": 100, "tokens": 50}

#: Distances within a window are kept in a byte.
_MOST_GAP = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SubstringSettings:
    """What a repeat is and what becomes of it.

    Attributes:
        unit: `bytes` of UTF-8, or `tokens`: ids given with the documents, else words.
        least_length: units of the shortest repeat; null for 100 bytes or 50 tokens.
        keep: `first` leaves the first occurrence of each repeat, in the order of the documents' ranks; `none` leaves
            none.
        overlaps: where the first occurrence of one repeat runs into a later one of another, `keep` leaves it whole and
            `cut` takes what is of the other; see `substring`.
        least_characters: a document that lost a repeat and has fewer left is removed (RefinedWeb, G.3: 20).
    """

    unit: Unit = "bytes"
    least_length: int | None = None
    keep: Keep = "first"
    overlaps: Overlaps = "keep"
    least_characters: int = 20

    def __post_init__(self) -> None:
        for name, known in (("unit", get_args(Unit)), ("keep", get_args(Keep)), ("overlaps", get_args(Overlaps))):
            value = getattr(self, name)
            if value not in known:
                raise ConfigurationError(f"Substring settings: unknown {name} {value!r}.{name_nearest(value, known)}")
        if self.length < 2:
            raise ConfigurationError(f"Substring settings: least_length must be 2 or more, not {self.least_length}.")
        if self.least_characters < 0:
            raise ConfigurationError("Substring settings: least_characters must not be negative.")

    @property
    def length(self) -> int:
        """Units of the shortest repeat."""
        return DEFAULT_LENGTHS[self.unit] if self.least_length is None else self.least_length

    @property
    def gap(self) -> int:
        """Hashes in a window, of which one is its fingerprint: about one unit in half as many has a fingerprint."""
        return min(_MOST_GAP, self.length // 2 + 1)

    @property
    def width(self) -> int:
        """Units that are hashed."""
        return self.length - self.gap + 1

    def describe_index(self) -> dict[str, str | int]:
        """Return what an index depends on."""
        return {"unit": self.unit, "least_length": self.length, "gap": self.gap}
