"""SimHash: the peers' vote, and all pairs within the distance, as comparing each with each finds them."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication import simhash
from mmpipe.deduplication.simhash import (
    SimHashSettings,
    build_word_table,
    find_simhash_pairs,
    sign_texts,
)
from mmpipe.deduplication.simhash_kernels import hash_windows, vote
from mmpipe.errors import ConfigurationError
from mmpipe_tests.peers import find_peer

ALL = SimHashSettings(most_characters=None)


def compare_each(signatures: list[int], most_bits: int) -> set[tuple[int, int]]:
    return {
        (one, other)
        for other in range(len(signatures))
        for one in range(other)
        if (signatures[one] ^ signatures[other]).bit_count() <= most_bits
    }


def find_pairs(signatures: list[int], scratch: Path, options: SimHashSettings = ALL, memory: int = 1 << 20,
               order: int | None = None) -> pl.DataFrame:  # fmt: skip
    frame = pl.DataFrame(
        {"rank": range(len(signatures)), "simhash": signatures}, schema={"rank": pl.Int64, "simhash": pl.UInt64}
    )
    frame = frame if order is None else frame.sample(fraction=1, shuffle=True, seed=order)
    return find_simhash_pairs(frame.lazy(), options, scratch=scratch, memory_bytes=memory)


def flip(signature: int, bits: list[int]) -> int:
    for bit in bits:
        signature ^= 1 << bit
    return signature


@pytest.mark.parametrize("members", [4096, 8])
@pytest.mark.parametrize(("blocks", "bits"), [(6, 4), (5, 3), (4, 3), (7, 4), (64, 1), (1, 0)])
def test_every_pair_within_the_distance_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, bits: int, members: int
) -> None:
    monkeypatch.setattr(simhash, "_MOST_MEMBERS", members)
    draw = random.Random(blocks)
    origins = [draw.getrandbits(64) for _ in range(8)]
    signatures = list({flip(draw.choice(origins), draw.sample(range(64), draw.randrange(6))) for _ in range(400)})
    draw.shuffle(signatures)
    options = SimHashSettings(blocks=blocks, most_bits=bits)
    expected = compare_each(signatures, bits)
    for memory in (1 << 20, 4000):
        found = find_pairs(signatures, tmp_path, options, memory, order=memory)
        rows = found.select("better", "worse").rows()
        assert set(rows) == expected
        assert len(rows) == len(expected)
        assert all(
            similarity == 1 - (signatures[one] ^ signatures[other]).bit_count() / 64
            for one, other, similarity in found.rows()
        )
    assert not list(tmp_path.iterdir())


@given(st.lists(st.integers(0, 40), max_size=25), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_copies_share_the_fate_of_the_best(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], order: int
) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    # numbers up to 40 differ in few bits and repeat
    pairs = find_pairs(numbers, scratch, SimHashSettings(blocks=3, most_bits=1), 900, order)
    assert pairs.equals(find_pairs(numbers, scratch, SimHashSettings(blocks=3, most_bits=1)))
    assert not pairs.select("better", "worse").is_duplicated().any()
    every = compare_each(numbers, 1)
    found = set(pairs.select("better", "worse").rows())
    assert found <= every
    assert choose_greedily(len(numbers), found) == choose_greedily(len(numbers), every)


def choose_greedily(count: int, pairs: set[tuple[int, int]]) -> list[int]:
    kept: list[int] = []
    for document in range(count):
        if not any((better, document) in pairs for better in kept):
            kept.append(document)
    return kept


def test_copies_cost_a_pair_each(tmp_path: Path) -> None:
    assert find_pairs([7] * 50_000, tmp_path).height == 49_999


def test_a_crowd_that_agrees_on_most_bits_is_searched_exactly(tmp_path: Path) -> None:
    draw = random.Random(3)
    # all differ within 26 bits only: four of the six blocks say nothing
    crowd = [draw.getrandbits(26) for _ in range(9000)]
    crowd = list(dict.fromkeys(crowd))
    found = find_pairs(crowd, tmp_path, SimHashSettings(most_bits=2, blocks=6))
    values = np.array(crowd, dtype=np.uint64)
    expected = sum(int((np.bitwise_count(values[row] ^ values[row + 1 :]) <= 2).sum()) for row in range(len(values)))
    assert found.height == expected > 0


def test_published_documents_never_pair(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"rank": [0, 1, 2, 3], "simhash": [8, 8, 9, None], "is_published": [True, True, False, False]},
        schema_overrides={"simhash": pl.UInt64},
    )
    found = find_simhash_pairs(frame, scratch=tmp_path)
    assert found.select("better", "worse").rows() == [(0, 2)]
    assert find_simhash_pairs(frame[:0], scratch=tmp_path).is_empty()


def test_the_peer_votes_and_finds_alike(tmp_path: Path) -> None:
    peer = find_peer("simhash")
    draw = random.Random(1)
    words = [f"w{draw.randrange(40)}" for _ in range(300)]
    texts = [" ".join(words[begin : begin + 60]) for begin in range(0, 240, 3)]
    table = build_word_table(True, True)
    windows = [hash_windows(np.array([ord(c) for c in text], dtype=np.uint32), table, True, 6) for text in texts]
    code = (
        "import json, sys, simhash\n"
        "windows, signatures = json.load(sys.stdin)\n"
        "print(json.dumps([[simhash.compute(each) for each in windows], list(simhash.find_all(signatures, 6, 4))]))\n"
    )
    near = [flip(draw.getrandbits(64), []) for _ in range(60)]
    near = [flip(each, draw.sample(range(64), draw.randrange(5))) for each in near for _ in range(5)]
    asked = json.dumps([[each.tolist() for each in windows], near])
    ran = subprocess.run([peer, "-c", code], input=asked, capture_output=True, text=True, check=True)
    votes, pairs = json.loads(ran.stdout)
    assert [int(vote(each)) for each in windows] == votes == sign_texts(texts).to_list()
    distinct = list(dict.fromkeys(near))
    found = find_pairs(distinct, tmp_path).select("better", "worse").rows()
    assert {frozenset(pair) for pair in pairs} == {frozenset((distinct[one], distinct[two])) for one, two in found}


def test_what_counts_and_what_does_not() -> None:
    text = "One two, three four five six seven -- eight nine ten"
    one, same, other, cased, short = sign_texts(
        [text, text.upper().replace(",", "").replace(" ", "\n "), text + " eleven", text, "one two three"]
    )
    assert one == same != other
    assert short is None
    assert cased == one
    plain = SimHashSettings(lowercase=False, ignores_punctuation=False)
    assert len(set(sign_texts([text, text.lower(), text.replace(",", "")], plain).to_list())) == 3
    characters = SimHashSettings(unit="character", window=4)
    assert sign_texts(["日本語の文章です", "日本 語の文章です", "日本  語の文章です"], characters).n_unique() == 2
    assert sign_texts([" ab  c, d ", "AB C D", "ab"], characters).to_list()[2] is None


def test_hostile_texts_and_long_ones() -> None:
    long = "w " * 3001
    found = sign_texts(["", "  \n", long, "\ud800 " * 9, "😀 " * 9, "\x00" * 50, long[:5999], "a" * 10_000_000])
    assert [value is None for value in found] == [True, True, True, False, False, True, False, True]
    everything = sign_texts([long, "a" * 10_000_000, "b c d e f g " * 500_000], ALL)
    assert [value is None for value in everything] == [False, True, False]
    assert sign_texts([]).dtype == pl.UInt64


@given(st.lists(st.text(max_size=40), max_size=8), st.sampled_from(["word", "character"]), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_signature_depends_on_its_own_text_alone(texts: list[str], unit: str, window: int) -> None:
    options = SimHashSettings(unit=unit, window=window)  # type: ignore[arg-type]
    assert sign_texts(texts, options).to_list() == [sign_texts([text], options)[0] for text in texts]


def test_settings_that_would_miss_pairs_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"blocks \(4\) must be more than most_bits \(4\)"):
        SimHashSettings(blocks=4)
    with pytest.raises(ConfigurationError, match="unit must be word or character"):
        SimHashSettings(unit="line")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="at least 1"):
        SimHashSettings(window=0)
