"""Mixes the documents of all dumps, real and rephrased, and packs them into training sequences, with their card."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.known_tokenizers import KnownTokenizer, open_tokenizer_for
from mmpipe.lanes.pretraining_mixture import MixturePlan, account_published, plan_sources, tell_total
from mmpipe.lanes.pretraining_sources import SOURCE_TABLES, PretrainingSource, list_sources, tell_mixture
from mmpipe.lanes.ready_dumps import list_ready
from mmpipe.lanes.release_card import (
    count_document_tokens,
    list_contamination,
    list_document_sources,
    list_limits,
    list_writers,
)
from mmpipe.lanes.release_pages import tell_pages
from mmpipe.lanes.release_recipes import list_dump_recipes, tell_release_recipe
from mmpipe.lanes.stage import StageRun, fingerprint_inputs
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.instructions import PRETRAINING_DATASET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.commits import Commit
    from mmpipe.storage.shards import Production

#: Bytes of Parquet whose documents are packed together: about 15 million tokens, as many as a worker easily holds.
PACKED_BYTES = 16 * 2**20


def release_sequences(run: StageRun) -> Production:
    """Mix the dumps as the recipe says, tokenize and pack; one shard per group of shards of documents."""
    from mmpipe.lanes.token_release import write_memory_maps, write_tokenizer

    settings = run.recipe.pretraining
    tokenizer = KnownTokenizer(run.knobs.tokenizer, settings.added_tokens, run.knobs.cache_folder)
    inputs: dict[str, str] = {}
    sources: list[PretrainingSource] = []
    for datasets in list_ready(run, *SOURCE_TABLES[run.recipe.rephrasing.is_mixed]):
        inputs |= fingerprint_inputs(*datasets)
        sources += list_sources(run, datasets[0])
    plan = plan_sources(settings, sources, tokenizer)
    work = []
    for source in sources:
        epochs, once_more = plan.epochs[source.dump], frozenset(plan.once_more[source.name])
        for group in group_shards(source.dataset.require_manifest().commits):
            shards = tuple(commit.shard for commit in group)
            part = source.limit(shards)
            more = sorted(once_more.intersection(part.list_ids(shards))) if once_more else []
            made_of: list[Any] = [[commit.file_digest for commit in group], tokenizer.digest, epochs, more]
            if part.taken is not None:
                made_of.append(sorted(part.taken))
            arguments = (part, shards, run.recipe, run.knobs.tokenizer, epochs, more)
            work.append(ShardWork(f"{source.dump}-{shards[0]}", digest_settings(made_of), arguments))
    production = run.write(work, sequences_shard, inputs=inputs)
    dataset, commits = run.read(run.stage.table), list(production.manifest.commits)
    maps = write_memory_maps(dataset, commits, tokenizer, wanted=run.recipe.release.memory_mapped)
    write_tokenizer(dataset, tokenizer)
    dataset.folder.join("release").remove_empty_folders()
    write_sequences_card(run, production, maps, sources, plan)
    return production


def group_shards(commits: Sequence[Commit]) -> list[list[Commit]]:
    """Return the commits of a source, in order, in groups that are packed together, each of `PACKED_BYTES` at least.

    The last sequence of a group is short. A shard of few documents by itself would leave much of its last one empty.
    """
    groups: list[list[Commit]] = []
    size = PACKED_BYTES
    for commit in commits:
        if size >= PACKED_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(commit)
        size += commit.bytes
    return groups


def write_sequences_card(
    run: StageRun, production: Production, maps: int, sources: Sequence[PretrainingSource], plan: MixturePlan
) -> None:
    """Write the card, which names the current part files and nothing else of the folder."""
    from mmpipe.release.dataset_card import Card, render_card

    manifest = production.manifest
    told = f"`release/memory_mapped/*.bin` and `.idx`: {maps:,} pairs, the sequences of a part file each"
    dumps = sorted({commit.shard.rsplit("-", 2)[0] for commit in manifest.commits})
    card = Card(
        table=run.stage.table,
        layouts=[("memory_mapped", told)] if maps else (),
        rows={"default": manifest.rows_out},
        files={"default": [commit.file for commit in manifest.commits if commit.rows_out]},
        recipe=tell_release_recipe(run, manifest.recipe),
        dump_recipes=list_dump_recipes(run, SOURCE_TABLES[run.recipe.rephrasing.is_mixed], dumps),
        teachers=list_writers(sources),
        funnel=[("documents", int(manifest.counts.get("documents", 0))), ("sequences", manifest.rows_out)],
        dumps=dumps,
        sources=list_document_sources(run),
        notes=[*tell_pages(run, dumps), *tell_packing(run)],
        lengths=count_document_tokens(run),
        lengths_of="document",
        contamination=list_contamination(run, production, dumps),
        limits=[*tell_mixture(run.recipe, sources), *tell_total(plan), *list_limits(run, dumps)],
        mixture=account_published(run.read(run.stage.table), sources, plan),
        tasks=("text-generation",),
        tags=("pretraining", "mmpipe"),
    )
    run.read(run.stage.table).folder.join("README.md").write_text(render_card(card))


def tell_packing(run: StageRun) -> list[str]:
    """Return what the card tells of the published sequences: tokenizer, length, packing, and how full they are."""
    from mmpipe.release.packing import measure_efficiency

    settings = run.recipe.pretraining
    rows = run.read(run.stage.table).scan().select("tokenizer", tokens=pl.col("input_ids").list.len().cast(pl.Int64))
    made = rows.group_by("tokenizer").agg(pl.len(), pl.col("tokens").sum()).sort("tokenizer").collect()
    tokens, sequences = int(made.get_column("tokens").sum()), int(made.get_column("len").sum())
    if not sequences:
        return []
    full = measure_efficiency(tokens, sequences, settings.sequence_length)
    packed = "whole documents by best fit" if settings.packing == "best_fit" else "documents end to end"
    room = f"{sequences:,} of at most {settings.sequence_length:,}"
    named = [f"Tokenizer: `{name}`" for name in made.get_column("tokenizer")]
    return [*named, f"Sequences: {tokens:,} tokens in {room}, {packed}; {100 * full:.1f} % full"]


def sequences_shard(
    source: PretrainingSource,
    shards: Sequence[str],
    recipe: Recipe,
    tokenizer_place: str,
    epochs: float,
    once_more: list[str],
) -> ShardResult:
    """Pack the documents of some shards of a source."""
    from mmpipe.release.packing import pack_documents_best_fit
    from mmpipe.release.pretraining import describe_tokenizer, pack_documents, tokenize_documents
    from mmpipe.sampling.mixing import choose_documents

    settings = recipe.pretraining
    rows = pl.concat([source.read(shard) for shard in shards])
    if rows.is_empty():
        return ShardResult(PRETRAINING_DATASET.make_empty(), 0)
    whole = math.floor(epochs)
    sized = rows.select("doc_id", "source", tokens=pl.lit(1, dtype=pl.Int64))
    order = choose_documents(sized, {source.name: float(whole)}, settings.seed).select("doc_id", "source", "epoch")
    last = sized.filter(pl.col("doc_id").is_in(once_more)).select(
        "doc_id", "source", epoch=pl.lit(whole, dtype=pl.Int64)
    )
    documents = pl.concat([order, last]).join(
        rows.select("doc_id", "text"), on="doc_id", how="left", maintain_order="left"
    )
    tokenizer, _ = open_tokenizer_for(tokenizer_place, settings.added_tokens)
    pack = pack_documents_best_fit if settings.packing == "best_fit" else pack_documents
    frame = pack(
        tokenize_documents(documents, tokenizer),
        settings.sequence_length,
        end_of_text=tokenizer.end_of_text,
        tokenizer=describe_tokenizer(tokenizer),
    )
    tokens = int(frame.get_column("input_ids").list.len().sum())
    counts = {"tokens": tokens, "documents": documents.height}
    return ShardResult(frame, rows.height, counts=counts, accounts_for_rows=False)
