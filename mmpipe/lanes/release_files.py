"""Writes the published conversations and preferences as files for trainers, with the card that tells of them."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.dialect_release import DialectFolder, is_refusal, write_dataset_info, write_part
from mmpipe.lanes.left_out_rows import describe_left_out, write_left_out
from mmpipe.lanes.preference_form_files import FormFolder, open_forms
from mmpipe.lanes.release_card import count_fallen, count_words, list_contamination, list_limits, tell_cost
from mmpipe.lanes.release_pages import tell_pages
from mmpipe.lanes.release_recipes import list_dump_recipes, tell_release_recipe
from mmpipe.lanes.release_sources import list_row_sources
from mmpipe.lanes.release_splits import TRAIN, VALIDATION, split_rows
from mmpipe.lanes.row_mixture import RowMixture, mix_rows
from mmpipe.lanes.token_release import Packer
from mmpipe.tables.instructions import (
    JUDGEMENTS,
    PREFERENCE_DATASET,
    RESPONSES,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.left_out import LEFT_OUT_FILE, make_left_out
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.places import Place
    from mmpipe.storage.shards import Production


@dataclass(slots=True)
class Written:
    """What lies in `release/`.

    Attributes:
        files: paths in it.
        rows: rows by configuration.
        splits: rows by split; empty where there is none.
        parts: configurations and splits that have a file.
        folders: one per dialect.
        forms: one folder per form of preferences.
        packer: what packed conversations; None where none are asked for.
        mixture: how often rows are read that train; None where each is read once.
        left_out: rows that are told in `left_out.parquet`.
    """

    files: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    parts: set[tuple[str, str]] = field(default_factory=set)
    folders: list[DialectFolder] = field(default_factory=list)
    forms: list[FormFolder] = field(default_factory=list)
    packer: Packer | None = None
    mixture: RowMixture | None = None
    left_out: int = 0

    def list_left_out(self) -> list[pl.DataFrame]:
        """Return the rows that the mixture and the formats leave out."""
        named = [row for folder in self.folders for row in folder.left_out]
        named += [row for form in self.forms for row in form.told]
        named += self.packer.left_out if self.packer is not None else []
        return [make_left_out(named), *([self.mixture.left_out] if self.mixture is not None else [])]

    def list_data_files(self, name: str) -> list[str] | dict[str, list[str]]:
        """Return the globs of a configuration's Parquet files, by split where there are some."""
        if not self.splits:
            return [f"release/{name}/*.parquet"]
        splits = [split for split in (TRAIN, VALIDATION) if (name, split) in self.parts]
        return {split: [f"release/{name}/{split}-*.parquet"] for split in splits}


def render_release(run: StageRun, production: Production) -> None:
    """Write the published rows as trainers read them: Parquet and JSONL per configuration, images, a card.

    Rows with images, rows with tools and other rows stand apart, because a trainer takes every row of a file with an
    image column for a vision row, and gives the tools of a column to every row. Files lie in `release/` of the
    dataset's folder, one per dump, or per split and dump; a folder per dialect and one of packed tokens beside them, as
    the recipe asks. What it does not ask for any more is removed.

    Raises:
        InvariantBroken: the split would part rows that belong together.
    """
    from mmpipe.release.dataset_card import render_card

    dataset = run.read(run.stage.table)
    folder = dataset.folder.join("release")
    settings = run.recipe.release
    dumps = [commit.shard for commit in production.manifest.commits]
    splits = split_rows(run, dumps) if dumps else None
    written = Written(folders=[DialectFolder(dialect) for dialect in settings.dialects])
    if splits is not None:
        written.splits = {TRAIN: 0, VALIDATION: 0}
    if settings.pack_tokens is not None and run.stage.table is SFT_DATASET:
        from mmpipe.models.chat_tokenizer import load_chat_tokenizer

        written.packer = Packer(settings, load_chat_tokenizer(run.knobs.tokenizer or None))
    if run.stage.table is PREFERENCE_DATASET:
        written.forms = open_forms(settings.preference_forms, settings.end_of_context)
    if run.stage.table is SFT_DATASET:
        written.mixture = mix_rows(list_training_rows(dataset, splits), settings)
    for dump in dumps:
        write_configurations(dataset, dump, folder, splits, written)
    for dialect in written.folders:
        write_dataset_info(folder, dialect)
        written.files.update(dialect.files)
    written.files.update(file for form in written.forms for file in form.files)
    written.left_out = write_left_out([dataset.read_left_out(), *written.list_left_out()], folder)
    if written.left_out:
        written.files.add(LEFT_OUT_FILE)
    for path in list(folder.list_files()):
        if path not in written.files:
            folder.join(path).remove()
    folder.remove_empty_folders()
    dataset.folder.join("README.md").write_text(render_card(describe_release(run, production, written)))


