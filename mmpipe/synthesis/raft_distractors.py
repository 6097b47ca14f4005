"""Chooses chunks that distract from another one: of other documents, none that would answer in its place."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mmpipe.synthesis.grounding import list_words
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_GRAM_WORDS = 5


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of whole sentences of one document."""

    chunk_id: str
    doc_id: str
    text: str


# of chunks compared lately: those of a whole dump would take fifty times the memory of its text
@lru_cache(maxsize=256)
def _list_grams(text: str) -> frozenset[tuple[str, ...]]:
    """Return the word 5-grams of a text; a shorter text is one gram."""
    words = list_words(text)
    last = max(1, len(words) - _GRAM_WORDS + 1)
    return frozenset(tuple(words[place : place + _GRAM_WORDS]) for place in range(last)) if words else frozenset()


def measure_overlap(one: Chunk, other: Chunk) -> float:
    """Return the share of the smaller chunk's 5-grams that the other has, 0 to 1."""
    grams, others = _list_grams(one.text), _list_grams(other.text)
    smaller = min(len(grams), len(others))
    return len(grams & others) / smaller if smaller else 0.0


class DistractorPool:
    """All chunks on a ring, each at the hash of its id; a draw walks on from a hash of its own.

    So a choice depends on the set of chunks, the seed and the question alone, and costs a search, not a sort.

    Args:
        chunks: all that may distract.
        clusters: near-duplicate cluster by doc_id.
        near_duplicate: overlap with the oracle from which a chunk cannot distract.
        seed: another seed, another ring.
    """

    def __init__(
        self, chunks: Sequence[Chunk], clusters: Mapping[str, str], near_duplicate: float, seed: int = 0
    ) -> None:
        rung = ((make_id("ring", seed, chunk.chunk_id), chunk) for chunk in _drop_empty(chunks))
        placed = sorted(rung, key=lambda pair: pair[0])
        self._hashes = [place for place, _ in placed]
        self._chunks = [chunk for _, chunk in placed]
        self._clusters = clusters
        self._near_duplicate = near_duplicate
        self._seed = seed

    def choose(self, question_id: str, oracle: Chunk, count: int) -> list[Chunk] | None:
        """Return `count` chunks of `count` documents, none of them the oracle's; None if the walk finds too few.

        Left out are the oracle's document and near-duplicate cluster, and chunks that overlap with the oracle or with
        a distractor chosen before.
        """
        chosen: list[Chunk] = []
        for draw in range(count):
            start = bisect_left(self._hashes, make_id("draw", self._seed, question_id, draw))
            steps = (self._chunks[(start + step) % len(self._chunks)] for step in range(len(self._chunks)))
            found = next((chunk for chunk in steps if self._may_distract(chunk, oracle, chosen)), None)
            if found is None:
                return None
            chosen.append(found)
        return chosen

    def _may_distract(self, chunk: Chunk, oracle: Chunk, chosen: Sequence[Chunk]) -> bool:
        cluster = self._clusters.get(oracle.doc_id)
        if chunk.doc_id == oracle.doc_id or (cluster is not None and self._clusters.get(chunk.doc_id) == cluster):
            return False
        if any(chunk.doc_id == other.doc_id for other in chosen):
            return False
        return all(measure_overlap(chunk, other) < self._near_duplicate for other in (oracle, *chosen))


def _drop_empty(chunks: Sequence[Chunk]) -> list[Chunk]:
    return [chunk for chunk in chunks if list_words(chunk.text)]
