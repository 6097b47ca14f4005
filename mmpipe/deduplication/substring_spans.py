"""Turns windows that repeat into spans of characters, and cuts them out of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.tables.removals import describe_removals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.substring_settings import SubstringSettings
    from mmpipe.deduplication.substring_store import DocumentOrder, UnitStore

#: A row is a span to be cut. Offsets are characters of the text, as Python counts them; spans of a document are
#: disjoint, and where one ends another may begin that stays elsewhere. The kept text is null where none is kept; with
#: `overlaps: cut` it is the first occurrence, of which parts may be cut in turn for ones that come before it.
SPANS = {
    "doc_id": pl.String,
    "start": pl.Int64,
    "end": pl.Int64,
    "kept_doc_id": pl.String,
    "kept_start": pl.Int64,
    "kept_end": pl.Int64,
    "length": pl.Int64,  # units
}

_REMOVALS = describe_removals("substring_removals", "doc_id", "filtered_text")


class RunFiles:
    """Runs of windows, by where they are: in memory while they are few, then in files read in order."""

    def __init__(self, folder: Path, most: int) -> None:
        """Hold at most about `most` runs at once."""
        self._folder = folder
        self._most = max(1, most)
        self._held: list[NDArray[np.int64]] = []
        self._held_count = 0
        self._blocks: set[int] = set()

    def add(self, runs: NDArray[np.int64]) -> None:
        """Add (runs, 3), in any order."""
        if not len(runs):
            return
        self._held.append(runs)
        self._held_count += len(runs)
        if self._held_count > self._most:
            self._spill()

    def read(self) -> Iterator[NDArray[np.int64]]:
        """Yield all runs in order, each as long as it goes on."""
        from mmpipe.deduplication.substring_span_kernels import join_runs

        last = np.empty((0, 3), dtype=np.int64)
        for part in self._read_blocks():
            runs = np.concatenate([last, part])
            runs = join_runs(runs[np.argsort(runs[:, 0])])
            # the last may go on in the next block
            yield runs[:-1]
            last = runs[-1:].copy()
        yield last

    def _read_blocks(self) -> Iterator[NDArray[np.int64]]:
        if not self._blocks:
            yield from [np.concatenate(self._held)] if self._held else []
            return
        self._spill()
        for block in sorted(self._blocks):
            yield np.fromfile(self._name(block), dtype=np.int64).reshape(-1, 3)

    def _name(self, block: int) -> Path:
        return self._folder / f"runs-{block}.scratch"

    def _spill(self) -> None:
        if not self._held:
            return
        runs = np.concatenate(self._held)
        self._held, self._held_count = [], 0
        blocks = runs[:, 0] // (4 * self._most)
        order = np.argsort(blocks, kind="stable")
        runs, blocks = runs[order], blocks[order]
        edges = np.concatenate([[0], np.flatnonzero(np.diff(blocks)) + 1, [len(blocks)]])
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            block = int(blocks[begin])
            with self._name(block).open("ab") as file:
                file.write(runs[begin:end].data)
            self._blocks.add(block)


def describe_spans(
    files: RunFiles, store: UnitStore, order: DocumentOrder, settings: SubstringSettings
) -> pl.DataFrame:
    """Return SPANS from runs of windows that repeat.

    Args:
        files: the runs; each window in one of them.
        store: the units.
        order: of the documents.
        settings: what a repeat is, and which occurrence stays.
    """
    from mmpipe.deduplication.substring_span_kernels import cut_runs, thin_runs

    nothing = np.empty((0, 3), dtype=np.int64)
    repeats, stays = [nothing], [nothing]
    state = np.zeros((2, 3), dtype=np.int64)
    for runs in files.read():
        is_first = runs[:, 2] == runs[:, 0] + order.find_moves(runs[:, 0])
        if settings.keep == "none":
            is_first[:] = False
        stays.append(runs[is_first & (settings.overlaps == "keep")])
        repeats.append(thin_runs(runs[~is_first], settings.length, state))
    repeats.append(state[1:][state[1:, 1] > 0])
    spans = cut_runs(np.concatenate(repeats), np.concatenate(stays), store.map_joined(), settings.length)
    del repeats, stays
    begins, ends, sources = spans.T
    owners = order.find_documents(begins)
    kept_owners = order.find_documents_in_order(sources)
    kept_begins = sources - order.moves[kept_owners]
    places = np.concatenate([begins, kept_begins, ends, kept_begins + ends - begins])
    documents = np.tile(np.concatenate([owners, kept_owners]), 2)
    characters = _find_characters(store, order, places, documents, settings)
    start, kept_start, end, kept_end = np.split(characters, 4)
    frame = pl.DataFrame(
        {
            "doc_id": order.doc_ids.gather(owners),
            "start": start,
            "end": end,
            "kept_doc_id": order.doc_ids.gather(kept_owners),
            "kept_start": kept_start,
            "kept_end": kept_end,
            "length": ends - begins,
        },
        schema=SPANS,
    )
    if settings.keep == "none":
        is_kept = pl.Series(order.sequences[kept_owners] < order.sequences[owners])
        kept = ("kept_doc_id", "kept_start", "kept_end")
        frame = frame.with_columns(pl.when(is_kept).then(pl.col(name)).alias(name) for name in kept)
    return frame.sort("doc_id", "start")


def _find_characters(
    store: UnitStore,
    order: DocumentOrder,
    places: NDArray[np.int64],
    documents: NDArray[np.int64],
    settings: SubstringSettings,
) -> NDArray[np.int64]:
    """Return the characters of places, of which the first half begin a span and the second half end one."""
    from mmpipe.deduplication.substring_span_kernels import count_characters

    if settings.unit == "tokens":
        begins, ends = store.map_offsets()
        half = len(places) // 2
        return np.concatenate([begins[places[:half]], ends[places[half:] - 1]])
    by_place = np.lexsort((places, documents))
    counted = np.empty_like(places)
    counted[by_place] = count_characters(store.map_units(), order.starts, places[by_place], documents[by_place])
    return counted


def cut_spans(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return the text without spans (first character, last + 1), which are sorted and disjoint."""
    pieces, done = [], 0
    for start, end in spans:
        pieces.append(text[done:start])
        done = end
    pieces.append(text[done:])
    return "".join(pieces)


