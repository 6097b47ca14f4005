"""Finds documents that mean the same: near embeddings within clusters of embeddings (SemDeDup)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from mmpipe.deduplication.spherical_kmeans import assign_all, train_centroids
from mmpipe.errors import ConfigurationError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

#: What `find_semantic_pairs` returns: ranks of two documents and the cosine similarity of their embeddings.
SEMANTIC_PAIRS = pl.Schema({"better": pl.Int64, "worse": pl.Int64, "similarity": pl.Float64})

# rows compared with as many others at once; fixed, so that products are always rounded alike
_BLOCK_ROWS = 1024
_COPY_ROWS = 1 << 15
# single precision cannot tell nearer ones apart; decisions this near the limit are made in double precision
_ROUNDING = 1e-5
# and embeddings themselves are not known better than this
_TOLERANCE = 1e-6
_MOST_CLUSTERS = 50_000
_DOCUMENTS_PER_CLUSTER = 1000


@dataclass(frozen=True, slots=True)
class SemanticSettings:
    """What counts as meaning the same (Abbas et al. 2023, arXiv 2303.09540, section 3).

    Attributes:
        epsilon: a pair is near if its cosine similarity is at least 1 - epsilon (to a millionth).
        clusters: of k-means; only pairs within one are found. None: one per 1,000 documents, at most 50,000 (the
            paper took 50,000 for 440 million images and 11,000 for C4, and found that the number matters little).
        keep: `best`: of near documents the one of best rank; `outlier`: the one farthest from its centroid, which the
            paper prefers (section 5); equally far ones by rank.
        chains: whether a document also goes for a better one that goes itself, as in the paper; if not, only for one
            that stays, so that every document that goes has a near one that does not.
        sample_per_cluster: documents that k-means learns from, for each cluster.
        iterations: of k-means, at most.
        seed: of its sample and beginning.
    """

    epsilon: float = 0.05
    clusters: int | None = None
    keep: Literal["best", "outlier"] = "best"
    chains: bool = False
    sample_per_cluster: int = 256
    iterations: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < 1:
            raise ConfigurationError(f"Semantic settings: epsilon must be in [0, 1), not {self.epsilon}.")
        if self.keep not in ("best", "outlier"):
            raise ConfigurationError(f"Semantic settings: keep must be best or outlier, not {self.keep!r}.")
        if min(self.sample_per_cluster, self.iterations, 1 if self.clusters is None else self.clusters) < 1:
            raise ConfigurationError("Semantic settings: clusters, sample_per_cluster, iterations must be at least 1.")


def find_semantic_pairs(
    embeddings: NDArray[np.float32],
    ranks: NDArray[np.int64],
    settings: SemanticSettings | None = None,
    *,
    scratch: Path,
    is_published: NDArray[np.bool_] | None = None,
) -> pl.DataFrame:
    """Return a pair for each document that goes, with the nearest of those it may go for: columns of SEMANTIC_PAIRS.

    Within a cluster documents are decided one by one, the one that is kept first. So there are fewer pairs than
    documents, and a cluster of m costs m times those of it that stay (with `chains`: m squared), whatever the copies.

    The order of rows changes nothing: vectors are first laid by rank, k-means is begun by a hash of ranks, and blocks
    have one size. (Another machine's linear algebra may round otherwise; that matters within a millionth of a tie.)
    Documents whose embedding has no direction (zeros, or not finite) are left alone.

    Args:
        embeddings: (n, dimensions), of any length, in any order; may be memory-mapped.
        ranks: (n,) 0 is the best; each once.
        settings: what counts as near, and what stays.
        scratch: a folder for the vectors, 4 bytes per number; they are removed. Memory: 60 bytes per document, the
            centroids, and about 300 MB.
        is_published: (n,) documents that stay whatever they are near to.

    Raises:
        SchemaError: embeddings, ranks and marks are not as many, or two documents have one rank.
    """
    settings = settings or SemanticSettings()
    ranks = np.asarray(ranks, dtype=np.int64)
    published = np.zeros(len(ranks), dtype=np.bool_) if is_published is None else np.asarray(is_published)
    _refuse_unequal(embeddings, ranks, published)
    scratch.mkdir(parents=True, exist_ok=True)
    file = scratch / "unit_vectors.f32"
    try:
        sources = lay_by_rank(embeddings, ranks, file)
        if not len(sources):
            return pl.DataFrame(schema=SEMANTIC_PAIRS)
        vectors = np.memmap(file, dtype=np.float32, mode="r", shape=(len(sources), embeddings.shape[1]))
        ranks, published = ranks[sources], published[sources]
        parts = [
            pl.DataFrame(
                {"better": ranks[better], "worse": ranks[worse], "similarity": similarities}, schema=SEMANTIC_PAIRS
            )
            for better, worse, similarities in _compare_clusters(vectors, ranks, published, settings)
        ]
    finally:
        file.unlink(missing_ok=True)
    return pl.concat([pl.DataFrame(schema=SEMANTIC_PAIRS), *parts]).sort("better", "worse")


def _refuse_unequal(embeddings: NDArray[np.float32], ranks: NDArray[np.int64], published: NDArray[np.bool_]) -> None:
    if embeddings.ndim != 2 or not len(embeddings) == len(ranks) == len(published):
        raise SchemaError(
            f"Embeddings of shape {embeddings.shape} for {len(ranks)} ranks and {len(published)} marks: one row each."
        )
    ordered = np.sort(ranks)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise SchemaError(f"Documents to compare: rank {twice[0]} is given to two of them. Rank each once, best first.")


def lay_by_rank(embeddings: NDArray[np.float32], ranks: NDArray[np.int64], file: Path) -> NDArray[np.int64]:
    """Write vectors of length 1, best first, and return the rows they came from; those without direction are not."""
    order = np.argsort(ranks)
    kept = [np.empty(0, dtype=np.int64)]
    with file.open("wb") as output:
        for begin in range(0, len(order), _COPY_ROWS):
            rows = order[begin : begin + _COPY_ROWS]
            block = np.asarray(embeddings[rows], dtype=np.float64)
            largest = np.abs(block).max(axis=1, initial=0)
            has_direction = np.isfinite(largest) & (largest > 0)
            block = block[has_direction] / largest[has_direction, None]
            block /= np.sqrt((block**2).sum(axis=1))[:, None]
            block.astype(np.float32).tofile(output)
            kept.append(rows[has_direction])
    return np.concatenate(kept)


def _compare_clusters(
    vectors: NDArray[np.float32],
    ranks: NDArray[np.int64],
    published: NDArray[np.bool_],
    settings: SemanticSettings,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Yield the pairs of each cluster, by rows of the vectors."""
    count = len(vectors)
    wanted = settings.clusters or min(_MOST_CLUSTERS, count // _DOCUMENTS_PER_CLUSTER)
    centroids = train_centroids(
        vectors,
        ranks,
        min(count, max(1, wanted)),
        sample_per_cluster=settings.sample_per_cluster,
        iterations=settings.iterations,
        seed=settings.seed,
    )
    labels, nearness = assign_all(vectors, centroids)
    preference = (np.arange(count), nearness) if settings.keep == "outlier" else (np.arange(count),)
    order = np.lexsort((*preference, ~published, labels))
    edges = np.flatnonzero(np.diff(labels[order])) + 1
    for members in np.split(order, edges):
        if len(members) > 1:
            yield _thin(vectors, members, int(published[members].sum()), settings)


def _thin(
    vectors: NDArray[np.float32], members: NDArray[np.int64], published: int, settings: SemanticSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (better, worse, similarity) of a cluster's members, the ones to keep first; the first few all stay."""
    partners = np.full(len(members), -1, dtype=np.int64)
    similarities = np.zeros(len(members), dtype=np.float64)
    stays = np.ones(len(members), dtype=np.bool_)
    for begin in range(published, len(members), _BLOCK_ROWS):
        end = min(begin + _BLOCK_ROWS, len(members))
        block = np.array(vectors[members[begin:end]])
        places = np.arange(begin) if settings.chains else np.flatnonzero(stays[:begin])
        nearest, products = _find_nearest(vectors, block, members, places)
        own = block @ block.T
        for row in range(end - begin):
            # of those before it in the block, the ones that count
            before = own[row, :row] if settings.chains else np.where(stays[begin : begin + row], own[row, :row], -2)
            best = int(before.argmax()) if row else 0
            if row and before[best] > products[row]:
                nearest[row], products[row] = begin + best, before[best]
            if products[row] < 1 - settings.epsilon - _ROUNDING:
                continue
            partner = vectors[members[nearest[row]]]
            exact = float(np.dot(block[row].astype(np.float64), partner.astype(np.float64)))
            if exact >= 1 - settings.epsilon - _TOLERANCE:
                stays[begin + row] = False
                partners[begin + row], similarities[begin + row] = nearest[row], min(1.0, exact)
    goes = np.flatnonzero(~stays)
    return members[partners[goes]], members[goes], similarities[goes]


def _find_nearest(
    vectors: NDArray[np.float32], block: NDArray[np.float32], members: NDArray[np.int64], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each vector of a block the nearest of the members at some places, the first of equally near ones."""
    nearest = np.full(len(block), -1, dtype=np.int64)
    products = np.full(len(block), -2, dtype=np.float32)
    for begin in range(0, len(places), _BLOCK_ROWS):
        others = places[begin : begin + _BLOCK_ROWS]
        found = block @ np.array(vectors[members[others]]).T
        best = found.argmax(axis=1)
        values = found[np.arange(len(block)), best]
        is_nearer = values > products
        nearest[is_nearer], products[is_nearer] = others[best[is_nearer]], values[is_nearer]
    return nearest, products
