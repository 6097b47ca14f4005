"""SemDeDup: pairs that comparing each with each finds, whatever the order of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmpipe.deduplication import semantic
from mmpipe.deduplication.semantic import SEMANTIC_PAIRS, SemanticSettings, find_semantic_pairs
from mmpipe.deduplication.spherical_kmeans import assign_all, train_centroids
from mmpipe.errors import ConfigurationError, SchemaError


def draw_crowd(seed: int, origins: int, copies: int, noise: float, dimensions: int = 24) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed)
    centers = draw.normal(size=(origins, dimensions))
    vectors = np.repeat(centers, copies, axis=0) + noise * draw.normal(size=(origins * copies, dimensions))
    vectors *= draw.uniform(0.1, 50, size=(len(vectors), 1))
    return vectors[draw.permutation(len(vectors))].astype(np.float32)


def decide_by_hand(vectors: NDArray[np.float32], epsilon: float, chains: bool) -> dict[int, float]:
    units = vectors.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    similar = units @ units.T
    gone: dict[int, float] = {}
    for row in range(len(units)):
        others = [other for other in range(row) if chains or other not in gone]
        nearest = max((similar[row, other] for other in others), default=-2.0)
        if nearest >= 1 - epsilon:
            gone[row] = nearest
    return gone


@pytest.mark.parametrize("chains", [False, True])
@pytest.mark.parametrize("block", [1024, 7])
def test_one_cluster_gives_what_deciding_by_hand_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chains: bool, block: int
) -> None:
    monkeypatch.setattr(semantic, "_BLOCK_ROWS", block)
    vectors = draw_crowd(1, 40, 6, 0.25)
    options = SemanticSettings(epsilon=0.06, clusters=1, chains=chains)
    found = find_semantic_pairs(vectors, np.arange(len(vectors)), options, scratch=tmp_path)
    expected = decide_by_hand(vectors, 0.06, chains)
    assert 20 < len(expected) < 200
    assert dict(found.select("worse", "similarity").iter_rows()) == pytest.approx(expected, abs=1e-6)
    assert (found["better"] < found["worse"]).all()
    if not chains:
        assert not set(found["better"]) & set(found["worse"])
    assert found.schema == SEMANTIC_PAIRS
    assert not list(tmp_path.iterdir())


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from(["best", "outlier"]), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, order: int, keep: str, clusters: int
) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    vectors = draw_crowd(seed, 12, 5, 0.2)
    vectors[::9] = vectors[0]
    ranks = np.random.default_rng(seed).permutation(len(vectors)) * 7 - 20
    is_published = ranks % 3 == 0
    options = SemanticSettings(clusters=clusters, keep=keep)  # type: ignore[arg-type]
    one = find_semantic_pairs(vectors, ranks, options, scratch=scratch, is_published=is_published)
    shuffle = np.random.default_rng(order).permutation(len(vectors))
    other = find_semantic_pairs(
        vectors[shuffle], ranks[shuffle], options, scratch=scratch, is_published=is_published[shuffle]
    )
    assert one.equals(other)
    assert not set(one["worse"]) & set(ranks[is_published].tolist())


def test_clusters_lose_few_near_pairs(tmp_path: Path) -> None:
    vectors = draw_crowd(2, 400, 5, 0.05)
    file = tmp_path / "vectors.npy"
    np.save(file, vectors)
    mapped = np.load(file, mmap_mode="r")
    found = find_semantic_pairs(mapped, np.arange(2000), SemanticSettings(clusters=40), scratch=tmp_path / "scratch")
    expected = decide_by_hand(vectors, 0.05, False)
    assert len(expected) == 1600
    assert set(found["worse"]) <= set(expected)
    assert found.height >= 0.98 * len(expected)


def test_the_outlier_stays_if_asked(tmp_path: Path) -> None:
    # the first two lie at the centre, the last apart
    vectors = np.array([[1, 0], [1, 0.01], [1, 0.2]], dtype=np.float32)
    ranks = np.arange(3)
    best = find_semantic_pairs(vectors, ranks, SemanticSettings(clusters=1), scratch=tmp_path)
    assert best.select("better", "worse").rows() == [(0, 1), (0, 2)]
    outlier = find_semantic_pairs(vectors, ranks, SemanticSettings(clusters=1, keep="outlier"), scratch=tmp_path)
    assert outlier.select("better", "worse").rows() == [(2, 0), (2, 1)]


def test_many_copies_cost_a_pair_each(tmp_path: Path) -> None:
    vectors = np.tile(draw_crowd(3, 1, 1, 0), (20_000, 1))
    found = find_semantic_pairs(vectors, np.arange(20_000), SemanticSettings(epsilon=0, clusters=1), scratch=tmp_path)
    assert found.height == 19_999
    assert found["better"].unique().to_list() == [0]


def test_what_has_no_direction_is_left_alone(tmp_path: Path) -> None:
    vectors = np.array([[0, 0], [1, 1], [np.nan, 1], [np.inf, 1], [1e-30, 1e-30], [0, 0], [3e38, 3e38]], np.float32)
    found = find_semantic_pairs(vectors, np.arange(7), scratch=tmp_path)
    assert found.select("better", "worse").rows() == [(1, 4), (1, 6)]
    assert find_semantic_pairs(vectors[:1], np.arange(1), scratch=tmp_path).is_empty()
    assert find_semantic_pairs(vectors[:0], np.arange(0), scratch=tmp_path).is_empty()


def test_k_means_finds_what_lies_apart() -> None:
    vectors = draw_crowd(4, 6, 50, 0.05, dimensions=16)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    keys = np.arange(300)
    centroids = train_centroids(vectors, keys, 30, sample_per_cluster=256, iterations=20, seed=1)
    labels, similarities = assign_all(vectors, centroids)
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    assert similarities.min() > 0.9
    similar = vectors @ vectors.T
    for label in np.unique(labels):
        assert similar[np.ix_(labels == label, labels == label)].min() > 0.8


def test_bad_input_is_named(tmp_path: Path) -> None:
    vectors = np.ones((2, 3), dtype=np.float32)
    with pytest.raises(SchemaError, match="rank 4 is given to two"):
        find_semantic_pairs(vectors, np.array([4, 4]), scratch=tmp_path)
    with pytest.raises(SchemaError, match=r"shape \(2, 3\) for 1 ranks"):
        find_semantic_pairs(vectors, np.array([4]), scratch=tmp_path)
    for wrong in ({"epsilon": 1.0}, {"clusters": 0}, {"keep": "first"}):
        with pytest.raises(ConfigurationError, match="Semantic settings"):
            SemanticSettings(**wrong)  # type: ignore[arg-type]
    assert pl.DataFrame(schema=SEMANTIC_PAIRS).columns == ["better", "worse", "similarity"]
