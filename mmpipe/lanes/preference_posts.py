"""Lays a StackExchange dump out by question, once in a run, for the shards that make its pairs."""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.duplicates import find_scratch

if TYPE_CHECKING:
    from mmpipe.filtering.list_references import ListReference
    from mmpipe.synthesis.comparisons import Comparisons

#: Bytes of a dump that one shard is for: its pairs are in memory together.
SHARD_BYTES = 256 << 20


class LaidDump:
    """A dump's posts on disk by question: laid when a shard first asks, and gone with the object.

    A run that was killed lays the dump again, in one pass, and makes those shards alone that are not committed.

    Args:
        file: `Posts.xml`, or compressed as `.gz`, `.bz2` or `.xz`.
        settings: StackExchangeSettings.
        cache_folder: the posts are laid in its `scratch`, as they take about the dump's bytes; empty for `/tmp`.
    """

    def __init__(self, file: ListReference, settings: Any, cache_folder: str = "") -> None:
        self._file = file
        self._cache_folder = cache_folder
        self._settings = settings
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[Path] = []
        #: Rows of the dump by what they were; told with the first shard.
        self.rows: dict[str, float] = {}

    def count_shards(self) -> int:
        """Return how many shards the dump is: by its size, so that any machine says the same."""
        path = Path(self._file.path)
        size = path.stat().st_size if path.is_file() else 0
        most: int = self._settings.partitions
        return min(max(1, -(-size // SHARD_BYTES)), most)

    def pair(self, place: int, shards: int) -> Comparisons:
        """Return the pairs of one shard of the dump.

        Raises:
            ConfigurationError: the file is gone, is none of the kind, or not what it was when the recipe was loaded.
        """
        from mmpipe.synthesis.comparison_groups import join_comparisons
        from mmpipe.synthesis.stack_exchange import pair_file

        if self._folder is None:
            self._lay()
        mine = [file for file in self._files if _number(file) % shards == place]
        return join_comparisons(pair_file(file, self._settings) for file in mine)

    def _lay(self) -> None:
        from mmpipe.synthesis.stack_exchange import lay_dump
        from mmpipe.synthesis.stack_exchange_posts import DumpAccount

        path = Path(self._file.path)
        if not path.is_file():
            raise ConfigurationError(f"The file {self._file.list} is not there any more. Put it back, or name another.")
        folder = tempfile.TemporaryDirectory(prefix="mmpipe-posts-", dir=find_scratch(self._cache_folder))
        account = DumpAccount()
        with path.open("rb") as stored:
            hashed = _HashedReader(stored)
            with _open_compressed(path.suffix, hashed) as stream:
                try:
                    files = lay_dump(stream, Path(folder.name), self._settings, account)
                except (ConfigurationError, EOFError, OSError) as error:
                    raise ConfigurationError(f"{self._file.list}: {error}") from error
            hashed.read_rest()
        if hashed.digest() != self._file.sha256:
            raise ConfigurationError(
                f"The file {self._file.list} has another SHA-256 than the recipe says. Put the right one there."
            )
        self._folder, self._files = folder, files
        self.rows = {"dump_rows": account.rows, "dump_questions": account.questions, "dump_answers": account.answers}
        self.rows |= {f"dump_{reason}": count for reason, count in account.left_out.items()}


def _number(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


class _HashedReader(io.RawIOBase):
    """Reads a stream and keeps the digest of what was read."""

    def __init__(self, stored: BinaryIO) -> None:
        self._stored = stored
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stored.read(len(buffer))
        self._hash.update(data)
        buffer[: len(data)] = data
        return len(data)

    def read_rest(self) -> None:
        """Read what stands behind the last byte that was needed."""
        while data := self._stored.read(1 << 20):
            self._hash.update(data)

    def digest(self) -> str:
        return self._hash.hexdigest()


def _open_compressed(suffix: str, raw: _HashedReader) -> BinaryIO:
    stream = io.BufferedReader(raw, 1 << 20)
    if suffix == ".gz":
        import gzip

        return cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    if suffix == ".bz2":
        import bz2

        return cast("BinaryIO", bz2.BZ2File(stream))
    if suffix == ".xz":
        import lzma

        return cast("BinaryIO", lzma.LZMAFile(stream))
    return cast("BinaryIO", stream)