def cut_documents(rows: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with what SPANS names cut out of `text`, and `cut_characters`, how many that were.

    A row that no span names keeps its text byte for byte.
    """
    named = spans.group_by("doc_id").agg(pl.struct("start", "end").sort_by("start").alias("spans"))
    joined = rows.select("doc_id", "text").join(named, on="doc_id", how="left", maintain_order="left")
    texts = [
        text if found is None else cut_spans(text, [(span["start"], span["end"]) for span in found])
        for _, text, found in joined.iter_rows()
    ]
    lost = joined.get_column("text").str.len_chars().cast(pl.Int64)
    cut = pl.Series("text", texts, dtype=pl.String)
    return rows.with_columns(cut, (lost - cut.str.len_chars().cast(pl.Int64)).alias("cut_characters"))


def is_short_after_cuts(characters: int, cut_characters: int, settings: SubstringSettings) -> bool:
    """Whether so few characters remain of a text that lost some that it goes too; one that lost none never does."""
    return cut_characters > 0 and characters < settings.least_characters


def removals_of_short(cut: pl.DataFrame, settings: SubstringSettings) -> pl.DataFrame:
    """Return the removals by `short_after_repeats`, in the columns of every table of removals.

    Args:
        cut: what `cut_documents` returned.
        settings: holds the limit.
    """
    left = pl.col("text").str.len_chars()
    return _REMOVALS.conform(
        cut.filter((pl.col("cut_characters") > 0) & (left < settings.least_characters)).select(
            "doc_id",
            pl.lit("short_after_repeats").alias("rule"),
            pl.lit("characters_after_repeats").alias("signal"),
            left.cast(pl.Float64).alias("value"),
            pl.lit(None, dtype=pl.String).alias("value_text"),
            pl.lit(float(settings.least_characters)).alias("low"),
            pl.lit(None, dtype=pl.Float64).alias("high"),
            pl.lit(None, dtype=pl.List(pl.String)).alias("allowed"),
        )
    )
