"""The compiled inner loops of MinHash: shingle hashes to signatures, signatures to band keys, shingle sets to Jaccard.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached
on disk; unsigned 32-bit arithmetic is cast back at every step, since numba widens it. In every permutation loop the
shingles run innermost, so that the compiler turns the minimum into vector code; the order matters fourfold.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.hash_kernels import mix64

#: Which family the permutations belong to.
AFFINE32, AFFINE64, MERSENNE61 = range(3)

_CHAIN = np.uint64(0x9E3779B97F4A7C15)
_MERSENNE = np.uint64((1 << 61) - 1)
_MOST = np.uint64(0xFFFFFFFFFFFFFFFF)

# MurmurHash3's 32-bit finalizer, which datasketch's affine32 scheme applies once to every input hash
_MIX32_1 = np.uint32(0x85EBCA6B)
_MIX32_2 = np.uint32(0xC2B2AE35)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mix32(value: np.uint32) -> np.uint32:
    value = np.uint32(value ^ (value >> np.uint32(16)))
    value = np.uint32(value * _MIX32_1)
    value = np.uint32(value ^ (value >> np.uint32(13)))
    value = np.uint32(value * _MIX32_2)
    return np.uint32(value ^ (value >> np.uint32(16)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def compute_minimums(
    shingles: NDArray[np.uint64], multipliers: NDArray[np.uint32], increments: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Return one document's signature, (permutations,) uint32, from its shingle hashes.

    A shingle's 32-bit hash is the upper half of its 64-bit one. Each permutation is `a * mix(h) + b` modulo 2^32, so
    the values equal those of `datasketch.MinHash(scheme="affine32")` on the same hashes.
    """
    mixed = np.empty(len(shingles), dtype=np.uint32)
    for index in range(len(shingles)):
        mixed[index] = _mix32(np.uint32(shingles[index] >> np.uint64(32)))
    signature = np.empty(len(multipliers), dtype=np.uint32)
    for permutation in range(len(multipliers)):
        multiplier = multipliers[permutation]
        increment = increments[permutation]
        lowest = np.uint32(0xFFFFFFFF)
        for value in mixed:
            lowest = min(lowest, np.uint32(np.uint32(multiplier * value) + increment))
        signature[permutation] = lowest
    return signature


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _compute_minimums_of_64(
    shingles: NDArray[np.uint64], multipliers: NDArray[np.uint64], increments: NDArray[np.uint64], family: int
) -> NDArray[np.uint64]:
    """Return one document's signature under 64-bit permutations.

    AFFINE64 is `a * mix(h) + b` modulo 2^64 (`datasketch.MinHash(scheme="affine64")`); MERSENNE61 is `a * h + b`,
    wrapped to 64 bits and then taken modulo 2^61 - 1, as datatrove does (`MinhashDedupSignature.get_signature`).
    """
    values = shingles.copy()
    if family == AFFINE64:
        for index in range(len(values)):
            values[index] = mix64(values[index])
    signature = np.empty(len(multipliers), dtype=np.uint64)
    for permutation in range(len(multipliers)):
        multiplier = multipliers[permutation]
        increment = increments[permutation]
        lowest = _MOST
        if family == AFFINE64:
            for value in values:
                lowest = min(lowest, multiplier * value + increment)
        else:
            for value in values:
                permuted = multiplier * value + increment
                permuted = (permuted & _MERSENNE) + (permuted >> np.uint64(61))
                lowest = min(lowest, permuted - _MERSENNE if permuted >= _MERSENNE else permuted)
        signature[permutation] = lowest
    return signature


