"""Keeps pairs of one program in two languages and finds those most like a query, never the query's own answer.

The leak guard of retrieval-augmented translation: the query's own pair, whatever has its text but for comments and
white space, near-duplicates of it, and pairs whose translation is the query's reference or near it are no examples, for
a model shown the answer translates nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import xxhash

from mmpipe.errors import ConfigurationError
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Gives texts vectors, (n, dimensions).
Embed = Callable[[Sequence[str]], "NDArray[np.float32]"]

_TOKEN = re.compile(r"[a-z_]\w*|\d+(?:\.\d+)?|[^\w\s]")
_STRING = re.compile(r"'(?:''|[^'\n])*'|\"(?:\"\"|[^\"\n])*\"|(!)[^\n]*")
_FIXED_COMMENT = re.compile(r"[c*]", re.IGNORECASE)
_SHINGLE = 5
#: Queries whose likeness to all pairs is in memory at once.
_QUERIES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class FoundPair:
    """A pair that was retrieved, and how like the query it is (cosine)."""

    pair_id: str
    source: str
    target: str
    similarity: float


def is_fixed_form(code: str) -> bool:
    """Return whether Fortran is in fixed form: no statement starts in the first five columns, or goes on behind `&`.

    Lines with a C or a star in the first column are comments then; code of nothing else is free form. A `&` from column
    73 on is a comment in fixed form: code that is written for both has it there.
    """
    lines = [line for line in code.splitlines() if line.strip() and not line.lstrip().startswith("!")]
    rest = [line for line in lines if not _FIXED_COMMENT.match(line)]
    if any(line[:72].partition("!")[0].rstrip().endswith("&") for line in rest):
        return False
    return bool(rest) and all(re.match(r"[ \d]{5}|[ \d]*\t", line) for line in rest)


def normalize_fortran(code: str) -> str:
    """Return Fortran without comments, in small letters outside of strings, white space runs as one space.

    A `!` inside a string is no comment. In fixed form, lines with a C or a star in the first column are comments.
    """
    lines = code.splitlines()
    if is_fixed_form(code):
        lines = [line for line in lines if not _FIXED_COMMENT.match(line)]

    def keep(match: re.Match[str]) -> str:
        return "" if match[1] else match[0].upper()

    bare = "\n".join(_STRING.sub(keep, line.lower()) for line in lines)
    return " ".join(bare.split())


def list_tokens(code: str) -> list[str]:
    """Return the tokens of code: names, numbers, signs; case does not count."""
    return _TOKEN.findall(code.casefold())


def measure_overlap(one: str, other: str) -> float:
    """Return the Jaccard similarity of two programs' runs of five tokens; equal short programs have 1."""

    def shingle(code: str) -> set[tuple[str, ...]]:
        tokens = list_tokens(code)
        return {tuple(tokens[place : place + _SHINGLE]) for place in range(max(1, len(tokens) - _SHINGLE + 1))}

    first, second = shingle(one), shingle(other)
    return len(first & second) / len(first | second)


def embed_by_hashing(texts: Sequence[str], dimensions: int = 1024) -> NDArray[np.float32]:
    """Return (texts, dimensions) vectors of length 1: hashed counts of one and two tokens, each under a hashed sign.

    An embedder without a model (Weinberger et al. 2009, "Feature Hashing"); zeros for a text without tokens.
    """
    vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
    for row, text in enumerate(texts):
        tokens = list_tokens(text)
        for gram in (*tokens, *(f"{one} {other}" for one, other in pairwise(tokens))):
            number = xxhash.xxh3_64_intdigest(gram.encode())
            vectors[row, number % dimensions] += 1.0 if number >> 63 else -1.0
    return _normalize(vectors)


class PairStore:
    """Pairs of source and target code, searchable by cosine.

    Args:
        pairs: columns pair_id, source, target; their order does not matter.
        embed: gives sources and queries vectors.
        near_duplicate: overlap of five-token runs from which a pair is a near-duplicate of the query (ours).

    Raises:
        ConfigurationError: a pair_id stands twice.
    """

    def __init__(self, pairs: pl.DataFrame, embed: Embed = embed_by_hashing, *, near_duplicate: float = 0.8) -> None:
        if pairs["pair_id"].n_unique() < pairs.height:
            twice = pairs["pair_id"].filter(pairs["pair_id"].is_duplicated())[0]
            raise ConfigurationError(f"The pair {twice!r} stands twice in the store.")
        self._rows = pairs.select("pair_id", "source", "target").sort("pair_id").rows(named=True)
        self._embed = embed
        self._near_duplicate = near_duplicate
        self._normal = [normalize_fortran(row["source"]) for row in self._rows]

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        return _normalize(self._embed(self._normal)) if self._rows else np.zeros((0, 1), dtype=np.float32)

    @cached_property
    def digest(self) -> str:
        """Digits of the pairs and their vectors: rows made from this index can be told from others."""
        vectors = np.round(self._vectors.astype(np.float64), 4).tobytes()
        return digest_settings([self._rows, xxhash.xxh3_64_hexdigest(vectors), self._near_duplicate])

    def find(self, query_id: str, source: str, count: int, reference: str | None = None) -> list[FoundPair]:
        """Return the pairs most like a query, best first, ties by id; no more than there are without leaks.

        Args:
            query_id: a pair of this id is the query's own.
            source: the query.
            count: how many.
            reference: the query's own translation, where it is known.
        """
        return self.find_all([(query_id, source, reference)], count)[0]

    def find_all(self, queries: Sequence[tuple[str, str, str | None]], count: int) -> list[list[FoundPair]]:
        """Return what `find` does for each (query_id, source, reference); queries are embedded together, in parts."""
        if not self._rows or count < 1:
            return [[] for _ in queries]
        found = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            part = queries[start : start + _QUERIES_AT_ONCE]
            normal = [normalize_fortran(source) for _, source, _ in part]
            # ties and their like must not turn on the last bit of a sum
            similarity = np.round(_normalize(self._embed(normal)) @ self._vectors.T, 6)
            found += [
                self._choose(query_id, text, reference, row, count)
                for (query_id, _, reference), text, row in zip(part, normal, similarity, strict=True)
            ]
        return found

    def _choose(
        self, query_id: str, normal: str, reference: str | None, similarity: NDArray[np.float32], count: int
    ) -> list[FoundPair]:
        found: list[FoundPair] = []
        for place in np.argsort(-similarity, kind="stable"):
            row = self._rows[place]
            if row["pair_id"] == query_id or self._is_leak(place, normal, reference):
                continue
            found.append(FoundPair(row["pair_id"], row["source"], row["target"], float(similarity[place])))
            if len(found) == count:
                break
        return found

    def _is_leak(self, place: int, normal: str, reference: str | None) -> bool:
        other = self._normal[place]
        if other == normal or measure_overlap(other, normal) >= self._near_duplicate:
            return True
        target = self._rows[place]["target"] or ""
        return bool(reference) and measure_overlap(target, reference or "") >= self._near_duplicate


def _normalize(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1.0
    scaled: NDArray[np.float32] = (vectors / lengths).astype(np.float32)
    return scaled
