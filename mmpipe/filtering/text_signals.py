"""Measures documents: one row of signals per extracted page, family by family, as far as the recipe asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.filtering.text_batch import TextBatch
from mmpipe.filtering.url_signals import measure_urls
from mmpipe.tables.correction_steps import LINE_STEP, MASK_STEP
from mmpipe.tables.corrections import replay
from mmpipe.tables.text_signals import FAMILIES, TEXT_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mmpipe.filtering.recipes import Recipe

#: Characters of text that are measured at a time: the words of a batch are a few times as many bytes.
_BATCH_CHARACTERS = 16_000_000
#: What a correction counts as: read, it takes as much as the words of so many characters.
_CORRECTION_CHARACTERS = 200

#: The step whose corrections a family counts; other families see texts only.
_COUNTED_STEPS = {"c4": "c4_lines", "corrections": LINE_STEP, "pii": MASK_STEP}


def measure_text(frame: pl.DataFrame, recipe: Recipe, cache_folder: str | Path = "") -> pl.DataFrame:
    """Return the signals of extracted pages.

    Args:
        frame: EXTRACTED_TEXT rows; with the columns `corrected_text` and `corrections` of TEXT_CORRECTIONS if texts
            were corrected.
        recipe: its `text` section says which families of signals are measured and how words are counted, its `url`
            section which lists URLs are held against; no limit of it is read.
        cache_folder: where unpacked block lists are kept; empty for the user's cache folder.

    Returns:
        TEXT_SIGNALS rows, one per row and in their order. Families that the recipe does not ask for, and rows without
        text, have null text signals; every row with a URL has URL signals. A text without any word has `word_count` 0
        and null where a share of nothing is asked for.
    """
    families = recipe.text.list_families()
    if "corrections" in frame.columns and not _needs_corrections(families, recipe):
        frame = frame.drop("corrections")
    sizes = _measure_sizes(frame)
    present = [index for index, size in enumerate(sizes) if size is not None]
    schema = {column.name: column.dtype for name in families for column in FAMILIES[name]}
    parts = [_measure_batch(frame[batch], families, recipe, str(cache_folder)) for batch in _cut_batches(sizes)]
    measured = pl.concat([pl.DataFrame(schema=schema), *parts]).with_columns(row=pl.Series(present, dtype=pl.UInt32))
    signals = (
        frame.select("doc_id", "extraction_status", "language", "language_score")
        .with_row_index("row")
        .join(measured, on="row", how="left", maintain_order="left")
        .drop("row")
    )
    urls = measure_urls(frame.get_column("url"), recipe.url, cache_folder)
    signals = pl.concat([signals, urls], how="horizontal")
    missing = [column for column in TEXT_SIGNALS.columns if column.name not in signals.columns]
    signals = signals.with_columns(pl.lit(None, column.dtype).alias(column.name) for column in missing)
    return TEXT_SIGNALS.conform(signals.select(TEXT_SIGNALS.column_names))


def _measure_batch(frame: pl.DataFrame, families: Sequence[str], recipe: Recipe, cache_folder: str) -> pl.DataFrame:
    extracted = frame.get_column("text").to_list()
    corrected, corrections = extracted, [()] * len(extracted)
    if "corrections" in frame.columns:
        corrections = [entries or () for entries in frame.get_column("corrections").to_list()]
    if "corrected_text" in frame.columns:
        corrected = [
            text if left is None else left
            for text, left in zip(extracted, frame.get_column("corrected_text").to_list(), strict=True)
        ]
    by_step: dict[int | None, list[str]] = {0: extracted, None: corrected}
    measured = []
    for family in families:
        step = recipe.find_measured_step(family)
        if step not in by_step:
            by_step[step] = [
                replay(text, entries, before_step=step) if entries else text
                for text, entries in zip(extracted, corrections, strict=True)
            ]
        batch = TextBatch(
            texts=by_step[step],
            extracted=extracted,
            corrected=corrected,
            corrections=corrections,
            languages=frame.get_column("language").to_list(),
            urls=frame.get_column("url").to_list(),
            dialect=recipe.text.dialect,
            recipe=recipe,
            cache_folder=cache_folder,
        )
        columns = find_family(family)(batch)
        names = [column.name for column in FAMILIES[family]]
        measured.append(columns.select(names).with_columns(pl.col(pl.Float64).fill_nan(None)))
    return pl.concat(measured, how="horizontal")


def find_family(name: str) -> Callable[[TextBatch], pl.DataFrame]:
    """Return what measures a family: texts in, its columns of TEXT_SIGNALS out, one row per text in their order."""
    from mmpipe.filtering import (
        bloom_signals,
        c4_signals,
        correction_signals,
        dclm_signals,
        fineweb_signals,
        gopher_signals,
        pii_signals,
        redpajama2_signals,
        toxicity_signals,
    )

    families: Mapping[str, Callable[[TextBatch], pl.DataFrame]] = {
        "gopher": gopher_signals.measure_gopher,
        "dclm": dclm_signals.measure_dclm,
        "corrections": correction_signals.measure_corrections,
        "c4": c4_signals.measure_c4,
        "fineweb": fineweb_signals.measure_fineweb,
        "bloom": bloom_signals.measure_bloom,
        "redpajama2": redpajama2_signals.measure_redpajama2,
        "toxicity": toxicity_signals.measure_toxicity,
        "pii": pii_signals.measure_pii,
    }
    return families[name]


def _needs_corrections(families: Sequence[str], recipe: Recipe) -> bool:
    """Return whether a family counts corrections, or sees a text that only they can tell."""
    steps = {item.step for item in recipe.corrections.steps}
    return any(_COUNTED_STEPS.get(family) in steps or recipe.find_measured_step(family) for family in families)


def _measure_sizes(frame: pl.DataFrame) -> list[int | None]:
    """Return what each row counts as in a batch, in characters; None for a row without text."""
    size = pl.col("text").str.len_chars().cast(pl.Int64)
    if "corrections" in frame.columns:
        size += pl.col("corrections").list.len().cast(pl.Int64).fill_null(0) * _CORRECTION_CHARACTERS
    return frame.select(size).to_series().to_list()


def _cut_batches(sizes: Sequence[int | None]) -> list[list[int]]:
    """Return the rows of each batch; those without text are in none."""
    batches: list[list[int]] = []
    room = 0
    for index, size in enumerate(sizes):
        if size is None:
            continue
        if not batches or size > room:
            batches.append([])
            room = _BATCH_CHARACTERS
        batches[-1].append(index)
        room -= size
    return batches
