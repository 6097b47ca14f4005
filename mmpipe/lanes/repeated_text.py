"""The text lane's text that repeats text: spans to cut from documents that stay, and the texts without them."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.errors import ConfigurationError, DatasetNotReady
from mmpipe.lanes.duplicates import collect_policy, list_removed, make_scratch, rank_dumps
from mmpipe.lanes.stage import Knobs, StageRun, fingerprint_inputs
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.text import FILTERED_TEXT, TEXT_DUPLICATES, TEXT_REPEATS, TEXT_SIGNATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mmpipe.deduplication.line_spans import LineSettings
    from mmpipe.deduplication.substring_index import SubstringIndex
    from mmpipe.deduplication.substring_settings import SubstringSettings
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Lake
    from mmpipe.storage.shards import Production


def find_text_repeats(run: StageRun) -> Production:
    """Find the text of documents that stay which stands elsewhere too, in this dump or in what earlier ones published.

    What an earlier dump published is never cut, whatever the recipe's policy on documents; dumps have the order in
    which their duplicates were first looked for.
    """
    from mmpipe.storage.sequence import hold_sequence

    assert run.dump is not None
    section = run.recipe.deduplication
    own = [run.read(table) for table in (FILTERED_TEXT, TEXT_SIGNATURES, TEXT_DUPLICATES)]
    earlier: list[str] = []
    if section.scope == "across_dumps" and (section.lines or section.substring):
        with hold_sequence(run.lake, "dump_sequence") as sequence:
            earlier = sequence.list_before(run.dump)
    before = [run.lake.dataset(table, dump) for dump in earlier for table in _PUBLISHED]
    for dataset in before:
        if dataset.find_manifest() is None:
            raise DatasetNotReady(
                f"{dataset.label} has to be there before the repeats of {run.dump} can be looked for: text that the "
                f"earlier dump publishes stays. Run: mmpipe backfill text_repeats --dump {dataset.dump}."
            )
    inputs = fingerprint_inputs(*own, *before)
    arguments = (run.lake, run.dump, earlier, run.recipe, run.knobs, run.engine.workers)
    work = [ShardWork("all", digest_settings(inputs), arguments)]
    return run.write(work, repeats_shard, inputs=inputs, is_in_process=True)


_PUBLISHED = (FILTERED_TEXT, TEXT_DUPLICATES, TEXT_REPEATS)


def repeats_shard(lake: Lake, dump: str, earlier: list[str], recipe: Recipe, knobs: Knobs, workers: int) -> ShardResult:
    """Find the spans of one dump; texts are read in batches and laid in scratch files."""
    from mmpipe.deduplication.repeated_lines import find_repeated_lines
    from mmpipe.deduplication.substring import find_repeats

    section = recipe.deduplication
    rows = lake.dataset(FILTERED_TEXT, dump).require_manifest().rows_out
    found = []
    if section.lines or section.substring:
        own = rank_dumps(lake, dump, [], collect_policy(recipe)).select("doc_id", "rank")
        documents = scan_published(lake, dump, is_cut=False).join(own.lazy(), on="doc_id", how="inner")
        with make_scratch(knobs) as scratch:
            if section.lines:
                published = _open_line_hashes(lake, earlier, collect_line_settings(recipe), knobs)
                spans = find_repeated_lines(
                    documents.select("doc_id", "rank", "text"),
                    collect_line_settings(recipe),
                    scratch=scratch,
                    published=published,
                    memory_bytes=knobs.memory_bytes,
                )
                found.append(spans.with_columns(method=pl.lit("lines")))
            if section.substring:
                settings = collect_substring_settings(recipe)
                folder = scratch / "substring"
                folder.mkdir()
                spans = find_repeats(
                    documents.select("doc_id", "rank", "text"),
                    settings,
                    scratch=folder,
                    earlier=[
                        (_open_substring_index(lake, name, settings, knobs, workers), _read_published(lake, name))
                        for name in earlier
                    ],
                    memory_bytes=knobs.memory_bytes,
                    workers=workers,
                )
                found.append(spans.with_columns(method=pl.lit("substring")))
    columns = [name for name in TEXT_REPEATS.column_names if name != "dump"]
    frame = pl.concat([TEXT_REPEATS.make_empty().select(columns), *(spans.select(columns) for spans in found)])
    frame = frame.with_columns(dump=pl.lit(dump)).sort("doc_id", "start", "method")
    counts = frame.group_by("method").len().rows()
    frame = TEXT_REPEATS.conform(frame.select(TEXT_REPEATS.column_names))
    return ShardResult(frame, rows, counts=dict(counts), accounts_for_rows=False)


def collect_line_settings(recipe: Recipe) -> LineSettings:
    """Return the recipe's section on lines as deduplication takes it."""
    from mmpipe.deduplication.line_spans import LineSettings

    section = recipe.deduplication.lines
    assert section is not None
    return LineSettings(**asdict(section))