@numba.njit(cache=True, nogil=True, error_model="numpy")
def compute_signatures32(
    shingles: NDArray[np.uint64],
    starts: NDArray[np.int64],
    multipliers: NDArray[np.uint32],
    increments: NDArray[np.uint32],
) -> NDArray[np.uint32]:
    """Return (documents, permutations) uint32; a document without a shingle has the highest value everywhere."""
    signatures = np.empty((len(starts) - 1, len(multipliers)), dtype=np.uint32)
    for document in range(len(starts) - 1):
        of_document = shingles[starts[document] : starts[document + 1]]
        signatures[document] = compute_minimums(of_document, multipliers, increments)
    return signatures


@numba.njit(cache=True, nogil=True, error_model="numpy")
def compute_signatures64(
    shingles: NDArray[np.uint64],
    starts: NDArray[np.int64],
    multipliers: NDArray[np.uint64],
    increments: NDArray[np.uint64],
    family: int,
) -> NDArray[np.uint64]:
    """Return (documents, permutations) uint64; a document without a shingle has the highest value everywhere."""
    signatures = np.empty((len(starts) - 1, len(multipliers)), dtype=np.uint64)
    for document in range(len(starts) - 1):
        of_document = shingles[starts[document] : starts[document + 1]]
        signatures[document] = _compute_minimums_of_64(of_document, multipliers, increments, family)
    return signatures


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _hash_bands(signature: NDArray[np.uint32] | NDArray[np.uint64], keys: NDArray[np.uint64]) -> None:
    """Write the hash of each band of a signature."""
    rows = len(signature) // len(keys)
    for band in range(len(keys)):
        key = np.uint64(rows)
        for row in range(band * rows, (band + 1) * rows):
            key = (key ^ np.uint64(signature[row])) * _CHAIN
            key ^= key >> np.uint64(32)
        keys[band] = mix64(key)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def compute_band_keys32(
    shingles: NDArray[np.uint64],
    starts: NDArray[np.int64],
    multipliers: NDArray[np.uint32],
    increments: NDArray[np.uint32],
    bands: int,
) -> NDArray[np.uint64]:
    """Return (documents, bands) uint64: the hash of each band of each document's signature.

    Rows of documents without a shingle mean nothing; the caller leaves them out.
    """
    keys = np.empty((len(starts) - 1, bands), dtype=np.uint64)
    for document in range(len(starts) - 1):
        of_document = shingles[starts[document] : starts[document + 1]]
        _hash_bands(compute_minimums(of_document, multipliers, increments), keys[document])
    return keys


@numba.njit(cache=True, nogil=True, error_model="numpy")
def compute_band_keys64(
    shingles: NDArray[np.uint64],
    starts: NDArray[np.int64],
    multipliers: NDArray[np.uint64],
    increments: NDArray[np.uint64],
    family: int,
    bands: int,
) -> NDArray[np.uint64]:
    """Return (documents, bands) uint64: the hash of each band of each document's signature.

    Rows of documents without a shingle mean nothing; the caller leaves them out.
    """
    keys = np.empty((len(starts) - 1, bands), dtype=np.uint64)
    for document in range(len(starts) - 1):
        of_document = shingles[starts[document] : starts[document + 1]]
        _hash_bands(_compute_minimums_of_64(of_document, multipliers, increments, family), keys[document])
    return keys


@numba.njit(cache=True, nogil=True, error_model="numpy")
def measure_jaccard(
    shingles: NDArray[np.uint64], starts: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the exact Jaccard similarity of the shingle sets of each pair of documents (two empty sets: 1.0)."""
    similarities = np.empty(len(left), dtype=np.float64)
    for pair in range(len(left)):
        one, one_end = starts[left[pair]], starts[left[pair] + 1]
        other, other_end = starts[right[pair]], starts[right[pair] + 1]
        total = (one_end - one) + (other_end - other)
        shared = 0
        while one < one_end and other < other_end:
            if shingles[one] == shingles[other]:
                shared += 1
                one += 1
                other += 1
            elif shingles[one] < shingles[other]:
                one += 1
            else:
                other += 1
        similarities[pair] = shared / (total - shared) if total else 1.0
    return similarities
