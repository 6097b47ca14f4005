"""Compiled prediction with fastText weights: a line's words and character n-grams to labels, as the library does it.

Imported only where it is used, because numba takes a second to import. Every sum is taken in the library's order and in
its precision, so that the numbers are the library's own (fastText 0.9.3, `dictionary.cc`, `loss.cc`, `matrix.cc`; built
without fused multiplication, as its packages are).
"""

# compiled loops: calls cost, and so do comparisons through a tuple
# ruff: noqa: C901, PLR0912, PLR0915

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_SEED, _STEP = np.uint32(2166136261), np.uint32(16777619)
_BEGIN, _END = 60, 62
#: Characters whose n-grams are listed before their rows are added.
_STRETCH = 256
#: fastText adds this before it takes a logarithm.
_LEAST = 1e-5
_ONE, _NONE = np.float32(1), np.float32(0)
#: What `predict_line` says instead of a number of labels: two of them are equally likely.
TIED = -1


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _hash_on(value: Any, byte: Any) -> Any:
    # bytes from 128 on are negative to fastText
    signed = np.uint32(byte) | (np.uint32(0xFFFFFF00) if byte >= 128 else np.uint32(0))
    return np.uint32((value ^ signed) * _STEP)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _hash_entry(data: NDArray[np.uint8], start: int, end: int) -> Any:
    """Return fastText's hash of the bytes from `start` to `end`."""
    value = _SEED
    for position in range(start, end):
        value = _hash_on(value, data[position])
    return value


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find_entry(
    value: Any, data: NDArray[np.uint8], start: int, end: int, entries: NDArray[np.int32], bounds: NDArray[np.int64],
    names: NDArray[np.uint8],
) -> Any:  # fmt: skip
    """Return which entry of the dictionary the bytes from `start` to `end`, whose hash is `value`, are, or -1."""
    mask = entries.size - 1
    slot = np.int64(value) & mask
    while entries[slot] >= 0:
        entry = entries[slot]
        first = bounds[entry]
        length = bounds[entry + 1] - first
        if length == end - start:
            at = 0
            while at < length and names[first + at] == data[start + at]:
                at += 1
            if at == length:
                return np.int64(entry)
        slot = (slot + 1) & mask
    return np.int64(-1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fill_entries(entries: NDArray[np.int32], bounds: NDArray[np.int64], names: NDArray[np.uint8]) -> None:
    """Put every entry of a dictionary into an empty table (-1) of a power of two slots."""
    mask = entries.size - 1
    for entry in range(bounds.size - 1):
        slot = np.int64(_hash_entry(names, bounds[entry], bounds[entry + 1])) & mask
        while entries[slot] >= 0:
            slot = (slot + 1) & mask
        entries[slot] = entry


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fill_buckets(slots: NDArray[np.int32], bits: NDArray[np.uint8], pruned: NDArray[np.int32]) -> None:
    """Put (bucket, row) pairs into an empty table (-1) of a power of two slots, and a bit for each into `bits`."""
    mask = slots.shape[0] - 1
    for pair in range(pruned.shape[0]):
        bits[pruned[pair, 0] >> 3] |= 1 << (pruned[pair, 0] & 7)
        slot = np.int64(pruned[pair, 0]) & mask
        while slots[slot, 0] >= 0:
            slot = (slot + 1) & mask
        slots[slot, 0] = pruned[pair, 0]
        slots[slot, 1] = pruned[pair, 1]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_rows(rows: NDArray[np.float32], listed: NDArray[np.int32], count: int, hidden: NDArray[np.float32]) -> None:
    for at in range(count):
        row = rows[listed[at]]
        for column in range(hidden.size):
            hidden[column] += row[column]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _list_ngrams(
    word: NDArray[np.uint8], start: int, size: int, word_count: int, shortest: int, longest: int, bucket_count: Any,
    slots: NDArray[np.int32], bits: NDArray[np.uint8], listed: NDArray[np.int32], count: int,
) -> int:  # fmt: skip
    """List the rows of a bracketed word's character n-grams from one of its characters on; return how many are listed.

    Only as many characters are looked at as `listed` surely has room for.
    """
    mask = slots.shape[0] - 1
    is_pruned = bits.size > 0
    for first in range(start, min(start + _STRETCH, size)):
        if word[first] & 0xC0 == 0x80:
            continue
        value = _SEED
        position = first
        length = 1
        while position < size and length <= longest:
            value = _hash_on(value, word[position])
            position += 1
            while position < size and word[position] & 0xC0 == 0x80:
                value = _hash_on(value, word[position])
                position += 1
            if length >= shortest and not (length == 1 and (first == 0 or position == size)):
                bucket = np.int64(np.uint32(value % bucket_count))
                if not is_pruned:
                    listed[count] = word_count + bucket
                    count += 1
                elif (bits[bucket >> 3] >> (bucket & 7)) & 1:
                    # nine of ten are not there, which a bit says at once
                    slot = bucket & mask
                    while slots[slot, 0] != bucket:
                        slot = (slot + 1) & mask
                    listed[count] = word_count + slots[slot, 1]
                    count += 1
            length += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _read_line(
    line: NDArray[np.uint8], line_end: NDArray[np.uint8], label_mark: NDArray[np.uint8], entries: NDArray[np.int32],
    bounds: NDArray[np.int64], names: NDArray[np.uint8], word_count: int, shortest: int, longest: int,
    bucket_count: int, slots: NDArray[np.int32], bits: NDArray[np.uint8], rows: NDArray[np.float32],
    hidden: NDArray[np.float32],
) -> int:  # fmt: skip
    """Add up the rows of a line's words and n-grams; return how many there were."""
    word = np.empty(line.size + 2, np.uint8)
    modulus = np.uint32(bucket_count)
    # rows are listed first: looked up one by one, each would be waited for
    room = _STRETCH * longest + 2
    listed = np.empty(2 * room, np.int32)
    listed_count = 0
    count = 0
    position = 0
    while position < line.size:
        byte = line[position]
        if byte == 32 or 9 <= byte <= 13 or byte == 0:
            position += 1
            continue
        start = position
        value = _SEED
        while position < line.size:
            byte = line[position]
            if byte == 32 or 9 <= byte <= 13 or byte == 0:
                break
            value = _hash_on(value, byte)
            word[1 + position - start] = byte
            position += 1
        size = position - start
        entry = _find_entry(value, line, start, position, entries, bounds, names)
        if line[start] == line_end[0] and size == line_end.size:
            is_end = True
            for at in range(size):
                is_end = is_end and line[start + at] == line_end[at]
            if is_end:
                # the end of the line to fastText, also where a text says so
                break
        if entry >= word_count:
            continue
        if entry >= 0:
            listed[listed_count] = entry
            listed_count += 1
        elif line[start] == label_mark[0] and size >= label_mark.size:
            is_label = True
            for at in range(label_mark.size):
                is_label = is_label and line[start + at] == label_mark[at]
            if is_label:
                continue
        word[0] = _BEGIN
        word[size + 1] = _END
        for first in range(0, size + 2, _STRETCH):
            listed_count = _list_ngrams(
                word, first, size + 2, word_count, shortest, longest, modulus, slots, bits, listed, listed_count
            )
            if listed_count >= room:
                _add_rows(rows, listed, listed_count, hidden)
                count += listed_count
                listed_count = 0
    entry = _find_entry(_hash_entry(line_end, 0, line_end.size), line_end, 0, line_end.size, entries, bounds, names)
    if 0 <= entry < word_count:
        listed[listed_count] = entry
        listed_count += 1
    _add_rows(rows, listed, listed_count, hidden)
    return count + listed_count


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _take_log(value: Any) -> Any:
    return np.float32(np.log(np.float64(np.float32(value)) + _LEAST))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def predict_line(
    line: NDArray[np.uint8], line_end: NDArray[np.uint8], label_mark: NDArray[np.uint8], entries: NDArray[np.int32],
    bounds: NDArray[np.int64], names: NDArray[np.uint8], word_count: int, shortest: int, longest: int,
    bucket_count: int, slots: NDArray[np.int32], bits: NDArray[np.uint8], rows: NDArray[np.float32],
    outputs: NDArray[np.float32], tree: NDArray[np.int32], labels: NDArray[np.int32], scores: NDArray[np.float32],
) -> int:  # fmt: skip
    """Find the most likely labels of a line, best first.

    `line` is UTF-8 without a newline, `labels` gets the numbers of the labels and `scores` their probabilities; as many
    are sought as it has room for. The other tables are those of `fasttext_weights.FastTextWeights`.

    Returns:
        how many were found; TIED where two have one probability, and the library alone knows which comes first.
    """
    hidden = np.zeros(rows.shape[1], np.float32)
    count = _read_line(
        line, line_end, label_mark, entries, bounds, names, word_count, shortest, longest, bucket_count, slots, bits,
        rows, hidden,
    )  # fmt: skip
    if count == 0:
        return 0
    scale = np.float32(1.0 / count)
    for column in range(hidden.size):
        hidden[column] *= scale
    leaves = tree.shape[0] // 2 + 1
    most = scores.size
    waiting = np.empty(tree.shape[0], np.int32)
    reached = np.empty(tree.shape[0], np.float32)
    waiting[0] = tree.shape[0] - 1
    reached[0] = _NONE
    top = 1
    found = 0
    least = _take_log(_NONE)
    while top > 0:
        top -= 1
        node = waiting[top]
        score = reached[top]
        if score < least or (found == most and score < scores[most - 1]):
            continue
        if node < leaves:
            if found == most and score == scores[most - 1]:
                return TIED
            # in its place among those found; the last falls out
            at = min(found, most - 1)
            while at > 0 and scores[at - 1] < score:
                scores[at] = scores[at - 1]
                labels[at] = labels[at - 1]
                at -= 1
            if at > 0 and scores[at - 1] == score:
                return TIED
            scores[at] = score
            labels[at] = node
            found = min(found + 1, most)
            continue
        product = _NONE
        for column in range(hidden.size):
            product = np.float32(product + np.float32(outputs[node - leaves, column] * hidden[column]))
        share = np.float32(1.0 / np.float64(np.float32(_ONE + np.float32(np.exp(-product)))))
        # the left branch is walked first
        waiting[top] = tree[node, 1]
        reached[top] = np.float32(score + _take_log(share))
        waiting[top + 1] = tree[node, 0]
        reached[top + 1] = np.float32(score + _take_log(1.0 - np.float64(share)))
        top += 2
    for at in range(found):
        scores[at] = np.float32(np.exp(scores[at]))
    return found
