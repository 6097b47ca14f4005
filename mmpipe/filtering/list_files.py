"""Reads list files: unpacks them, finds a member of an archive, and leaves out lines that are no entries, counted."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, name_nearest

if TYPE_CHECKING:
    from mmpipe.filtering.list_references import ListReference

#: No domain, URL or phrase is longer; what is, is a file of another kind.
_ENTRY_CHARS = 4096
_CHUNK_BYTES = 1 << 20
#: Control characters (a tab between words is none), and what stands for bytes that are no UTF-8.
_BROKEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\ufffd]")
_EXAMPLES = 3
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ListTally:
    """How many lines of a list are entries, how many are broken, and the first of these with their numbers."""

    entries: int = 0
    broken: int = 0
    examples: list[str] = field(default_factory=list)

    def note_broken(self, number: int, line: str) -> None:
        """Count a broken line."""
        self.broken += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"line {number}: {line[:60]!r}")


def read_entries(
    reference: ListReference, normalize: Callable[[str], str], tally: ListTally | None = None
) -> Iterator[str]:
    """Yield the normalised entries of a list; blank lines and what follows a `#` at a line's start are none.

    A line that is too long, holds control characters or invalid UTF-8, or that `normalize` makes nothing of, is broken:
    it is counted and left out, and the count is logged as a warning.

    Args:
        reference: the list.
        normalize: returns the entry as it is looked up, or the empty string if a line can be none.
        tally: counts what is read; None to have it counted for the log alone.

    Raises:
        ConfigurationError: the list cannot be read, or is not the one whose sha256 the recipe states.
    """
    tally = ListTally() if tally is None else tally
    with _open_content(reference) as content:
        for number, line in enumerate(_read_lines(content), 1):
            written = line.strip()
            if not written or written[0] == "#":
                continue
            is_broken = len(line) > _ENTRY_CHARS or _BROKEN.search(written) is not None
            entry = "" if is_broken else normalize(written)
            if entry:
                tally.entries += 1
                yield entry
            else:
                tally.note_broken(number, written)
    if tally.broken:
        _log.warning(
            "List %s: %d lines are broken and left out, %d entries are read (%s).",
            reference.list, tally.broken, tally.entries, "; ".join(tally.examples),
        )  # fmt: skip


def _read_lines(content: IO[bytes]) -> Iterator[str]:
    """Yield lines, of which one that is too long is only begun: its rest is gone over, not held."""
    is_rest = False
    # four bytes a character at most, so that what is read of a line that is too long is too long itself
    while line := content.readline(4 * _ENTRY_CHARS + 2):
        if not is_rest:
            # a mark at the start of the file is no part of its first entry
            yield line.decode("utf-8", "replace").removeprefix("\ufeff")
        is_rest = not line.endswith(b"\n")


@contextmanager
def _open_content(reference: ListReference) -> Iterator[IO[bytes]]:
    import fsspec

    try:
        with fsspec.open(reference.path or reference.file, "rb") as stored:
            _check_digest(stored, reference)
            with _unpack(stored) as unpacked:
                if not reference.member:
                    yield unpacked
                    return
                with tarfile.open(fileobj=unpacked, mode="r|") as archive:
                    yield _find_member(archive, reference)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, tarfile.TarError) as error:
        raise ConfigurationError(f"The list {reference.list} cannot be read: {error}.") from error


def _check_digest(stored: IO[bytes], reference: ListReference) -> None:
    if not reference.sha256:
        return
    digest = hashlib.sha256()
    while chunk := stored.read(_CHUNK_BYTES):
        digest.update(chunk)
    stored.seek(0)
    if digest.hexdigest() != reference.sha256:
        raise ConfigurationError(
            f"The list {reference.list} is not the one the recipe was loaded with: its sha256 is {digest.hexdigest()}, "
            f"not {reference.sha256}. Restore the file, or state the new sha256 in the recipe."
        )


@contextmanager
def _unpack(stored: IO[bytes]) -> Iterator[IO[bytes]]:
    """Unpack by the file's first bytes, whatever its name."""
    magic = stored.read(6)
    stored.seek(0)
    packed: Any = None
    if magic == b"\xfd7zXZ\x00":
        packed = lzma.LZMAFile(stored)  # noqa: SIM115 (closed below)
    elif magic.startswith(b"\x1f\x8b"):
        packed = gzip.GzipFile(fileobj=stored)
    elif magic.startswith(b"\x28\xb5\x2f\xfd"):
        from backports import zstd

        packed = zstd.ZstdFile(stored)
    if packed is None:
        yield stored
        return
    with packed, io.BufferedReader(packed, _CHUNK_BYTES) as opened:
        yield opened


def _find_member(archive: tarfile.TarFile, reference: ListReference) -> IO[bytes]:
    """Return a member by its path, or by the end of it: `adult/domains` is `blacklists/adult/domains` too."""
    wanted = "/" + reference.member.strip("/")
    names = []
    for member in archive:
        if not member.isfile():
            continue
        names.append(member.name)
        opened = archive.extractfile(member) if ("/" + member.name).endswith(wanted) else None
        if opened is not None:
            return opened
    ends = sorted({"/".join(name.split("/")[-2:]) for name in names})
    raise ConfigurationError(
        f"The list {reference.list}: no file {reference.member!r} in the archive.{name_nearest(reference.member, ends)}"
    )
