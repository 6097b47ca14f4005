"""Lays embeddings of pictures for a search: unit vectors in the order of pairs, and the k-means cluster of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mmpipe.deduplication.semantic import lay_by_rank
from mmpipe.deduplication.spherical_kmeans import assign_all, hash_numbers, train_centroids

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.image_search import ImageSearch

_PAIRS_PER_CLUSTER = 1000
_MOST_CLUSTERS = 50_000
_SAMPLE_PER_CLUSTER = 256
_ITERATIONS = 20
# rows compared with all others, to tell how many near pairs clusters part: as many as so many products allow
_SAMPLED_PRODUCTS = 1 << 28
_LEAST_SAMPLED, _MOST_SAMPLED = 256, 4096


@dataclass(frozen=True, slots=True)
class ImageEmbeddings:
    """Embeddings of pictures: (n, dimensions) of any length, memory-mapped if large, and the pair of each row."""

    pair_ids: pl.Series
    vectors: NDArray[Any]


@dataclass(frozen=True, slots=True)
class LaidEmbeddings:
    """Unit vectors, and for each pair the vector that is its own and its k-means cluster (-1: it has none)."""

    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]


def lay_embeddings(
    pairs: pl.DataFrame, search: ImageSearch, embeddings: ImageEmbeddings | None, scratch: Path, counts: dict[str, int]
) -> LaidEmbeddings:
    """Return vectors in the order of the pairs, the vector of each pair, and its k-means cluster (-1: none)."""
    rows, labels = np.full(pairs.height, -1, dtype=np.int64), np.full(pairs.height, -1, dtype=np.int64)
    none = LaidEmbeddings(np.empty((0, 1), dtype=np.float32), rows, labels)
    if embeddings is None or search.embedding_similarity is None:
        return none
    places = pairs.select("pair_id", "dump_sequence", place=pl.int_range(pl.len())).filter(
        pl.col("dump_sequence").is_null()
    )
    embedded = embeddings.pair_ids.alias("pair_id").to_frame().with_row_index("source")
    known = embedded.join(places, on="pair_id").sort("place")
    sources = known.get_column("source").to_numpy().astype(np.int64)
    scratch.mkdir(parents=True, exist_ok=True)
    file = scratch / "unit_vectors.f32"
    try:
        used = lay_by_rank(_Chosen(embeddings.vectors, sources), np.arange(len(sources)), file)  # type: ignore[arg-type]
        if not len(used):
            return none
        # mapped pages outlive their file's name
        vectors = np.memmap(file, dtype=np.float32, mode="r", shape=(len(used), embeddings.vectors.shape[1]))
    finally:
        file.unlink(missing_ok=True)
    own = known.get_column("place").to_numpy()[used]
    wanted = search.embedding_clusters or min(_MOST_CLUSTERS, len(used) // _PAIRS_PER_CLUSTER)
    centroids = train_centroids(
        vectors, np.arange(len(used)), min(len(used), max(1, wanted)),
        sample_per_cluster=_SAMPLE_PER_CLUSTER, iterations=_ITERATIONS, seed=search.seed,
    )  # fmt: skip
    rows[own] = np.arange(len(used))
    labels[own], _ = assign_all(vectors, centroids)
    counts.update(count_parted_pairs(vectors, labels[own], search.embedding_similarity, search.seed))
    return LaidEmbeddings(vectors, rows, labels)


class _Chosen:
    """Some rows of an array that may be memory-mapped, read only when they are asked for."""

    def __init__(self, vectors: NDArray[Any], sources: NDArray[np.int64]) -> None:
        self._vectors, self._sources = vectors, sources

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        chosen: NDArray[Any] = self._vectors[self._sources[rows]]
        return chosen


def count_parted_pairs(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], least_similarity: float, seed: int
) -> dict[str, int]:
    """Return how many near pairs of a sample of vectors there are, and how many of them clusters part.

    What is parted is not found. The sample are the vectors whose place has the smallest hash, 256 or, where there are
    fewer than a million, up to 4,096; each is compared with all vectors.

    Args:
        vectors: (n, dimensions) of length 1.
        labels: (n,) cluster of each.
        least_similarity: cosine from which two are near.
        seed: of the hash.
    """
    rows = min(_MOST_SAMPLED, max(_LEAST_SAMPLED, _SAMPLED_PRODUCTS // len(vectors)))
    sample = np.sort(np.argsort(hash_numbers(np.arange(len(vectors)), seed), kind="stable")[:rows])
    block = np.array(vectors[sample])
    near = parted = 0
    for begin in range(0, len(vectors), 1 << 15):
        is_near = block @ np.array(vectors[begin : begin + (1 << 15)]).T >= least_similarity
        near += int(is_near.sum())
        parted += int((is_near & (labels[sample][:, None] != labels[None, begin : begin + (1 << 15)])).sum())
    itself = int(((block * block).sum(axis=1) >= least_similarity).sum())
    return {"sampled_embedding_pairs": near - itself, "sampled_embedding_pairs_parted": parted}
