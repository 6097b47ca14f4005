"""Looks into a crawl folder: which dumps lie there, which of them are whole, and what says that one has changed."""

from __future__ import annotations

import gzip
import posixpath
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.storage.places import Place, is_temporary
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A dump's file list. Crawls publish theirs under these names; it is copied last, and a dump without one is not whole.
LIST_NAMES = tuple(f"{kind}.paths{suffix}" for kind in ("warc", "wet", "arc") for suffix in ("", ".gz"))


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as a listing shows it: its size in bytes, and a stamp (time or ETag) that changes with its content."""

    size: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """One dump folder as it was seen at one moment.

    Attributes:
        dump: name of the folder.
        identity: digest of its file lists and files; None while the dump is not whole.
        files: paths of its files, relative to the folder, in the order of the lists.
        lacking: why it is not whole, for people.
    """

    dump: str
    identity: str | None
    files: tuple[str, ...] = ()
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A line of a file list: a path, and the size in bytes where the list gives one."""

    path: str
    size: int | None = None


def survey_crawl(crawl: Place) -> list[Sighting]:
    """Return what lies in every subfolder of a crawl folder, sorted by name.

    Raises:
        OSError: the folder could not be listed (it is absent, or the store does not answer). That is never the same
            as an empty folder.
    """
    by_dump: dict[str, dict[str, StoredFile]] = {}
    for path, stored in list_stored_files(crawl).items():
        dump, _, inner = path.partition("/")
        if inner and not dump.startswith("."):
            by_dump.setdefault(dump, {})[inner] = stored
    return [look_at_dump(dump, crawl.join(dump), stored) for dump, stored in sorted(by_dump.items())]


def look_at_dump(dump: str, folder: Place, stored: Mapping[str, StoredFile]) -> Sighting:
    """Return a dump as it lies there: whole if a list is there and every file it names, with the size it gives.

    Args:
        dump: its name.
        folder: where it lies.
        stored: all files in the folder by relative path.
    """
    lists = [name for name in LIST_NAMES if name in stored]
    if not lists:
        return Sighting(dump, None, lacking=f"its file list ({' or '.join(LIST_NAMES[:2])}) is not there yet")
    named: list[str] = []
    for name in lists:
        try:
            listed = read_file_list(folder.join(name))
        except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError, ValueError) as error:
            return Sighting(dump, None, lacking=f"{name} cannot be read ({error}); it may still be copied")
        for item in listed:
            path = find_listed(item.path, stored)
            if path is None:
                return Sighting(dump, None, lacking=f"{item.path}, named by {name}, is not there yet")
            if item.size is not None and stored[path].size != item.size:
                return Sighting(dump, None, lacking=f"{path} has {stored[path].size} of {item.size} bytes")
            named.append(path)
    if not named:
        return Sighting(dump, None, lacking=f"{', '.join(lists)} names no file")
    files = tuple(dict.fromkeys(named))
    seen = [(path, stored[path].size, stored[path].stamp) for path in (*lists, *files)]
    return Sighting(dump, digest_settings(seen), files)


def read_file_list(place: Place) -> list[ListedFile]:
    """Return the lines of a path list, plain or gzip: a path, and optionally a tab and its size in bytes.

    Raises:
        ValueError: a line is not of that form, or its path leads out of the dump.
        EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError: the list is cut or corrupt.
    """
    data = place.read_bytes()
    text = (gzip.decompress(data) if place.name.endswith(".gz") else data).decode()
    return [_read_line(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _read_line(line: str) -> ListedFile:
    path, _, size = line.strip().partition("\t")
    parts = path.split("/")
    if ".." in parts or path.startswith("/") or "\0" in path:
        raise ValueError(f"{path!r} leads out of the dump")
    return ListedFile(posixpath.normpath(path), int(size) if size.strip() else None)


def find_listed(path: str, stored: Mapping[str, StoredFile]) -> str | None:
    """Return the stored path of a listed file; leading folders may be gone, as when a crawl was fetched flat."""
    parts = path.split("/")
    candidates = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((candidate for candidate in candidates if candidate in stored), None)


def list_stored_files(folder: Place) -> dict[str, StoredFile]:
    """Return all files below a folder by relative path, with size and stamp, from one fresh listing.

    Raises:
        OSError: the folder could not be listed.
    """
    if folder.local_path is None:
        return _list_remote(folder)
    if not folder.local_path.is_dir():
        raise FileNotFoundError(f"{folder.local_path} is not a folder")
    found = {}
    for path in folder.local_path.rglob("*"):
        try:
            if not path.is_file():
                continue
            stat = path.stat()
        except FileNotFoundError:
            continue  # renamed or removed while we looked: the next look sees it under its new name
        found[path.relative_to(folder.local_path).as_posix()] = StoredFile(stat.st_size, str(stat.st_mtime_ns))
    return {path: stored for path, stored in found.items() if not is_temporary(path)}


def _list_remote(folder: Place) -> dict[str, StoredFile]:
    import fsspec

    # a code server lives for weeks: a cached listing would never show the next dump
    filesystem, root = fsspec.core.url_to_fs(folder.url, use_listings_cache=False)
    filesystem.invalidate_cache()
    filesystem.ls(root, detail=False)  # `find` of an absent prefix is empty without a word; `ls` says so
    prefix = root.rstrip("/") + "/"
    found = {}
    for path, info in filesystem.find(root, detail=True).items():
        # stores spell the stamp differently
        stamp = next((info[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(key)), "")
        found[path.removeprefix(prefix)] = StoredFile(int(info.get("size") or 0), str(stamp))
    return {path: stored for path, stored in found.items() if not is_temporary(path)}
