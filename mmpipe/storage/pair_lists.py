"""Reads lists of image-text pairs in a dump: Parquet as LAION, COYO and DataComp publish it, JSONL, CSV and TSV."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import posixpath
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError, ShardError
from mmpipe.storage.places import Place
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: How a list's name ends.
LIST_SUFFIXES = (".parquet", *(f".{kind}{packed}" for kind in ("jsonl", "csv", "tsv") for packed in ("", ".gz")))
#: Rows of one shard.
ROWS_PER_RANGE = 100_000
#: Characters of a row's other columns that are kept, as JSON.
MAX_METADATA_CHARS = 20_000

# names of columns, lower case; of several in a row the first that holds something is taken
URL_COLUMNS = ("url", "image_url", "img_url", "imageurl", "image_link")
FILE_COLUMNS = ("file_name", "filepath", "file_path", "image_path", "image_file", "file", "image")
CAPTION_COLUMNS = ("caption", "text", "top_caption", "alt_text", "alt")
PAGE_COLUMNS = ("page_url", "document_url", "page")
LIKES_COLUMNS = ("likes", "like_count", "num_likes", "favorites", "favourites")
SHARES_COLUMNS = ("shares", "share_count", "num_shares", "reposts", "retweets")

_BATCH_ROWS = 2_000
_NATIVE_SCHEMES = ("s3://", "gs://", "gcs://", "az://", "abfs://", "abfss://", "hf://", "http://", "https://")
# a field of a CSV file, in characters: the default would stop at a caption of 128 KiB
_MAX_FIELD_CHARS = 1 << 27
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ListRange:
    """The rows [start, stop) of one list (path inside the dump), from 0."""

    file: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class ListedPair:
    """One row of a list as written: texts are not cleaned and addresses not looked at.

    A row that cannot be read (a line that is no JSON object) has nothing but its position.
    """

    position: int
    url: str | None = None
    file: str | None = None
    caption: str | None = None
    page_url: str | None = None
    likes: float | None = None
    shares: float | None = None
    metadata: str | None = None
    is_metadata_cut: bool = False


def is_pair_list(path: str) -> bool:
    """Whether a file of a dump is a list of pairs, by its name."""
    return path.lower().endswith(LIST_SUFFIXES)


def read_columns(root: Place, path: str) -> list[str]:
    """Return the names of a list's columns that may hold an address or a caption; nested ones and bytes may not.

    Raises:
        ConfigurationError: the list cannot be read; it may still be copied.
    """
    try:
        if path.lower().endswith(".parquet"):
            # an address that is no text, such as an embedded image, is none
            schema = _scan(root.join(path)).collect_schema()
            return [name for name, dtype in schema.items() if dtype.is_nested() is False and dtype != pl.Binary]
        with _open_text(root.join(path)) as lines:
            return list(next(_read_objects(path, lines), None) or ())
    except (OSError, EOFError, ValueError, csv.Error, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(
            f"{path} cannot be read as a list of image-text pairs: {error}. It may still be copied."
        ) from error


def read_first_rows(root: Place, path: str, rows: int) -> list[ListedPair]:
    """Return the first rows of a list, as many as it has."""
    written = _read_rows(root.join(path), ListRange(path, 0, rows))
    return [_understand(number, row) for number, row in enumerate(written) if row is not None]


def cut_list(root: Place, path: str, rows: int = ROWS_PER_RANGE) -> list[ListRange]:
    """Cut a list into ranges of `rows` rows; none for a list of no rows."""
    place = root.join(path)
    if path.lower().endswith(".parquet"):
        count = int(_scan(place).select(pl.len()).collect().item())
    else:
        with _open_text(place) as lines:
            count = sum(1 for _ in _read_raw(path, lines))
    return [ListRange(path, start, min(start + rows, count)) for start in range(0, count, rows)]


def read_list(root: Place, rows: ListRange) -> Iterator[ListedPair]:
    """Yield the rows of a range, in order.

    Raises:
        ShardError: the list has fewer rows than it had when it was cut.
    """
    number = rows.start
    for number, written in enumerate(_read_rows(root.join(rows.file), rows), rows.start + 1):
        yield ListedPair(number - 1) if written is None else _understand(number - 1, written)
    if number != rows.stop:
        raise ShardError(
            f"{rows.file} ends at row {number} of {rows.stop}: it has changed since it was cut. Materialize "
            f"image_candidates of this dump again."
        )


def _read_rows(place: Place, rows: ListRange) -> Iterator[Mapping[str, Any] | None]:
    if not rows.file.lower().endswith(".parquet"):
        with _open_text(place) as lines:
            yield from islice(_read_objects(rows.file, lines), rows.start, rows.stop)
        return
    scanned = _scan(place)
    schema = scanned.collect_schema()
    # bytes are no metadata, and would fill the memory
    scanned = scanned.select(name for name, dtype in schema.items() if not _holds_bytes(dtype))
    for start in range(rows.start, rows.stop, _BATCH_ROWS):
        batch = scanned.slice(start, min(_BATCH_ROWS, rows.stop - start)).collect()
        yield from batch.iter_rows(named=True)


def _holds_bytes(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Struct):
        return any(_holds_bytes(item.dtype) for item in dtype.fields)  # type: ignore[arg-type]
    if isinstance(dtype, pl.List | pl.Array):
        return _holds_bytes(dtype.inner)  # type: ignore[arg-type]
    return dtype == pl.Binary


def _scan(place: Place) -> pl.LazyFrame:
    if place.local_path is not None or place.url.startswith(_NATIVE_SCHEMES):
        return pl.scan_parquet(str(place.local_path or place.url), hive_partitioning=False, glob=False)
    return pl.scan_parquet(io.BytesIO(place.read_bytes()))


@contextmanager
def _open_text(place: Place) -> Iterator[IO[str]]:
    with place.open() as stream:
        unpacked: Any = gzip.GzipFile(fileobj=stream) if place.name.endswith(".gz") else stream
        # a byte that is no UTF-8 spoils its caption, not the list
        with io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors="replace", newline="") as lines:
            yield lines


def _read_raw(path: str, lines: IO[str]) -> Iterator[Any]:
    """Yield the records of a text list undecoded, empty lines left out."""
    name = path.lower().removesuffix(".gz")
    if name.endswith(".jsonl"):
        yield from (line for line in lines if line.strip())
        return
    csv.field_size_limit(_MAX_FIELD_CHARS)
    yield from csv.DictReader(lines, delimiter="\t" if name.endswith(".tsv") else ",")


def _read_objects(path: str, lines: IO[str]) -> Iterator[Mapping[str, Any] | None]:
    for record in _read_raw(path, lines):
        if isinstance(record, dict):
            record.pop(None, None)  # fields beyond the header
            yield record
            continue
        try:
            decoded = json.loads(record)
        except (ValueError, RecursionError):
            decoded = None
        yield decoded if isinstance(decoded, dict) else None


def _understand(position: int, written: Mapping[str, Any]) -> ListedPair:
    by_name: dict[str, str] = {}
    for name in written:
        by_name.setdefault(name.lower(), name)
    used: set[str] = set()

    def take(names: tuple[str, ...]) -> Any:
        for name in names:
            value = written[by_name[name]] if name in by_name else None
            if value is not None and value != "":
                used.add(by_name[name])
                return value
        return None

    url, file, caption = (_read_text(take(names)) for names in (URL_COLUMNS, FILE_COLUMNS, CAPTION_COLUMNS))
    page_url = _read_text(take(PAGE_COLUMNS))
    if page_url is not None and not page_url.startswith(("http://", "https://")):
        # a path, or a page number: kept with the rest
        used.discard(next(by_name[name] for name in PAGE_COLUMNS if name in by_name))
        page_url = None
    likes, shares = _read_number(take(LIKES_COLUMNS)), _read_number(take(SHARES_COLUMNS))
    rest = {name: value for name, value in written.items() if name not in used and value is not None}
    metadata = json.dumps(rest, ensure_ascii=False, default=str) if rest else None
    is_cut = metadata is not None and len(metadata) > MAX_METADATA_CHARS
    return ListedPair(
        position, url, file, caption, page_url, likes, shares, None if is_cut else metadata, is_metadata_cut=is_cut
    )


def _read_text(value: Any) -> str | None:
    """Return a text; of a list of texts (several captions) the first."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, str) and item.strip()), None)
    # lone surrogates, which JSON may write, fit no UTF-8
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _read_number(value: Any) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


