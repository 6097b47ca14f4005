"""The compiled loops of datatrove's simplification: text to chunks, chunks to numbers, chunks and cuts to shingles.

Imported only where it is used, because numba takes a second to import.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.hash_kernels import SLACK, hash_word
from mmpipe.deduplication.shingle_kernels import decode, drop_repeats, encode, hash_shingles
from mmpipe.deduplication.simplification import (
    CASE_SLOTS,
    COPIED,
    DECIMAL_SEPARATORS,
    DIGIT,
    DROPPED,
    HANGUL,
    LETTER,
    LONGEST_CHUNK_BYTES,
    SPACED,
)

_SPACE = np.uint8(32)
_FOLD_MASK = np.uint32(0x001FFFFF)
_LETTER_BIT = np.uint32(LETTER)
_SEPARATORS = np.array([ord(mark) for mark in DECIMAL_SEPARATORS], dtype=np.uint32)

_IS_SMALL = (np.arange(256) >= ord("a")) & (np.arange(256) <= ord("z"))

#: Instead of a number: the chunk is one word; the chunk was not looked up yet.
ONE_WORD, NOT_NUMBERED = -1, -2


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _encode_hangul(code: np.uint32, buffer: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Write a syllable as its letters (Unicode standard, section 3.12) and return where they end."""
    index = np.uint32(code - np.uint32(0xAC00))
    at = encode(np.uint32(np.uint32(0x1100) + index // np.uint32(588)), buffer, at)
    at = encode(np.uint32(np.uint32(0x1161) + (index % np.uint32(588)) // np.uint32(28)), buffer, at)
    tail = index % np.uint32(28)
    return encode(np.uint32(np.uint32(0x11A7) + tail), buffer, at) if tail else at


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _skip_number(data: NDArray[np.uint8], at: np.uint64, end: np.uint64, table: NDArray[np.uint32]) -> np.uint64:
    """Return where a number ends whose first digit ends at `at`: digits, and once a separator and more digits."""
    has_fraction = False
    while at < end:
        code, following = decode(data, at)
        if table[code] >> np.uint32(24) == DIGIT:
            at = following
            continue
        if has_fraction or following >= end or not (code == _SEPARATORS).any():
            return at
        code, after = decode(data, following)
        if table[code] >> np.uint32(24) != DIGIT:
            return at
        has_fraction = True
        at = after
    return at


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _simplify(  # noqa: C901, PLR0912, PLR0915
    data: NDArray[np.uint8],
    begin: np.uint64,
    end: np.uint64,
    table: NDArray[np.uint32],
    is_ready: bool,
    cases: NDArray[np.bool_],
    longest_case: int,
    buffer: NDArray[np.uint8],
    ends: NDArray[np.uint64],
    numbers: NDArray[np.int64],
) -> tuple[int, np.uint64, bool]:
    """Write the chunks of a text, one space after each; return how many, the bytes written, and whether it is sure."""
    count = 0
    filled = np.uint64(0)
    started = np.uint64(0)
    is_plain = True
    at = begin
    while True:
        while at < end and _IS_SMALL[data[at]]:  # most of most texts: a to z
            buffer[filled] = data[at]
            filled += np.uint64(1)
            at += np.uint64(1)
        action = np.uint32(SPACED)
        folded = np.uint32(32)
        if at < end:
            code, at = decode(data, at)
            entry = table[code]
            if is_ready:
                action = np.uint32(SPACED if code == 32 else COPIED)
                entry = np.uint32(code)  # whether it is a letter is left to spaCy
            else:
                action = entry >> np.uint32(24)
            folded = np.uint32(entry & _FOLD_MASK)
            is_plain = is_plain and (entry & _LETTER_BIT != 0 or action != COPIED)
        elif filled == started:
            return count, filled, True
        if action == COPIED:
            if folded < np.uint32(0x80):
                buffer[filled] = np.uint8(folded)
                filled += np.uint64(1)
            else:
                filled = encode(folded, buffer, filled)
        elif action == SPACED:
            if filled > started:
                ends[count] = filled
                numbers[count] = NOT_NUMBERED
                length = filled - started
                if length > LONGEST_CHUNK_BYTES:
                    numbers[count] = ONE_WORD
                elif is_plain:
                    numbers[count] = ONE_WORD
                    if length <= longest_case:
                        hashed = hash_word(buffer, started, filled)
                        if cases[hashed & np.uint64(CASE_SLOTS - 1)]:
                            numbers[count] = NOT_NUMBERED
                count += 1
                buffer[filled] = _SPACE
                filled += np.uint64(1)
                started = filled
            is_plain = True
        elif action == DIGIT:
            is_plain = False
            at = _skip_number(data, at, end, table)
            filled = encode(folded, buffer, filled)
        elif action == HANGUL:
            filled = _encode_hangul(folded, buffer, filled)
        elif action != DROPPED:  # UNSURE
            return 0, np.uint64(0), False


@numba.njit(cache=True, nogil=True, error_model="numpy")
def simplify_batch(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    is_ready: NDArray[np.bool_],
    cases: NDArray[np.bool_],
    longest_case: int,
) -> tuple[
    NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]
]:
    """Return the simplified texts, cut into chunks.

    Args:
        data: UTF-8 of all texts, lower-cased unless ASCII, end to end, and SLACK bytes more.
        offsets: (texts + 1,) first byte of each.
        table: `simplification.build_simplification_table()`.
        is_ready: (texts,) which texts are simplified already and only have to be cut at their spaces.
        cases: `SpacyChunks.cases`.
        longest_case: `SpacyChunks.longest_case`.

    Returns:
        Bytes; (texts + 1,) where each text's bytes begin; where each chunk ends in its text; ONE_WORD or
        NOT_NUMBERED for each chunk; (texts + 1,) where each text's chunks begin; whether each text is UNSURE, and so
        must be simplified by Python.
    """
    texts = len(offsets) - 1
    # a syllable of Hangul (3 bytes) becomes three letters (9 bytes); a space is added behind the last chunk
    buffer = np.empty(3 * (offsets[texts] - offsets[0]) + texts + SLACK, dtype=np.uint8)
    ends = np.empty(offsets[texts] - offsets[0] + texts, dtype=np.uint64)
    numbers = np.empty(len(ends), dtype=np.int64)
    byte_starts = np.zeros(texts + 1, dtype=np.int64)
    chunk_starts = np.zeros(texts + 1, dtype=np.int64)
    is_unsure = np.zeros(texts, dtype=np.bool_)
    for text in range(texts):
        byte, chunk = byte_starts[text], chunk_starts[text]
        count, written, is_sure = _simplify(
            data, np.uint64(offsets[text]), np.uint64(offsets[text + 1]), table, is_ready[text], cases, longest_case,
            buffer[byte:], ends[chunk:], numbers[chunk:],
        )  # fmt: skip
        is_unsure[text] = not is_sure
        byte_starts[text + 1] = byte + np.int64(written)
        chunk_starts[text + 1] = chunk + count
    used = chunk_starts[texts]
    return buffer, byte_starts, ends[:used], numbers[:used], chunk_starts, is_unsure


@numba.njit(cache=True, nogil=True, error_model="numpy")
def move_slots(slots: NDArray[np.uint64], larger: NDArray[np.uint64]) -> None:
    """Copy a hash table of (hash, number + 1) rows into a larger one; sizes are powers of two."""
    mask = np.uint64(len(larger) - 1)
    for row in range(len(slots)):
        if slots[row, 1]:
            slot = slots[row, 0] & mask
            while larger[slot, 1]:
                slot = (slot + np.uint64(1)) & mask
            larger[slot] = slots[row]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def number_chunks(
    buffer: NDArray[np.uint8],
    byte_starts: NDArray[np.int64],
    ends: NDArray[np.uint64],
    numbers: NDArray[np.int64],
    chunk_starts: NDArray[np.int64],
    slots: NDArray[np.uint64],
    known: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the chunks that are NOT_NUMBERED, and return the first and the last byte of each that was not known."""
    mask = np.uint64(len(slots) - 1)
    begins = np.empty(len(numbers), dtype=np.int64)
    lasts = np.empty(len(numbers), dtype=np.int64)
    new = 0
    for text in range(len(byte_starts) - 1):
        begin = byte_starts[text]
        for chunk in range(chunk_starts[text], chunk_starts[text + 1]):
            end = byte_starts[text] + np.int64(ends[chunk])
            if numbers[chunk] == NOT_NUMBERED:
                hashed = hash_word(buffer, np.uint64(begin), np.uint64(end))
                slot = hashed & mask
                while slots[slot, 1] and slots[slot, 0] != hashed:
                    slot = (slot + np.uint64(1)) & mask
                if not slots[slot, 1]:
                    slots[slot, 0] = hashed
                    slots[slot, 1] = np.uint64(known + new + 1)
                    begins[new], lasts[new] = begin, end
                    new += 1
                numbers[chunk] = np.int64(slots[slot, 1]) - 1
            begin = end + 1
    return begins[:new], lasts[:new]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _cut_chunks(
    buffer: NDArray[np.uint8],
    ends: NDArray[np.uint64],
    numbers: NDArray[np.int64],
    cut_starts: NDArray[np.int64],
    cut_lengths: NDArray[np.int64],
    words: NDArray[np.uint8],
    word_ends: NDArray[np.uint64],
) -> int:
    """Write the words of the chunks of a text, one space after each, note where each ends, and return how many."""
    read = np.uint64(0)
    written = np.uint64(0)
    count = 0
    for chunk in range(len(ends)):
        cut = last_cut = np.int64(0)
        if numbers[chunk] >= 0:
            cut, last_cut = cut_starts[numbers[chunk]], cut_starts[numbers[chunk] + 1]
        while read < ends[chunk]:
            stop = ends[chunk]
            if cut < last_cut:
                stop = read + np.uint64(cut_lengths[cut])
                cut += 1
            while read < stop:
                words[written] = buffer[read]
                written += np.uint64(1)
                read += np.uint64(1)
            word_ends[count] = written
            count += 1
            words[written] = _SPACE
            written += np.uint64(1)
        read = ends[chunk] + np.uint64(1)
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def shingle_chunks(
    buffer: NDArray[np.uint8],
    byte_starts: NDArray[np.int64],
    ends: NDArray[np.uint64],
    numbers: NDArray[np.int64],
    chunk_starts: NDArray[np.int64],
    cut_starts: NDArray[np.int64],
    cut_lengths: NDArray[np.int64],
    size: int,
    kind: int,
    skips_short: bool,
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct shingle hashes of each text and where each's begin; see `shingle_kernels.shingle_batch`."""
    texts = len(byte_starts) - 1
    longest = 0
    for text in range(texts):
        longest = max(longest, byte_starts[text + 1] - byte_starts[text])
    words = np.zeros(2 * longest + SLACK, dtype=np.uint8)
    word_ends = np.empty(longest + 1, dtype=np.uint64)
    units = np.empty(longest + 1, dtype=np.uint64)
    room = 16
    while room < 2 * longest:
        room *= 2
    slots = np.empty(room, dtype=np.uint64)
    shingles = np.empty(byte_starts[texts] + 1, dtype=np.uint64)
    starts = np.zeros(texts + 1, dtype=np.int64)
    filled = 0
    for text in range(texts):
        first, last = chunk_starts[text], chunk_starts[text + 1]
        is_whole = True
        for chunk in range(first, last):
            if numbers[chunk] >= 0:
                is_whole = is_whole and cut_starts[numbers[chunk] + 1] - cut_starts[numbers[chunk]] == 1
        count = last - first
        if is_whole:
            source, source_ends = buffer[byte_starts[text] :], ends[first:last]
        else:
            count = _cut_chunks(
                buffer[byte_starts[text] :], ends[first:last], numbers[first:last], cut_starts, cut_lengths, words,
                word_ends,
            )  # fmt: skip
            source, source_ends = words, word_ends
        if count and not (skips_short and count < size):
            made = hash_shingles(source, source_ends, count, 1, size, kind, units, shingles[filled:])
            filled += drop_repeats(shingles[filled:], made, slots)
        starts[text + 1] = filled
    return shingles[:filled], starts
