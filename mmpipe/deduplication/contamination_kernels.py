"""The compiled inner loops of decontamination: words to n-grams, n-grams to hits that are verified word by word.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached on
disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.contamination_words import FOLD_MASK, find_longest, look_up, mix64, read_words
from mmpipe.deduplication.normalization import VANISHES

if TYPE_CHECKING:
    from mmpipe.deduplication.contamination_grams import Grams

# Steele and Vigna's (2021) 64-bit multiplier, for rolling over words
_ROLL = np.uint64(0xD1342543DE82EF95)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fold_segments(
    codes: NDArray[np.uint32], offsets: NDArray[np.int64], table: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Return the words of segments of items: their folded characters, where each begins, their hashes; words before.

    Args:
        codes: code points of all segments, end to end.
        offsets: (segments + 1,) first code point of each.
        table: `contamination_index.build_word_table()`.

    Returns:
        characters (c,), word_start (w + 1,) into them, hashes (w,), segment_word (segments + 1,) first word of each.
    """
    segments = len(offsets) - 1
    longest = find_longest(offsets)
    starts = np.empty(longest, dtype=np.int32)
    ends = np.empty(longest, dtype=np.int32)
    hashes = np.empty(longest, dtype=np.uint64)
    characters = np.empty(len(codes), dtype=np.uint32)
    word_start = np.zeros(len(codes) + 1, dtype=np.int64)
    all_hashes = np.empty(len(codes), dtype=np.uint64)
    segment_word = np.zeros(segments + 1, dtype=np.int64)
    words = 0
    filled = 0
    for segment in range(segments):
        text = codes[offsets[segment] : offsets[segment + 1]]
        count = read_words(text, table, starts, ends, hashes)
        for word in range(count):
            for at in range(starts[word], ends[word]):
                entry = look_up(text[at], table)
                if entry >> np.uint32(24) != VANISHES:
                    characters[filled] = entry & FOLD_MASK
                    filled += 1
            all_hashes[words] = hashes[word]
            words += 1
            word_start[words] = filled
        segment_word[segment + 1] = words
    return characters[:filled].copy(), word_start[: words + 1].copy(), all_hashes[:words].copy(), segment_word


@numba.njit(cache=True, nogil=True, error_model="numpy")
def hash_grams(hashes: NDArray[np.uint64], width: int, mask: np.uint64) -> NDArray[np.uint64]:
    """Return the hash of the `width` words from each word on; shape (words - width + 1,), or none."""
    count = len(hashes) - width + 1
    grams = np.empty(max(count, 0), dtype=np.uint64)
    if count <= 0:
        return grams
    leaving = np.uint64(1)
    rolled = np.uint64(0)
    for word in range(width):
        rolled = rolled * _ROLL + hashes[word]
        leaving *= _ROLL
    for first in range(count):
        grams[first] = mix64(rolled) & mask
        if first + 1 < count:
            rolled = rolled * _ROLL + hashes[first + width] - leaving * hashes[first]
    return grams


