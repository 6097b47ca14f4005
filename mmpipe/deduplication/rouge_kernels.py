"""The compiled inner loops of a ROUGE-L pool: longest common subsequences of token numbers, bounds that spare them.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached.

A *pool* is `tokens` (int32, all texts one after another), `starts` (int64, one more than texts) and `marks` (uint64,
(texts, MARK_WORDS)): of each text the set of its tokens, each told by one bit. A text is compared by its token numbers;
a negative number is a token that no text of the pool has.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.hamming_kernels import count_bits
from mmpipe.light_imports import start_numba

start_numba()

#: 64-bit words of a text's marks. Two are enough for instructions: 15 tokens set a tenth of 128 bits.
MARK_WORDS = 2

_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)
# a bound is computed otherwise than the score, and may be rounded otherwise: it spares a comparison only beyond this
_ROUNDING = 1e-9


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mark_tokens(tokens: NDArray[np.int32], starts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the marks of texts, (texts, MARK_WORDS).

    A token that is unknown to the pool (a negative number) sets no bit: it can only lower the similarity.
    """
    marks = np.zeros((len(starts) - 1, MARK_WORDS), dtype=np.uint64)
    for text in range(len(starts) - 1):
        for place in range(starts[text], starts[text + 1]):
            if tokens[place] >= 0:
                bit = (np.uint64(tokens[place]) * _MIX) >> np.uint64(57)  # 128 bits: the highest seven
                marks[text, bit >> np.uint64(6)] |= _ONE << (bit & np.uint64(63))
    return marks


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _score(common: int, length: int, other_length: int) -> float:
    """Return F1 exactly as rouge_score rounds it: from precision and recall, not from the lengths."""
    if common == 0:
        return 0.0
    precision = common / other_length
    recall = common / length
    return 2 * precision * recall / (precision + recall)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _index_places(text: NDArray[np.int32], slots: NDArray[np.int32], places: NDArray[np.uint64]) -> None:
    """Number the distinct tokens of a text in `slots` from 1, and set the bits of their places in `places`."""
    used = 0
    for place in range(len(text)):
        token = text[place]
        if token < 0:
            continue
        if slots[token] == 0:
            used += 1
            slots[token] = used
            places[used] = 0
        places[slots[token], place >> 6] |= _ONE << np.uint64(place & 63)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _forget_places(text: NDArray[np.int32], slots: NDArray[np.int32]) -> None:
    for token in text:
        if token >= 0:
            slots[token] = 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count_common(
    length: int,
    slots: NDArray[np.int32],
    places: NDArray[np.uint64],
    row: NDArray[np.uint64],
    other: NDArray[np.int32],
) -> int:
    """Return the length of the longest common subsequence of the indexed text and another.

    Hyyro 2004 ("Bit-parallel LCS-length computation revisited"): one row of the table of lengths is a run of bits, a
    zero where the length grows; a token of the other text makes the next row by an addition.
    """
    words = (length + 63) >> 6
    if words == 1:
        bits = _ALL
        for token in other:
            slot = slots[token]
            if slot:
                met = bits & places[slot, 0]
                bits = (bits + met) | (bits - met)
        last = np.uint64(length)
        if length < 64:
            bits |= _ALL << last
        return 64 - count_bits(bits)
    row[:words] = _ALL
    for token in other:
        slot = slots[token]
        if slot == 0:
            continue
        carry = np.uint64(0)
        for word in range(words):
            bits = row[word]
            met = bits & places[slot, word]
            total = bits + met
            overflow = total < bits
            total += carry
            carry = np.uint64(1) if overflow or total < carry else np.uint64(0)
            row[word] = total | (bits & ~met)
    common = 0
    for word in range(words):
        bits = row[word]
        if word == words - 1 and length & 63:
            bits |= _ALL << np.uint64(length & 63)
        common += 64 - count_bits(bits)
    return common


@numba.njit(cache=True, nogil=True, error_model="numpy")
def score_all(
    text: NDArray[np.int32], tokens: NDArray[np.int32], starts: NDArray[np.int64], vocabulary: int
) -> NDArray[np.float64]:
    """Return the ROUGE-L F1 of a text and every text of the pool, (texts,); 0 where one of the two has no token."""
    count = len(starts) - 1
    scores = np.zeros(count, dtype=np.float64)
    length = len(text)
    if length == 0:
        return scores
    slots = np.zeros(vocabulary, dtype=np.int32)
    places = np.zeros((length + 1, (length + 63) >> 6), dtype=np.uint64)
    row = np.empty((length + 63) >> 6, dtype=np.uint64)
    _index_places(text, slots, places)
    for other in range(count):
        begin, end = starts[other], starts[other + 1]
        if begin < end:
            common = _count_common(length, slots, places, row, tokens[begin:end])
            scores[other] = _score(common, length, end - begin)
    return scores


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _bound_common(marks: NDArray[np.uint64], text: int, other: int, length: int, other_length: int) -> int:
    """Return the most tokens that two texts can have in common: a mark that one lacks is a token it lacks."""
    lacks, other_lacks = 0, 0
    for word in range(MARK_WORDS):
        mine, theirs = marks[text, word], marks[other, word]
        lacks += count_bits(mine & ~theirs)
        other_lacks += count_bits(theirs & ~mine)
    return min(length - lacks, other_length - other_lacks)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def thin_greedily(
    tokens: NDArray[np.int32],
    starts: NDArray[np.int64],
    marks: NDArray[np.uint64],
    settled: int,
    vocabulary: int,
    threshold: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Decide texts one by one against all that stay: a text goes if its score with one of them is above the threshold.

    Args:
        tokens: of all texts; all tokens have numbers.
        starts: where each begins.
        marks: see `mark_tokens`.
        settled: so many at the beginning stay, whatever they are like.
        vocabulary: one more than the highest token number.
        threshold: highest score of a text that stays.

    Returns:
        For each text the nearest one that stays, the first of equally near ones, where the text goes, else -1; their
        score, else 0; and how many pairs were compared in full.
    """
    count = len(starts) - 1
    nearest = np.full(count, -1, dtype=np.int64)
    scores = np.zeros(count, dtype=np.float64)
    kept = np.empty(count, dtype=np.int64)
    kept[:settled] = np.arange(settled)
    keeps = settled
    longest = 0
    for text in range(settled, count):
        longest = max(longest, starts[text + 1] - starts[text])
    slots = np.zeros(vocabulary, dtype=np.int32)
    places = np.zeros((longest + 1, (longest + 63) >> 6), dtype=np.uint64)
    row = np.empty((longest + 63) >> 6, dtype=np.uint64)
    compared = 0
    for text in range(settled, count):
        begin, end = starts[text], starts[text + 1]
        length = end - begin
        best, is_indexed = threshold, False
        for rank in range(keeps):
            other = kept[rank]
            other_length = starts[other + 1] - starts[other]
            # F1 is 2 * common / (length + other length)
            needed = (best - _ROUNDING) * (length + other_length)
            if 2 * min(length, other_length) <= needed:
                continue
            if 2 * _bound_common(marks, text, other, length, other_length) <= needed:
                continue
            if not is_indexed:
                _index_places(tokens[begin:end], slots, places)
                is_indexed = True
            compared += 1
            common = _count_common(length, slots, places, row, tokens[starts[other] : starts[other + 1]])
            score = _score(common, length, other_length)
            if score > best:
                best, nearest[text], scores[text] = score, other, score
        if is_indexed:
            _forget_places(tokens[begin:end], slots)
        if nearest[text] < 0:
            kept[keeps] = text
            keeps += 1
    return nearest, scores, compared
