"""`mmpipe entries build`: makes a list of entries for the balance of image-text pairs, from open sources you name."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.sampling.entry_building import EntryLimits, list_entries, read_synsets

if TYPE_CHECKING:
    from mmpipe.storage.lake import Lake

#: Texts cut into words at once.
_BATCH_TEXTS = 2_000
#: WordNet's files of lemmas.
_INDEX_FILES = ("index.noun", "index.verb", "index.adj", "index.adv")


@dataclass(frozen=True, slots=True)
class EntrySource:
    """Where entries come from.

    Attributes:
        path: a file of texts (.txt, one per line; .jsonl; .parquet), of titles (`title<TAB>views` per line), or
            WordNet's folder.
        licence: licence and author, written into the list.
    """

    path: Path
    licence: str


@dataclass(frozen=True, slots=True)
class BuiltEntries:
    """A list that was made.

    Attributes:
        file: the list, one entry per line, sorted, under a header of sources and licences.
        record: JSON beside it: sources with SHA-256, limits, and how many entries each gave.
        values: Parquet beside it: each entry with the values that made it one (`entry_building.ENTRY_SCHEMA`).
        entries: how many there are.
        by_source: how many each kind of source gave; one that several gave counts for each.
        left_out: entries that no list can hold: begun by `#`, or with control characters.
    """

    file: Path
    record: Path
    values: Path
    entries: int
    by_source: dict[str, int]
    left_out: int


def build_entries(
    file: Path,
    *,
    corpora: Sequence[EntrySource] = (),
    text_column: str = "text",
    lake: Lake | None = None,
    dumps: Sequence[str] = (),
    lake_licence: str = "",
    titles: Sequence[EntrySource] = (),
    wordnet: Sequence[EntrySource] = (),
    limits: EntryLimits | None = None,
) -> BuiltEntries:
    """Make a list of entries.

    Args:
        file: where to write it; a `.json` and a `.parquet` of the same name are written beside.
        corpora: files of texts, whose words and bigrams are counted together.
        text_column: column of texts in .jsonl and .parquet files.
        lake: lake whose deduped_corpus is counted too.
        dumps: its dumps; empty for all that have one.
        lake_licence: licence of these texts.
        titles: lists of titles with views.
        wordnet: folders with WordNet's `index.noun` and its sisters.
        limits: from which values on a candidate is an entry; None for MetaCLIP's.

    Raises:
        ConfigurationError: no source, one that cannot be read or has no licence, or a column that is not there.
    """
    limits = limits or EntryLimits()
    named = [*corpora, *titles, *wordnet]
    if not named and lake is None:
        raise ConfigurationError("Entries: name at least one source: a corpus, a lake, titles or WordNet.")
    for source in named:
        if not source.path.exists():
            raise ConfigurationError(f"Entries: {source.path} is not there.")
        if not source.licence.strip():
            raise ConfigurationError(f"Entries: state the licence of {source.path}; it is written into the list.")
    texts = None
    if corpora or lake is not None:

        def texts() -> Iterator[pl.Series]:  # read twice: words first, then their neighbours
            for source in corpora:
                yield from read_texts(source.path, text_column)
            if lake is not None:
                yield from _read_corpus(lake, dumps)

    synsets = [lemma for source in wordnet for index in _find_indexes(source.path) for lemma in _read_index(index)]
    with tempfile.TemporaryDirectory(prefix="mmpipe-entries-") as scratch:
        found = list_entries(
            texts, pl.concat(_read_titles(source.path) for source in titles) if titles else None, synsets, limits,
            Path(scratch),
        )  # fmt: skip
    is_writable = ~pl.col("entry").str.contains(r"^#|[\x00-\x1f\x7f-\x9f]") & (pl.col("entry").str.strip_chars() != "")
    kept = found.filter(is_writable)
    digests = {str(path): _digest(path) for source in named for path in _list_files(source.path)}
    return _write(file, kept, found.height - kept.height, named, digests, limits, lake_licence if lake else None)


def read_texts(path: Path, column: str) -> Iterator[pl.Series]:
    """Yield the texts of a file, some at a time.

    Raises:
        ConfigurationError: another kind of file, or no such column.
    """
    match path.suffix.lower():
        case ".txt":
            with path.open(encoding="utf-8", errors="replace") as lines:
                while batch := list(islice(lines, _BATCH_TEXTS)):
                    yield pl.Series(batch, dtype=pl.String)
            return
        case ".jsonl" | ".ndjson":
            rows = pl.scan_ndjson(path)
        case ".parquet":
            rows = pl.scan_parquet(path)
        case other:
            raise ConfigurationError(f"Entries: {path} ends in {other!r}; texts are read from .txt, .jsonl, .parquet.")
    names = rows.collect_schema().names()
    if column not in names:
        raise ConfigurationError(f"Entries: {path} has no column {column!r}.{name_nearest(column, names)}")
    for frame in rows.select(pl.col(column).cast(pl.String)).collect_batches(chunk_size=_BATCH_TEXTS):
        yield frame.get_column(column)


def _read_corpus(lake: Lake, dumps: Sequence[str]) -> Iterator[pl.Series]:
    from mmpipe.tables.text import DEDUPED_CORPUS

    published = lake.list_dumps(DEDUPED_CORPUS)
    for dump in dumps or published:
        if dump not in published:
            raise ConfigurationError(f"Entries: no deduped_corpus of {dump!r}.{name_nearest(dump, published)}")
        rows = lake.dataset(DEDUPED_CORPUS, dump).scan().select("text")
        for frame in rows.collect_batches(chunk_size=_BATCH_TEXTS):
            yield frame.get_column("text")


def _read_titles(path: Path) -> pl.DataFrame:
    rows = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            title, tab, views = line.rstrip("\n").rpartition("\t")
            if not tab or not views.strip().isdecimal():
                raise ConfigurationError(f"Entries: {path}, line {number}: not a title, a tab and a number of views.")
            rows.append((title.replace("_", " ").strip(), int(views)))
    return pl.DataFrame(rows, schema={"title": pl.String, "views": pl.Int64}, orient="row")


def _read_index(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        yield from read_synsets(lines)


def _find_indexes(folder: Path) -> list[Path]:
    found = [folder / name for name in _INDEX_FILES if (folder / name).is_file()]
    if not found:
        raise ConfigurationError(f"Entries: {folder} holds none of WordNet's files {', '.join(_INDEX_FILES)}.")
    return found


def _list_files(path: Path) -> list[Path]:
    return _find_indexes(path) if path.is_dir() else [path]


def _digest(path: Path) -> str:
    with path.open("rb") as stored:
        return hashlib.file_digest(stored, "sha256").hexdigest()


def _write(
    file: Path,
    entries: pl.DataFrame,
    left_out: int,
    sources: Sequence[EntrySource],
    digests: dict[str, str],
    limits: EntryLimits,
    lake_licence: str | None,
) -> BuiltEntries:
    columns = {"words": "word_count", "bigrams": "bigram_count", "titles": "title_views"}
    by_source = {name: entries.height - entries.get_column(column).null_count() for name, column in columns.items()}
    by_source["synsets"] = int(entries.get_column("is_synset").sum())
    named = [{"name": source.path.name, "licence": source.licence} for source in sources]
    if lake_licence is not None:
        named.append({"name": "deduped_corpus of the lake", "licence": lake_licence or "as its pages"})
    header = [
        "# Entries for images.balance, made by `mmpipe entries build`: " + ", ".join(
            f"{count} {name}" for name, count in by_source.items() if count
        ),
        *(f"# Source: {one['name']}; licence: {' '.join(one['licence'].split())}" for one in named),
    ]  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(f"{line}\n" for line in header)
        lines.writelines(f"{entry}\n" for entry in entries.get_column("entry"))
    record, values = file.with_suffix(".json"), file.with_suffix(".parquet")
    entries.write_parquet(values)
    told = {
        "entries": entries.height,
        "by_source": by_source,
        "left_out": left_out,
        "limits": asdict(limits),
        "sources": named,
        "sha256": {Path(path).name: digest for path, digest in digests.items()},
        "list_sha256": _digest(file),
    }
    record.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return BuiltEntries(file, record, values, entries.height, by_source, left_out)
