"""Keeps on disk what was read of remote files, granule by granule, up to a size; the longest unread goes first."""

from __future__ import annotations

import os
import random
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmpipe.tables.identity import digest_settings

#: One write in so many looks whether the cache has grown too large: a look lists the whole folder.
_WRITES_PER_LOOK = 64
#: A cache that is too large is cut to this share of its size, so that the next look is far off.
_KEPT_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class RangeCache:
    """A folder of granules: `ab/abcd…-00000012`, named by URL, content and number; shared by all processes.

    Attributes:
        folder: where it lies, on a local disk.
        most_bytes: size that it may have, give or take the writes between two looks.
    """

    folder: Path
    most_bytes: int = 20 << 30

    def read(self, url: str, identity: str, index: int) -> bytes | None:
        """Return a granule, or None if it is not kept."""
        path = self._place(url, identity, index)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None  # not kept, or a disk that fails: the host has it still
        return data

    def write(self, url: str, identity: str, index: int, data: bytes) -> None:
        """Keep a granule; a reader sees all of it or nothing. A full disk keeps nothing and stops nobody."""
        path = self._place(url, identity, index)
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        if random.randrange(_WRITES_PER_LOOK) == 0:  # noqa: S311 - not a secret
            self.shrink()

    def shrink(self) -> None:
        """Remove the granules that were not read for longest, if there are too many."""
        found = []
        for path in self.folder.glob("*/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # another process shrinks too
            found.append((stat.st_mtime, stat.st_size, path))
        size = sum(entry[1] for entry in found)
        if size <= self.most_bytes:
            return
        for _, entry_bytes, path in sorted(found):
            path.unlink(missing_ok=True)
            size -= entry_bytes
            if size <= self.most_bytes * _KEPT_SHARE:
                return

    def _place(self, url: str, identity: str, index: int) -> Path:
        key = digest_settings([url, identity])
        return self.folder / key[:2] / f"{key}-{index:08d}"
