"""The image lane's pairs whose picture another pair has: what is compared, and where earlier dumps come in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.lanes.duplicates import make_scratch
from mmpipe.lanes.image_choice import list_passing
from mmpipe.lanes.stage import StageRun, fingerprint_inputs
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.keep import count_removed_by_rule

if TYPE_CHECKING:
    from mmpipe.deduplication.evaluation_images import EvaluationHashes
    from mmpipe.deduplication.image_duplicates import ImageEmbeddings, ImageSearch
    from mmpipe.filtering.image_sections import ImageDuplicates
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.stage import Knobs
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.shards import Production

#: Beside the datasets: the order in which dumps were first searched for duplicate pictures.
DUMP_SEQUENCE = "image_dump_sequence"

_EMBEDDED_ROWS = 1 << 14


def find_image_duplicates(run: StageRun) -> Production:
    """Find the pairs of a dump that show the same picture as others and, if the recipe says so, as published ones.

    Only pairs that pass the recipe's rules are compared. Dumps have an order, in which they were first searched, kept
    beside the datasets; what an earlier dump published stays. Earlier dumps are compared by hash alone.
    """
    from mmpipe.storage.sequence import hold_sequence

    assert run.dump is not None
    section = run.recipe.images.duplicates
    candidates, signals, counts = (run.read(table) for table in (IMAGE_CANDIDATES, IMAGE_SIGNALS, IMAGE_COUNTS))
    with hold_sequence(run.lake, DUMP_SEQUENCE) as sequence:
        earlier = sequence.list_before(run.dump) if section and section.across_dumps else []
        published = [run.lake.dataset(FILTERED_IMAGE_PAIRS, dump) for dump in earlier]
        measured = [run.lake.dataset(IMAGE_SIGNALS, dump) for dump in earlier]
        inputs = fingerprint_inputs(candidates, signals, counts, *published, *measured)
        arguments = (run.lake, run.dump, earlier, run.recipe, run.knobs)
        # one shard: a pair may be like any other of the dump
        work = [ShardWork("all", digest_settings(inputs), arguments)]
        production = run.write(work, duplicates_shard, inputs=inputs, is_in_process=True)
        sequence.append(run.dump)
    return production


def duplicates_shard(lake: Lake, dump: str, earlier: list[str], recipe: Recipe, knobs: Knobs) -> ShardResult:
    """Find the duplicates of one dump."""
    from mmpipe.deduplication.image_duplicates import cite_duplicates, find_duplicates

    section = recipe.images.duplicates
    if section is None:
        return ShardResult(IMAGE_DUPLICATES.make_empty(), 0, accounts_for_rows=False)
    candidates, signals, counts = (
        lake.dataset(table, dump) for table in (IMAGE_CANDIDATES, IMAGE_SIGNALS, IMAGE_COUNTS)
    )
    passing = pl.concat(
        [pl.DataFrame(schema={"pair_id": pl.String}), *(ids for _, ids in list_passing(signals, counts, recipe))]
    )
    evaluation = read_evaluation_hashes(section)
    file_hashes = list(evaluation.files) if evaluation else []
    pairs = [read_pairs(candidates, signals, passing, section, file_hashes)]
    pairs += [read_published(lake, name, number, section, pairs[0].schema) for number, name in enumerate(earlier)]
    with make_scratch(knobs) as scratch:
        found = find_duplicates(
            pl.concat(pairs),
            collect_search(section),
            scratch=scratch,
            evaluation=evaluation,
            embeddings=lay_embeddings(signals, passing, scratch) if section.embedding_similarity else None,
        )
    removals = cite_duplicates(found.duplicates)
    return ShardResult(
        found.duplicates,
        passing.height,
        rows_removed=removals.height,
        removed_by_rule=count_removed_by_rule(removals, key="pair_id"),
        counts={**found.counts, "published_pairs": sum(frame.height for frame in pairs[1:])},
        accounts_for_rows=False,
    )


def collect_search(section: ImageDuplicates) -> ImageSearch:
    """Return the recipe's section as the search takes it."""
    from mmpipe.deduplication.image_duplicates import ImageSearch

    settings = asdict(section)
    for name in ("across_dumps", "evaluation_hashes"):
        del settings[name]
    return ImageSearch(**settings)


