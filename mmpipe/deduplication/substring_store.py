"""Lays the units of a corpus (bytes or tokens) end to end in scratch files, and knows which document is where."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import xxhash

from mmpipe.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.substring_settings import SubstringSettings

#: Columns that give the tokens of a document; without them its words are the tokens.
TOKEN_COLUMNS = ("token_ids", "token_starts", "token_ends")


class Units(NamedTuple):
    """Units of some documents, end to end.

    Attributes:
        units: uint8 or uint64.
        lengths: (documents,) units of each.
        begins: of each token, its first character in its document; none for bytes.
        ends: and its last, plus one.
    """

    units: NDArray[Any]
    lengths: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


def read_units(batch: pl.DataFrame, settings: SubstringSettings) -> Units:
    """Return the units of the documents of a batch.

    Raises:
        SchemaError: a text is null, or tokens and their offsets are not as many.
    """
    nothing = np.empty(0, dtype=np.int64)
    if settings.unit == "tokens" and TOKEN_COLUMNS[0] in batch.columns:
        return _read_tokens(batch)
    texts = batch.get_column("text")
    if texts.null_count():
        raise SchemaError(f"{texts.null_count()} of {batch.height} documents to search for repeats have no text.")
    # a lone surrogate is written as three bytes, as if it were a character, and is one in the offsets too
    if settings.unit == "bytes":
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return Units(np.frombuffer(b"".join(encoded), dtype=np.uint8), lengths, nothing, nothing)
    from mmpipe.deduplication.substring_span_kernels import split_words

    wide = [text.encode("utf-32-le", "surrogatepass") for text in texts]
    offsets = np.zeros(len(wide) + 1, dtype=np.int64)
    np.cumsum([len(text) // 4 for text in wide], out=offsets[1:])
    words, begins, ends, counts = split_words(
        np.frombuffer(b"".join(wide), dtype=np.uint32), offsets, build_word_kinds()
    )
    return Units(words, counts, begins, ends)


def _read_tokens(batch: pl.DataFrame) -> Units:
    columns = [batch.get_column(name) for name in TOKEN_COLUMNS]
    lengths = [column.list.len() for column in columns]
    if any(length.null_count() or not length.equals(lengths[0]) for length in lengths):
        raise SchemaError(f"{', '.join(TOKEN_COLUMNS)}: every document needs lists of equal length.")
    is_filled = lengths[0] > 0
    ids, begins, ends = (column.filter(is_filled).explode().to_numpy() for column in columns)
    counts = lengths[0].to_numpy().astype(np.int64)
    return Units(ids.astype(np.uint64), counts, begins.astype(np.int64), ends.astype(np.int64))


@lru_cache(maxsize=1)
def build_word_kinds() -> NDArray[np.uint8]:
    """Return what each code point is for the splitting into words.

    White space separates words; a character of a script without spaces (as in `normalization`) is a word of its own;
    everything else, punctuation too, goes on in the word. Words differ where one character does: nothing is folded.
    """
    from mmpipe.deduplication.normalization import LAST_HAN_EXTENSION, STANDS_ALONE, TABLE_SIZE, build_character_table
    from mmpipe.deduplication.substring_span_kernels import ALONE, WHITE

    kinds = np.zeros(LAST_HAN_EXTENSION + 1, dtype=np.uint8)
    kinds[TABLE_SIZE:] = ALONE
    kinds[:TABLE_SIZE][(build_character_table() >> 24) == STANDS_ALONE] = ALONE
    kinds[[code for code in range(0x3001) if chr(code).isspace()]] = WHITE
    return kinds


class UnitStore:
    """A corpus in scratch files: units, and for tokens where they are in their text. Documents are added in any order.

    Memory is about 100 bytes per document beside one batch; the files are mapped when they are read.
    """

    def __init__(self, folder: Path, settings: SubstringSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._frames: list[pl.DataFrame] = []
        self._dtype = np.uint8 if settings.unit == "bytes" else np.uint64
        self.total = 0
        for name in ("units", "begins", "ends", "joined"):
            self._name(name).write_bytes(b"")

    def add(self, batch: pl.DataFrame, units: Units, sequence: int) -> None:
        """Add the documents of a batch (`doc_id`, `rank`) behind those that are there.

        Args:
            batch: which documents they are.
            units: their units.
            sequence: number of their corpus; lower ones come first whatever the rank.
        """
        self._write("units", units.units)
        if self._settings.unit == "tokens":
            self._write("begins", units.begins)
            self._write("ends", units.ends)
            self._write("joined", _flag_joined(units))
        ranks = batch.get_column("rank").cast(pl.Float64)
        if ranks.is_null().any() or ranks.is_nan().any():
            raise SchemaError("A document to search for repeats has no rank: rank all documents, 0 being the best.")
        self._frames.append(
            pl.DataFrame(
                {
                    "doc_id": batch.get_column("doc_id").cast(pl.String),
                    "sequence": pl.repeat(sequence, batch.height, dtype=pl.Int64, eager=True),
                    "rank": ranks,
                    "units": units.lengths,
                }
            )
        )
        self.total += len(units.units)

    def list_documents(self) -> pl.DataFrame:
        """Return `doc_id`, `sequence`, `rank`, `units`, in the order in which they were added."""
        schema = {"doc_id": pl.String, "sequence": pl.Int64, "rank": pl.Float64, "units": pl.Int64}
        return pl.concat([pl.DataFrame(schema=schema), *self._frames])

    def map_units(self) -> NDArray[Any]:
        """Return the units, mapped from disk."""
        return map_values(self._name("units"), self._dtype)

    def map_joined(self) -> NDArray[np.uint8]:
        """Return the bytes that say where no span may begin or end (see `cut_runs`), mapped from disk."""
        return self.map_units() if self._settings.unit == "bytes" else map_values(self._name("joined"), np.uint8)

    def map_offsets(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return first character and last + 1 of each token, mapped from disk."""
        return map_values(self._name("begins"), np.int64), map_values(self._name("ends"), np.int64)

    def _name(self, name: str) -> Path:
        return self._folder / f"{name}.scratch"

    def _write(self, name: str, values: NDArray[Any]) -> None:
        with self._name(name).open("ab") as file:
            file.write(np.ascontiguousarray(values).data)


