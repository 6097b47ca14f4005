"""Looks into a crawl folder: which dumps lie there, which of them are whole, and what says that one has changed."""

from __future__ import annotations

import gzip
import posixpath
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.storage.dumps import find_shared_root
from mmpipe.storage.places import Place, is_temporary
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: A dump's file list. Crawls publish theirs under these names; it is copied last, and a dump without one is not whole.
LIST_NAMES = tuple(f"{kind}.paths{suffix}" for kind in ("warc", "wet", "arc") for suffix in ("", ".gz"))
#: Beside a list whose files lie elsewhere: one line, the URL or folder that its paths begin at.
BASE_NAME = "base_url"
_UNREADABLE = (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError, ValueError)
_LIST_SUFFIXES = (".paths", ".paths.gz")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as a listing shows it: its size in bytes, and a stamp (time or ETag) that changes with its content."""

    size: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """One dump folder as it was seen at one moment.

    Attributes:
        dump: name of the folder, or of the list that was dropped.
        identity: digest of its file lists and files; None while the dump is not whole.
        files: paths of its files, relative to `root`, in the order of the lists.
        lacking: why it is not whole, for people.
        root: where the files lie; None for the dump's own folder.
    """

    dump: str
    identity: str | None
    files: tuple[str, ...] = ()
    lacking: str = ""
    root: str | None = None


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A line of a file list: a path, and the size in bytes where the list gives one."""

    path: str
    size: int | None = None


def survey_crawl(crawl: Place) -> list[Sighting]:
    """Return what lies in a crawl folder, sorted by name: a dump per subfolder, and per list named after its dump.

    A list that lies in the crawl folder itself (`CC-MAIN-2024-22.warc.paths.gz`) names files that lie elsewhere: its
    lines are URLs, or begin at the URL in the file `base_url` beside it.

    Raises:
        OSError: the folder could not be listed (it is absent, or the store does not answer). That is never the same
            as an empty folder.
    """
    by_dump: dict[str, dict[str, StoredFile]] = {}
    dropped: dict[str, StoredFile] = {}
    for path, stored in list_stored_files(crawl).items():
        dump, _, inner = path.partition("/")
        if inner and not dump.startswith("."):
            by_dump.setdefault(dump, {})[inner] = stored
        elif not inner:
            dropped[path] = stored
    seen = [look_at_dump(dump, crawl.join(dump), stored) for dump, stored in by_dump.items()]
    seen += [
        look_at_list(name, crawl, dropped)
        for name in dropped
        if name.endswith(_LIST_SUFFIXES) and name_listed_dump(name) not in by_dump
    ]
    return sorted(seen, key=lambda sighting: sighting.dump)


def name_listed_dump(name: str) -> str:
    """Return the dump that a list is named after, empty if it is named after none: `d1.warc.paths.gz` lists `d1`."""
    stem = name.removesuffix(".gz").removesuffix(".paths")
    for kind in ("warc", "wet", "arc"):
        stem = "" if stem == kind else stem.removesuffix(f".{kind}")
    return stem


def look_at_list(name: str, crawl: Place, stored: Mapping[str, StoredFile]) -> Sighting:
    """Return the dump that a list in the crawl folder stands for; its files are looked for when they are read.

    Args:
        name: of the list.
        crawl: the crawl folder.
        stored: the files that lie in the crawl folder itself.
    """
    dump = name_listed_dump(name)
    if not dump:
        lacking = f"a list in the crawl folder is named after its dump, as CC-MAIN-2024-22.{name}, or lies in a folder"
        return Sighting(name, None, lacking=f"{lacking} of its dump's name")
    return _look_elsewhere(dump, crawl, [name], stored)


def _look_elsewhere(dump: str, folder: Place, lists: Sequence[str], stored: Mapping[str, StoredFile]) -> Sighting:
    """Return a dump whose files lie elsewhere: where, its lists or `base_url` say."""
    try:
        paths = list(dict.fromkeys(item.path for name in lists for item in read_file_list(folder.join(name))))
        base = folder.join(BASE_NAME).read_text().strip() if BASE_NAME in stored else ""
        is_absolute = bool(paths) and all("://" in path for path in paths)
        root, files = find_shared_root(paths) if is_absolute else (base.rstrip("/"), paths)
    except _UNREADABLE as error:
        return Sighting(dump, None, lacking=f"{', '.join(lists)} cannot be read ({error}); it may still be copied")
    if not files:
        return Sighting(dump, None, lacking=f"{', '.join(lists)} names no file")
    if not root:
        lacking = f"where its files lie: write the URL that the paths of {lists[0]} begin at into a file {BASE_NAME}"
        return Sighting(dump, None, lacking=f"it does not say {lacking} beside it")
    seen = [(name, stored[name].size, stored[name].stamp) for name in lists]
    return Sighting(dump, digest_settings([seen, root]), tuple(files), root=root)


def look_at_dump(dump: str, folder: Place, stored: Mapping[str, StoredFile]) -> Sighting:
    """Return a dump as it lies there: whole if a list is there and every file it names, with the size it gives.

    Where `base_url` lies beside the list, or its lines are URLs, the files lie elsewhere and only the list is here.

    Args:
        dump: its name.
        folder: where it lies.
        stored: all files in the folder by relative path.
    """
    lists = [name for name in LIST_NAMES if name in stored]
    if not lists:
        return Sighting(dump, None, lacking=f"its file list ({' or '.join(LIST_NAMES[:2])}) is not there yet")
    try:
        listed = {name: _read_whole_list(folder.join(name)) for name in lists}
        if BASE_NAME in stored or any("://" in item.path for items in listed.values() for item in items):
            return _look_elsewhere(dump, folder, lists, stored)
        named = [_find_whole(item, name, stored) for name, items in listed.items() for item in items]
    except _NotWhole as error:
        return Sighting(dump, None, lacking=str(error))
    if not named:
        return Sighting(dump, None, lacking=f"{', '.join(lists)} names no file")
    files = tuple(dict.fromkeys(named))
    seen = [(path, stored[path].size, stored[path].stamp) for path in (*lists, *files)]
    return Sighting(dump, digest_settings(seen), files)


class _NotWhole(Exception):
    """What a dump lacks, for people."""


def _read_whole_list(place: Place) -> list[ListedFile]:
    try:
        return read_file_list(place)
    except _UNREADABLE as error:
        raise _NotWhole(f"{place.name} cannot be read ({error}); it may still be copied") from error


def _find_whole(item: ListedFile, name: str, stored: Mapping[str, StoredFile]) -> str:
    path = find_listed(item.path, stored)
    if path is None:
        raise _NotWhole(
            f"{item.path}, named by {name}, is not there yet (if its files lie elsewhere, a file {BASE_NAME} beside "
            f"the list says where)"
        )
    if item.size is not None and stored[path].size != item.size:
        raise _NotWhole(f"{path} has {stored[path].size} of {item.size} bytes")
    return path


def read_file_list(place: Place) -> list[ListedFile]:
    """Return the lines of a path list, plain or gzip: a path or URL, and optionally a tab and its size in bytes.

    Raises:
        ValueError: a line is not of that form, or its path leads out of the dump.
        EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError: the list is cut or corrupt.
    """
    data = place.read_bytes()
    text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode()
    return [_read_line(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _read_line(line: str) -> ListedFile:
    path, _, size = line.strip().partition("\t")
    parts = path.split("/")
    if "://" in path and ".." not in parts and "\0" not in path:
        return ListedFile(path, int(size) if size.strip() else None)
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
