"""Reads lists of words, domains and URLs, and holds the long ones as sorted hashes that all processes share."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from mmpipe.filtering.recipe_sections import ListReference

#: Lists below this many stored bytes are hashed anew by every process; a cache file would cost more than it saves.
_SMALL_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Blocklist:
    """A set of strings as sorted 64-bit xxh3 hashes: 8 bytes an entry, in memory or mapped from a file.

    Two strings share a hash once in 4 * 10^12 look-ups of a list of 4.5 million entries.
    """

    hashes: NDArray[np.uint64]

    def find(self, entries: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each entry whether it is on the list."""
        wanted = hash_entries(entries)
        if not self.hashes.size:
            return np.zeros(wanted.size, np.bool_)
        places = np.minimum(np.searchsorted(self.hashes, wanted), self.hashes.size - 1)
        return np.asarray(self.hashes[places] == wanted)


def hash_entries(entries: Iterable[str]) -> NDArray[np.uint64]:
    """Return the 64-bit xxh3 hash of each entry's UTF-8 bytes."""
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter((digest(entry.encode("utf-8", "surrogatepass")) for entry in entries), np.uint64)


def read_entries(reference: ListReference, normalize: Callable[[str], str]) -> Iterator[str]:
    """Yield the normalised entries of a list; blank lines and lines that start with `#` are none.

    Raises:
        ConfigurationError: the list cannot be read, or is not the one whose sha256 the recipe states.
    """
    content = _read_bytes(reference.path or reference.list)
    sha256 = hashlib.sha256(content).hexdigest()
    if reference.sha256 and sha256 != reference.sha256:
        raise ConfigurationError(
            f"The list {reference.list} is not the one the recipe was loaded with: its sha256 is {sha256}, not "
            f"{reference.sha256}. Restore the file, or state the new sha256 in the recipe."
        )
    with _open_lines(content) as lines:
        for line in lines:
            entry = "" if line.startswith("#") else normalize(line.strip())
            if entry:
                yield entry


def open_blocklist(
    references: Sequence[ListReference], normalize: Callable[[str], str], cache_folder: str | Path = ""
) -> Blocklist:
    """Return the union of some lists.

    A long list is hashed once and kept in `cache_folder` under the digest of its content; every process then maps that
    file, so that a list of millions of domains costs its memory once per machine.

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
    cached = _find_cache(cache_folder) / f"{reference.sha256}-{normalize.__name__}-v1.npy"
    if reference.sha256 and cached.is_file():
        mapped: NDArray[np.uint64] = np.load(cached, mmap_mode="r")
        return mapped
    hashes = np.unique(hash_entries(read_entries(reference, normalize)))
    if hashes.nbytes < _SMALL_BYTES or not reference.sha256:
        return hashes
    cached.parent.mkdir(parents=True, exist_ok=True)
    # under a name of its own until it is whole: other processes may be writing or reading the same list
    handle, unfinished = tempfile.mkstemp(dir=cached.parent, suffix=".npy")
    with os.fdopen(handle, "wb") as file:
        np.save(file, hashes)
    Path(unfinished).replace(cached)
    shared: NDArray[np.uint64] = np.load(cached, mmap_mode="r")
    return shared


def _find_cache(cache_folder: str | Path) -> Path:
    if cache_folder:
        return Path(cache_folder) / "blocklists"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmpipe" / "blocklists"


def _read_bytes(place: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(place, "rb") as file:
            return bytes(file.read())
    except OSError as error:
        raise ConfigurationError(f"The list {place} cannot be read: {error}.") from error


def _open_lines(content: bytes) -> io.TextIOWrapper:
    """Unpack by the file's first bytes, whatever its name."""
    stored: Any = io.BytesIO(content)
    if content.startswith(b"\xfd7zXZ\x00"):
        stored = lzma.LZMAFile(stored)  # noqa: SIM115 (closed with the text wrapper)
    elif content.startswith(b"\x1f\x8b"):
        stored = gzip.GzipFile(fileobj=stored)
    return io.TextIOWrapper(stored, encoding="utf-8", errors="replace")
