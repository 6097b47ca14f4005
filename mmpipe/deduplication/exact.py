"""Compares whole texts: which documents are the same up to white space and case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import xxhash

from mmpipe.deduplication.normalization import normalize_exactly

if TYPE_CHECKING:
    from collections.abc import Iterable


def hash_exactly(texts: Iterable[str]) -> pl.Series:
    """Return the 128-bit xxh3 of each normalised text, 32 hex digits. Empty texts have a hash too, one for all."""
    hashes = [xxhash.xxh3_128_hexdigest(normalize_exactly(text).encode()) for text in texts]
    return pl.Series("exact_hash", hashes, dtype=pl.String)
