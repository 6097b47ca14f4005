"""The text lane from documents to corpus: what repeats another document or an evaluation set."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import DatasetNotReady
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.lanes.text_report import REPORT_FILE, write_text_report
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.keep import count_removed_by_rule, keep
from mmpipe.tables.text import (
    DEDUPED_CORPUS,
    FILTERED_TEXT,
    TEXT_CONTAMINATION,
    TEXT_DUPLICATES,
    TEXT_SIGNATURES,
)

if TYPE_CHECKING:
    from mmpipe.deduplication.contamination_index import ContaminationIndex
    from mmpipe.deduplication.minhash import MinHashSettings
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.shards import Production

_log = logging.getLogger(__name__)


# text_signatures, text_duplicates, deduped_corpus ---------------------------------------------------------------------


def sign_text(run: StageRun) -> Production:
    """Compute what duplicates are compared by."""
    text = run.read(FILTERED_TEXT)
    work = [ShardWork(item.shard, item.inputs, (*item.arguments, run.recipe)) for item in follow_shards(text)]
    return run.write(work, sign_shard, inputs=fingerprint_inputs(text))


def sign_shard(text: Dataset, shard: str, recipe: Recipe) -> ShardResult:
    """Sign the documents of one shard."""
    from mmpipe.deduplication.minhash import sign_documents

    rows = text.read_shard(shard)
    return ShardResult(sign_documents(rows, collect_minhash_settings(recipe)), rows.height)


def find_text_duplicates(run: StageRun) -> Production:
    """Find the duplicates of this dump in itself and in the dumps that came first.

    Dumps have an order, the order in which they were first deduplicated; a document that an earlier dump published
    stays. The order is kept beside the datasets, so that a run of an old dump ends in the same rows.
    """
    from mmpipe.storage.sequence import hold_sequence

    assert run.dump is not None
    signatures = run.read(TEXT_SIGNATURES)
    with hold_sequence(run.lake, "dump_sequence") as sequence:
        earlier = sequence.list_before(run.dump)
        before = [
            (run.lake.dataset(TEXT_SIGNATURES, dump), run.lake.dataset(TEXT_DUPLICATES, dump)) for dump in earlier
        ]
        _refuse_other_signatures(signatures, before)
        inputs = fingerprint_inputs(signatures, *(dataset for pair in before for dataset in pair))
        work = [ShardWork("all", digest_settings(inputs), (run.lake, run.dump, earlier, run.recipe))]
        production = run.write(work, duplicates_shard, inputs=inputs, is_in_process=True)
        sequence.append(run.dump)
    return production


def duplicates_shard(lake: Lake, dump: str, earlier: list[str], recipe: Recipe) -> ShardResult:
    """Find the duplicates of one dump. Keys lie in a scratch file and earlier dumps are streamed, not held."""
    import tempfile
    from pathlib import Path

    from mmpipe.deduplication.duplicates import find_duplicates, removals_of

    settings = collect_minhash_settings(recipe)
    current = lake.dataset(TEXT_SIGNATURES, dump)
    published = [
        lake.dataset(TEXT_SIGNATURES, name)
        .scan()
        .join(_list_removed(lake.dataset(TEXT_DUPLICATES, name)), on="doc_id", how="anti")
        .with_columns(dump_sequence=pl.lit(number, dtype=pl.Int64))
        for number, name in enumerate(earlier)
    ]

    def read_texts(doc_ids: list[str]) -> dict[str, str]:
        wanted = pl.LazyFrame({"doc_id": doc_ids}, schema={"doc_id": pl.String})
        texts = pl.concat(
            lake.dataset(FILTERED_TEXT, name).scan().select("doc_id", "text") for name in [*earlier, dump]
        )
        return dict(texts.join(wanted, on="doc_id", how="semi").collect().iter_rows())

    with tempfile.TemporaryDirectory(prefix="mmpipe-bands-") as scratch:
        frame = find_duplicates(
            current.scan(),
            pl.concat(published) if published else None,
            read_texts,
            settings,
            scratch=Path(scratch),
        )
    removals = removals_of(frame, settings)
    return ShardResult(
        frame,
        current.require_manifest().rows_out,
        rows_removed=removals.height,
        removed_by_rule=count_removed_by_rule(removals, key="doc_id"),
        counts={"clusters": frame.get_column("cluster_id").n_unique()},
        accounts_for_rows=False,
    )


def find_text_contamination(run: StageRun) -> Production:
    """Find text of evaluation sets in the documents; without sets, nothing is found."""
    text = run.read(FILTERED_TEXT)
    if run.recipe.contamination.sets:
        # built here once, so that the shards only map it
        index = _open_evaluation_index(run.recipe, run.knobs.cache_folder)
        for name, items, short, common, ngrams in index.count_items().iter_rows():
            _log.info(
                "%s: %d items, %d n-grams; %d items are too short and %d of common words only.",
                name, items, ngrams, short, common,
            )  # fmt: skip
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, run.recipe, run.knobs.cache_folder))
        for item in follow_shards(text)
    ]
    return run.write(work, contamination_shard, inputs=fingerprint_inputs(text))


def contamination_shard(text: Dataset, shard: str, recipe: Recipe, cache_folder: str) -> ShardResult:
    """Find text of evaluation sets in the documents of one shard."""
    from mmpipe.deduplication.contamination import find_contamination

    rows = text.read_shard(shard).select("doc_id", "dump", "text")
    if not recipe.contamination.sets:
        return ShardResult(TEXT_CONTAMINATION.make_empty(), rows.height, accounts_for_rows=False)
    hits = find_contamination(rows, _open_evaluation_index(recipe, cache_folder))
    counts = hits.group_by("evaluation_set").agg(pl.col("doc_id").n_unique()).rows()
    return ShardResult(hits, rows.height, counts=dict(counts), accounts_for_rows=False)


def _open_evaluation_index(recipe: Recipe, cache_folder: str) -> ContaminationIndex:
    """Return the index of the recipe's evaluation sets, kept in the cache folder under the digest of their files."""
    from mmpipe.deduplication.contamination_index import build_index, digest_sets, open_index
    from mmpipe.storage.evaluation_sets import read_evaluation_set

    settings = recipe.contamination

    def build() -> ContaminationIndex:
        sets = [
            read_evaluation_set(item.file.path, name=item.name, fields=item.fields, sha256=item.file.sha256)
            for item in settings.sets
        ]
        return build_index([(found.name, found.items) for found in sets], ngram_words=settings.ngram_words)

    digest = digest_sets([(item.name, item.file.sha256, item.fields) for item in settings.sets], settings.ngram_words)
    return open_index(Path(cache_folder) / "contamination", digest, build)


