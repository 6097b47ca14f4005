from __future__ import annotations

from pathlib import Path

import pytest

from mmpipe.errors import DatasetNotReady
from mmpipe.storage.dumps import Dump, list_dumps, read_dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.storage.sequence import hold_sequence


def test_a_dump_is_found_by_name(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    dump = Dump("dump-1", "s3://crawl/d1", ("a.warc.gz", "b.warc.gz"))

    record_dump(lake, dump)

    assert read_dump(lake, "dump-1") == dump
    assert list_dumps(lake) == ["dump-1"]
    with pytest.raises(DatasetNotReady, match="Did you mean 'dump-1'"):
        read_dump(lake, "dump-2")


def test_the_order_of_dumps_only_grows(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    for name in ("b", "a", "b"):
        with hold_sequence(lake, "dump_sequence") as sequence:
            sequence.append(name)

    with hold_sequence(lake, "dump_sequence") as sequence:
        assert sequence.list_before("a") == ["b"]
        assert sequence.list_before("b") == []
        assert sequence.list_before("new") == ["b", "a"]
