"""Compiled hashes of byte slices and of whole words: the peers' own (xxh64, SHA-1) and a faster one of ours.

Imported only where it is used, because numba takes a second to import. Offsets are unsigned, so that numba leaves out
its test for negative ones and eight byte loads become one.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

# the five primes of XXH64 (xxHash specification, "XXH64 algorithm description")
_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)

# odd 64-bit multipliers: the two of MurmurHash3's 64-bit finalizer, and the golden ratio for chaining
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_CHAIN = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0xCBF29CE484222325)

#: Bytes behind the end of a word that `hash_word` may load.
SLACK = 16

_ONE = np.uint64(1)
_EIGHT = np.uint64(8)
_SIXTEEN = np.uint64(16)
_MASK32 = np.uint64(0xFFFFFFFF)


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def mix64(value: np.uint64) -> np.uint64:
    """Return a bijection of 64 bits in which every bit depends on every other (MurmurHash3's finalizer)."""
    value ^= value >> np.uint64(33)
    value *= _MIX_1
    value ^= value >> np.uint64(33)
    value *= _MIX_2
    return value ^ (value >> np.uint64(33))


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _load64(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Return eight bytes, little-endian, at any offset."""
    return (
        np.uint64(data[at])
        | (np.uint64(data[at + np.uint64(1)]) << np.uint64(8))
        | (np.uint64(data[at + np.uint64(2)]) << np.uint64(16))
        | (np.uint64(data[at + np.uint64(3)]) << np.uint64(24))
        | (np.uint64(data[at + np.uint64(4)]) << np.uint64(32))
        | (np.uint64(data[at + np.uint64(5)]) << np.uint64(40))
        | (np.uint64(data[at + np.uint64(6)]) << np.uint64(48))
        | (np.uint64(data[at + np.uint64(7)]) << np.uint64(56))
    )


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _load32(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    return (
        np.uint64(data[at])
        | (np.uint64(data[at + np.uint64(1)]) << np.uint64(8))
        | (np.uint64(data[at + np.uint64(2)]) << np.uint64(16))
        | (np.uint64(data[at + np.uint64(3)]) << np.uint64(24))
    )


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _rotate64(value: np.uint64, bits: np.uint64) -> np.uint64:
    return (value << bits) | (value >> (np.uint64(64) - bits))


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _round64(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _rotate64(lane + word * _P2, np.uint64(31)) * _P1


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _load_part(data: NDArray[np.uint8], at: np.uint64, length: np.uint64) -> np.uint64:
    """Return the first `length` (0 to 8) of eight bytes, the others zero."""
    half = length * np.uint64(4)  # a shift by 64 means nothing, two by 32 do
    return _load64(data, at) & (((_ONE << half) << half) - _ONE)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hash_word(data: NDArray[np.uint8], begin: np.uint64, end: np.uint64) -> np.uint64:
    """Return our own 64-bit hash of a word; `data` must go on for SLACK bytes after `end`.

    Most words take the same way through it, whatever their length: a mispredicted branch costs more than the hash.
    """
    length = end - begin
    mixed = _SEED ^ (length * _CHAIN)
    while length > _SIXTEEN:
        mixed = (mixed ^ _load64(data, begin)) * _CHAIN
        mixed ^= mixed >> np.uint64(32)
        begin += _EIGHT
        length -= _EIGHT
    first = min(length, _EIGHT)
    mixed = (mixed ^ _load_part(data, begin, first)) * _CHAIN
    mixed ^= mixed >> np.uint64(32)
    mixed = (mixed ^ _load_part(data, begin + _EIGHT, length - first)) * _MIX_1
    return mix64(mixed)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hash_xxh64(data: NDArray[np.uint8], begin: np.uint64, end: np.uint64) -> np.uint64:
    """Return XXH64 of a slice, seed 0: `xxhash.xxh64_intdigest`."""
    length = end - begin
    if length >= np.uint64(32):
        one, two, three, four = _P1 + _P2, _P2, np.uint64(0), ~_P1 + _ONE
        while end - begin >= np.uint64(32):
            one = _round64(one, _load64(data, begin))
            two = _round64(two, _load64(data, begin + _EIGHT))
            three = _round64(three, _load64(data, begin + np.uint64(16)))
            four = _round64(four, _load64(data, begin + np.uint64(24)))
            begin += np.uint64(32)
        mixed = _rotate64(one, _ONE) + _rotate64(two, np.uint64(7))
        mixed += _rotate64(three, np.uint64(12)) + _rotate64(four, np.uint64(18))
        mixed = (mixed ^ _round64(np.uint64(0), one)) * _P1 + _P4
        mixed = (mixed ^ _round64(np.uint64(0), two)) * _P1 + _P4
        mixed = (mixed ^ _round64(np.uint64(0), three)) * _P1 + _P4
        mixed = (mixed ^ _round64(np.uint64(0), four)) * _P1 + _P4
    else:
        mixed = _P5
    mixed += length
    while end - begin >= _EIGHT:
        mixed = _rotate64(mixed ^ _round64(np.uint64(0), _load64(data, begin)), np.uint64(27)) * _P1 + _P4
        begin += _EIGHT
    if end - begin >= np.uint64(4):
        mixed = _rotate64(mixed ^ (_load32(data, begin) * _P1), np.uint64(23)) * _P2 + _P3
        begin += np.uint64(4)
    while begin < end:
        mixed = _rotate64(mixed ^ (np.uint64(data[begin]) * _P5), np.uint64(11)) * _P1
        begin += _ONE
    mixed ^= mixed >> np.uint64(33)
    mixed *= _P2
    mixed ^= mixed >> np.uint64(29)
    mixed *= _P3
    return mixed ^ (mixed >> np.uint64(32))


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _rotate32(value: np.uint32, bits: int) -> np.uint32:
    return np.uint32(np.uint32(value << np.uint32(bits)) | np.uint32(value >> np.uint32(32 - bits)))


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _swap32(value: np.uint32) -> np.uint64:
    return (
        np.uint64((value >> np.uint32(24)) & np.uint32(0xFF))
        | np.uint64((value >> np.uint32(8)) & np.uint32(0xFF00))
        | (np.uint64(value & np.uint32(0xFF00)) << np.uint64(8))
        | (np.uint64(value & np.uint32(0xFF)) << np.uint64(24))
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hash_sha1(data: NDArray[np.uint8], begin: np.uint64, end: np.uint64) -> np.uint64:  # noqa: C901
    """Return the first 8 bytes, little-endian, of SHA-1 (FIPS 180-4) of a slice: `datasketch.sha1_hash64`."""
    length = np.int64(end - begin)
    first = np.int64(begin)
    words = np.empty(80, dtype=np.uint32)
    h0, h1, h2 = np.uint32(0x67452301), np.uint32(0xEFCDAB89), np.uint32(0x98BADCFE)
    h3, h4 = np.uint32(0x10325476), np.uint32(0xC3D2E1F0)
    blocks = (length + 8) // 64 + 1
    for block in range(blocks):
        for word in range(16):
            value = np.uint32(0)
            for byte in range(4):
                at = block * 64 + word * 4 + byte
                part = np.uint32(0)
                if at < length:
                    part = np.uint32(data[first + at])
                elif at == length:
                    part = np.uint32(0x80)
                value = np.uint32(np.uint32(value << np.uint32(8)) | part)
            words[word] = value
        if block == blocks - 1:
            words[14] = np.uint32((length * 8) >> 32)
            words[15] = np.uint32((length * 8) & 0xFFFFFFFF)
        for word in range(16, 80):
            words[word] = _rotate32(
                np.uint32(words[word - 3] ^ words[word - 8] ^ words[word - 14] ^ words[word - 16]), 1
            )
        a, b, c, d, e = h0, h1, h2, h3, h4
        for step in range(20):
            chosen = np.uint32((b & c) | (~b & d))
            rotated = np.uint32(_rotate32(a, 5) + chosen + e + np.uint32(0x5A827999) + words[step])
            e, d, c, b, a = d, c, _rotate32(b, 30), a, rotated
        for step in range(20, 40):
            chosen = np.uint32(b ^ c ^ d)
            rotated = np.uint32(_rotate32(a, 5) + chosen + e + np.uint32(0x6ED9EBA1) + words[step])
            e, d, c, b, a = d, c, _rotate32(b, 30), a, rotated
        for step in range(40, 60):
            chosen = np.uint32((b & c) | (b & d) | (c & d))
            rotated = np.uint32(_rotate32(a, 5) + chosen + e + np.uint32(0x8F1BBCDC) + words[step])
            e, d, c, b, a = d, c, _rotate32(b, 30), a, rotated
        for step in range(60, 80):
            chosen = np.uint32(b ^ c ^ d)
            rotated = np.uint32(_rotate32(a, 5) + chosen + e + np.uint32(0xCA62C1D6) + words[step])
            e, d, c, b, a = d, c, _rotate32(b, 30), a, rotated
        h0, h1, h2 = np.uint32(h0 + a), np.uint32(h1 + b), np.uint32(h2 + c)
        h3, h4 = np.uint32(h3 + d), np.uint32(h4 + e)
    return _swap32(h0) | (_swap32(h1) << np.uint64(32))
