"""Opens fastText model files: a file that is no model, or only the first part of one, is refused by name."""

from __future__ import annotations

import mmap
import struct
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmpipe.errors import WeightsNotFound

#: What fastText splits words at.
SEPARATORS = " \n\r\t\v\f\0"

_MAGIC = 793712314
#: Settings of a model file: twelve integers and a floating-point number; the eighth says what kind of model it is.
_SETTINGS = struct.Struct("<12id")
_KIND = 7
_SUPERVISED = 3
#: Entries, words, labels, tokens and pruned buckets of the dictionary.
_DICTIONARY = struct.Struct("<3i2q")
#: What follows an entry's name and its NUL: count and type.
_ENTRY_BYTES = 9
_CENTROIDS = 256


def load_fasttext(path: Path, noun: str, advice: str) -> Any:
    """Return the fastText model of a file that names labels.

    Args:
        path: its file.
        noun: what the messages call it.
        advice: what to do if there is none.

    Raises:
        WeightsNotFound: no file, no fastText model, only a part of one, or one of word vectors.
    """
    import fasttext.FastText

    if not path.is_file():
        raise WeightsNotFound(f"{noun}: no file at {path}. {advice}")
    stat = path.stat()
    fault = _find_fault_once(path, stat.st_size, stat.st_mtime_ns)
    if fault is not None:
        raise WeightsNotFound(f"{noun}: {path} {fault}. {advice}")
    # fastText's own load_model warns on stderr about a change of ten years ago; this is what it calls
    return fasttext.FastText._FastText(str(path))  # noqa: SLF001


@lru_cache
def _find_fault_once(path: Path, _size: int, _modified: int) -> str | None:
    # the dictionary of a large model takes a second to walk through, and a worker opens it for every shard
    return find_fault(path)


def find_fault(path: Path) -> str | None:
    """Return what is wrong with a model file, None if it is whole.

    fastText itself reads on behind the end of a file that was cut off: it hangs, takes all memory or gives chance
    answers. The layout is that of its own `saveModel`, versions 11 and 12.
    """
    if path.stat().st_size < 8 + _SETTINGS.size + _DICTIONARY.size:
        return "is no fastText model: it is too short"
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version = struct.unpack_from("<2i", data)
        if magic != _MAGIC:
            return "is no fastText model: it does not begin as one"
        if not 11 <= version <= 12:
            return f"is a fastText model of version {version}; 11 and 12 can be read"
        if _SETTINGS.unpack_from(data, 8)[_KIND] != _SUPERVISED:
            return "is a fastText model of word vectors, which names no labels"
        try:
            end = _find_end(data)
        except (struct.error, ValueError):
            end = len(data) + 1
        if end > len(data):
            return f"is only the first part of a fastText model ({len(data):,} bytes): it was cut off"
        return None


def _find_end(data: mmap.mmap) -> int:
    """Return where the model ends; beyond the data, or an error, if it was cut off."""
    place = 8 + _SETTINGS.size
    entries, _, _, _, pruned = _DICTIONARY.unpack_from(data, place)
    place += _DICTIONARY.size
    for _ in range(entries):
        place = data.find(b"\0", place) + 1
        if place == 0:
            raise ValueError("a name does not end")
        place += _ENTRY_BYTES
    place += 8 * max(pruned, 0)
    (is_quantized,) = struct.unpack_from("<?", data, place)
    place = _skip_matrix(data, place + 1, is_quantized=is_quantized)
    (is_output_quantized,) = struct.unpack_from("<?", data, place)
    return _skip_matrix(data, place + 1, is_quantized=is_quantized and is_output_quantized)


def _skip_matrix(data: mmap.mmap, place: int, *, is_quantized: bool) -> int:
    if not is_quantized:
        rows, columns = struct.unpack_from("<2q", data, place)
        return place + 16 + 4 * int(rows) * int(columns)
    has_norms, rows, _, code_bytes = struct.unpack_from("<?2qi", data, place)
    place = _skip_quantizer(data, place + 21 + int(code_bytes))
    return _skip_quantizer(data, place + int(rows)) if has_norms else place


def _skip_quantizer(data: mmap.mmap, place: int) -> int:
    (columns,) = struct.unpack_from("<i", data, place)
    return place + 16 + 4 * _CENTROIDS * int(columns)


def make_line(text: str) -> str:
    """Return a text as the one line that fastText takes, nothing else changed; empty if it holds no word."""
    # lone surrogates cannot cross into C++
    line = text.replace("\n", " ")
    if not line.isascii():
        line = line.encode("utf-8", "ignore").decode()
    return line if line.strip(SEPARATORS) else ""


def digest_file(path: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a file."""
    hasher = sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            hasher.update(block)
    return hasher.hexdigest()[:16]
