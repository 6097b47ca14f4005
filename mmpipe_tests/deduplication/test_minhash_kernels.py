"""Hashes and permutations: those of hashlib, xxhash and datasketch, bit for bit."""

from __future__ import annotations

import hashlib
import struct

import datasketch
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.hash_kernels import SLACK, hash_sha1, hash_word, hash_xxh64
from mmpipe.deduplication.minhash import MinHashSettings, Permutations, compute_signatures, make_permutations

WORDS = [f"word{number}" for number in range(14)]


@given(st.binary(max_size=300), st.binary(max_size=20))
@settings(max_examples=150, deadline=None)
def test_hashes_of_slices_are_the_reference_ones(piece: bytes, before: bytes) -> None:
    data = np.frombuffer(before + piece + bytes(SLACK), dtype=np.uint8)
    begin, end = np.uint64(len(before)), np.uint64(len(before) + len(piece))
    assert hash_xxh64(data, begin, end) == xxhash.xxh64_intdigest(piece)
    assert hash_sha1(data, begin, end) == struct.unpack("<Q", hashlib.sha1(piece).digest()[:8])[0]


def test_a_word_hashes_alike_wherever_it_stands() -> None:
    hashes = {}
    for word in (b"", b"a", b"aa", b"a" * 8, b"a" * 9, b"a" * 16, b"a" * 17, b"a" * 40, b"b" * 40, b"a\0", b"\0"):
        found = {
            int(hash_word(np.frombuffer(before + word + after + bytes(SLACK), np.uint8), *span(before, word)))
            for before in (b"", b"xyz")
            for after in (b"", b"following words")
        }
        assert len(found) == 1
        hashes[word] = found.pop()
    assert len(set(hashes.values())) == len(hashes)


def span(before: bytes, word: bytes) -> tuple[np.uint64, np.uint64]:
    return np.uint64(len(before)), np.uint64(len(before) + len(word))


@pytest.mark.parametrize("permutations", ["affine32", "affine64"])
def test_signatures_equal_datasketch_from_text(permutations: Permutations) -> None:
    text = " ".join(WORDS)
    shingles = [" ".join(WORDS[first : first + 5]).encode() for first in range(len(WORDS) - 4)]
    minhash = MinHashSettings(
        bands=10, rows=3, seed=7, normalization="none", shingle_hash="xxh64", permutations=permutations
    )
    signatures, counts = compute_signatures([text, ""], minhash)

    def hash_upper(shingle: bytes) -> int:
        return xxhash.xxh64_intdigest(shingle) >> (32 if permutations == "affine32" else 0)

    oracle = datasketch.MinHash(num_perm=30, seed=7, scheme=permutations, hashfunc=hash_upper)
    empty = datasketch.MinHash(num_perm=30, seed=7, scheme=permutations)
    oracle.update_batch(shingles)
    assert np.array_equal(signatures[0], oracle.hashvalues)
    assert signatures.dtype == oracle.hashvalues.dtype
    assert np.array_equal(signatures[1], empty.hashvalues)
    assert counts.tolist() == [len(shingles), 0]


def test_sha1_shingles_equal_datasketch_with_its_own_hash() -> None:
    minhash = MinHashSettings(
        bands=10, rows=3, normalization="none", shingle_words=1, shingle_hash="sha1", permutations="affine64"
    )
    oracle = datasketch.MinHash(num_perm=30, seed=1, scheme="affine64")
    oracle.update_batch([word.encode() for word in WORDS])
    assert np.array_equal(compute_signatures([" ".join(WORDS)], minhash)[0][0], oracle.hashvalues)


@given(st.integers(1, 2**64 - 1), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_datatrove_permutations_are_modulo_the_mersenne_prime(seed: int, words: int) -> None:
    from mmpipe.deduplication.minhash_kernels import MERSENNE61, compute_signatures64

    generator = np.random.default_rng(seed)
    # hashes at the ends of the range, where reducing goes wrong first
    edges = np.array([0, 1, 2**61 - 2, 2**61 - 1, 2**61, 2**64 - 1], dtype=np.uint64)
    shingles = np.concatenate([generator.integers(0, 2**64, words, dtype=np.uint64), generator.choice(edges, 2)])
    multipliers, increments = make_permutations(16, 1, "datatrove")
    multipliers = np.append(multipliers, np.ones(6, np.uint64))
    increments = np.append(increments, edges)
    found = compute_signatures64(shingles, np.array([0, len(shingles)]), multipliers, increments, MERSENNE61)
    expected = [
        min((int(a) * int(h) + int(b)) % 2**64 % (2**61 - 1) for h in shingles)
        for a, b in zip(multipliers, increments, strict=True)
    ]
    assert found[0].tolist() == expected
