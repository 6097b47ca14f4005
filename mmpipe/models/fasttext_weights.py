"""Reads a fastText file's weights into tables for the compiled prediction; other kinds are left to the library."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_HEAD_BYTES = 8
_SETTINGS = struct.Struct("<12id")
_DICTIONARY = struct.Struct("<3i2q")
#: Count and type of an entry, after its name and a NUL.
_ENTRY_BYTES = 9
_CENTROIDS = 256
_HIERARCHICAL = 1
_LINE_END = np.frombuffer(b"</s>", np.uint8)
_LABEL_MARK = np.frombuffer(b"__label__", np.uint8)


class FastTextWeights(NamedTuple):
    """A supervised model with hierarchical softmax; all but `labels` is what `fasttext_kernels.predict_line` takes.

    Attributes:
        line_end: what ends a line.
        label_mark: what a label begins with.
        entries: hash table over the dictionary: numbers of entries, words first.
        bounds: where the name of each entry begins in `names`, and the end.
        names: the names' bytes.
        word_count: entries that are words.
        shortest: characters of the shortest n-gram.
        longest: characters of the longest.
        bucket_count: buckets of n-grams.
        slots: (n, 2) int32, hash table from bucket to row, if buckets were pruned.
        bits: a bit for each bucket that was left; empty if none was pruned.
        rows: (n, dimension) float32, of words, then of buckets.
        outputs: (labels, dimension) float32, one row per inner node.
        tree: (nodes, 2) int32, left and right child, -1 for a leaf; leaves come first, the root last.
        labels: labels by number, without fastText's prefix.
    """

    line_end: NDArray[np.uint8]
    label_mark: NDArray[np.uint8]
    entries: NDArray[np.int32]
    bounds: NDArray[np.int64]
    names: NDArray[np.uint8]
    word_count: int
    shortest: int
    longest: int
    bucket_count: int
    slots: NDArray[np.int32]
    bits: NDArray[np.uint8]
    rows: NDArray[np.float32]
    outputs: NDArray[np.float32]
    tree: NDArray[np.int32]
    labels: list[str]


def read_weights(path: Path) -> FastTextWeights | None:
    """Return the weights of a whole model file (`fasttext_files.find_fault`); None for a kind that is not read here.

    Read are models with hierarchical softmax and without word n-grams, compressed or not: lid.176.ftz and lid.176.bin
    are such.
    """
    with path.open("rb") as stream:
        # shared by the processes that read it
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    dimension, _, _, _, _, word_ngrams, loss, _, bucket_count, shortest, longest, _, _ = _SETTINGS.unpack_from(
        data, _HEAD_BYTES
    )
    place = _HEAD_BYTES + _SETTINGS.size
    count, word_count, label_count, _, pruned_count = _DICTIONARY.unpack_from(data, place)
    if loss != _HIERARCHICAL or word_ngrams > 1 or label_count < 2 or pruned_count == 0:
        return None
    place += _DICTIONARY.size
    names: list[bytes] = []
    tallies: list[int] = []
    for _ in range(count):
        end = data.find(b"\0", place)
        names.append(data[place:end])
        tallies.append(int.from_bytes(data[end + 1 : end + 9], "little"))
        place = end + 1 + _ENTRY_BYTES
    pruned = np.frombuffer(data, np.int32, 2 * max(pruned_count, 0), place).reshape(-1, 2)
    place += pruned.nbytes
    is_compressed, place = data[place] == 1, place + 1
    rows, place = _read_compressed(data, place) if is_compressed else _read_matrix(data, place)
    is_output_compressed, place = data[place] == 1, place + 1
    if (is_compressed and is_output_compressed) or rows.shape[1] != dimension:
        return None
    outputs, _ = _read_matrix(data, place)
    return FastTextWeights(
        _LINE_END,
        _LABEL_MARK,
        *_table_names(names),
        word_count,
        shortest,
        longest,
        bucket_count,
        *_table_buckets(pruned, bucket_count),
        rows,
        outputs,
        _build_tree(tallies[word_count:]),
        [name.decode("utf-8", "replace").removeprefix("__label__") for name in names[word_count:]],
    )


def _table_names(names: list[bytes]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8]]:
    from mmpipe.models.fasttext_kernels import fill_entries

    bounds = np.zeros(len(names) + 1, np.int64)
    np.cumsum([len(name) for name in names], out=bounds[1:])
    joined = np.frombuffer(b"".join(names), np.uint8)
    entries = np.full(1 << (4 * len(names)).bit_length(), -1, np.int32)
    fill_entries(entries, bounds, joined)
    return entries, bounds, joined


def _table_buckets(pruned: NDArray[np.int32], bucket_count: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    from mmpipe.models.fasttext_kernels import fill_buckets

    slots = np.full((1 << (2 * len(pruned)).bit_length(), 2), -1, np.int32)
    bits = np.zeros(bucket_count // 8 + 1 if len(pruned) else 0, np.uint8)
    fill_buckets(slots, bits, pruned)
    return slots, bits


def _read_matrix(data: mmap.mmap, place: int) -> tuple[NDArray[np.float32], int]:
    height, width = struct.unpack_from("<2q", data, place)
    place += 16
    return np.frombuffer(data, np.float32, height * width, place).reshape(height, width), place + 4 * height * width


def _read_compressed(data: mmap.mmap, place: int) -> tuple[NDArray[np.float32], int]:
    """Read a matrix that is stored as codes of centroids (product quantization), and its rows' norms if it has them."""
    has_norms, height, width, code_count = struct.unpack_from("<?2qi", data, place)
    place += 21
    codes = np.frombuffer(data, np.uint8, code_count, place).reshape(height, -1)
    centroids, part, place = _read_centroids(data, place + code_count)
    rows = np.empty((height, width), np.float32)
    for number in range(codes.shape[1]):
        first = number * part
        columns = min(part, width - first)
        # the last part may be narrower; its centroids follow the others' all the same
        of_part = centroids[number * _CENTROIDS * part :][: _CENTROIDS * columns].reshape(_CENTROIDS, columns)
        rows[:, first : first + columns] = of_part[codes[:, number]]
    if has_norms:
        norm_codes = np.frombuffer(data, np.uint8, height, place)
        norms, _, place = _read_centroids(data, place + height)
        rows *= norms[norm_codes][:, None]
    return rows, place


def _read_centroids(data: mmap.mmap, place: int) -> tuple[NDArray[np.float32], int, int]:
    width, _, part, _ = struct.unpack_from("<4i", data, place)
    place += 16
    return np.frombuffer(data, np.float32, width * _CENTROIDS, place), part, place + 4 * width * _CENTROIDS


def _build_tree(tallies: list[int]) -> NDArray[np.int32]:
    """Build the Huffman tree over labels that fall in number, as the library does: ties go to the inner node."""
    leaves = len(tallies)
    sums = [*tallies, *[10**15] * (leaves - 1)]
    children = np.full((2 * leaves - 1, 2), -1, np.int32)
    leaf, inner = leaves - 1, leaves
    for node in range(leaves, 2 * leaves - 1):
        total = 0
        for side in range(2):
            if leaf >= 0 and sums[leaf] < sums[inner]:
                chosen, leaf = leaf, leaf - 1
            else:
                chosen, inner = inner, inner + 1
            children[node, side] = chosen
            total += sums[chosen]
        sums[node] = total
    return children