def write_configurations(
    dataset: Dataset, dump: str, folder: Place, splits: pl.DataFrame | None, written: Written
) -> None:
    """Write the rows of one dump by configuration and split, and add them to `written`."""
    import pyarrow.parquet as pq

    from mmpipe.release.jsonl import (
        convert_to_arrow,
        list_image_files,
        render_jsonl,
        show_calls,
        show_parts,
        split_configurations,
    )

    for name, rows in split_configurations(dataset.read_shard(dump)).items():
        place = folder.join(name)
        for path, data in list_image_files(rows):
            place.join(path).write_bytes(data)
            written.files.add(f"{name}/{path}")
        for split, epoch, part in _part_rows(rows, splits, written.mixture):
            # a row has its id once in a file; no dump's name has a plus sign
            file = f"{dump}+epoch{epoch}" if epoch else dump
            stem = f"{split}-{file}" if split else file
            written.rows[name] = written.rows.get(name, 0) + part.height
            buffer = io.BytesIO()
            shown = show_calls(part)
            pq.write_table(convert_to_arrow(show_parts(shown)), buffer, compression="zstd")
            place.join(f"{stem}.parquet").write_bytes(buffer.getvalue())
            place.join(f"{stem}.jsonl").write_text("".join(render_jsonl(shown)))
            written.files |= {f"{name}/{stem}.parquet", f"{name}/{stem}.jsonl"}
            written.parts.add((name, split))
            if split:
                written.splits[split] += part.height
            for dialect in written.folders:
                write_part(part, dataset.table, name, f"{split}/{file}" if split else file, folder, dialect)
            for form in written.forms:
                form.write_part(part, name, stem, folder)
            if written.packer is not None:
                # configurations of one dump lie in one folder here
                packed = f"{stem}-{name}" if name == "with_tools" else stem
                written.files.update(written.packer.write_part(part, packed, folder))


def list_training_rows(dataset: Dataset, splits: pl.DataFrame | None) -> pl.DataFrame:
    """Return id, dump and method of the published rows that train."""
    rows = dataset.scan().select("id", "dump", "method").collect()
    return rows if splits is None else rows.join(splits.filter(pl.col("split") == TRAIN), on="id", how="semi")


def _part_rows(
    rows: pl.DataFrame, splits: pl.DataFrame | None, mixture: RowMixture | None
) -> Iterator[tuple[str, int, pl.DataFrame]]:
    """Yield split, epoch and rows; those that validate stand in one epoch, as all do without a mixture."""
    for split, part in _part_by_split(rows, splits):
        if mixture is None or split == VALIDATION:
            yield split, 0, part
        else:
            yield from ((split, epoch, read) for epoch, read in mixture.part(part))


def _part_by_split(rows: pl.DataFrame, splits: pl.DataFrame | None) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the rows of each split under its name, or all under none."""
    if splits is None:
        yield "", rows
        return
    for split in (TRAIN, VALIDATION):
        chosen = splits.filter(pl.col("split") == split).get_column("id")
        part = rows.filter(pl.col("id").is_in(chosen.implode()))
        if part.height:
            yield split, part


def describe_release(run: StageRun, production: Production, written: Written) -> Any:
    """Return what the card of a released dataset tells."""
    from mmpipe.release.dataset_card import Card

    manifest = production.manifest
    dumps = [commit.shard for commit in manifest.commits]
    sources = [run.lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump) for dump in dumps]
    writers = list(sources)
    manifests = [source.require_manifest() for source in sources]
    between: list[tuple[str, int]] = []
    rejected: Counter[str] = Counter()
    if run.stage.table is PREFERENCE_DATASET:
        kept, rejected = count_fallen(run, dumps)
        between.append(("kept", kept))
        for table in (RESPONSES, JUDGEMENTS, RESPONSE_REVISIONS, PREFERENCE_PAIRS):
            found = [run.lake.dataset(table, dump).find_manifest() for dump in dumps]
            present = [item for item in found if item is not None]
            if table is RESPONSE_REVISIONS and not any(item.rows_out for item in present):
                continue  # most recipes have nobody revise
            between.append((table.name, sum(item.rows_out for item in present)))
            manifests += present
        # who answered, revised and judged may be others than who asked
        writers += [
            run.lake.dataset(table, dump)
            for table in (RESPONSES, JUDGEMENTS, RESPONSE_REVISIONS)
            for dump in dumps
            if run.lake.dataset(table, dump).find_manifest() is not None
        ]
    made_by = [each.scan().select("teacher", "prompt_version").unique().collect() for each in writers]
    counts = [item.counts for item in manifests]
    for item in [*manifests, manifest]:
        rejected.update(item.removed_by_rule)
    rejected.update({reason: int(tally) for reason, tally in manifest.counts.items() if not is_refusal(reason)})
    layouts = [*(dialect.describe() for dialect in written.folders), *(form.describe() for form in written.forms)]
    if written.packer is not None:
        layouts.append(written.packer.describe())
    if written.left_out:
        layouts.append(describe_left_out(written.left_out))
    return Card(
        table=run.stage.table,
        rows=written.rows,
        files={name: written.list_data_files(name) for name in written.rows},
        splits=written.splits,
        layouts=layouts,
        recipe=tell_release_recipe(run, manifest.recipe),
        dump_recipes=list_dump_recipes(run, run.stage.after, dumps),
        teachers=sorted({teacher for frame in made_by for teacher in frame.get_column("teacher") if teacher}),
        prompts=sorted({prompt for frame in made_by for prompt in frame.get_column("prompt_version") if prompt}),
        funnel=[
            ("planned", sum(source.require_manifest().rows_in for source in sources)),
            ("synthesized", sum(source.require_manifest().rows_out for source in sources)),
            *between,
            ("published", manifest.rows_out),
        ],
        rejected=rejected,
        dumps=dumps,
        notes=tell_pages(run, dumps),
        tokens=(
            int(sum(count.get("prompt_tokens", 0) for count in counts)),
            int(sum(count.get("completion_tokens", 0) for count in counts)),
        ),
        cost=tell_cost(sum(count.get("cost", 0.0) for count in counts), manifest.rows_out),
        mixture=written.mixture.table if written.mixture else (),
        sources=list_row_sources(run, dumps),
        lengths=count_words(run),
        lengths_unit="Words",
        contamination=list_contamination(run, production, dumps),
        limits=list_limits(run, dumps),
    )
