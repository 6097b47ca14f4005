"""A copy is whole and right, or absent; and it goes on from where it broke off."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.storage.file_copies import copy_file, copy_folder, digest_folder
from mmpipe.storage.places import Place
from mmpipe_tests.storage.flaky_host import Answer, FlakyHost, open_host

DATA = random.Random(1).randbytes(6_500_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


def test_a_break_is_gone_on_from(tmp_path: Path) -> None:
    target = tmp_path / "lists" / "a.bin"
    with open_host(FlakyHost({"a.bin": DATA})) as host:
        source = host.url("a.bin")
        host.plan = [Answer(), Answer(status=403)]  # the first megabytes, then no more
        with pytest.raises(PermissionError):
            copy_file(Place(source), target, SHA256)
        begun = (target.parent / ".a.bin.part").stat().st_size
        assert 0 < begun < len(DATA)
        assert not target.exists()
        sent = host.sent_bytes
        assert copy_file(Place(source), target, SHA256) == SHA256
        assert host.sent_bytes - sent <= len(DATA) - begun + (1 << 20)
        requests = len(host.requests)
        assert copy_file(Place(source), target, SHA256) == SHA256  # there already: nobody is asked
        assert len(host.requests) == requests
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]


def test_another_file_under_the_same_url_is_begun_anew(tmp_path: Path) -> None:
    with open_host(FlakyHost({"a.bin": DATA})) as host:
        host.plan = [Answer(), Answer(status=403)]
        with pytest.raises(PermissionError):
            copy_file(Place(host.url("a.bin")), tmp_path / "a.bin")
        host.files["a.bin"], host.etag = DATA[::-1], '"2"'
        copy_file(Place(host.url("a.bin")), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA[::-1]


def test_a_wrong_file_is_not_kept_and_the_old_one_stays(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"other")
    (tmp_path / "target").write_bytes(b"old")
    with pytest.raises(ConfigurationError, match="not the file it should be"):
        copy_file(Place(str(tmp_path / "source")), tmp_path / "target", SHA256)
    assert (tmp_path / "target").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]
    with pytest.raises(FileNotFoundError):
        copy_file(Place(str(tmp_path / "absent")), tmp_path / "target2")


def test_a_folder_is_copied_whole_and_known_by_its_files(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "below").mkdir(parents=True)
    (source / "en.txt").write_text("one\n")
    (source / "below" / "x").write_text("two\n")
    digest = copy_folder(source, target)
    assert digest == digest_folder(source) == digest_folder(target)
    (source / "en.txt").write_text("three\n")
    with pytest.raises(ConfigurationError, match="not the folder it should be"):
        copy_folder(source, target, digest)
    assert (target / "en.txt").read_text() == "one\n"
    copy_folder(source, target)
    assert (target / "en.txt").read_text() == "three\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]