def _flag_joined(units: Units) -> NDArray[np.uint8]:
    """Flag tokens that begin inside a character that the one before holds too, as byte-level tokens may."""
    from mmpipe.deduplication.substring_span_kernels import GOES_ON

    flags = np.zeros(len(units.units), dtype=np.uint8)
    flags[1:][units.begins[1:] < units.ends[:-1]] = GOES_ON
    firsts = np.cumsum(units.lengths) - units.lengths
    flags[firsts[units.lengths > 0]] = 0
    return flags


def map_values(path: Path, dtype: type) -> NDArray[Any]:
    """Return the numbers in a file, mapped."""
    if not path.stat().st_size:
        return np.frombuffer(b"", dtype=dtype)  # read-only as what is mapped: the loops are compiled once
    return np.memmap(path, dtype=dtype, mode="r")


def digest_documents(units: Units) -> list[int]:
    """Return the 64-bit xxh3 of the units of each document."""
    edges = np.concatenate([[0], np.cumsum(units.lengths)])
    pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [xxhash.xxh3_64_intdigest(units.units[begin:end].data) for begin, end in pairs]


def batch_documents(documents: pl.LazyFrame | Iterable[pl.DataFrame], units: int) -> Iterator[pl.DataFrame]:
    """Yield documents in batches of about so many characters; one longer document is a batch of its own."""
    frames = documents.collect_batches(chunk_size=4096) if isinstance(documents, pl.LazyFrame) else documents
    for frame in frames:
        if not frame.height:
            continue
        sizes = _measure(frame)
        block = np.cumsum(sizes) // max(1, units)
        edges = np.concatenate([[0], np.flatnonzero(np.diff(block)) + 1, [frame.height]])
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            yield frame.slice(begin, end - begin)


def _measure(frame: pl.DataFrame) -> NDArray[np.int64]:
    if "text" in frame.columns:
        return frame.get_column("text").str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
    return frame.get_column(TOKEN_COLUMNS[0]).list.len().fill_null(0).to_numpy().astype(np.int64) * 8


class DocumentOrder:
    """Which document is where in a store, and where it would be if documents stood by corpus, rank and id.

    Attributes:
        doc_ids: in the order of the store.
        sequences: number of the corpus of each.
        starts: (documents + 1,) first unit of each.
        moves: (documents,) what to add to a place of each to have it in the order of documents.
    """

    def __init__(self, documents: pl.DataFrame) -> None:
        self.doc_ids = documents.get_column("doc_id")
        self.sequences = documents.get_column("sequence").to_numpy()
        units = documents.get_column("units").to_numpy()
        self.starts = np.concatenate([[0], np.cumsum(units)]).astype(np.int64)
        keys = documents.select("sequence", "rank", "doc_id").with_row_index("row")
        self._by_order = keys.sort("sequence", "rank", "doc_id").get_column("row").to_numpy().astype(np.int64)
        ordered = units[self._by_order]
        self._ordered_starts = (np.cumsum(ordered) - ordered).astype(np.int64)
        self.moves = np.empty(len(units), dtype=np.int64)
        self.moves[self._by_order] = self._ordered_starts
        self.moves -= self.starts[:-1]

    def find_documents(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the document of each place in the store."""
        # documents without units share their start with the next; the last of them has the unit
        return np.searchsorted(self.starts[:-1], places, side="right") - 1

    def find_documents_in_order(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the document of each place in the order of documents."""
        return self._by_order[np.searchsorted(self._ordered_starts, places, side="right") - 1]

    def find_moves(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each place in the store what to add to it."""
        return self.moves[self.find_documents(places)]

    def current_documents(self, sequence: int) -> int:
        """Return how many documents are of the corpus that is searched; they stand first in the store."""
        return int((self.sequences == sequence).sum())
