from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mmpipe.errors import ConfigurationError, DatasetNotReady
from mmpipe.storage.dumps import (
    Dump,
    find_removed_dump,
    forget_dump,
    list_dumps,
    list_removed_dumps,
    read_dump,
    record_dump,
    require_dump,
)
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


@pytest.mark.parametrize(
    ("root", "files", "again"),
    [
        ("/crawl/d1", ("a.warc.gz", "b.warc.gz"), "mmpipe crawl add d1 /crawl/d1/a.warc.gz /crawl/d1/b.warc.gz;"),
        ("/crawl/d1", tuple("abcd"), "mmpipe crawl add d1 /crawl/d1;"),
        ("https://host/d1", tuple("abcd"), "mmpipe crawl add d1 with its 4 files below https://host/d1;"),
    ],
)
def test_a_removed_dump_is_told_of_until_it_comes_again(
    tmp_path: Path, root: str, files: tuple[str, ...], again: str
) -> None:
    lake = Lake(str(tmp_path))
    dump = Dump("d1", root, files)
    record_dump(lake, dump)
    require_dump(lake, "d1")
    assert list_removed_dumps(lake) == []

    forget_dump(lake, "d1")
    forget_dump(lake, "d1")  # cut off half-way, a removal is begun anew

    (removed,) = list_removed_dumps(lake)
    assert removed.dump == dump
    assert abs((datetime.now(UTC) - removed.removed_at).total_seconds()) < 60
    assert again in removed.tell_return()
    with pytest.raises(ConfigurationError, match=rf"'d1' was removed on {removed.removed_at:%Y-%m-%d} at .* UTC\."):
        require_dump(lake, "d1")
    with pytest.raises(DatasetNotReady, match="'d1' was removed on"):
        read_dump(lake, "d1")
    with pytest.raises(ConfigurationError, match=r"^No dump '\.\./d1' was added"):
        require_dump(lake, "../d1")

    record_dump(lake, dump)
    require_dump(lake, "d1")
    assert find_removed_dump(lake, "d1") is None


def test_the_order_of_dumps_only_grows(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    for name in ("b", "a", "b"):
        with hold_sequence(lake, "dump_sequence") as sequence:
            sequence.append(name)

    with hold_sequence(lake, "dump_sequence") as sequence:
        assert sequence.list_before("a") == ["b"]
        assert sequence.list_before("b") == []
        assert sequence.list_before("new") == ["b", "a"]
