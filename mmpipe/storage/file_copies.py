"""Copies files and folders from anywhere to this disk: whole or absent, checked, and on from where it broke off."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

from mmpipe.errors import ConfigurationError
from mmpipe.storage.places import Place

_CHUNK_BYTES = 1 << 20


def copy_file(source: Place, target: Path, sha256: str = "") -> str:
    """Copy a file and return its sha256; what was copied before a break is not copied again.

    Args:
        source: path or URL.
        target: where it appears once it is whole and right.
        sha256: what it must be; empty for anything.

    Raises:
        ConfigurationError: it is another file than stated.
        OSError: it is not there, cannot be read to its end, or does not fit on the disk; a later call goes on.
    """
    if target.is_file() and sha256 and digest_file(target) == sha256:
        return sha256
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    begun_with = target.with_name(f".{target.name}.part.json")
    whole = json.dumps([source.url, source.identify()])
    # what lies there already is the beginning of this very content, or of none that is wanted
    if not (begun_with.is_file() and begun_with.read_text() == whole):
        unfinished.unlink(missing_ok=True)
        begun_with.write_text(whole)
    with source.open() as stream, unfinished.open("ab") as copy:
        stream.seek(copy.tell())
        while chunk := stream.read(_CHUNK_BYTES):
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    found = digest_file(unfinished)
    begun_with.unlink()
    if sha256 and found != sha256:
        unfinished.unlink()
        raise ConfigurationError(
            f"{source.url} is not the file it should be: its sha256 is {found}, not {sha256}. Nothing was kept."
        )
    unfinished.replace(target)
    return found


def copy_folder(source: Path, target: Path, sha256: str = "") -> str:
    """Copy a folder and return the digest of what is in it (see `digest_folder`); the old one stays until it is whole.

    Raises:
        ConfigurationError: it holds other files than stated.
        OSError: it cannot be read.
    """
    found = digest_folder(source)
    if sha256 and found != sha256:
        raise ConfigurationError(
            f"{source} is not the folder it should be: the digest of its files is {found}, not {sha256}. Nothing was "
            f"kept."
        )
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    replaced = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    try:
        shutil.copytree(source, unfinished)
        if target.exists():
            target.rename(replaced)
        unfinished.rename(target)
    finally:
        for leftover in (unfinished, replaced):
            shutil.rmtree(leftover, ignore_errors=True)
    return found


def digest_file(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stored:
        return hashlib.file_digest(stored, "sha256").hexdigest()


def digest_folder(folder: Path) -> str:
    """Return the sha256 of the lines `{sha256}  {path}` of a folder's files, sorted by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{digest_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
