"""The lane of grounded pairs: phrases of kept captions, their boxes in the picture, expressions, location tokens."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.images import read_pair_images
from mmpipe.lanes.stage import Stage, StageRun, fingerprint_inputs, follow_shards
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

    from mmpipe.filtering.image_sections import GroundingSettings
    from mmpipe.filtering.phrase_boxes import FoundBox, Grounding, PhraseBoxes
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.sampling.noun_phrases import PhraseChunker
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.shards import Production

_TOLD = ("caption", "caption_source", "caption_written_chars", "source_metadata")
#: Pairs whose pictures are held at once.
_AT_ONCE = 64
#: What a list of pairs calls the boxes it brings, in GRIT's rows; a pair keeps it in source_metadata.
GIVEN = "noun_chunks"


def ground_pairs(run: StageRun) -> Production:
    """Give the phrases of kept captions their boxes; no row where neither a detector nor the data give any."""
    from mmpipe.sampling.noun_phrases import open_chunker

    settings, knobs = run.recipe.grounding, run.knobs
    pairs = run.read(FILTERED_IMAGE_PAIRS)
    if not settings.detector and not has_given_boxes(pairs):
        return run.write([ShardWork("none", "no boxes", ())], make_none, inputs={}, is_in_process=True)
    detector = open_detector(run) if settings.detector else None
    chunker = open_chunker(knobs.noun_chunker)
    extra = digest_settings([detector.digest if detector else "given", chunker.name, run.recipe.images.max_pixels])
    work = [
        ShardWork(
            item.shard, item.inputs, (*item.arguments, run.lake, run.recipe, knobs.cache_folder, detector, chunker)
        )
        for item in follow_shards(pairs, extra=extra)
    ]
    return run.write(work, grounded_shard, inputs=fingerprint_inputs(pairs), is_in_process=detector is not None)


def has_given_boxes(pairs: Dataset) -> bool:
    """Whether any pair of a dump comes from a list that brings boxes."""
    told = pairs.scan().filter(pl.col("source_metadata").str.contains(f'"{GIVEN}"', literal=True))
    return not told.select("pair_id").head(1).collect().is_empty()


def open_detector(run: StageRun) -> PhraseBoxes:
    """Return the detector that the knobs name.

    Raises:
        ConfigurationError: they name none.
    """
    from mmpipe.models.phrase_detector import PhraseDetector

    if not run.knobs.detector_weights:
        raise ConfigurationError(
            "grounded_pairs: `grounding.detector: true` asks for a model that finds phrases in pictures: name one "
            "(MMPIPE_DETECTOR), such as google/owlv2-base-patch16-ensemble, or set it to false."
        )
    return PhraseDetector(run.knobs.detector_weights, device=run.knobs.device, batch_size=run.knobs.batch_size)


def make_none() -> ShardResult:
    """Return no pairs: nothing brings boxes."""
    return ShardResult(GROUNDED_PAIRS.make_empty(), 0)


def grounded_shard(
    pairs: Dataset,
    shard: str,
    lake: Lake,
    recipe: Recipe,
    cache_folder: str,
    detector: PhraseBoxes | None,
    chunker: PhraseChunker,
) -> ShardResult:
    """Ground the pairs of one shard. Pairs that are left out are counted by reason."""
    rows = pairs.read_shard(shard)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    made: list[dict[str, Any]] = []
    given = {row["pair_id"]: read_given(row) for row in rows.select("pair_id", *_TOLD).iter_rows(named=True)}
    brings = rows.filter(pl.col("source_metadata").str.contains(f'"{GIVEN}"', literal=True)).height
    if brings > sum(map(bool, given.values())):
        counts["given_boxes_left_out"] = brings - sum(map(bool, given.values()))
    is_given = pl.col("pair_id").is_in([pair_id for pair_id, boxes in given.items() if boxes])
    made += ground_given(rows.filter(is_given), given, recipe.grounding, counts)
    rows = rows.filter(~is_given)
    if detector is not None:
        for part in rows.iter_slices(_AT_ONCE):
            pictures = read_pictures(part, read_pair_images(lake, part, cache_folder), recipe.images.max_pixels)
            made += ground_seen(part, pictures, detector, chunker, recipe.grounding, counts)
    frame = pl.DataFrame(made, schema=GROUNDED_PAIRS.schema).sort("pair_id")
    seconds = time.monotonic() - started if detector is not None else 0.0
    return ShardResult(frame, pairs_read(counts), counts=dict(counts), device_seconds=seconds, accounts_for_rows=False)


def pairs_read(counts: Counter[str]) -> int:
    """Return how many pairs were looked at: each is grounded or counted under one reason."""
    return sum(counts[name] for name in ("grounded", "no_phrase", "no_box", "unreadable_image"))


def read_pictures(rows: pl.DataFrame, images: dict[str, bytes], max_pixels: int) -> dict[str, Image.Image]:
    """Return the pictures of pairs, upright and RGB, by pair_id; one that cannot be read is absent."""
    from mmpipe.filtering.image_pixels import measure_image

    pictures = {}
    for pair_id in rows.get_column("pair_id"):
        picture = measure_image(images[pair_id], max_pixels).picture if pair_id in images else None
        if picture is not None:
            pictures[pair_id] = picture
    return pictures


def ground_seen(
    rows: pl.DataFrame,
    pictures: dict[str, Image.Image],
    detector: PhraseBoxes,
    chunker: PhraseChunker,
    settings: GroundingSettings,
    counts: Counter[str],
) -> list[dict[str, Any]]:
    """Return the rows of pairs whose phrases a detector finds."""
    from mmpipe.filtering.phrase_boxes import locate_phrases, number_boxes

    asked: list[tuple[dict[str, Any], list[tuple[int, int]], list[str]]] = []
    for row, phrases in zip(
        rows.iter_rows(named=True), chunker.chunk(rows.get_column("caption").to_list()), strict=True
    ):
        spans = locate_phrases(row["caption"], phrases)
        if row["pair_id"] not in pictures or not spans:
            counts["unreadable_image" if row["pair_id"] not in pictures else "no_phrase"] += 1
            continue
        asked.append((row, spans, [row["caption"][start:end] for start, end in spans]))
    # also boxes that are not sure enough are asked for, so that they can be counted
    seen = detector.find([pictures[row["pair_id"]] for row, _, _ in asked], [texts for _, _, texts in asked])
    origin = {"box_origin": "detector", "detector_weights": detector.digest, "noun_chunker": chunker.name}
    made = []
    for (row, spans, texts), boxes in zip(asked, seen, strict=True):
        grounded = ground_row(row, spans, number_boxes(boxes, texts), settings, counts)
        if grounded is not None:
            made.append(grounded | origin)
    return made


def read_given(row: Mapping[str, Any]) -> list[list[float]]:
    """Return the boxes that a list brings for a pair; none where the caption is not as long as the list wrote it.

    Boxes name their phrase by its characters, which say nothing of a caption that was cut or whose spaces were set
    right.
    """
    if row["caption_source"] != "given" or not row["source_metadata"] or f'"{GIVEN}"' not in row["source_metadata"]:
        return []
    rows = json.loads(row["source_metadata"]).get(GIVEN)
    if isinstance(rows, str):  # a column of JSON text
        try:
            rows = json.loads(rows)
        except ValueError:
            return []
    if not isinstance(rows, list) or row["caption_written_chars"] != len(row["caption"]):
        return []
    return [box for box in rows if isinstance(box, list) and all(isinstance(value, int | float) for value in box)]


def ground_given(
    rows: pl.DataFrame, given: Mapping[str, list[list[float]]], settings: GroundingSettings, counts: Counter[str]
) -> list[dict[str, Any]]:
    """Return the rows of pairs whose data bring boxes, by pair_id in GRIT's rows."""
    from mmpipe.filtering.phrase_boxes import read_grit_rows

    made = []
    for row in rows.iter_rows(named=True):
        spans, boxes = read_grit_rows(given[row["pair_id"]], row["caption"])
        grounded = ground_row(row, spans, boxes, settings, counts)
        if grounded is not None:
            made.append({**grounded, "box_origin": "given", "detector_weights": None, "noun_chunker": None})
    return made


