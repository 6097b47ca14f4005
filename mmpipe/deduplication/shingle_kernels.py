"""The compiled loops that turn UTF-8 texts into shingle hashes: fold, cut into words or characters, hash, drop repeats.

Imported only where it is used, because numba takes a second to import. A text is folded into a buffer in which its
units (words, one space between them, or characters) stand end to end, so that every shingle is one slice of it. Texts
come from Python's encoder, so they are valid UTF-8 but for surrogates (three bytes each).
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.hash_kernels import SLACK, hash_sha1, hash_word, hash_xxh64, mix64
from mmpipe.deduplication.normalization import (
    CONTINUES,
    LAST_HAN_EXTENSION,
    STANDS_ALONE,
    TABLE_SIZE,
    VANISHES,
)

#: Where the words of a text are: how `shingle_batch` reads its input.
FOLDED_WORDS, SPACED_WORDS, CHARACTERS = range(3)
#: Which hash a shingle gets.
MIX64, XXH64, SHA1 = range(3)

_ZERO_DIGIT = np.uint32(ord("0"))
_SPACE = np.uint8(32)
_HAN_EXTENSION_ENTRY = np.uint32(STANDS_ALONE << 24)
_FOLD_MASK = np.uint32(0x00FFFFFF)
_IS_SPACE = np.array([chr(code).isspace() for code in range(0x3001)])  # the last is the ideographic space
_ROLL = np.uint64(0xD1342543DE82EF95)  # odd multiplier of the rolling hash


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def decode(data: NDArray[np.uint8], at: np.uint64) -> tuple[np.uint32, np.uint64]:
    """Return the code point that starts at `at`, and where the next one does."""
    first = np.uint32(data[at])
    if first < np.uint32(0x80):
        return first, at + np.uint64(1)
    second = np.uint32(data[at + np.uint64(1)]) & np.uint32(0x3F)
    if first < np.uint32(0xE0):
        return np.uint32(((first & np.uint32(0x1F)) << np.uint32(6)) | second), at + np.uint64(2)
    third = np.uint32(data[at + np.uint64(2)]) & np.uint32(0x3F)
    if first < np.uint32(0xF0):
        code = ((first & np.uint32(0x0F)) << np.uint32(12)) | (second << np.uint32(6)) | third
        return np.uint32(code), at + np.uint64(3)
    fourth = np.uint32(data[at + np.uint64(3)]) & np.uint32(0x3F)
    code = ((first & np.uint32(7)) << np.uint32(18)) | (second << np.uint32(12)) | (third << np.uint32(6)) | fourth
    return np.uint32(code), at + np.uint64(4)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def encode(code: np.uint32, buffer: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Write a code point and return where it ends."""
    if code < np.uint32(0x80):
        buffer[at] = np.uint8(code)
        return at + np.uint64(1)
    if code < np.uint32(0x800):
        buffer[at] = np.uint8(0xC0 | (code >> np.uint32(6)))
        buffer[at + np.uint64(1)] = np.uint8(0x80 | (code & np.uint32(0x3F)))
        return at + np.uint64(2)
    if code < np.uint32(0x10000):
        buffer[at] = np.uint8(0xE0 | (code >> np.uint32(12)))
        buffer[at + np.uint64(1)] = np.uint8(0x80 | ((code >> np.uint32(6)) & np.uint32(0x3F)))
        buffer[at + np.uint64(2)] = np.uint8(0x80 | (code & np.uint32(0x3F)))
        return at + np.uint64(3)
    buffer[at] = np.uint8(0xF0 | (code >> np.uint32(18)))
    buffer[at + np.uint64(1)] = np.uint8(0x80 | ((code >> np.uint32(12)) & np.uint32(0x3F)))
    buffer[at + np.uint64(2)] = np.uint8(0x80 | ((code >> np.uint32(6)) & np.uint32(0x3F)))
    buffer[at + np.uint64(3)] = np.uint8(0x80 | (code & np.uint32(0x3F)))
    return at + np.uint64(4)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fold_words(
    data: NDArray[np.uint8],
    begin: np.uint64,
    end: np.uint64,
    table: NDArray[np.uint32],
    buffer: NDArray[np.uint8],
    ends: NDArray[np.uint64],
) -> int:
    """Write the folded words of a text, one space after each, note where each ends, and return how many there are."""
    count = 0
    filled = np.uint64(0)
    started = np.uint64(0)
    after_digit = False
    at = begin
    while at < end:
        code, at = decode(data, at)
        entry = np.uint32(0)
        if code < TABLE_SIZE:
            entry = table[code]
        elif code <= LAST_HAN_EXTENSION:
            entry = np.uint32(_HAN_EXTENSION_ENTRY | (code & _FOLD_MASK))
        action = entry >> np.uint32(24)
        folded = np.uint32(entry & _FOLD_MASK)
        if action == CONTINUES:
            is_digit = folded == _ZERO_DIGIT
            if not (is_digit and after_digit):  # a number counts as one 0, however long it is
                filled = encode(folded, buffer, filled)
            after_digit = is_digit
            continue
        if action == VANISHES:
            continue
        if filled > started:
            ends[count] = filled
            count += 1
            buffer[filled] = _SPACE
            filled += np.uint64(1)
            started = filled
            after_digit = False
        if action == STANDS_ALONE:
            filled = encode(folded, buffer, filled)
            ends[count] = filled
            count += 1
            buffer[filled] = _SPACE
            filled += np.uint64(1)
            started = filled
    if filled > started:
        ends[count] = filled
        count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _copy_words(
    data: NDArray[np.uint8],
    begin: np.uint64,
    end: np.uint64,
    buffer: NDArray[np.uint8],
    ends: NDArray[np.uint64],
) -> int:
    """Write the words between white space as they are, one space after each; as `_fold_words` otherwise."""
    count = 0
    filled = np.uint64(0)
    started = np.uint64(0)
    at = begin
    while at < end:
        code, following = decode(data, at)
        if code < len(_IS_SPACE) and _IS_SPACE[code]:
            if filled > started:
                ends[count] = filled
                count += 1
                buffer[filled] = _SPACE
                filled += np.uint64(1)
                started = filled
            at = following
            continue
        while at < following:
            buffer[filled] = data[at]
            filled += np.uint64(1)
            at += np.uint64(1)
    if filled > started:
        ends[count] = filled
        count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _copy_characters(
    data: NDArray[np.uint8], begin: np.uint64, end: np.uint64, buffer: NDArray[np.uint8], ends: NDArray[np.uint64]
) -> int:
    """Write the characters of a text as they are, note where each ends, and return how many there are."""
    count = 0
    at = begin
    while at < end:
        byte = data[at]
        if (byte & np.uint8(0xC0)) != np.uint8(0x80) and at > begin:
            ends[count] = at - begin
            count += 1
        buffer[at - begin] = byte
        at += np.uint64(1)
    if end > begin:
        ends[count] = end - begin
        count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hash_shingles(
    buffer: NDArray[np.uint8],
    ends: NDArray[np.uint64],
    count: int,
    gap: int,
    size: int,
    kind: int,
    units: NDArray[np.uint64],
    shingles: NDArray[np.uint64],
) -> int:
    """Write the hash of every run of `size` units (of all of them, if there are fewer), and return how many."""
    width = min(size, count)
    made = count - width + 1
    if kind == MIX64:
        # rolled as Karp and Rabin do (IBM J. Res. Dev. 31(2), 1987), over unit hashes that are random already
        begin = np.uint64(0)
        for unit in range(count):
            units[unit] = hash_word(buffer, begin, ends[unit])
            begin = ends[unit] + np.uint64(gap)
        power = np.uint64(1)
        rolled = np.uint64(0)
        for unit in range(width):
            rolled = rolled * _ROLL + units[unit]
            power *= _ROLL
        shingles[0] = mix64(rolled)
        for first in range(1, made):
            rolled = rolled * _ROLL + units[first + width - 1] - units[first - 1] * power
            shingles[first] = mix64(rolled)
        return made
    begin = np.uint64(0)
    for first in range(made):
        end = ends[first + width - 1]
        shingles[first] = hash_xxh64(buffer, begin, end) if kind == XXH64 else hash_sha1(buffer, begin, end)
        begin = ends[first] + np.uint64(gap)
    return made