@numba.njit(cache=True, nogil=True, error_model="numpy")
def number_grams(
    hashes: NDArray[np.uint64],
    words: NDArray[np.int64],
    lengths: NDArray[np.int32],
    characters: NDArray[np.uint32],
    word_start: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return for each occurrence, sorted by hash, the first occurrence with the same words.

    Occurrences whose hashes agree by chance and whose words do not stay apart.
    """
    first_of = np.arange(len(hashes))
    run = 0
    for at in range(len(hashes)):
        if hashes[at] != hashes[run]:
            run = at
        for other in range(run, at):
            if first_of[other] != other or lengths[other] != lengths[at]:
                continue
            if _is_same(words[other], words[at], lengths[at], characters, word_start):
                first_of[at] = other
                break
    return first_of


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _is_same(one: int, other: int, length: int, characters: NDArray[np.uint32], word_start: NDArray[np.int64]) -> bool:
    shift = word_start[other] - word_start[one]
    for word in range(1, length + 1):
        if word_start[other + word] - word_start[one + word] != shift:
            return False
    for at in range(word_start[one], word_start[one + length]):  # noqa: SIM110
        if characters[at] != characters[at + shift]:
            return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fill_filter(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    """Return a bit field of 2^bits bits in which the bit of each hash (its upper `bits` bits) is set."""
    field = np.zeros(1 << (bits - 6), dtype=np.uint64)
    for value in hashes:
        place = value >> np.uint64(64 - bits)
        field[place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))
    return field


@numba.njit(cache=True, nogil=True, error_model="numpy")
def find_hits(
    codes: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint32],
    kinds: tuple[tuple[Grams, int], tuple[Grams, int]],
    mask: np.uint64,
    characters: NDArray[np.uint32],
    word_start: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return each place where a document has the words of an n-gram of the index.

    Args:
        codes: code points of all documents, end to end.
        offsets: (documents + 1,) first code point of each document.
        table: as for `fold_segments`.
        kinds: n-grams of two kinds, and how many words their hashes cover; those of the second are numbered on.
        mask: as for `hash_grams`.
        characters: as returned by `fold_segments`.
        word_start: as returned by `fold_segments`.

    Returns:
        (hits, 6): document, number of its first word, n-gram, first character, character after the last, words.
    """
    longest = find_longest(offsets)
    starts = np.empty(longest, dtype=np.int32)
    ends = np.empty(longest, dtype=np.int32)
    hashes = np.empty(longest, dtype=np.uint64)
    hits = np.empty((256, 6), dtype=np.int64)
    # no plain zero: `_search` would be compiled for it, and once more for every other number
    zero: Any = np.int64(0)
    found = zero
    full, short = kinds
    for document in range(len(offsets) - 1):
        text = codes[offsets[document] : offsets[document + 1]]
        count = read_words(text, table, starts, ends, hashes)
        words = (text, table, starts[:count], ends[:count], hashes[:count])
        hits, found = _search(words, full[0], full[1], mask, characters, word_start, (document, zero), hits, found)
        shift = len(full[0].hashes)
        hits, found = _search(words, short[0], short[1], mask, characters, word_start, (document, shift), hits, found)
    return hits[:found].copy()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _search(
    words: tuple[Any, ...],
    grams: Grams,
    width: int,
    mask: np.uint64,
    characters: NDArray[np.uint32],
    word_start: NDArray[np.int64],
    labels: tuple[int, int],
    hits: NDArray[np.int64],
    found: int,
) -> tuple[NDArray[np.int64], int]:
    """Note the hits of one document; return all hits and how many there are by now."""
    text, table, starts, ends, hashes = words
    if len(grams.hashes) == 0:
        return hits, found
    leaving = np.uint64(1)
    for _ in range(width):
        leaving *= _ROLL
    shift = np.uint64(64 - _count_bits(64 * len(grams.field)))
    bucket_shift = np.uint64(64 - _count_bits(len(grams.buckets) - 1))
    rolled = np.uint64(0)
    for last in range(len(hashes)):
        rolled = rolled * _ROLL + hashes[last]
        first = last - width + 1
        if first > 0:
            rolled -= leaving * hashes[first - 1]
        value = mix64(rolled) & mask
        if first < 0 or not _is_set(grams.field, value >> shift):
            continue
        bucket = value >> bucket_shift
        for gram in range(grams.buckets[bucket], grams.buckets[bucket + np.uint64(1)]):
            length = grams.lengths[gram]
            if grams.hashes[gram] != value or first + length > len(hashes):
                continue
            if _has_words(text, table, starts, ends, first, grams.words[gram], length, characters, word_start):
                hits = _make_room(hits, found)
                hits[found, 0], hits[found, 1], hits[found, 2] = labels[0], first, gram + labels[1]
                hits[found, 3], hits[found, 4] = starts[first], ends[first + length - 1]
                hits[found, 5] = length
                found += 1
    return hits, found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count_bits(power: int) -> int:
    """Return the logarithm of a power of two."""
    bits = 0
    while power > 1:
        power >>= 1
        bits += 1
    return bits


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _is_set(field: NDArray[np.uint64], place: np.uint64) -> bool:
    return bool((field[place >> np.uint64(6)] >> (place & np.uint64(63))) & np.uint64(1))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _make_room(hits: NDArray[np.int64], found: int) -> NDArray[np.int64]:
    if found < len(hits):
        return hits
    grown = np.empty((2 * found, hits.shape[1]), dtype=np.int64)
    grown[:found] = hits
    return grown


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _has_words(
    text: NDArray[np.uint32],
    table: NDArray[np.uint32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    first: int,
    gram_word: int,
    length: int,
    characters: NDArray[np.uint32],
    word_start: NDArray[np.int64],
) -> bool:
    """Whether the words of a document from `first` on are those of an n-gram, character by character."""
    for word in range(length):
        at = word_start[gram_word + word]
        end = word_start[gram_word + word + 1]
        for place in range(starts[first + word], ends[first + word]):
            entry = look_up(text[place], table)
            if entry >> np.uint32(24) == VANISHES:
                continue
            if at == end or characters[at] != entry & FOLD_MASK:
                return False
            at += 1
        if at != end:
            return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def merge_hits(
    documents: NDArray[np.int64], items: NDArray[np.int64], firsts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each hit, sorted by document, item and first word, the number of the span it belongs to.

    Hits of one document and item whose words overlap or follow each other are one span.
    """
    spans = np.empty(len(documents), dtype=np.int64)
    span = -1
    reach = np.int64(-1)
    for at in range(len(documents)):
        is_new = at == 0 or documents[at] != documents[at - 1] or items[at] != items[at - 1]
        if is_new or firsts[at] > reach:
            span += 1
            reach = stops[at]
        reach = max(reach, stops[at])
        spans[at] = span
    return spans
