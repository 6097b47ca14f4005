"""Reads evaluation sets from files as they are published: JSON lines, JSON, CSV, TSV, Parquet, packed or not."""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError
from mmpipe.storage.evaluation_layouts import HEADLESS, ID_FIELDS, LAYOUTS, NESTED, find_set
from mmpipe.storage.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Fields of a whole file.
_NO_CONTENT = ("version", "canary")

#: Fields that a message lists at most.
_FEW_FIELDS = 20


@dataclass(frozen=True, slots=True)
class EvaluationItems:
    """The items of one evaluation set.

    Attributes:
        name: the set.
        items: id and texts of each, in the file's order; an item's id is its own, else its place counted from 0.
        without_text: places of rows none of whose fields holds text.
    """

    name: str
    items: tuple[tuple[str, tuple[str, ...]], ...]
    without_text: tuple[int, ...]


def read_evaluation_set(url: str, *, name: str, fields: tuple[str, ...] = (), sha256: str = "") -> EvaluationItems:
    """Return the items of an evaluation set.

    Args:
        url: its file: a path or any fsspec URL. The format follows from the ending (`.jsonl`, `.json`, `.csv`, `.tsv`,
            `.parquet`), else from the first bytes; `.gz`, `.zst`, `.xz` and `.bz2` are unpacked.
        name: what hits call it. For the sets of `evaluation_layouts` it says which fields are read.
        fields: fields to read instead, a dot for nested ones; each must be in some row.
        sha256: digest of the file as stored, checked if given.

    Raises:
        ConfigurationError: no such file, another digest, a broken file, no such field, or no text in it; the message
            names the file, the line where there is one, and the fields found.
    """
    known = find_set(name)
    rows = list(_read_rows(url, _read_bytes(url, sha256), known))
    _check_fields(url, rows, fields)
    texts = [_find_texts(row, known, fields) for row in rows]
    if not any(texts):
        found = ", ".join(list(dict.fromkeys(key for row in rows for key in row))[:_FEW_FIELDS]) or "none"
        raise ConfigurationError(
            f"The evaluation set {name!r} at {url} holds no text in {len(rows)} rows; fields found: {found}. "
            f"Name those with text in `fields:`."
        )
    ids = _name_items(rows)
    kept = tuple((ids[place], found) for place, found in enumerate(texts) if found)
    return EvaluationItems(name, kept, tuple(place for place, found in enumerate(texts) if not found))


def _read_bytes(url: str, sha256: str) -> bytes:
    try:
        data = Place(url).read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"No evaluation set at {url}.") from error
    digest = hashlib.sha256(data).hexdigest()
    if sha256 and digest != sha256.lower():
        raise ConfigurationError(f"The evaluation set at {url} has sha256 {digest}, the recipe says {sha256}.")
    try:
        return _unpack(data)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ConfigurationError(f"The evaluation set at {url} cannot be unpacked: {error}.") from error


def _unpack(data: bytes) -> bytes:
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\xfd7zXZ\x00"):
        return lzma.decompress(data)
    if data.startswith(b"BZh"):
        return bz2.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow as pa

        return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    return data


def _find_format(url: str, data: bytes) -> str:
    if data.startswith(b"PAR1"):
        return "parquet"
    ending = re.sub(r"\.(?:gz|zst|xz|bz2)$", "", url.lower().partition("?")[0]).rpartition(".")[2]
    match ending:
        case "jsonl" | "ndjson" | "json" | "csv" | "tsv":
            return ending
    return "jsonl" if data.lstrip()[:1] in (b"{", b"[") else "csv"


def _read_rows(url: str, data: bytes, known: str) -> Iterator[dict[str, Any]]:
    """Yield the rows that are items."""
    form = _find_format(url, data)
    if form == "parquet":
        yield from _read_parquet(url, data)
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"The evaluation set at {url} is neither Parquet nor UTF-8 text: {error}.") from error
    if form in ("csv", "tsv"):
        yield from _read_table(url, text, "\t" if form == "tsv" else ",", known)
        return
    for row in _read_json(url, text):
        yield from _open_nested(row)


def _read_parquet(url: str, data: bytes) -> list[dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(data)).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigurationError(f"The evaluation set at {url} is no readable Parquet file: {error}.") from error
    return rows


