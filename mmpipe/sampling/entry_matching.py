"""Finds in captions every entry of a long list: MetaCLIP's substring test, by one automaton that all workers map."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import xxhash

from mmpipe.errors import ConfigurationError
from mmpipe.sampling.keyed_draws import hash_texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_PUNCTUATION = "[,.;:?!`]"
#: Scripts written without spaces between words: their entries are found anywhere (MetaCLIP 2, arXiv 2507.22062).
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Myanmar}\p{Khmer}\p{Tibetan}]"
#: White space beyond ASCII, which the kernel does not know.
_WIDE_SPACES = "[\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
#: Raised by one when a saved matcher of before cannot be opened any more, or would find something else.
MATCHER_VERSION = 1
_ARRAYS = ("nodes", "edge_labels", "edge_targets", "shorter", "hashes")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDialect:
    """When an entry stands in a text.

    A text is wrapped in spaces, punctuation (`,.;:?!` and the backtick) is set apart by spaces, and an entry, wrapped
    in spaces too, must be a substring. An entry with a letter of a script without spaces (Han, Kana, Thai, Lao,
    Burmese, Khmer, Tibetan) is not wrapped. Code points are compared as they are: no normal form is made.

    Attributes:
        lower_case: whether case makes no difference; MetaCLIP's does.
        as_written: MetaCLIP to the letter: entries are wrapped and no more, so that one with punctuation (`St. Louis`)
            is never found, nor one of two words where a text has two spaces. Otherwise entries are prepared as texts
            are, and spaces in a row (of any Unicode kind) are one; what MetaCLIP finds is found too.
    """

    lower_case: bool = False
    as_written: bool = False


@dataclass(frozen=True, slots=True)
class Matches:
    """Which entries stand in which texts, ordered by text; an entry counts once in a text.

    Attributes:
        rows: (k,) text of each match.
        entries: (k,) entry of each match, an index of `EntryMatcher.names`.
    """

    rows: NDArray[np.int32]
    entries: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class EntryMatcher:
    """Entries as an automaton. Arrays of an opened one are mapped: workers on one machine share their pages.

    Attributes:
        names: the entries as written, one for all that the dialect cannot tell apart (the first by code points).
        hashes: (n,) 64-bit hash of each name.
        dialect: when an entry stands in a text.
        nodes: see `matching_kernels.lay_out_nodes`, as `edge_labels` and `edge_targets`.
        edge_labels: see there.
        edge_targets: see there.
        shorter: see `matching_kernels.link_trie`.
    """

    names: pl.Series
    hashes: NDArray[np.uint64]
    dialect: EntryDialect
    nodes: NDArray[np.int32]
    edge_labels: NDArray[np.uint8]
    edge_targets: NDArray[np.int32]
    shorter: NDArray[np.int32]

    @property
    def digest(self) -> str:
        """16 digits that change with the entries."""
        return xxhash.xxh3_64_hexdigest(np.ascontiguousarray(self.hashes).tobytes())

    def match(self, texts: pl.Series) -> Matches:
        """Return which entries stand in which texts: all, overlapping ones and parts of others too; null holds none."""
        from mmpipe.sampling.matching_kernels import match_texts

        prepared = texts.fill_null("")
        if self.dialect.lower_case:
            prepared = prepared.str.to_lowercase()
        if not self.dialect.as_written:
            prepared = prepared.str.replace_all(_WIDE_SPACES, " ")
        data, offsets = _lay_out(prepared)
        rows, entries = match_texts(
            data, offsets, self.nodes, self.edge_labels, self.edge_targets, self.shorter, not self.dialect.as_written
        )  # fmt: skip
        return Matches(rows, entries)

    def save(self, folder: Path) -> None:
        """Write the matcher as a folder, all at once; one that is there already stays."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="entries-", dir=folder.parent))
        try:
            self.names.to_frame("entry").write_parquet(made / "names.parquet")
            for name in _ARRAYS:
                np.save(made / f"{name}.npy", getattr(self, name))
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(made, ignore_errors=True)


def build_matcher(entries: Iterable[str], dialect: EntryDialect = EntryDialect()) -> EntryMatcher:
    """Return the matcher of some entries, in any order; entries that the dialect cannot tell apart are one.

    Raises:
        ConfigurationError: no entry holds anything but space.
    """
    from mmpipe.sampling.matching_kernels import build_trie, lay_out_nodes, link_trie

    frame = _prepare_entries(pl.Series("entry", list(entries), dtype=pl.String), dialect)
    if frame.is_empty():
        raise ConfigurationError("Balance by queries: the lists hold no entry, so no caption could match one.")
    data, offsets = _lay_out(frame.get_column("pattern"))
    first_child, labels, ends = build_trie(data, offsets)
    fails, shorter = link_trie(first_child, labels, ends, frame.height)
    nodes, edge_labels, edge_targets = lay_out_nodes(first_child, labels, ends, fails)
    names = frame.get_column("entry")
    return EntryMatcher(names, hash_texts(names), dialect, nodes, edge_labels, edge_targets, shorter)


def open_matcher(folder: Path, dialect: EntryDialect) -> EntryMatcher:
    """Return a saved matcher, its arrays mapped."""
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    names = pl.read_parquet(folder / "names.parquet").get_column("entry")
    return EntryMatcher(names=names, dialect=dialect, **arrays)


def _prepare_entries(entries: pl.Series, dialect: EntryDialect) -> pl.DataFrame:
    """Return `entry` and `pattern`, the bytes that must stand in a prepared text; distinct and sorted by pattern."""
    pattern = pl.col("entry")
    if dialect.lower_case:
        pattern = pattern.str.to_lowercase()
    if not dialect.as_written:
        pattern = pattern.str.replace_all(_PUNCTUATION, " $0 ").str.replace_all(r"\s+", " ").str.strip_chars(" ")
    wrapped = pl.when(pattern.str.contains(_UNSPACED)).then(pattern).otherwise(pl.format(" {} ", pattern))
    return (
        entries.to_frame()
        .drop_nulls()
        .filter(pl.col("entry").str.strip_chars() != "")
        .with_columns(pattern=wrapped)
        .group_by("pattern")
        .agg(pl.col("entry").min())
        .sort("pattern")
        .select("entry", "pattern")
    )


def _lay_out(texts: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the UTF-8 bytes of the texts, one after the other, and where each starts."""
    import pyarrow as pa

    strings = texts.rechunk().to_arrow().cast(pa.large_string())
    _, offsets, data = strings.buffers()
    starts = np.frombuffer(offsets, np.int64)[strings.offset : strings.offset + len(texts) + 1]
    return (np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)), starts
