"""Where bytes are: a folder or file, local, on a web host or any fsspec store; writes are whole or absent."""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.storage.http_requests import RemoteFile
    from mmpipe.storage.range_cache import RangeCache


@dataclass(frozen=True)
class Place:
    """A folder or file by URL: a plain path, `file://`, `s3://`, `https://`, `memory://`, any fsspec scheme.

    Attributes:
        url: where it is.
        cache: what keeps the ranges that are read over HTTP(S); places below this one share it.
    """

    url: str
    cache: RangeCache | None = field(default=None, compare=False, repr=False)

    @property
    def is_http(self) -> bool:
        """Whether a web host gives it, by range and read-only."""
        return self.url.startswith(("http://", "https://"))

    @cached_property
    def _asked(self) -> RemoteFile | None:
        """What the web host says of the file: asked once per object, so that one look costs one request."""
        from mmpipe.storage.http_requests import ask_file

        return ask_file(self.url)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        import fsspec  # only object stores pay for the import

        # listings are never cached: a code server lives for weeks and must see a dump that lands meanwhile
        try:
            filesystem, path = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"{self.url} cannot be opened: {error}") from error
        return filesystem, path

    @cached_property
    def local_path(self) -> Path | None:
        """The path on this machine's disk, or None on an object store."""
        if "://" not in self.url:
            return Path(self.url).expanduser()
        return Path(self.url.removeprefix("file://")) if self.url.startswith("file://") else None

    @property
    def name(self) -> str:
        """Last part of the path."""
        return posixpath.basename(self.url.rstrip("/"))

    def join(self, *parts: str) -> Place:
        """Return the place below this one."""
        return Place("/".join([self.url.rstrip("/"), *(part.strip("/") for part in parts)]), self.cache)

    def open(self) -> IO[bytes]:
        """Open for reading bytes; seekable.

        Raises:
            FileNotFoundError: nothing is there; over HTTP(S) perhaps only when the first byte is read.
            storage.http_requests.RemoteFileError: a web host does not give it, or not all of it (while reading).
        """
        if self.local_path is not None:
            return self.local_path.open("rb")
        if self.is_http:
            from mmpipe.storage.http_files import HttpFile

            return io.BufferedReader(HttpFile(self.url, cache=self.cache), 1 << 16)
        filesystem, path = self._opened
        opened: IO[bytes] = filesystem.open(path, "rb")
        return opened

    def exists(self) -> bool:
        """Whether a file or folder is there."""
        if self.local_path is not None:
            return self.local_path.exists()
        if self.is_http:
            return self._asked is not None
        filesystem, path = self._opened
        return bool(filesystem.exists(path))

    def is_file(self) -> bool:
        """Whether a file is there."""
        if self.local_path is not None:
            return self.local_path.is_file()
        if self.is_http:
            return self._asked is not None
        filesystem, path = self._opened
        return bool(filesystem.isfile(path))

    def size(self) -> int:
        """Bytes of the file."""
        if self.local_path is not None:
            return self.local_path.stat().st_size
        if self.is_http:
            return self._require_asked().size
        filesystem, path = self._opened
        return int(filesystem.size(path))

    def identify(self) -> str:
        """Return a string that changes when the file's content does: size and modification time, or the ETag.

        No content is read. A place on a web host asks once and then always says the same.
        """
        if self.local_path is not None:
            stat = self.local_path.stat()
            return f"{stat.st_size}-{stat.st_mtime_ns}"
        if self.is_http:
            return self._require_asked().identity
        filesystem, path = self._opened
        info = filesystem.info(path)
        stamp = info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified") or ""
        return f"{info.get('size')}-{stamp}"

    def _require_asked(self) -> RemoteFile:
        if self._asked is None:
            raise FileNotFoundError(f"{self.url} is not there.")
        return self._asked

    def read_bytes(self) -> bytes:
        """Return the whole file."""
        with self.open() as stream:
            return stream.read()

    def read_text(self) -> str:
        """Return the whole file as UTF-8 text."""
        return self.read_bytes().decode()

    def write_bytes(self, data: bytes) -> None:
        """Write the whole file so that a reader sees the old bytes or the new ones, never a part.

        On a local disk: a temporary name in the same folder, flushed to the disk, then renamed. An object store's
        put is whole by itself.
        """
        if self.local_path is None:
            filesystem, path = self._opened
            filesystem.pipe_file(path, data)
            return
        with self.replace_file() as temporary:
            temporary.write_bytes(data)

    def write_text(self, text: str) -> None:
        """Write the whole file as UTF-8 text, atomically."""
        self.write_bytes(text.encode())

    def replace_file(self) -> FileReplacement:
        """Return a context manager giving a local temporary path that becomes this file when the block ends well."""
        return FileReplacement(self)

    def list_files(self) -> Iterator[str]:
        """Yield the paths of all files below this folder, relative to it, sorted; nothing if the folder is absent.

        Temporary files of unfinished writes are left out.
        """
        if self.local_path is not None:
            found = sorted(
                path.relative_to(self.local_path).as_posix() for path in self.local_path.rglob("*") if path.is_file()
            )
        else:
            filesystem, root = self._opened
            prefix = root.rstrip("/") + "/"
            found = sorted(path.removeprefix(prefix) for path in filesystem.find(root)) if self.exists() else []
        yield from (path for path in found if not is_temporary(path))

    def remove(self) -> None:
        """Remove the file; nothing happens if it is gone already."""
        if self.local_path is not None:
            self.local_path.unlink(missing_ok=True)
            return
        filesystem, path = self._opened
        if filesystem.exists(path):
            filesystem.rm_file(path)

    def remove_temporary_files(self) -> None:
        """Remove what unfinished writes left below this folder, where nobody writes; an object store has none."""
        if self.local_path is not None:
            for path in self.local_path.rglob(".*.tmp"):
                path.unlink(missing_ok=True)

    def remove_empty_folders(self) -> None:
        """Remove the folders below this one that hold no file; an object store has none."""
        if self.local_path is None:
            return
        for folder in sorted((path for path in self.local_path.rglob("*") if path.is_dir()), reverse=True):
            # whoever writes a file there just now keeps the folder
            with contextlib.suppress(OSError):
                folder.rmdir()


class FileReplacement:
    """A write in progress: `with place.replace_file() as path:` writes to `path`, then swaps it in whole."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._is_local = place.local_path is not None
        folder = place.local_path.parent if place.local_path is not None else _make_scratch_folder()
        # the writer's process id and a random part: an orphaned step can outlive its run and race the retry
        self._temporary = folder / f".{place.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"

    def __enter__(self) -> Path:
        self._temporary.parent.mkdir(parents=True, exist_ok=True)
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._swap_in()
        finally:
            self._temporary.unlink(missing_ok=True)

    def _swap_in(self) -> None:
        target = self._place.local_path
        if target is None:
            self._place.write_bytes(self._temporary.read_bytes())
            return
        with self._temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        self._temporary.replace(target)
        _flush_folder(target.parent)


def is_temporary(path: str) -> bool:
    """Whether a relative path is the temporary file of a write that has not ended."""
    name = posixpath.basename(path)
    return name.startswith(".") and name.endswith(".tmp")


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_scratch_folder() -> Path:
    import tempfile

    return Path(tempfile.gettempdir())
