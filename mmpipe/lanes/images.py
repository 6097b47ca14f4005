"""The image lane, top to bottom: pages → image-text candidates → signals → removals → kept pairs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.image_scoring import open_identifier, open_scorer
from mmpipe.lanes.pages import open_crawl
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.storage.dumps import read_dump
from mmpipe.storage.places import Place
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.images import IMAGE_CANDIDATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.stage import Knobs
    from mmpipe.models.image_scorer import ImageScorer
    from mmpipe.models.language import LanguageModel
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.shards import Production


#: Pictures of a batch on an accelerator: CLIP itself takes as many of them at once as fit.
_ACCELERATOR_BATCH = 512
#: A kept picture was measured already, so it is read whole.
_ANY_SIZE = 1 << 40


# image_signals --------------------------------------------------------------------------------------------------------


def measure_images(run: StageRun) -> Production:
    """Measure every picture once: header, pixels, hash, and how well it fits its caption."""
    from mmpipe.storage.pair_lists import identify_image_files

    assert run.dump is not None
    candidates = run.read(IMAGE_CANDIDATES)
    scorer = open_scorer(run.recipe.images, run.knobs)
    identifier = open_identifier(run.knobs)
    root = read_dump(run.lake, run.dump).root
    # the pictures' bytes stand in the dump: where its files changed, the same candidates are other pictures
    bytes_read = [commit.key for commit in run.read(RAW_CRAWL).require_manifest().commits]
    files = candidates.scan().filter(pl.col("image_origin") == "file").select("image_url").unique().collect()
    extra = digest_settings(
        [
            bytes_read,
            identify_image_files(open_crawl(root, run.knobs.cache_folder), files.get_column("image_url")),
            [dict(scorer.digests), run.knobs.clip_precision] if scorer else "no clip",
            identifier.digest,
        ]
    )
    # a device that waits for pictures is the dearest of all: every core decodes
    arguments = (root, run.recipe, run.knobs, scorer, identifier, max(2, run.engine.workers))
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, *arguments))
        for item in follow_shards(candidates, extra=extra)
    ]
    # one process holds the device; decoding runs in its threads
    return run.write(work, signals_shard, inputs=fingerprint_inputs(candidates), is_in_process=True)


def signals_shard(
    candidates: Dataset,
    shard: str,
    root: str,
    recipe: Recipe,
    knobs: Knobs,
    scorer: ImageScorer | None,
    identifier: LanguageModel,
    decode_threads: int = 2,
) -> ShardResult:
    """Measure the pictures of one shard."""
    from mmpipe.filtering.caption_signals import measure_captions
    from mmpipe.filtering.image_signals import PixelChoice, measure_pairs
    from mmpipe.filtering.image_verdicts import decide_by_header

    rows, images = candidates.read_shard(shard), recipe.images
    started = time.monotonic()
    frame = measure_pairs(
        rows,
        read_images(rows, open_crawl(root, knobs.cache_folder), Place(knobs.cache_folder), images.max_image_bytes + 1),
        scorer,
        batch_size=count_batch(scorer, knobs),
        decode_threads=decode_threads,
        max_pixels=images.max_pixels,
        max_bytes=images.max_image_bytes,
        captions=measure_captions(
            rows,
            flagged_words=images.flagged_words,
            political_words=images.political_words,
            language_identifier=identifier,
        ),
        header_rules=decide_by_header(images.rules) if images.header_first else None,
        choice=PixelChoice(
            codes=images.codes,
            orientations=images.duplicates is not None and images.duplicates.orientations,
            trims_borders=images.duplicates is not None and images.duplicates.trims_borders,
        ),
    )
    statuses = frame.get_column("decode_status").value_counts()
    elapsed = time.monotonic() - started
    return ShardResult(frame, rows.height, counts=dict(statuses.iter_rows()), device_seconds=elapsed if scorer else 0.0)


def count_batch(scorer: ImageScorer | None, knobs: Knobs) -> int:
    """Return how many pictures are handed to the scorer at once: on an accelerator, as many as it may take."""
    is_accelerated = scorer is not None and str(scorer.clip.device) != "cpu"
    return max(knobs.batch_size, knobs.clip_batch_size or _ACCELERATOR_BATCH) if is_accelerated else knobs.batch_size


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
    # the pairs of one picture one after the other, with one object: it is read, decoded and prepared once
    elsewhere = (
        rows.filter(pl.col("image_origin") != "dump")
        .group_by("image_origin", "image_url", "image_sha256", maintain_order=True)
        .agg("pair_id", pl.col("image_inline").first())
    )
    for origin, url, sha256, pair_ids, inline in elsewhere.iter_rows():
        if origin == "inline":
            data = inline[:max_bytes]
        elif origin == "file":
            data = read_image_file(root, url, max_bytes)
        else:
            data = fetched.read(sha256) if sha256 and origin != "missing" else None
        for pair_id in pair_ids:
            yield pair_id, data


# pictures of kept pairs ----------------------------------------------------------------------------------------------


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
