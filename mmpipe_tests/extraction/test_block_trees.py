"""Tests of the block classifier's loops: splits that take leaves away end where a walk through the tree ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.extraction.block_trees import MOST_LEAVES, place_leaf, score_blocks
from mmpipe.extraction.chooser import arrange_trees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Nodes = tuple[NDArray[np.int32], NDArray[np.int16], NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]


def grow_trees(random: np.random.Generator, sizes: list[int], measures: int) -> Nodes:
    """Return trees of so many leaves, each split at a leaf chosen by chance."""
    roots, features, limits, children, values = [], [], [], [], []
    for leaves in sizes:
        first = len(features)
        roots.append(first)
        features.append(-1)
        children.append(0)
        limits.append(0.0)
        values.append(random.normal())
        for _ in range(leaves - 1):
            node = random.choice([n for n in range(first, len(features)) if features[n] < 0])
            features[node], limits[node], children[node] = random.integers(measures), random.normal(), len(features)
            features += [-1, -1]
            children += [0, 0]
            limits += [0.0, 0.0]
            values += random.normal(size=2).tolist()
    return (
        np.array(roots, np.int32), np.array(features, np.int16), np.array(limits, np.float32),
        np.array(children, np.int32), np.array(values, np.float32),
    )  # fmt: skip


def walk(block: NDArray[np.float32], nodes: Nodes) -> float:
    roots, features, limits, children, values = nodes
    total = 0.0
    for root in roots:
        node = root
        while features[node] >= 0:
            node = children[node] + (block[features[node]] > limits[node])
        total += float(values[node])
    return 1 / (1 + np.exp(-total))


@pytest.mark.parametrize("blocks", [0, 1, 255, 256, 257, 700])
def test_scores_are_those_of_a_walk_through_every_tree(blocks: int) -> None:
    random = np.random.default_rng(blocks)
    nodes = grow_trees(random, [1, 2, 3, 24, MOST_LEAVES, MOST_LEAVES, 7], measures=9)
    measures = random.normal(size=(blocks, 9)).astype(np.float32)
    # values on a limit, and none at all, go left
    measures[::3, 4] = nodes[2][nodes[1] == 4][:1]
    measures[::7, 2] = np.nan
    assert score_blocks(measures, *arrange_trees(*nodes)) == pytest.approx(
        np.array([walk(block, nodes) for block in measures]), abs=1e-12
    )


def test_every_leaf_has_a_place_of_its_own() -> None:
    assert sorted(map(place_leaf, range(MOST_LEAVES))) == list(range(MOST_LEAVES))


def test_a_tree_with_too_many_leaves_is_named() -> None:
    nodes = grow_trees(np.random.default_rng(1), [MOST_LEAVES + 1], measures=3)
    with pytest.raises(ConfigurationError, match="more than 32 leaves"):
        arrange_trees(*nodes)
