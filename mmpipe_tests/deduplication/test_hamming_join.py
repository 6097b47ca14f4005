from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.clusters import find_clusters
from mmpipe.deduplication.hamming_join import Bands, find_near_pairs, find_nearest_hashes, plan_bands
from mmpipe.errors import ConfigurationError


def draw_hashes(seed: int, count: int, kind: str) -> np.ndarray:
    """Return hashes: all over the place, around few centres, with most bits alike, or mostly copies."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    if kind == "clusters":
        flips = np.zeros(count, dtype=np.uint64)
        for _ in range(6):
            flips |= np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)
        hashes = hashes[rng.integers(0, 1 + count // 40, count)] ^ flips
    elif kind == "narrow":
        hashes &= np.uint64(0x0000_0F0F_00FF_0001)
    elif kind == "copies":
        hashes = hashes[rng.integers(0, 1 + count // 10, count)]
    return hashes


KINDS = st.sampled_from(["random", "clusters", "narrow", "copies"])
RADII = st.integers(0, 16)


def list_brute_force(hashes: np.ndarray, radius: int) -> set[tuple[int, int, int]]:
    """Return (row, row, bits) of first rows of distinct hashes, and of each copy with the first of its hash."""
    first = {}
    for row, value in enumerate(hashes.tolist()):
        first.setdefault(value, row)
    found = {(first[value], row, 0) for row, value in enumerate(hashes.tolist()) if first[value] != row}
    rows = np.array(sorted(first.values()), dtype=np.int64)
    bits = np.bitwise_count(hashes[rows][:, None] ^ hashes[rows][None, :])
    one, other = np.nonzero(np.triu(bits <= radius, 1))
    return found | {(int(rows[a]), int(rows[b]), int(bits[a, b])) for a, b in zip(one, other, strict=True)}


def collect(parts) -> list[tuple[int, int, int]]:
    return [row for part in parts for row in zip(*(column.tolist() for column in part), strict=True)]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 900), KINDS, RADII, st.sampled_from([1, 1 << 17, 1 << 30]))
def test_pairs_are_those_of_brute_force_whatever_the_memory(seed, count, kind, radius, memory) -> None:
    hashes = draw_hashes(seed, count, kind)
    found = collect(find_near_pairs(hashes, radius, memory_bytes=memory))
    assert len(found) == len(set(found))
    assert set(found) == list_brute_force(hashes, radius)


@pytest.mark.parametrize("kind", ["random", "clusters", "narrow"])
@pytest.mark.parametrize("radius", [0, 3, 7, 10, 12])
def test_nothing_is_missed_where_hashes_are_cut_into_parts_and_pairs_into_blocks(kind: str, radius: int) -> None:
    hashes = draw_hashes(radius, 1500, kind)
    found = collect(find_near_pairs(hashes, radius, memory_bytes=1 << 10))
    assert len(found) == len(set(found))
    assert set(found) == list_brute_force(hashes, radius)


@pytest.mark.parametrize("radius", [1, 4, 8, 10, 13, 16])
def test_every_pair_at_the_radius_itself_is_found_with_the_bands_of_a_million_hashes(
    radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mmpipe.deduplication.hamming_join as join

    plan = plan_bands(1_000_000, 1_000_000, radius, is_bulk=True)
    assert len(plan.widths) > 1
    monkeypatch.setattr(join, "plan_bands", lambda *_, **__: plan)
    rng = np.random.default_rng(radius)
    one = rng.integers(0, 2**64, 4000, dtype=np.uint64)
    flips = np.array([sum(1 << int(bit) for bit in rng.permutation(64)[:radius]) for _ in one], dtype=np.uint64)
    found = set(collect(find_near_pairs(np.concatenate([one, one ^ flips]), radius)))
    assert {(row, row + 4000, radius) for row in range(4000)} <= found


@settings(max_examples=25)
@given(st.integers(0, 10**6), KINDS, RADII, st.randoms(use_true_random=False))
def test_the_order_of_hashes_changes_no_pair(seed, kind, radius, random) -> None:
    hashes = np.unique(draw_hashes(seed, 300, kind))
    order = list(range(len(hashes)))
    random.shuffle(order)
    shuffled = hashes[order]

    def name(values, pairs):
        return {(frozenset((int(values[a]), int(values[b]))), bits) for a, b, bits in pairs}

    assert name(hashes, collect(find_near_pairs(hashes, radius))) == name(
        shuffled, collect(find_near_pairs(shuffled, radius))
    )


@settings(max_examples=30)
@given(st.integers(0, 10**6), KINDS, RADII, st.sampled_from([1, 1 << 30]))
def test_pairs_of_two_sides_are_those_of_brute_force(seed, kind, radius, memory) -> None:
    hashes = draw_hashes(seed, 700, kind)
    one, other = np.unique(hashes[:300]), np.unique(hashes[200:])
    bits = np.bitwise_count(one[:, None] ^ other[None, :])
    expected = {(int(a), int(b), int(bits[a, b])) for a, b in zip(*np.nonzero(bits <= radius), strict=True)}
    found = collect(find_near_pairs(one, radius, other, memory_bytes=memory))
    assert len(found) == len(expected)
    assert set(found) == expected


@settings(max_examples=30)
@given(st.integers(0, 10**6), KINDS, RADII, st.sampled_from([1, 1 << 30]))
def test_a_spanning_forest_connects_what_all_pairs_connect(seed, kind, radius, memory) -> None:
    hashes = draw_hashes(seed, 600, kind)
    every = collect(find_near_pairs(hashes, radius))
    forest = collect(find_near_pairs(hashes, radius, spanning=True, memory_bytes=memory))
    wanted, found = (
        find_clusters(600, *np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2).T)
        for pairs in (every, forest)
    )
    assert np.array_equal(wanted, found)
    assert len(forest) == 600 - len(np.unique(wanted))
    assert set(forest) <= set(every)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 500), st.integers(0, 6000), KINDS, RADII)
def test_the_nearest_is_that_of_brute_force(seed, count, others, kind, radius) -> None:
    hashes = draw_hashes(seed, count + others, kind)
    one, other = hashes[:count], hashes[count:]
    rows, bits = find_nearest_hashes(one, other, radius)
    distances = np.bitwise_count(one[:, None] ^ other[None, :]).astype(np.int64)
    least = distances.min(axis=1, initial=65)
    assert np.array_equal(bits, np.where(least <= radius, least, -1))
    for row, found, distance in zip(range(count), rows, bits, strict=True):
        assert (found >= 0) == (distance >= 0)
        if found >= 0:
            smallest = min((int(other[b]), b) for b in np.flatnonzero(distances[row] == distance))
            assert int(found) == smallest[1]


def test_pairs_of_two_sides_that_are_cut_into_parts_are_all_found() -> None:
    one, other = (np.unique(draw_hashes(seed, 2600, "random")) for seed in (1, 2))
    one[::3] = other[: len(one[::3])] ^ np.uint64(0b1001)
    one = np.unique(one)
    bits = np.bitwise_count(one[:, None] ^ other[None, :])
    expected = {(int(a), int(b), int(bits[a, b])) for a, b in zip(*np.nonzero(bits <= 8), strict=True)}
    assert len(expected) > 800
    assert set(collect(find_near_pairs(one, 8, other, memory_bytes=1))) == expected


def test_a_million_copies_are_a_star() -> None:
    hashes = np.full(1_000_000, 0xBA8C84536BD3C366, dtype=np.uint64)
    assert sum(len(part.left) for part in find_near_pairs(hashes, 10)) == 999_999


@given(st.integers(0, 31), st.integers(1, 10**8), st.booleans())
def test_bands_miss_no_pair_by_the_pigeonhole_principle(radius, count, is_bulk) -> None:
    bands = plan_bands(count, count, radius, is_bulk=is_bulk)
    if bands != Bands((0,), (0,)):
        assert sum(slack + 1 for slack in bands.radii) >= radius + 1
        assert sum(bands.widths) <= 64


def test_a_radius_that_is_chance_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="in \\[0, 31\\]"):
        next(find_near_pairs(np.zeros(2, dtype=np.uint64), 32))
    with pytest.raises(ConfigurationError, match="one set"):
        next(find_near_pairs(np.zeros(2, dtype=np.uint64), 3, np.zeros(2, dtype=np.uint64), spanning=True))
