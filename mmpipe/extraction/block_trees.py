"""Compiled inner loops of the block classifier: trees over measures, and which blocks make the best text of a page."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True, error_model="numpy")
def score_blocks(
    measures: NDArray[np.float32],
    roots: NDArray[np.int32],
    features: NDArray[np.int16],
    limits: NDArray[np.float32],
    children: NDArray[np.int32],
    values: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return the probability of each block to be main text: the logistic of a sum over decision trees.

    Args:
        measures: (n, features) as `measure_blocks` gives them.
        roots: node at which each tree begins.
        features: measure that a node asks for, -1 in a leaf.
        limits: a block goes left where its measure is at most this.
        children: left child of a node; the right one follows it.
        values: what a leaf adds.
    """
    n = measures.shape[0]
    found = np.zeros(n, np.float64)
    # tree by tree: a tree stays in the nearest cache, and the walks of neighbours overlap
    for root in roots:
        for i in range(n):
            node = root
            feature = features[node]
            while feature >= 0:
                node = children[node] + np.int32(measures[i, feature] > limits[node])
                feature = features[node]
            found[i] += values[node]
    for i in range(n):
        found[i] = 1 / (1 + np.exp(-found[i]))
    return found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def choose_blocks(
    probabilities: NDArray[np.float64], words: NDArray[np.float64], cautious_limit: float, least_share: float
) -> tuple[NDArray[np.bool_], float, float]:
    """Choose the blocks of a page whose word F1 with the main text is expected to be highest.

    Expected F1 of a choice is 2 sum(p w) over the chosen, by the sum of w over the chosen and of p w over all
    (the plug-in estimate; Lewis 1995, SIGIR, "Evaluating and optimizing autonomous text classification systems"). Best
    is a prefix of the blocks by falling probability. Where the blocks above `cautious_limit` reach `least_share` of
    the best expectation, only those are taken: on such pages, articles, little is lost and less stands beside the text.

    Returns:
        the chosen blocks, the expected F1 of the best choice, and that of the blocks above the limit.
    """
    n = probabilities.size
    chosen = np.zeros(n, np.bool_)
    if n == 0:
        return chosen, 0.0, 0.0
    order = np.argsort(-probabilities, kind="mergesort")
    expected = 0.0
    for i in range(n):
        expected += probabilities[i] * words[i]
    hits = 0.0
    taken = 0.0
    best = 0.0
    best_count = 0
    cautious = 0.0
    cautious_count = 0
    for rank in range(n):
        i = order[rank]
        hits += probabilities[i] * words[i]
        taken += words[i]
        f1 = 2 * hits / (taken + expected)
        if f1 > best:
            best = f1
            best_count = rank + 1
        if probabilities[i] > cautious_limit:
            cautious = f1
            cautious_count = rank + 1
    count = cautious_count if cautious >= least_share * best else best_count
    for rank in range(count):
        chosen[order[rank]] = True
    return chosen, best, cautious