def dedupe_text(run: StageRun) -> Production:
    """Keep the documents that no kept document repeats, and that hold nothing of an evaluation set."""
    text, duplicates = run.read(FILTERED_TEXT), run.read(TEXT_DUPLICATES)
    contamination = run.read(TEXT_CONTAMINATION)
    fingerprint = duplicates.require_manifest().fingerprint
    work = [
        ShardWork(item.shard, item.inputs, (text, duplicates, contamination, item.shard, run.recipe))
        for item in follow_shards(text, contamination, extra=fingerprint)
    ]
    production = run.write(work, dedupe_shard, inputs=fingerprint_inputs(text, duplicates, contamination))
    assert run.dump is not None
    # the whole funnel is known only here, at the end of the lane
    run.read(DEDUPED_CORPUS).folder.join(REPORT_FILE).write_text(write_text_report(run.lake, run.dump))
    return production


def dedupe_shard(text: Dataset, duplicates: Dataset, contamination: Dataset, shard: str, recipe: Recipe) -> ShardResult:
    """Keep the documents of one shard that no kept document repeats, and that hold nothing of an evaluation set."""
    from mmpipe.deduplication.contamination import removals_of_contamination
    from mmpipe.deduplication.duplicates import removals_of

    rows = text.read_shard(shard)
    of_shard = duplicates.scan().join(rows.lazy().select("doc_id"), on="doc_id", how="semi").collect()
    contaminated = removals_of_contamination(contamination.read_shard(shard), remove=recipe.contamination.remove)
    removals = pl.concat([removals_of(of_shard, collect_minhash_settings(recipe)), contaminated])
    kept = keep(rows, removals, key="doc_id")
    return ShardResult(kept.frame, kept.rows_in, kept.rows_removed, kept.removed_by_rule)


def collect_minhash_settings(recipe: Recipe) -> MinHashSettings:
    """Return the recipe's deduplication section as deduplication takes it."""
    from mmpipe.deduplication.minhash import MinHashSettings

    section = recipe.deduplication
    return MinHashSettings(
        shingle_words=section.shingle_words,
        bands=section.bands,
        rows=section.rows,
        seed=section.seed,
        verify_jaccard=section.verify_jaccard,
    )


def _list_removed(duplicates: Dataset) -> pl.LazyFrame:
    return duplicates.scan().filter(pl.col("doc_id") != pl.col("kept_doc_id")).select("doc_id")


def _refuse_other_signatures(signatures: Dataset, before: list[tuple[Dataset, Dataset]]) -> None:
    version = signatures.require_manifest().code_version
    for other, _ in before:
        if other.require_manifest().code_version != version:
            raise DatasetNotReady(
                f"{other.label} was signed by other parameters than {signatures.label}, so the two cannot be compared. "
                f"Materialize text_signatures and text_duplicates for {other.dump} again, then this dump."
            )