@numba.njit(cache=True, nogil=True, error_model="numpy")
def drop_repeats(shingles: NDArray[np.uint64], count: int, slots: NDArray[np.uint64]) -> int:
    """Move the first occurrence of every hash to the front, in order, and return how many there are."""
    size = 16
    while size < 2 * count:
        size *= 2
    slots[:size] = np.uint64(0)
    mask = np.uint64(size - 1)
    distinct = 0
    has_zero = False
    for index in range(count):
        value = shingles[index]
        if value == np.uint64(0):  # zero marks a free slot
            if not has_zero:
                has_zero = True
                shingles[distinct] = value
                distinct += 1
            continue
        slot = value & mask
        while slots[slot] != value and slots[slot] != np.uint64(0):
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == np.uint64(0):
            slots[slot] = value
            shingles[distinct] = value
            distinct += 1
    return distinct


@numba.njit(cache=True, nogil=True, error_model="numpy")
def shingle_batch(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    reading: int,
    size: int,
    kind: int,
    skips_short: bool,
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct shingle hashes of each text, in order of appearance, and (texts + 1,) where each's begin.

    Args:
        data: UTF-8 of all texts, end to end, and SLACK bytes more.
        offsets: (texts + 1,) first byte of each text.
        table: `normalization.build_character_table()`; used by FOLDED_WORDS alone.
        reading: FOLDED_WORDS, SPACED_WORDS (what stands between white space) or CHARACTERS.
        size: units per shingle.
        kind: MIX64, XXH64 or SHA1.
        skips_short: a text of fewer units has no shingle, rather than one of all its units.
    """
    texts = len(offsets) - 1
    longest = 0
    for text in range(texts):
        longest = max(longest, offsets[text + 1] - offsets[text])
    # folding keeps the bytes of a character or takes fewer, but for a space after each
    buffer = np.zeros(4 * longest + SLACK, dtype=np.uint8)
    ends = np.empty(longest + 1, dtype=np.uint64)
    units = np.empty(longest + 1, dtype=np.uint64)
    room = 16
    while room < 2 * longest:
        room *= 2
    slots = np.empty(room, dtype=np.uint64)
    shingles = np.empty(offsets[texts] - offsets[0] + 1, dtype=np.uint64)
    starts = np.zeros(texts + 1, dtype=np.int64)
    filled = 0
    for text in range(texts):
        begin, end = np.uint64(offsets[text]), np.uint64(offsets[text + 1])
        gap = 1
        if reading == FOLDED_WORDS:
            count = _fold_words(data, begin, end, table, buffer, ends)
        elif reading == SPACED_WORDS:
            count = _copy_words(data, begin, end, buffer, ends)
        else:
            count = _copy_characters(data, begin, end, buffer, ends)
            gap = 0
        if count and not (skips_short and count < size):
            made = hash_shingles(buffer, ends, count, gap, size, kind, units, shingles[filled:])
            filled += drop_repeats(shingles[filled:], made, slots)
        starts[text + 1] = filled
    return shingles[:filled], starts


@numba.njit(cache=True, nogil=True, error_model="numpy")
def sort_each(shingles: NDArray[np.uint64], starts: NDArray[np.int64]) -> None:
    """Sort the shingle hashes of each text in place."""
    for text in range(len(starts) - 1):
        shingles[starts[text] : starts[text + 1]].sort()
