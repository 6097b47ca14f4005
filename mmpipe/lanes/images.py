"""The image lane, top to bottom: pages → image-text candidates → signals → removals → kept pairs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.image_candidates import find_candidates
from mmpipe.lanes.pages import open_crawl
from mmpipe.lanes.stage import Stage, StageRun, fingerprint_inputs, follow_shards
from mmpipe.storage.dumps import read_dump
from mmpipe.storage.places import Place
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.keep import count_removed_by_rule, keep
from mmpipe.tables.removals import IMAGE_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.stage import Knobs
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.shards import Production


#: A kept picture was measured already, so it is read whole.
_ANY_SIZE = 1 << 40


# image_signals --------------------------------------------------------------------------------------------------------


def measure_images(run: StageRun) -> Production:
    """Measure every picture once: header, pixels, hash, and how well it fits its caption."""
    from mmpipe.models.clip import ClipModel
    from mmpipe.models.image_scorer import ImageScorer

    assert run.dump is not None
    candidates = run.read(IMAGE_CANDIDATES)
    knobs = run.knobs
    clip = (
        ClipModel(knobs.clip_weights, device=knobs.device, batch_size=knobs.batch_size) if knobs.clip_weights else None
    )
    scorer = ImageScorer(clip) if clip else None
    root = read_dump(run.lake, run.dump).root
    # the pictures' bytes stand in the dump: where its files changed, the same candidates are other pictures
    bytes_read = [commit.key for commit in run.read(RAW_CRAWL).require_manifest().commits]
    extra = digest_settings([bytes_read, clip.digest if clip else "no clip"])
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, root, run.recipe, knobs, scorer))
        for item in follow_shards(candidates, extra=extra)
    ]
    # one process holds the device; decoding runs in its threads
    return run.write(work, signals_shard, inputs=fingerprint_inputs(candidates), is_in_process=True)


def signals_shard(candidates: Dataset, shard: str, root: str, recipe: Recipe, knobs: Knobs, scorer: Any) -> ShardResult:
    """Measure the pictures of one shard."""
    from mmpipe.filtering.caption_signals import measure_captions
    from mmpipe.filtering.image_signals import PixelChoice, measure_pairs

    rows, images = candidates.read_shard(shard), recipe.images
    started = time.monotonic()
    frame = measure_pairs(
        rows,
        read_images(rows, open_crawl(root, knobs.cache_folder), Place(knobs.cache_folder), images.max_image_bytes),
        scorer,
        batch_size=knobs.batch_size,
        max_pixels=images.max_pixels,
        captions=measure_captions(rows, flagged_words=images.flagged_words, political_words=images.political_words),
        choice=PixelChoice(
            codes=images.codes,
            orientations=images.duplicates is not None and images.duplicates.orientations,
            trims_borders=images.duplicates is not None and images.duplicates.trims_borders,
        ),
    )
    statuses = frame.get_column("decode_status").value_counts()
    elapsed = time.monotonic() - started
    return ShardResult(frame, rows.height, counts=dict(statuses.iter_rows()), device_seconds=elapsed if scorer else 0.0)


def read_images(rows: pl.DataFrame, root: Place, cache: Place, max_bytes: int) -> Iterator[tuple[str, bytes | None]]:
    """Yield (pair_id, bytes) of every pair; None where the bytes are missing. A picture used twice is read once."""
    from mmpipe.storage.image_cache import ImageCache
    from mmpipe.storage.pair_lists import read_image_file
    from mmpipe.storage.warc import read_payloads

    fetched = ImageCache(cache.join("images"))
    stored = rows.filter(pl.col("image_origin") == "dump")
    pairs_of = {
        key[0]: group.get_column("pair_id").to_list()
        for key, group in stored.group_by("image_doc_id", maintain_order=True)
    }
    records = stored.unique("image_doc_id", maintain_order=True).select(
        doc_id="image_doc_id", warc_file="image_warc_file", warc_offset="image_warc_offset"
    )
    for doc_id, payload in read_payloads(root, records, max_bytes):
        for pair_id in pairs_of[doc_id]:
            yield pair_id, payload.body
    elsewhere = rows.filter(pl.col("image_origin") != "dump")
    for pair_id, url, origin, sha256, inline in elsewhere.select(
        "pair_id", "image_url", "image_origin", "image_sha256", "image_inline"
    ).iter_rows():
        if origin == "inline":
            yield pair_id, inline[:max_bytes]
        elif origin == "file":
            yield pair_id, read_image_file(root, url, max_bytes)
        else:
            yield pair_id, fetched.read(sha256) if sha256 and origin != "missing" else None


# image_removals, filtered_image_pairs ---------------------------------------------------------------------------------


def judge_images(run: StageRun) -> Production:
    """Judge the stored signals, then remove pairs whose picture and caption a passing pair has already."""
    candidates, signals = run.read(IMAGE_CANDIDATES), run.read(IMAGE_SIGNALS)
    inputs = fingerprint_inputs(candidates, signals)
    # one shard: a pair repeats another of the whole dump
    work = [ShardWork("all", digest_settings(inputs), (candidates, signals, run.recipe))]
    return run.write(work, judge_pairs, inputs=inputs, is_in_process=True)


def judge_pairs(candidates: Dataset, signals: Dataset, recipe: Recipe) -> ShardResult:
    """Judge all pairs of a dump."""
    from mmpipe.deduplication.images import find_repeated_pairs
    from mmpipe.filtering.judge import judge

    rows = signals.scan().collect()
    removals = judge(rows, recipe.images.rules, key="pair_id", status="decode_status")
    captions = candidates.scan().select("pair_id", "caption").collect()
    passing = rows.join(removals, on="pair_id", how="anti").select("pair_id", "phash").join(captions, on="pair_id")
    removals = pl.concat([removals, find_repeated_pairs(passing)])
    return ShardResult(
        removals,
        rows.height,
        rows_removed=removals.get_column("pair_id").n_unique(),
        removed_by_rule=count_removed_by_rule(removals, key="pair_id"),
        accounts_for_rows=False,
    )


def filter_pairs(run: StageRun) -> Production:
    """Keep the pairs without removals."""
    candidates, signals, removals = run.read(IMAGE_CANDIDATES), run.read(IMAGE_SIGNALS), run.read(IMAGE_REMOVALS)
    fingerprint = removals.require_manifest().fingerprint
    work = [
        ShardWork(item.shard, item.inputs, (candidates, signals, removals, item.shard))
        for item in follow_shards(candidates, signals, extra=fingerprint)
    ]
    return run.write(work, filter_pairs_shard, inputs=fingerprint_inputs(candidates, signals, removals))


def filter_pairs_shard(candidates: Dataset, signals: Dataset, removals: Dataset, shard: str) -> ShardResult:
    """Keep the pairs of one shard."""
    rows = candidates.read_shard(shard).drop("image_detail", "image_sha256")
    measured = signals.read_shard(shard).drop("decode_status", "decode_detail")
    pairs = rows.join(measured, on="pair_id", how="left", maintain_order="left")
    of_shard = removals.scan().join(rows.lazy().select("pair_id"), on="pair_id", how="semi").collect()
    kept = keep(pairs, of_shard, key="pair_id")
    frame = kept.frame.select(FILTERED_IMAGE_PAIRS.column_names)
    return ShardResult(frame, kept.rows_in, kept.rows_removed, kept.removed_by_rule)


def read_pair_images(lake: Lake, pairs: pl.DataFrame, cache_folder: str) -> dict[str, bytes]:
    """Return the bytes of kept pairs by pair_id, read by reference from their dumps or the cache."""
    return {
        pair_id: data
        for (dump,), of_dump in pairs.group_by("dump", maintain_order=True)
        for pair_id, data in read_images(
            of_dump, open_crawl(read_dump(lake, str(dump)).root, cache_folder), Place(cache_folder), _ANY_SIZE
        )
        if data is not None
    }


IMAGE_LANE = (
    Stage(IMAGE_CANDIDATES, (RAW_CRAWL,), find_candidates, ("extraction", "image_candidates"), revision=2),
    Stage(IMAGE_SIGNALS, (IMAGE_CANDIDATES,), measure_images, ("image_signals",)),
    Stage(IMAGE_REMOVALS, (IMAGE_CANDIDATES, IMAGE_SIGNALS), judge_images, ("images",)),
    Stage(FILTERED_IMAGE_PAIRS, (IMAGE_CANDIDATES, IMAGE_SIGNALS, IMAGE_REMOVALS), filter_pairs),
)
