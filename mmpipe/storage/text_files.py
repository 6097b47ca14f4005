"""Reads texts that people bring: JSON lines, Parquet, plain text, compressed or not, and datasets of a lake."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError
from mmpipe.storage.commits import FAILED, read_manifest
from mmpipe.storage.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a file's name ends in, compression taken off.
KINDS = {".jsonl": "json lines", ".ndjson": "json lines", ".json": "json lines", ".parquet": "parquet", ".txt": "plain"}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2"}
_ROWS_AT_ONCE = 4096


def list_text_files(source: Path) -> list[Path]:
    """Return the files of a source, in order: itself, or a folder's.

    A folder with a manifest is a dataset of a lake, of which the committed files are taken; one that holds such
    folders (`dump=…`) is all of them; of any other folder, every file of a known kind, its own folders' too.

    Raises:
        ConfigurationError: nothing is there, a file of an unknown kind, or a dataset whose checks failed.
    """
    if source.is_file():
        _find_kind(source)
        return [source]
    if not source.is_dir():
        raise ConfigurationError(f"{source}: no such file or folder.")
    manifests = sorted(source.glob("**/manifest.json"))
    files = [file for manifest in manifests for file in _list_committed(manifest)]
    if not manifests:
        files = sorted(file for file in source.rglob("*") if file.is_file() and _split(file)[0] in KINDS)
    if not files:
        raise ConfigurationError(f"{source}: no texts in this folder. Known kinds: {', '.join(KINDS)}, compressed too.")
    return files


def read_texts(source: Path, field: str = "text") -> Iterator[str]:
    """Yield the texts of a source, in order.

    JSON lines and Parquet give one text per row, from the field; rows where it is null are passed over. Plain text
    gives one per line. Compression is told by the name (`.gz`, `.zst`, `.bz2`).

    Args:
        source: a file, or a folder as `list_text_files` takes it.
        field: name of the field or column.

    Raises:
        ConfigurationError: as `list_text_files`; or a file that cannot be read as what its name says, with its line.
    """
    for file in list_text_files(source):
        kind = _find_kind(file)
        if kind == "parquet":
            yield from _read_parquet(file, field)
        elif kind == "json lines":
            yield from _read_json_lines(file, field)
        else:
            with _open(file) as stream:
                for line in _list_lines(stream, file):
                    yield line.decode("utf-8", "replace").rstrip("\r\n")


def _read_parquet(file: Path, field: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            if field not in opened.schema_arrow.names:
                raise ConfigurationError(f"{file}: no column {field!r} among {opened.schema_arrow.names}.")
            for batch in opened.iter_batches(_ROWS_AT_ONCE, columns=[field]):
                for number, text in enumerate(batch.column(0).to_pylist()):
                    if text is not None:
                        yield _require_text(text, file, f"row {number} of a batch", field)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigurationError(f"{file}: not a Parquet file that can be read ({error}).") from error


def _read_json_lines(file: Path, field: str) -> Iterator[str]:
    with _open(file) as stream:
        for number, line in enumerate(_list_lines(stream, file), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ConfigurationError(f"{file}:{number}: not JSON ({error}).") from error
            if not isinstance(row, dict) or field not in row:
                raise ConfigurationError(f"{file}:{number}: no field {field!r}. Each line is an object that has one.")
            if row[field] is not None:
                yield _require_text(row[field], file, f"line {number}", field)


def _list_lines(stream: Any, file: Path) -> Iterator[bytes]:
    try:
        yield from stream
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"{file}: damaged or not compressed as its name says ({error}).") from error


def _require_text(value: object, file: Path, where: str, field: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{file}: {field!r} in {where} is {type(value).__name__}, not a string.")
    return value


def _open(file: Path) -> Any:
    """Return a stream of bytes, decompressed."""
    import pyarrow as pa

    compression = _split(file)[1]
    raw = pa.input_stream(str(file), compression=_COMPRESSIONS.get(compression))
    return io.BufferedReader(raw, 1 << 20)


def _list_committed(manifest: Path) -> list[Path]:
    read = read_manifest(Place(str(manifest.parent)).join("manifest.json").read_text())
    if read.checks == FAILED:
        raise ConfigurationError(
            f"{manifest.parent} is refused: blocking checks failed: {', '.join(read.failed_checks)}."
        )
    return [manifest.parent / commit.file for commit in read.commits]


def _find_kind(file: Path) -> str:
    suffix = _split(file)[0]
    if suffix not in KINDS:
        raise ConfigurationError(f"{file}: of no known kind. Known: {', '.join(KINDS)}, also .gz, .zst and .bz2.")
    return KINDS[suffix]


def _split(file: Path) -> tuple[str, str]:
    """Return the suffix that names the kind, and that of the compression, empty for none."""
    suffixes = [suffix.lower() for suffix in file.suffixes[-2:]]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        return (suffixes[0] if len(suffixes) == 2 else ""), suffixes[-1]
    return (suffixes[-1] if suffixes else ""), ""