def _read_table(url: str, text: str, delimiter: str, known: str) -> Iterator[dict[str, Any]]:
    stream = io.StringIO(text, newline="")
    if delimiter == "\t":  # quotes in it are the text's own
        lines = csv.reader(stream, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        lines = csv.reader(stream, delimiter=delimiter)
    head: tuple[str, ...] | None = None
    try:
        for cells in lines:
            if head is None:
                has_head = any(set(cells).issuperset(layout) for layout in LAYOUTS.get(known, ()))
                if known in HEADLESS and not has_head:
                    head = HEADLESS[known]
                else:
                    head = tuple(cells)
                    continue
            if any(cells):
                yield dict(zip(head, cells, strict=False))
    except csv.Error as error:
        raise ConfigurationError(f"{url}, line {lines.line_num}: not a table of values: {error}.") from error


def _read_json(url: str, text: str) -> Iterator[Any]:
    """Yield the values of a file that is one JSON value (its entries, if that is a list), or one per line."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = None
    if whole is not None:
        yield from whole if isinstance(whole, list) else [whole]
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigurationError(f"{url}, line {number}: not JSON: {error}.") from error


def _open_nested(row: Any) -> Iterator[dict[str, Any]]:
    """Yield the items in a value: those of the lists that published files wrap them in, else itself."""
    if isinstance(row, str):
        row = {"text": row}
    if not isinstance(row, dict):
        return
    for path in NESTED:
        if isinstance(row.get(path[0]), list) and all(isinstance(entry, dict) for entry in row[path[0]]):
            yield from _descend(row, path)
            return
    yield row


def _descend(row: dict[str, Any], path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the entries at the end of a path of lists, each with the plain fields of those it lies in."""
    if not path or path[0] not in row:
        yield row
        return
    inherited = {
        key: value for key, value in row.items() if isinstance(value, str) and key not in ("version", "canary")
    }
    inner = row[path[0]]
    for entry in inner if isinstance(inner, list) else [inner]:
        if isinstance(entry, dict):
            yield from _descend({**inherited, **entry}, path[1:])


def _check_fields(url: str, rows: list[dict[str, Any]], fields: tuple[str, ...]) -> None:
    for field in fields:
        if not any(_has(row, field) for row in rows):
            found = ", ".join(list(dict.fromkeys(key for row in rows for key in row))[:_FEW_FIELDS]) or "none"
            raise ConfigurationError(f"The evaluation set at {url} has no field {field!r}; fields found: {found}.")


def _find_texts(row: dict[str, Any], known: str, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts of an item: of the fields given, else of its set's layout, else all there are."""
    layout = next((each for each in LAYOUTS.get(known, ()) if all(_has(row, field) for field in each)), None)
    wanted = fields or layout
    texts = list(_list_strings(row)) if wanted is None else [text for field in wanted for text in _read(row, field)]
    if known == "winogrande" and layout and not fields:
        texts = _fill_gap(*texts[:3])
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _fill_gap(sentence: str, *options: str) -> list[str]:
    """Return the sentence with each option in its gap: so it stands in texts, and no n-gram has the gap."""
    return [sentence.replace("_", option) for option in options] if "_" in sentence else [sentence]


def _has(row: dict[str, Any], field: str) -> bool:
    return field in row or any(True for _ in _read(row, field))


def _read(value: Any, field: str) -> Iterator[str]:
    """Yield the strings of a field, through lists and along dots; a key with a dot in it comes first."""
    if isinstance(value, (list, tuple)):
        for entry in value:
            yield from _read(entry, field)
    elif isinstance(value, dict) and field in value:
        yield from _list_strings(value[field])
    elif isinstance(value, dict) and "." in field:
        first, _, rest = field.partition(".")
        if first in value:
            yield from _read(value[first], rest)


def _list_strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _list_strings(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _list_strings(entry)


def _name_items(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the items' ids; one that stands twice has its place behind it."""
    own = [_find_id(row) for row in rows]
    times = Counter(own)
    return [
        str(place) if name is None else name if times[name] == 1 else f"{name}#{place}"
        for place, name in enumerate(own)
    ]


def _find_id(row: dict[str, Any]) -> str | None:
    names = (row[field] for field in ID_FIELDS if field in row)
    return next((str(name) for name in names if isinstance(name, (str, int)) and str(name).strip()), None)
