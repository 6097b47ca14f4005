"""Connected components and diameters: the same as a naive search finds, whatever the order of the pairs."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.clusters import find_clusters, join_pairs, measure_diameters
from mmpipe.deduplication.pair_files import PairLog, Scratch, list_neighbours


def search_naively(count: int, pairs: list[tuple[int, int]]) -> list[dict[int, int]]:
    """Return for each node how far every other reachable one is."""
    neighbours = {index: {index} for index in range(count)}
    for one, other in pairs:
        neighbours[one].add(other)
        neighbours[other].add(one)
    distances = []
    for index in range(count):
        reached, frontier = {index: 0}, [index]
        for node in frontier:
            for other in sorted(neighbours[node] - reached.keys()):
                reached[other] = reached[node] + 1
                frontier.append(other)
        distances.append(reached)
    return distances


@given(st.integers(1, 25), st.data())
@settings(max_examples=200, deadline=None)
def test_components_are_those_of_a_naive_search_in_any_order(count: int, data: st.DataObject) -> None:
    node = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=40))
    expected = [min(reached) for reached in search_naively(count, pairs)]
    for cut in (1, 3, 40):
        random.Random(len(pairs)).shuffle(pairs)
        pairs = [(other, one) for one, other in pairs]
        left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        assert find_clusters(count, left, right).tolist() == expected
        parents = np.arange(count)
        blocks = range(0, len(pairs), cut)
        join_pairs(parents, ((left[begin : begin + cut], right[begin : begin + cut]) for begin in blocks))
        assert parents.tolist() == expected


@given(st.integers(2, 14), st.data())
@settings(max_examples=60, deadline=None)
def test_diameters_are_exact_for_small_clusters_and_bounded_for_large_ones(
    tmp_path_factory: pytest.TempPathFactory, count: int, data: st.DataObject
) -> None:
    node = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(node, node).filter(lambda ends: ends[0] != ends[1]), max_size=20))
    distances = search_naively(count, pairs)
    roots = np.array(sorted({min(reached) for reached in distances}))
    scratch = Scratch(tmp_path_factory.mktemp("scratch"), 1 << 20)
    log = PairLog(scratch)
    ends = np.sort(np.array(pairs, dtype=np.int64).reshape(-1, 2), axis=1)
    log.append(ends[:, 0], ends[:, 1], np.ones(len(pairs)), 2)
    neighbours = list_neighbours(log, count, scratch)
    expected = [max(max(distances[member].values()) for member in distances[root]) for root in roots]
    least, most = measure_diameters(roots, neighbours, np.arange(count), scratch)
    assert least.tolist() == most.tolist() == expected
    least, most = measure_diameters(roots, neighbours, np.arange(count), scratch, most_exact=1)
    assert (least <= np.array(expected)).all()
    assert (most >= np.array(expected)).all()


def test_a_long_chain_is_known_for_what_it_is(tmp_path: Path) -> None:
    count = 100_000
    scratch = Scratch(tmp_path, 1 << 20)
    log = PairLog(scratch)
    log.append(np.arange(count - 1), np.arange(1, count), np.ones(count - 1), 2)
    labels = np.arange(count)
    join_pairs(labels, ((block["better"].copy(), block["worse"].copy()) for block in log.read_blocks()))
    assert not labels.any()
    least, most = measure_diameters(np.array([0]), list_neighbours(log, count, scratch), np.arange(count), scratch)
    assert least[0] == count - 1
    assert count - 1 <= most[0] <= 2 * (count - 1)
