"""The compiled inner loops of MinHash: characters to shingles, shingles to band keys, shingle sets to Jaccard.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached
on disk; unsigned 32-bit arithmetic is cast back at every step, since numba widens it.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.normalization import CONTINUES, LAST_HAN_EXTENSION, STANDS_ALONE, TABLE_SIZE, VANISHES

_ZERO_DIGIT = np.uint32(ord("0"))
_HAN_EXTENSION_ENTRY = np.uint32(STANDS_ALONE << 24)
_FOLD_MASK = np.uint32(0x00FFFFFF)

# odd 64-bit multipliers: the two of MurmurHash3's 64-bit finalizer, and the golden ratio for chaining
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_CHAIN = np.uint64(0x9E3779B97F4A7C15)
_WORD_SEED = np.uint64(0xCBF29CE484222325)

# MurmurHash3's 32-bit finalizer, which datasketch's affine32 scheme applies once to every input hash
_MIX32_1 = np.uint32(0x85EBCA6B)
_MIX32_2 = np.uint32(0xC2B2AE35)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mix64(value: np.uint64) -> np.uint64:
    value ^= value >> np.uint64(33)
    value *= _MIX_1
    value ^= value >> np.uint64(33)
    value *= _MIX_2
    return value ^ (value >> np.uint64(33))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mix32(value: np.uint32) -> np.uint32:
    value = np.uint32(value ^ (value >> np.uint32(16)))
    value = np.uint32(value * _MIX32_1)
    value = np.uint32(value ^ (value >> np.uint32(13)))
    value = np.uint32(value * _MIX32_2)
    return np.uint32(value ^ (value >> np.uint32(16)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _hash_words(codes: NDArray[np.uint32], table: NDArray[np.uint32], words: NDArray[np.uint64]) -> int:
    """Write the hash of each word into `words` (room for one per character) and return how many there are."""
    count = 0
    current = _WORD_SEED
    length = 0
    after_digit = False
    for code in codes:
        entry = np.uint32(0)
        if code < TABLE_SIZE:
            entry = table[code]
        elif code <= LAST_HAN_EXTENSION:
            entry = np.uint32(_HAN_EXTENSION_ENTRY | (code & _FOLD_MASK))
        action = entry >> np.uint32(24)
        folded = np.uint32(entry & _FOLD_MASK)
        if action == VANISHES:
            continue
        if action == CONTINUES:
            is_digit = folded == _ZERO_DIGIT
            if not (is_digit and after_digit):  # a number counts as one 0, however long it is
                current = (current ^ np.uint64(folded)) * _CHAIN
                current ^= current >> np.uint64(29)
            after_digit = is_digit
            length += 1
            continue
        if length:
            words[count] = _mix64(current)
            count += 1
            current = _WORD_SEED
            length = 0
            after_digit = False
        if action == STANDS_ALONE:
            words[count] = _mix64((_WORD_SEED ^ np.uint64(folded)) * _CHAIN)
            count += 1
    if length:
        words[count] = _mix64(current)
        count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def shingle_documents(
    codes: NDArray[np.uint32], offsets: NDArray[np.int64], table: NDArray[np.uint32], shingle_words: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the sorted distinct shingle hashes of each document, end to end, and where each document's begin.

    Args:
        codes: code points of all documents, end to end.
        offsets: (documents + 1,) first code point of each document.
        table: `normalization.build_character_table()`.
        shingle_words: words per shingle; a document with fewer words is one shingle of all of them.
    """
    documents = len(offsets) - 1
    shingles = np.empty(len(codes), dtype=np.uint64)
    starts = np.zeros(documents + 1, dtype=np.int64)
    longest = 0
    for document in range(documents):
        longest = max(longest, offsets[document + 1] - offsets[document])
    words = np.empty(longest, dtype=np.uint64)
    filled = 0
    for document in range(documents):
        count = _hash_words(codes[offsets[document] : offsets[document + 1]], table, words)
        width = min(shingle_words, count)
        begin = filled
        if count:
            for first in range(count - width + 1):
                chained = np.uint64(width)
                for word in range(first, first + width):
                    chained = (chained ^ words[word]) * _CHAIN
                    chained ^= chained >> np.uint64(32)
                shingles[filled] = _mix64(chained)
                filled += 1
            shingles[begin:filled].sort()
            distinct = begin + 1
            for index in range(begin + 1, filled):
                if shingles[index] != shingles[distinct - 1]:
                    shingles[distinct] = shingles[index]
                    distinct += 1
            filled = distinct
        starts[document + 1] = filled
    return shingles[:filled].copy(), starts


@numba.njit(cache=True, nogil=True, error_model="numpy")
def compute_minimums(
    shingles: NDArray[np.uint64], multipliers: NDArray[np.uint32], increments: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Return one document's MinHash signature, (permutations,) uint32, from its distinct shingle hashes.

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
        # the compiler turns this reduction into vector code; the order of the loops matters fourfold
        for value in mixed:
            lowest = min(lowest, np.uint32(np.uint32(multiplier * value) + increment))
        signature[permutation] = lowest
    return signature


@numba.njit(cache=True, nogil=True, error_model="numpy")
def compute_band_keys(
    shingles: NDArray[np.uint64],
    starts: NDArray[np.int64],
    multipliers: NDArray[np.uint32],
    increments: NDArray[np.uint32],
    bands: int,
) -> NDArray[np.uint64]:
    """Return (documents, bands) uint64: the hash of each band of each document's signature.

    Rows of documents without a shingle mean nothing; the caller leaves them out.
    """
    documents = len(starts) - 1
    rows = len(multipliers) // bands
    keys = np.empty((documents, bands), dtype=np.uint64)
    for document in range(documents):
        signature = compute_minimums(shingles[starts[document] : starts[document + 1]], multipliers, increments)
        for band in range(bands):
            key = np.uint64(rows)
            for row in range(band * rows, (band + 1) * rows):
                key = (key ^ np.uint64(signature[row])) * _CHAIN
                key ^= key >> np.uint64(32)
            keys[document, band] = _mix64(key)
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
