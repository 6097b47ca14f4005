from __future__ import annotations

from pathlib import Path

import pytest

from mmpipe.storage.places import Place


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
