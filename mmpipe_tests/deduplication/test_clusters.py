"""Connected components: the same as a naive search finds, whatever the order of the pairs."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.clusters import find_clusters


@given(st.integers(1, 25), st.data())
@settings(max_examples=200, deadline=None)
def test_components_are_those_of_a_naive_search_in_any_order(count: int, data: st.DataObject) -> None:
    node = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=40))
    neighbours = {index: {index} for index in range(count)}
    for one, other in pairs:
        neighbours[one].add(other)
        neighbours[other].add(one)
    expected = []
    for index in range(count):
        reached, frontier = {index}, [index]
        while frontier:
            for other in neighbours[frontier.pop()] - reached:
                reached.add(other)
                frontier.append(other)
        expected.append(min(reached))
    for _ in range(3):
        random.Random(len(pairs)).shuffle(pairs)
        pairs = [(other, one) for one, other in pairs]
        left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        assert find_clusters(count, left, right).tolist() == expected
