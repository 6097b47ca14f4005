"""Every occurrence of a repeated n-gram counts, each word once: by hand and against a plain reading."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.filtering.covered_grams import DUPLICATE_N, TOP_N, count_covered_chars


def count(*texts: str) -> tuple[list[list[int]], list[list[int]]]:
    """Return both tables for texts whose words are cut at spaces."""
    words, lengths, start = [], [], [0]
    for text in texts:
        numbers: dict[str, int] = {}
        pieces = text.split()
        words += [numbers.setdefault(piece, len(numbers)) for piece in pieces]
        lengths += list(map(len, pieces))
        start.append(len(words))
    top, covered = count_covered_chars(
        np.array(words, np.int32), np.array(lengths, np.int32), np.array(start, np.int64)
    )
    return top.tolist(), covered.tolist()


def count_plainly(text: str) -> tuple[list[int], list[int]]:
    words = text.split()

    def list_grams(n: int) -> list[tuple[str, ...]]:
        return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]

    top, covered = [], []
    for n in TOP_N:
        counts = Counter(list_grams(n))
        most = max(counts.values(), default=1)
        lengths = [sum(map(len, gram)) for gram, times in counts.items() if times == most]
        top.append(max(lengths) * most if most > 1 else 0)
    for n in DUPLICATE_N:
        grams = list_grams(n)
        counts = Counter(grams)
        inside = {at + step for at, gram in enumerate(grams) if counts[gram] > 1 for step in range(n)}
        covered.append(sum(len(words[at]) for at in inside))
    return top, covered


def test_by_hand() -> None:
    # `a bb` and `ccc d` stand twice each: of equals the longest, 4 characters x 2
    assert count("a bb x ccc d y a bb z ccc d")[0][0][0] == 8
    # no 2-gram stands twice: 0, where datatrove counts one
    assert count("a b c d e f g h i j k l") == ([[0, 0, 0]], [[0] * 6])
    # the 5-gram `a b c d e` twice, both occurrences count: 10 of the 11 characters
    assert count("a b c d e x a b c d e")[1][0] == [10, 0, 0, 0, 0, 0]
    # `a` seven times: the 5-grams overlap, each word counts once
    assert count("a a a a a a a")[1][0] == [7, 7, 0, 0, 0, 0]
    # its most frequent 2-gram stands six times: 2 x 6, more than there are characters
    assert count("a a a a a a a")[0][0] == [12, 15, 16]
    assert count("", "a") == ([[0] * 3] * 2, [[0] * 6] * 2)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "bb", "ccc", "d"]), max_size=40).map(" ".join), min_size=1, max_size=3))
def test_against_a_plain_reading(texts: list[str]) -> None:
    top, covered = count(*texts)
    assert list(zip(top, covered, strict=True)) == [count_plainly(text) for text in texts]
