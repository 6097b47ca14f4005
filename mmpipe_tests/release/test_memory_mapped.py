"""Memory maps: numpy maps what was written, and Megatron's own reader agrees where it is installed."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, InvariantBroken
from mmpipe.release.memory_mapped import choose_dtype, parse_index, render_index, render_tokens
from mmpipe_tests.trainers import find_trainers


def write(folder: Path, sequences: list[list[int]], vocabulary: int, borders: list[int] | None = None) -> Path:
    (folder / "x.bin").write_bytes(b"".join(render_tokens(sequences, vocabulary)))
    (folder / "x.idx").write_bytes(render_index([len(ids) for ids in sequences], vocabulary, borders))
    return folder / "x"


@pytest.mark.parametrize(("vocabulary", "width"), [(49_152, 2), (65_536, 2), (65_537, 4), (128_256, 4)])
def test_numpy_maps_every_sequence(tmp_path: Path, vocabulary: int, width: int) -> None:
    sequences = [[0, vocabulary - 1, 5], [7], [], [3, 3]]
    prefix = write(tmp_path, sequences, vocabulary)
    index = parse_index(prefix.with_suffix(".idx").read_bytes())
    assert index.dtype.itemsize == width
    tokens = np.memmap(prefix.with_suffix(".bin"), dtype=index.dtype, mode="r")
    assert [index.take(tokens, place).tolist() for place in range(4)] == sequences
    assert index.pointers.tolist() == [0, 3 * width, 4 * width, 4 * width]
    assert index.document_borders.tolist() == [0, 1, 2, 3, 4]
    assert prefix.with_suffix(".bin").stat().st_size == 6 * width


def test_the_layout_is_the_documented_one() -> None:
    index = render_index([2, 1], 1000, [0, 2])
    assert index == (
        b"MMIDIDX\x00\x00"
        + struct.pack("<QBQQ", 1, 8, 2, 2)
        + struct.pack("<2i", 2, 1)
        + struct.pack("<2q", 0, 4)
        + struct.pack("<2q", 0, 2)
    )
    assert b"".join(render_tokens([[1, 2], [258]], 1000)) == b"\x01\x00\x02\x00\x02\x01"


@given(st.lists(st.integers(0, 9), max_size=12), st.sampled_from([500, 70_000]))
def test_an_index_comes_back(lengths: list[int], vocabulary: int) -> None:
    index = parse_index(render_index(lengths, vocabulary))
    assert index.lengths.tolist() == lengths
    width = index.dtype.itemsize
    assert index.pointers.tolist() == [width * sum(lengths[:place]) for place in range(len(lengths))]
    assert index.document_borders.tolist() == list(range(len(lengths) + 1))


def test_bad_sizes_ids_and_borders_are_named() -> None:
    for size in (0, 2**31 + 1):
        with pytest.raises(ConfigurationError, match="no size of a vocabulary"):
            choose_dtype(size)
    for wrong in ([[1], [2, 10]], [[1], [-1]]):
        with pytest.raises(InvariantBroken, match=r"sequence 1 has ids .* another tokenizer"):
            list(render_tokens(wrong, 10))
    for borders in ([0, 1], [1, 2], [0, 2, 1, 2], []):
        with pytest.raises(InvariantBroken, match="rise from 0 to the 2 sequences"):
            render_index([1, 1], 10, borders)
    whole = render_index([1, 2], 10)
    for broken in (b"", b"MMIDIDX\x00\x01" + whole[9:], whole[:-1], whole[:9] + b"\x02" + whole[10:]):
        with pytest.raises(InvariantBroken, match="Memory map"):
            parse_index(broken)


_READ = """
import json, sys
from megatron.core.datasets.indexed_dataset import IndexedDataset
for prefix in sys.argv[1:]:
    data = IndexedDataset(prefix, mmap=True)
    print(json.dumps([[data[place].tolist() for place in range(len(data))], data.document_indices.tolist()]))
"""


def test_megatron_reads_it(tmp_path: Path) -> None:
    python, path = find_trainers("megatron.core.datasets.indexed_dataset")
    prefixes, expected = [], []
    for vocabulary in (49_152, 128_256):
        (tmp_path / str(vocabulary)).mkdir()
        sequences = [[0, vocabulary - 1, 5], [7], [3, 3]]
        prefixes.append(str(write(tmp_path / str(vocabulary), sequences, vocabulary, [0, 2, 3])))
        expected.append([sequences, [0, 2, 3]])
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", _READ, *prefixes],
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    assert [json.loads(line) for line in done.stdout.splitlines()[-2:]] == expected