def read_evaluation_hashes(section: ImageDuplicates) -> EvaluationHashes | None:
    """Return the hashes of evaluation images that the recipe lists; None if it lists none."""
    from mmpipe.deduplication.evaluation_images import sort_evaluation_hashes
    from mmpipe.filtering.list_files import read_entries

    if not section.evaluation_hashes:
        return None
    # the entries are held to what hashes are by the search, which stops at one that is none
    return sort_evaluation_hashes(
        entry for reference in section.evaluation_hashes for entry in read_entries(reference, str.strip)
    )


def _list_hash_columns(section: ImageDuplicates) -> list[str]:
    return [
        "phash",
        *(["phash_orientations"] if section.orientations else []),
        *(["phash_trimmed"] if section.trims_borders else []),
    ]


def read_pairs(
    candidates: Dataset, signals: Dataset, passing: pl.DataFrame, section: ImageDuplicates, file_hashes: list[str]
) -> pl.DataFrame:
    """Return what is compared of the passing pairs of a dump, its columns alone."""
    hashes = [*_list_hash_columns(section), *(name for name in file_hashes if name in IMAGE_SIGNALS.schema)]
    measured = signals.scan().select(
        "pair_id", "clip_similarity", "caption_chars", *hashes, area=pl.col("image_width") * pl.col("image_height")
    )
    return (
        candidates.scan()
        .select("pair_id", "dump", "caption", dump_sequence=pl.lit(None, dtype=pl.Int64))
        .join(measured, on="pair_id", how="inner")
        .join(passing.lazy(), on="pair_id", how="semi")
        .collect(engine="streaming")
    )


def read_published(lake: Lake, dump: str, number: int, section: ImageDuplicates, schema: pl.Schema) -> pl.DataFrame:
    """Return what is compared of the pairs that an earlier dump published: their hashes and captions."""
    hashes = _list_hash_columns(section)
    published = lake.dataset(FILTERED_IMAGE_PAIRS, dump).scan().select("pair_id", "dump", "caption")
    measured = lake.dataset(IMAGE_SIGNALS, dump).scan().select("pair_id", *hashes)
    rows = published.join(measured, on="pair_id", how="inner").with_columns(
        dump_sequence=pl.lit(number, dtype=pl.Int64)
    )
    absent = {name: pl.lit(None, dtype=dtype) for name, dtype in schema.items() if name not in rows.collect_schema()}
    return rows.with_columns(**absent).select(schema.names()).collect(engine="streaming")


def lay_embeddings(signals: Dataset, passing: pl.DataFrame, scratch: Path) -> ImageEmbeddings | None:
    """Return the stored embeddings of the passing pairs, laid in a file; None if no pair has one."""
    from mmpipe.deduplication.image_duplicates import ImageEmbeddings

    rows = (
        signals.scan().select("pair_id", "image_embedding").drop_nulls().join(passing.lazy(), on="pair_id", how="semi")
    )
    file, ids, width = scratch / "embeddings.f16", [], 0
    with file.open("wb") as output:
        for batch in rows.collect_batches(chunk_size=_EMBEDDED_ROWS, maintain_order=False):
            if batch.height:
                packed = b"".join(batch.get_column("image_embedding").to_list())
                width = len(packed) // 2 // batch.height
                output.write(packed)
                ids.append(batch.get_column("pair_id"))
    if not ids:
        return None
    pair_ids = pl.concat(ids)
    return ImageEmbeddings(pair_ids, np.memmap(file, dtype="<f2", mode="r", shape=(len(pair_ids), width)))
