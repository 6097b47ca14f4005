"""Partitions: everything comes back once, in order, and the files go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmpipe.deduplication.key_partitions import MOST_PARTITIONS, KeyPartitions, count_partitions

RECORD = np.dtype([("key", "<u8"), ("value", "<i8")])


@pytest.mark.parametrize("partitions", [1, 3, 512])
def test_records_come_back_sorted_across_all_files(tmp_path: Path, partitions: int) -> None:
    draw = np.random.default_rng(partitions)
    records = np.empty(5000, dtype=RECORD)
    records["key"] = draw.integers(0, 2**64, 5000, dtype=np.uint64, endpoint=False)
    records["key"][:4] = [0, 2**64 - 1, 2**63, records["key"][9]]
    records["value"] = draw.integers(-9, 9, 5000)
    with KeyPartitions(tmp_path / "new", "some", RECORD, partitions) as files:
        for begin in range(0, 5000, 777):
            files.append(records[begin : begin + 777])
        files.append(records[:0])
        found = np.concatenate(list(files.read_sorted()))
        by_key = np.concatenate(list(files.read_sorted("value")))
    expected = records[np.lexsort((records["value"], records["key"]))]
    assert np.array_equal(found, expected)
    assert np.array_equal(by_key, expected)
    assert not list((tmp_path / "new").iterdir())


def test_files_go_when_something_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), KeyPartitions(tmp_path, "some", RECORD, 3):
        _ = 1 // 0
    assert not list(tmp_path.iterdir())


def test_as_many_partitions_as_memory_asks_for() -> None:
    assert [count_partitions(count, 10, 100) for count in (0, 1, 10, 11, 10**9)] == [1, 1, 1, 2, MOST_PARTITIONS]
