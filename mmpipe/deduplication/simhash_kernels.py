"""The compiled inner loops of SimHash: characters to signatures, and signatures to pairs that differ in few bits.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.normalization import CONTINUES, SEPARATES, VANISHES
from mmpipe.light_imports import start_numba

start_numba()

# odd 64-bit multipliers: the two of MurmurHash3's 64-bit finalizer, and the golden ratio for chaining
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_CHAIN = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0xCBF29CE484222325)
_SPACE = np.uint64(32)
_ONE = np.uint64(1)
_BITS = 64


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mix(value: np.uint64) -> np.uint64:
    value ^= value >> np.uint64(33)
    value *= _MIX_1
    value ^= value >> np.uint64(33)
    value *= _MIX_2
    return value ^ (value >> np.uint64(33))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mix_many(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers that are spread evenly and equal only where the values are."""
    mixed = np.empty_like(values)
    for place in range(len(values)):
        mixed[place] = _mix(values[place])
    return mixed


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _hash_tokens(
    codes: NDArray[np.uint32], table: NDArray[np.uint32], is_word: bool, tokens: NDArray[np.uint64]
) -> int:
    """Write the hash of each token (word or character, a run of white space being one space); return how many."""
    count = 0
    current = _SEED
    length = 0
    is_after_space = True
    for code in codes:
        entry = table[code] if code < len(table) else np.uint32(CONTINUES << 24) | code
        action = entry >> np.uint32(24)
        if action == VANISHES:
            continue
        folded = np.uint64(entry & np.uint32(0x00FFFFFF))
        if not is_word:
            if action == SEPARATES:
                is_after_space = True
                continue
            if is_after_space and count:
                tokens[count] = _mix(_SPACE)
                count += 1
            is_after_space = False
            tokens[count] = _mix(folded)
            count += 1
        elif action == SEPARATES:
            if length:
                tokens[count] = _mix(current)
                count += 1
            current = _SEED
            length = 0
        else:
            current = (current ^ folded) * _CHAIN
            current ^= current >> np.uint64(29)
            length += 1
    if is_word and length:
        tokens[count] = _mix(current)
        count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hash_windows(
    codes: NDArray[np.uint32], table: NDArray[np.uint32], is_word: bool, window: int
) -> NDArray[np.uint64]:
    """Return the hash of each window of consecutive tokens of one text, repeats included, in their order."""
    tokens = np.empty(len(codes), dtype=np.uint64)
    count = _hash_tokens(codes, table, is_word, tokens)
    hashes = np.empty(max(0, count - window + 1), dtype=np.uint64)
    for first in range(len(hashes)):
        chained = np.uint64(window)
        for token in range(first, first + window):
            chained = (chained ^ tokens[token]) * _CHAIN
            chained ^= chained >> np.uint64(32)
        hashes[first] = _mix(chained)
    return hashes


@numba.njit(cache=True, nogil=True, error_model="numpy")
def vote(hashes: NDArray[np.uint64]) -> np.uint64:
    """Return the bits that more than half of the hashes have set (Charikar 2002; equal weights)."""
    counts = np.zeros(_BITS, dtype=np.int64)
    for value in hashes:
        for bit in range(_BITS):
            counts[bit] += np.int64((value >> np.uint64(bit)) & _ONE)
    signature = np.uint64(0)
    for bit in range(_BITS):
        if 2 * counts[bit] > len(hashes):
            signature |= _ONE << np.uint64(bit)
    return signature


@numba.njit(cache=True, nogil=True, error_model="numpy")
def sign_many(
    codes: NDArray[np.uint32], offsets: NDArray[np.int64], table: NDArray[np.uint32], is_word: bool, window: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the signature of each text and how many windows it has (none: the signature says nothing)."""
    documents = len(offsets) - 1
    signatures = np.zeros(documents, dtype=np.uint64)
    windows = np.zeros(documents, dtype=np.int64)
    for document in range(documents):
        hashes = hash_windows(codes[offsets[document] : offsets[document + 1]], table, is_word, window)
        windows[document] = len(hashes)
        signatures[document] = vote(hashes)
    return signatures, windows


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _count_bits(value: np.uint64) -> int:
    value -= (value >> _ONE) & np.uint64(0x5555555555555555)
    value = (value & np.uint64(0x3333333333333333)) + ((value >> np.uint64(2)) & np.uint64(0x3333333333333333))
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((value * np.uint64(0x0101010101010101)) >> np.uint64(56))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _matches_any(difference: np.uint64, masks: NDArray[np.uint64]) -> bool:
    is_found = False
    for mask in masks:
        is_found |= difference & mask == 0
    return is_found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def pair_equal_keys(
    signatures: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    earlier_masks: NDArray[np.uint64],
    most_bits: int,
    most_members: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (pairs, 2) places of signatures with equal keys that differ in few bits, and (n, 2) larger buckets.

    A pair that agrees on one of the earlier masks was found with that one already and is left out.

    Args:
        signatures: (n,) distinct.
        keys: (n,) what they are compared by, sorted.
        earlier_masks: see above.
        most_bits: bits that a pair may differ in.
        most_members: of a bucket; larger ones are left to the caller, by their bounds.
    """
    pairs = np.empty((1024, 2), dtype=np.int64)
    large = np.empty((16, 2), dtype=np.int64)
    found, large_found = 0, 0
    begin = 0
    while begin < len(keys):
        end = begin + 1
        while end < len(keys) and keys[end] == keys[begin]:
            end += 1
        if end - begin > most_members:
            if large_found == len(large):
                large = np.concatenate((large, np.empty_like(large)))
            large[large_found, 0], large[large_found, 1] = begin, end
            large_found += 1
            begin = end
            continue
        for one in range(begin, end):
            signature = signatures[one]
            for other in range(one + 1, end):
                difference = signature ^ signatures[other]
                if _count_bits(difference) > most_bits or _matches_any(difference, earlier_masks):
                    continue
                if found == len(pairs):
                    pairs = np.concatenate((pairs, np.empty_like(pairs)))
                pairs[found, 0], pairs[found, 1] = one, other
                found += 1
        begin = end
    return pairs[:found].copy(), large[:large_found].copy()