class ImageFiles:
    """The pictures that lie in a dump beside its lists, found by the paths that a list writes."""

    def __init__(self, root: Place) -> None:
        self._root = root

    @cached_property
    def _stored(self) -> frozenset[str]:
        # one listing of an object store rather than a question per picture
        return frozenset(self._root.list_files())

    def find(self, list_file: str, written: str) -> str | None:
        """Return the path inside the dump of a picture, None if it is not there.

        A path is relative to the folder of its list or else to the dump; one that leads out of the dump is not there.
        """
        path = written.strip().replace("\\", "/")
        if not path or "\0" in path or "://" in path or path.startswith("/") or ".." in path.split("/"):
            return None
        for folder in dict.fromkeys((posixpath.dirname(list_file), "")):
            candidate = posixpath.normpath(posixpath.join(folder, path))
            if self._is_there(candidate):
                return candidate
        return None

    def _is_there(self, path: str) -> bool:
        if self._root.local_path is None:
            return path in self._stored
        try:
            return (self._root.local_path / path).is_file()
        except (OSError, ValueError):  # a name that the file system cannot have
            return False


def identify_image_files(root: Place, paths: Iterable[str]) -> str:
    """Return a digest that changes when pictures of a dump do: paths, sizes and times, no content; absent ones count.

    On an object store a question per picture would cost more than its reading: there only the paths are told.
    """
    if root.local_path is None:
        return digest_settings(sorted(paths))
    identities = []
    for path in sorted(paths):
        place = root.join(path)
        identities.append([path, place.identify() if place.is_file() else None])
    return digest_settings(identities)


def read_image_file(root: Place, path: str, max_bytes: int) -> bytes | None:
    """Return at most `max_bytes` of a picture that lies in the dump; None if it is there no more."""
    pieces, left = [], max_bytes
    try:
        with root.join(path).open() as stream:
            # in pieces: a read of many bytes takes their memory first, however small the file
            while left > 0 and (piece := stream.read(min(left, _PIECE_BYTES))):
                pieces.append(piece)
                left -= len(piece)
    except FileNotFoundError:
        return None
    return b"".join(pieces)
