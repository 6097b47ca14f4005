"""The release over all dumps: conversations, preference pairs and packed tokens, each as Parquet a trainer reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.stage import StageRun, fingerprint_inputs
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.instructions import PRETRAINING_DATASET
from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.tables.columns import Table


def list_ready(run: StageRun, *tables: Table) -> list[tuple[Dataset, ...]]:
    """Return the datasets of each dump for which all the tables are published and none failed its checks.

    A dump that is missing holds the others up for ever if all are waited for; one that failed is left out and named
    by its own check.
    """
    ready = []
    for dump in run.lake.list_dumps(tables[0]):
        datasets = tuple(run.lake.dataset(table, dump) for table in tables)
        manifests = [dataset.find_manifest() for dataset in datasets]
        if all(manifest is not None and manifest.checks != "failed" for manifest in manifests):
            ready.append(datasets)
    return ready


def write_per_dump(
    run: StageRun, tables: tuple[Table, ...], function: Callable[..., ShardResult], *arguments: Any, extra: str = ""
) -> Production:
    """Make one shard per dump, from the datasets of that dump."""
    ready = list_ready(run, *tables)
    inputs = {name: value for datasets in ready for name, value in fingerprint_inputs(*datasets).items()}
    work = [
        ShardWork(
            str(datasets[0].dump), digest_settings([fingerprint_inputs(*datasets), extra]), (*datasets, *arguments)
        )
        for datasets in ready
    ]
    return run.write(work, function, inputs=inputs)


# pretraining_dataset --------------------------------------------------------------------------------------------------


def pack_pretraining(run: StageRun) -> Production:
    """Mix the dumps by their epochs, tokenize and pack, one shard per shard of the corpus."""
    from mmpipe.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(run.knobs.tokenizer or None)
    work = []
    inputs = {}
    for (corpus,) in list_ready(run, DEDUPED_CORPUS):
        epochs = run.recipe.pretraining.epochs.get(str(corpus.dump), 1.0)
        chosen = choose_fraction(corpus, epochs, run.recipe.pretraining.seed, tokenizer)
        for commit in corpus.require_manifest().commits:
            identity = digest_settings([commit.file_digest, tokenizer.digest, epochs, digest_settings(chosen)])
            arguments = (corpus, commit.shard, run.recipe, run.knobs.tokenizer, chosen)
            work.append(ShardWork(f"{corpus.dump}-{commit.shard}", identity, arguments))
        inputs |= fingerprint_inputs(corpus)
    return run.write(work, pack_shard, inputs=inputs)


def choose_fraction(corpus: Dataset, epochs: float, seed: int, tokenizer: Any) -> list[str] | None:
    """Return the documents read once more than the whole epochs ask, or None if the epochs are whole.

    Chosen over the whole dump, so that the choice does not depend on how the corpus was sharded; only ids and token
    counts are held.
    """
    from mmpipe.sampling.mixing import choose_documents

    fraction = epochs - math.floor(epochs)
    if not fraction:
        return None
    counted = []
    for commit in corpus.require_manifest().commits:
        rows = corpus.read_shard(commit.shard).select("doc_id", "text")
        lengths = [len(ids) for ids in tokenizer.encode_batch(rows.get_column("text").to_list())]
        counted.append(rows.select("doc_id", source=pl.lit(corpus.dump), tokens=pl.Series(lengths, dtype=pl.Int64)))
    chosen = choose_documents(pl.concat(counted), {str(corpus.dump): fraction}, seed) if counted else pl.DataFrame()
    return sorted(chosen.get_column("doc_id")) if chosen.height else []


def pack_shard(
    corpus: Dataset, shard: str, recipe: Recipe, tokenizer_place: str, chosen: list[str] | None
) -> ShardResult:
    """Pack the documents of one shard of the corpus."""
    from mmpipe.models.tokenizer import load_tokenizer
    from mmpipe.release.pretraining import describe_tokenizer, pack_documents, tokenize_documents
    from mmpipe.sampling.mixing import choose_documents

    settings = recipe.pretraining
    tokenizer = load_tokenizer(tokenizer_place or None)
    rows = corpus.read_shard(shard).select("doc_id", "text", source="dump", tokens=pl.lit(1, dtype=pl.Int64))
    whole = math.floor(settings.epochs.get(str(corpus.dump), 1.0))
    order = (
        choose_documents(rows.drop("text"), {str(corpus.dump): float(whole)}, settings.seed) if rows.height else rows
    )
    once_more = rows.filter(pl.col("doc_id").is_in(chosen or [])).select(order.columns[:3]).with_columns(epoch=whole)
    plan = (
        pl.concat(
            [
                order.select("doc_id", "source", "epoch"),
                once_more.select("doc_id", "source", pl.col("epoch").cast(pl.Int64)),
            ]
        )
        if rows.height
        else None
    )
    if plan is None:
        return ShardResult(PRETRAINING_DATASET.make_empty(), 0, accounts_for_rows=False)
    documents = plan.join(rows.select("doc_id", "text"), on="doc_id", how="left", maintain_order="left")
    frame = pack_documents(
        tokenize_documents(documents, tokenizer),
        settings.sequence_length,
        end_of_text=tokenizer.end_of_text,
        tokenizer=describe_tokenizer(tokenizer),
    )
    tokens = int(frame.get_column("input_ids").list.len().sum())
    return ShardResult(frame, rows.height, counts={"tokens": tokens, "documents": plan.height}, accounts_for_rows=False)
