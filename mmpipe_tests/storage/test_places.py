from __future__ import annotations

from pathlib import Path

import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.storage.places import Place
from mmpipe.storage.range_cache import RangeCache


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(str(tmp_path / "folder") if request.param == "disk" else f"memory://{tmp_path.name}/folder")


def test_what_is_written_is_read_back(folder: Place) -> None:
    file = folder.join("below", "file.txt")

    file.write_text("words")

    assert file.exists()
    assert file.is_file()
    assert file.size() == 5
    assert file.read_text() == "words"
    assert list(folder.list_files()) == ["below/file.txt"]
    file.remove()
    file.remove()
    assert list(folder.list_files()) == []


def test_a_store_whose_driver_is_not_installed_says_which() -> None:
    import importlib.util

    if importlib.util.find_spec("s3fs"):
        pytest.skip("s3fs is installed")
    with pytest.raises(ConfigurationError, match=r"s3://commoncrawl/x cannot be opened: .*s3fs"):
        Place("s3://commoncrawl/x").is_file()


def test_places_below_share_the_cache_and_it_is_no_part_of_where_they_are(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path)
    place = Place("https://data.example", cache).join("a", "b")
    assert place.cache is cache
    assert place == Place("https://data.example/a/b")


def write_half(file: Place) -> None:
    with file.replace_file() as temporary:
        temporary.write_text("ne")
        raise OSError("disk full")


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    file = Place(str(tmp_path / "file.txt"))
    file.write_text("old")

    with pytest.raises(OSError, match="disk full"):
        write_half(file)

    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_an_unfinished_write_is_not_listed(tmp_path: Path) -> None:
    folder = Place(str(tmp_path))

    with folder.join("file.txt").replace_file() as temporary:
        temporary.write_text("half")
        assert list(folder.list_files()) == []

    assert list(folder.list_files()) == ["file.txt"]


def test_identity_changes_with_the_content(folder: Place) -> None:
    file = folder.join("file.txt")
    file.write_text("one")
    before = file.identify()

    file.write_text("three")

    assert file.identify() != before


def test_folders_go_with_their_last_file_and_others_stay(tmp_path: Path) -> None:
    for path in ("a/b/c", "a/d"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "a" / "d" / "file.txt").write_text("x")

    Place(str(tmp_path)).remove_empty_folders()

    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["a", "a/d", "a/d/file.txt"]
