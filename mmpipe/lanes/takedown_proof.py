"""Proves a takedown: looks for its ids, its URLs and slices of its text in every published file afterwards."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.takedown_search import has_content, list_datasets, list_keys, match_links, match_url_columns
from mmpipe.storage.lake import scan_files
from mmpipe.storage.places import Place
from mmpipe.storage.takedowns import FOLDER
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.published import PUBLISHED_TABLES
from mmpipe.tables.text import EXTRACTED_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.tables.takedowns import Takedowns

#: Characters of a slice, slices of one text, and slices in all.
SLICE_CHARS, SLICES_OF_TEXT, MOST_SLICES = 50, 8, 50_000
_LEAST_DISTINCT = 12
#: Columns that hold what a page says, or what was written from it.
_TEXTS = (
    "text", "corrected_text", "caption", "instruction", "context", "response", "chosen", "rejected", "judgement",
    "matched_text", "title", "surrounding",
)  # fmt: skip
#: Tables that keep the URL of what was taken down, so that it can be told.
_KEEP_URLS = (RAW_CRAWL.name, EXTRACTED_TEXT.name)
#: Bytes of a file that are searched at once.
_BLOCK_BYTES = 8 * 2**20
_TOLD = 20


@dataclass(frozen=True, slots=True)
class Trace:
    """A row or file in which something was found.

    Attributes:
        table: its table; of a file, its path in the lake.
        dump: of the row.
        id: its first key; empty for a file.
        what: what was found: an id, a URL, or a slice of text.
    """

    table: str
    dump: str | None
    id: str
    what: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What was looked at, and what was found.

    Attributes:
        files: published files that were read.
        rows: their rows.
        ids: rows that still hold content of an id that was taken down, or are made of it.
        urls: rows that still have a URL that was taken down.
        words: rows of other pages, or files, in which slices of the text stand too.
        slices: slices that were looked for.
        slices_elsewhere: of them, those that stand in such rows.
    """

    files: int
    rows: int
    ids: tuple[Trace, ...]
    urls: tuple[Trace, ...]
    words: tuple[Trace, ...]
    slices: int
    slices_elsewhere: int

    @property
    def holds(self) -> bool:
        """Whether nothing that was taken down, and nothing made of it, is published."""
        return not self.ids and not self.urls

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values; of what was found, every row."""
        return asdict(self) | {"holds": self.holds}


def cut_slices(lake: Lake, ids: pl.Series) -> pl.DataFrame:
    """Return slices of the text of rows that go, column `slice`: some of each text, of 50 characters each.

    Slices are of one line and hold nothing that files write in another way (quotes, backslashes, marks of HTML), so
    that they stand in every format as they are.
    """
    slices: dict[str, None] = {}
    for dataset in list_datasets(lake):
        names = [name for name in _TEXTS if dataset.table.schema.get(name) == pl.String]
        for frame in _read_parts(dataset, [*list_keys(dataset.table), *names]) if names else ():
            found = frame.filter(match_links(dataset.table, frame, ids))
            for name in names:
                for text in found.get_column(name).drop_nulls() if name in found.columns else ():
                    slices |= dict.fromkeys(_cut_text(text))
                    if len(slices) >= MOST_SLICES:
                        return pl.DataFrame({"slice": list(slices)[:MOST_SLICES]})
    return pl.DataFrame({"slice": list(slices)}, schema={"slice": pl.String})


def _cut_text(text: str) -> list[str]:
    windows = [line[start : start + SLICE_CHARS] for line in text.splitlines()
               for start in range(0, len(line) - SLICE_CHARS + 1, SLICE_CHARS)]  # fmt: skip
    plain = [
        window for window in windows
        if not set(window) & set("\"\\<>&'\t") and window.isprintable() and len(set(window)) >= _LEAST_DISTINCT
    ]  # fmt: skip
    step = max(1, len(plain) // SLICES_OF_TEXT)
    return plain[::step][:SLICES_OF_TEXT]


def prove(lake: Lake, takedowns: Takedowns, ids: pl.Series, slices: Sequence[str]) -> Proof:
    """Read every published file again and return what is still found.

    Args:
        lake: after the takedown.
        takedowns: what was named.
        ids: of every row that went.
        slices: of its text.
    """
    files = rows = 0
    left_ids: list[Trace] = []
    left_urls: list[Trace] = []
    words: list[Trace] = []
    met: set[str] = set()
    for dataset in list_datasets(lake):
        for frame in _read_parts(dataset, dataset.table.column_names):
            files, rows = files + 1, rows + frame.height
            is_left = match_links(dataset.table, frame, ids) & has_content(dataset.table, frame)
            left_ids += _trace(dataset, frame, is_left, "an id")
            left_urls += _find_urls(dataset, frame, takedowns)
            words += _find_words(dataset, frame, slices, met)
    for place, path in _list_rendered(lake):
        files += 1
        words += [Trace(path, None, "", found) for found in _search_file(place, slices)]
    return Proof(files, rows, tuple(left_ids), tuple(left_urls), tuple(words), len(slices), len(met))


def _read_parts(dataset: Dataset, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    manifest = dataset.find_manifest()
    for commit in manifest.commits if manifest is not None else ():
        rows = scan_files([dataset.folder.join(commit.file)], dataset.table)
        has = rows.collect_schema().names()
        yield rows.select([name for name in dict.fromkeys(columns) if name in has]).collect()


def _trace(dataset: Dataset, frame: pl.DataFrame, is_found: pl.Series, what: str) -> list[Trace]:
    keys = frame.filter(is_found).get_column(dataset.table.key[0])
    return [Trace(dataset.table.name, dataset.dump, str(key), what) for key in keys]


def _find_urls(dataset: Dataset, frame: pl.DataFrame, takedowns: Takedowns) -> list[Trace]:
    if dataset.table.name in _KEEP_URLS:
        # their rows are found by id, and have no content
        return []
    return _trace(dataset, frame, match_url_columns(frame, takedowns), "a URL")


def _find_words(dataset: Dataset, frame: pl.DataFrame, slices: Sequence[str], met: set[str]) -> list[Trace]:
    if not slices or not frame.height:
        return []
    texts = [text for name, dtype in frame.schema.items() if (text := _write_text(name, dtype)) is not None]
    if not texts:
        return []
    joined = frame.select(pl.concat_str(texts, separator="\n", ignore_nulls=True)).to_series()
    is_found = joined.str.contains_any(list(slices)).fill_null(value=False)
    if is_found.any():
        met |= set(joined.filter(is_found).str.extract_many(list(slices), overlapping=True).explode())
    return _trace(dataset, frame, is_found, "its words")


def _write_text(name: str, dtype: pl.DataType) -> pl.Expr | None:
    """Return the text of a column, lists and structures written out; None for a column of another kind."""
    if dtype == pl.String:
        return pl.col(name)
    if not isinstance(dtype, pl.List):
        return None
    if dtype.inner == pl.String:
        return pl.col(name).list.join("\n", ignore_nulls=True)
    if isinstance(dtype.inner, pl.Struct) and not any(field.dtype == pl.Binary for field in dtype.inner.fields):
        return pl.col(name).list.eval(pl.element().struct.json_encode()).list.join("\n", ignore_nulls=True)
    return None


def _list_rendered(lake: Lake) -> Iterator[tuple[Place, str]]:
    """Yield files of the lake that are no parts of a table: what trainers read, cards, reports, reviews."""
    names = {table.name for table in PUBLISHED_TABLES}
    root = Place(lake.root)
    for path in root.list_files():
        first, _, rest = path.partition("/")
        last = rest.rsplit("/", 1)[-1]
        is_table = first in names and (last.startswith("part-") or "/commits/" in path or last == "manifest.json")
        if first != FOLDER and not is_table and not last.endswith((".lock", ".yaml")):
            yield root.join(path), path


def _search_file(place: Place, slices: Sequence[str]) -> list[str]:
    """Return whether slices stand in a file, as they are or as JSON escapes them: none, or what was found."""
    if not slices:
        return []
    if place.name.endswith(".parquet"):
        frame = pl.read_parquet(io.BytesIO(place.read_bytes()))
        texts = [text for name, dtype in frame.schema.items() if (text := _write_text(name, dtype)) is not None]
        if not texts:
            return []
        joined = frame.select(pl.concat_str(texts, separator="\n", ignore_nulls=True)).to_series()
        return ["its words"] if joined.str.contains_any(list(slices)).any() else []
    wanted = [form for text in slices for form in dict.fromkeys((text, json.dumps(text)[1:-1]))]
    tail = b""
    with _open(place) as stream:
        while block := stream.read(_BLOCK_BYTES):
            text = (tail + block).decode(errors="replace")
            if pl.Series([text]).str.contains_any(wanted).any():
                return ["its words"]
            tail = block[-12 * SLICE_CHARS :]
    return []


def _open(place: Place) -> Any:
    return gzip.open(place.open()) if place.name.endswith(".gz") else place.open()


def list_told(traces: Sequence[Trace]) -> list[str]:
    """Return what was found as lines: the first few, and how many more there are."""
    lines = [f"{trace.table}{f' of {trace.dump}' if trace.dump else ''}{f', {trace.id}' if trace.id else ''}"
             for trace in traces[:_TOLD]]  # fmt: skip
    return lines + ([f"and {len(traces) - _TOLD:,} more"] if len(traces) > _TOLD else [])