def ground_row(
    row: dict[str, Any],
    spans: list[tuple[int, int]],
    boxes: list[FoundBox],
    settings: GroundingSettings,
    counts: Counter[str],
) -> dict[str, Any] | None:
    """Return a pair's row, or None where no box is sure enough."""
    from mmpipe.filtering.phrase_boxes import ground_caption

    found = ground_caption(
        row["caption"],
        spans,
        boxes,
        least_confidence=settings.least_confidence,
        most_overlap=settings.most_overlap,
    )
    counts["unsure_boxes"] += found.unsure_boxes
    counts["repeated_boxes"] += found.repeated_boxes
    if not found.noun_chunks:
        counts["no_box"] += 1
        return None
    counts["grounded"] += 1
    return {
        "pair_id": row["pair_id"],
        "dump": row["dump"],
        "url": row["image_url"],
        "caption": row["caption"],
        "width": row["image_width"],
        "height": row["image_height"],
        "clip_similarity": row["clip_similarity"],
        "noun_chunks": found.noun_chunks,
        "ref_exps": found.ref_exps,
        "grounded_caption": write_tokens(row["caption"], found),
    }


def write_tokens(caption: str, found: Grounding) -> str:
    """Return the caption with its expressions and location tokens; of expressions that overlap, the first."""
    from mmpipe.release.grounding_tokens import Box, GroundedSpan, encode_caption

    boxes: dict[tuple[int, int], list[Box]] = {}
    for start, end, left, top, right, bottom, _ in found.ref_exps:
        boxes.setdefault((int(start), int(end)), []).append((left, top, right, bottom))
    spans: list[GroundedSpan] = []
    for start, end in sorted(boxes):
        if not spans or spans[-1].end <= start:
            spans.append(GroundedSpan(start, end, tuple(boxes[start, end])))
    return encode_caption(caption, spans)


GROUNDING_LANE = (Stage(GROUNDED_PAIRS, (FILTERED_IMAGE_PAIRS,), ground_pairs, ("grounding",)),)