def collect_substring_settings(recipe: Recipe) -> SubstringSettings:
    """Return the recipe's section on exact substrings as deduplication takes it."""
    from mmpipe.deduplication.substring_settings import SubstringSettings

    section = recipe.deduplication.substring
    given = asdict(section) if section else {}
    return SubstringSettings(**given, least_characters=recipe.deduplication.least_characters)


def scan_published(lake: Lake, dump: str, *, is_cut: bool = True, of: Sequence[str] | None = None) -> pl.LazyFrame:
    """Return `doc_id` and `text` of the documents of a dump that stay, or of those of them with certain ids.

    `is_cut`: without the text that is cut.
    """
    filtered = lake.dataset(FILTERED_TEXT, dump)
    text = filtered.scan().select("doc_id", "text") if of is None else filtered.read_rows(of, ("text",)).lazy()
    kept = text.join(list_removed(lake.dataset(TEXT_DUPLICATES, dump)), on="doc_id", how="anti")
    if not is_cut:
        return kept
    from mmpipe.deduplication.substring_spans import cut_documents

    spans = lake.dataset(TEXT_REPEATS, dump).scan().select("doc_id", "start", "end").collect()
    merged = merge_spans(spans)
    return kept.map_batches(lambda rows: cut_documents(rows, merged).select("doc_id", "text"), streamable=True)


def merge_spans(spans: pl.DataFrame) -> pl.DataFrame:
    """Return the spans of each document, those that overlap or touch as one, sorted; columns doc_id, start, end."""
    reach = pl.col("end").cum_max().shift(1).over("doc_id")
    runs = (
        spans.select("doc_id", "start", "end")
        .sort("doc_id", "start", "end")
        .with_columns(run=((pl.col("start") > reach).fill_null(value=True)).cum_sum())
    )
    return (
        runs.group_by("run", maintain_order=True)
        .agg(pl.col("doc_id").first(), pl.col("start").first(), pl.col("end").max())
        .select("doc_id", "start", "end")
    )


def _identify_published(lake: Lake, dump: str, settings: Sequence[object]) -> str:
    datasets = fingerprint_inputs(*(lake.dataset(table, dump) for table in _PUBLISHED))
    return digest_settings([datasets, *settings])


def _read_published(lake: Lake, dump: str):  # type: ignore[no-untyped-def]  # a closure
    def read_texts(doc_ids: list[str]) -> dict[str, str]:
        return dict(scan_published(lake, dump, of=doc_ids).collect().iter_rows())

    return read_texts


def _open_substring_index(
    lake: Lake, dump: str, settings: SubstringSettings, knobs: Knobs, workers: int
) -> SubstringIndex:
    """Return the index of what an earlier dump published, from the cache or made anew."""
    from mmpipe.deduplication.substring_index import SubstringIndex, write_substring_index

    digest = _identify_published(lake, dump, [settings.describe_index()])
    folder = Path(knobs.cache_folder) / "substring_index" / digest
    try:
        return SubstringIndex.open(folder, settings)
    except (DatasetNotReady, ConfigurationError):
        shutil.rmtree(folder, ignore_errors=True)
    documents = _rank_published(lake, dump)
    write_substring_index(documents, settings, folder, memory_bytes=knobs.memory_bytes, workers=workers)
    return SubstringIndex.open(folder, settings)


def _rank_published(lake: Lake, dump: str) -> pl.LazyFrame:
    """Return `doc_id`, `rank` and `text` of what a dump published; which of its documents is best does not matter."""
    from mmpipe.deduplication.survivors import STABLE_POLICY

    ranks = rank_dumps(lake, dump, [], STABLE_POLICY).select("doc_id", "rank")
    return scan_published(lake, dump).join(ranks.lazy(), on="doc_id", how="inner").select("doc_id", "rank", "text")


def _open_line_hashes(
    lake: Lake, dumps: Sequence[str], settings: LineSettings, knobs: Knobs
) -> NDArray[np.uint64] | None:
    """Return the hashes of the lines that earlier dumps published, sorted, from the cache or made anew."""
    from mmpipe.deduplication.repeated_lines import write_line_hashes

    known = []
    for dump in dumps:
        file = Path(knobs.cache_folder) / "line_hashes" / f"{_identify_published(lake, dump, [asdict(settings)])}.u64"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            documents = _rank_published(lake, dump)
            with make_scratch(knobs) as scratch:
                made = scratch / file.name
                write_line_hashes(documents, settings, made, scratch=scratch, memory_bytes=knobs.memory_bytes)
                made.replace(file)
        if file.stat().st_size:
            known.append(np.memmap(file, "<u8", mode="r"))
    return np.unique(np.concatenate(known)) if known else None
