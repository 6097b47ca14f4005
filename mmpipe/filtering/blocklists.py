"""Holds long lists of domains, hosts and URLs as sorted hashes that all processes share."""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from mmpipe.filtering.list_files import read_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from mmpipe.filtering.list_references import ListReference

#: Lists below this many hashed bytes are hashed anew by every process; a cache file would cost more than it saves.
_SMALL_BYTES = 100_000
#: Entries hashed at a time while a list is read: what lies in memory beside the hashes.
_BATCH_ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class Blocklist:
    """A set of strings as sorted 64-bit xxh3 hashes: 8 bytes an entry, in memory or mapped from a file.

    Two strings share a hash once in 4 * 10^12 look-ups of a list of 4.5 million entries.
    """

    hashes: NDArray[np.uint64]

    def find(self, entries: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each entry whether it is on the list."""
        return self.find_hashes(hash_entries(entries))

    def find_hashes(self, wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return for each hash (of `hash_entries`) whether its entry is on the list."""
        if not self.hashes.size:
            return np.zeros(wanted.size, np.bool_)
        # asked in order, neighbours lie in the same cache line
        order = np.argsort(wanted)
        asked = wanted[order]
        places = np.minimum(np.searchsorted(self.hashes, asked), self.hashes.size - 1)
        found = np.empty(wanted.size, np.bool_)
        found[order] = self.hashes[places] == asked
        return found


def hash_entries(entries: Iterable[str]) -> NDArray[np.uint64]:
    """Return the 64-bit xxh3 hash of each entry's UTF-8 bytes."""
    digest = xxhash.xxh3_64_intdigest
    # a list is filled faster than a generator is drained
    return np.array([digest(entry.encode("utf-8", "surrogatepass")) for entry in entries], np.uint64)


def open_blocklist(
    references: Sequence[ListReference], normalize: Callable[[str], str], cache_folder: str | Path = ""
) -> Blocklist:
    """Return the union of some lists.

    A long list, or one in an archive, is hashed once and kept in `cache_folder` under the digest of its content; every
    process then maps that file, so that a list of millions of domains costs its memory once per machine.

    Args:
        references: lists of one kind.
        normalize: what is done to an entry before it is hashed; its name is part of the cache file's name.
        cache_folder: empty for the user's cache folder.

    Raises:
        ConfigurationError: as `read_entries`.
    """
    parts = [_open_one(reference, normalize, cache_folder) for reference in references]
    if len(parts) == 1:
        return Blocklist(parts[0])
    return Blocklist(np.unique(np.concatenate([np.zeros(0, np.uint64), *parts])))


def _open_one(
    reference: ListReference, normalize: Callable[[str], str], cache_folder: str | Path
) -> NDArray[np.uint64]:
    if not reference.sha256:
        return _hash_list(reference, normalize)
    digest = reference.identity.replace("#", "-").replace("/", "-")
    cached = _find_cache(cache_folder) / f"{digest}-{normalize.__name__}-v2.npy"
    if cached.is_file():
        return _map(cached)
    if not reference.member and Path(reference.path).is_file() and Path(reference.path).stat().st_size < _SMALL_BYTES:
        return _hash_list(reference, normalize)
    cached.parent.mkdir(parents=True, exist_ok=True)
    # workers that start together wait for the first rather than hash the same list side by side
    with cached.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cached.is_file():
            _write_hashes(_hash_list(reference, normalize), cached)
    return _map(cached)


def _hash_list(reference: ListReference, normalize: Callable[[str], str]) -> NDArray[np.uint64]:
    parts, batch = [np.zeros(0, np.uint64)], list[str]()
    for entry in read_entries(reference, normalize):
        batch.append(entry)
        if len(batch) == _BATCH_ENTRIES:
            parts.append(hash_entries(batch))
            batch.clear()
    return np.unique(np.concatenate([*parts, hash_entries(batch)]))


def _write_hashes(hashes: NDArray[np.uint64], cached: Path) -> None:
    # under a name of its own until it is whole: another machine may share the folder
    handle, unfinished = tempfile.mkstemp(dir=cached.parent, suffix=".npy")
    with os.fdopen(handle, "wb") as file:
        np.save(file, hashes)
    Path(unfinished).replace(cached)


def _map(cached: Path) -> NDArray[np.uint64]:
    mapped: NDArray[np.uint64] = np.load(cached, mmap_mode="r")
    return mapped


def _find_cache(cache_folder: str | Path) -> Path:
    if cache_folder:
        return Path(cache_folder) / "blocklists"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmpipe" / "blocklists"
