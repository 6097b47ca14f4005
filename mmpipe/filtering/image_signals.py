"""Measures image-text pairs: every signal of the picture, of its caption, and of how well the two fit."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from mmpipe.errors import InvariantBroken
from mmpipe.filtering.captions import count_caption_chars, count_caption_words
from mmpipe.filtering.image_pixels import PHASH_ALGORITHM, ImageMeasurement, measure_image
from mmpipe.tables.images import IMAGE_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    import numpy as np
    from PIL import Image

__all__ = ["ImageMeasurement", "PairScorer", "measure_image", "measure_pairs"]

# statuses that the fetch writes at the head of image_detail, as "fetch_refused: robots.txt"
_FETCH_STATUSES = ("fetch_refused", "fetch_failed")

Row = dict[str, Any]


class PairScorer(Protocol):
    """What scores pictures against captions; `models.clip.ClipModel` is one."""

    @property
    def digest(self) -> str:
        """Digest of the weights, stored with every score."""

    def prepare_image(self, picture: Image.Image) -> Any:
        """Return the model's small input for a picture; runs in threads, beside decoding."""

    def score_prepared(self, images: Sequence[Any], captions: Sequence[str]) -> np.ndarray:
        """Return the similarity of each prepared image and its caption, [n]."""


def measure_pairs(
    candidates: pl.DataFrame,
    images: Iterable[tuple[str, bytes | None]],
    scorer: PairScorer | None,
    *,
    max_pixels: int,
    batch_size: int = 64,
    decode_threads: int = 2,
    needs_embedding: Callable[[Row], bool] | None = None,
) -> pl.DataFrame:
    """Return the signals of every candidate, in their order; what could not be measured is null.

    Pictures are read in batches, and the next batch is decoded while the model scores the last, so that at most two
    batches of files are in memory, each picture only as the model's input.

    Args:
        candidates: rows of `tables.images.IMAGE_CANDIDATES`; `pair_id`, `caption` and `image_detail` are read.
        images: `pair_id` and file of pairs in any order. None, or no entry, is `missing_image`, or `fetch_refused` or
            `fetch_failed` where `image_detail` begins so.
        scorer: scores picture and caption; None leaves `clip_similarity` null, which passes no rule.
        max_pixels: pictures of more are `oversized_image`, undecoded.
        batch_size: pairs decoded and scored at once.
        decode_threads: threads that decode.
        needs_embedding: says by the measured row whether a picture is worth a score; None scores all.

    Returns:
        Rows of `tables.images.IMAGE_SIGNALS`.

    Raises:
        InvariantBroken: an image names a pair that is no candidate, or one pair comes twice.
    """
    captions = dict(candidates.select("pair_id", "caption").iter_rows())
    rows: dict[str, Row] = {}
    for batch in _decode_ahead(images, scorer, max_pixels, batch_size, decode_threads):
        wanted: list[tuple[Row, Any]] = []
        for pair_id, row, prepared in batch:
            if pair_id not in captions or pair_id in rows:
                problem = "comes twice" if pair_id in rows else "is no candidate"
                raise InvariantBroken(f"image_signals: an image for pair {pair_id} {problem}; ids must name one row.")
            rows[pair_id] = row
            if prepared is not None and (needs_embedding is None or needs_embedding(row)):
                wanted.append((row, prepared))
        if scorer is not None and wanted:
            scores = scorer.score_prepared([prepared for _, prepared in wanted],
                                           [captions[row["pair_id"]] for row, _ in wanted])  # fmt: skip
            for (row, _), score in zip(wanted, scores.tolist(), strict=True):
                row["clip_similarity"] = score
                row["clip_weights"] = scorer.digest
    return _assemble(candidates, rows)


def _decode_ahead(
    images: Iterable[tuple[str, bytes | None]],
    scorer: PairScorer | None,
    max_pixels: int,
    batch_size: int,
    threads: int,
) -> Iterator[list[tuple[str, Row, Any]]]:
    """Yield decoded batches, each decoding while the one before is used."""
    from concurrent.futures import ThreadPoolExecutor

    stream = ((pair_id, data) for pair_id, data in images if data is not None)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        ahead = _submit(pool, islice(stream, batch_size), scorer, max_pixels)
        while ahead:
            following = _submit(pool, islice(stream, batch_size), scorer, max_pixels)
            yield [future.result() for future in ahead]
            ahead = following


def _submit(
    pool: Executor, pairs: Iterable[tuple[str, bytes]], scorer: PairScorer | None, max_pixels: int
) -> list[Future[tuple[str, Row, Any]]]:
    return [pool.submit(_measure, pair_id, data, scorer, max_pixels) for pair_id, data in pairs]


def _measure(pair_id: str, data: bytes, scorer: PairScorer | None, max_pixels: int) -> tuple[str, Row, Any]:
    """Return one pair's signals and the model's input; the full picture is let go here."""
    image = measure_image(data, max_pixels)
    row: Row = {
        "pair_id": pair_id,
        "decode_status": image.status,
        "decode_detail": image.detail,
        "image_format": image.image_format,
        "image_sha256": image.image_sha256,
        "phash": image.phash,
        "phash_algorithm": PHASH_ALGORITHM if image.phash else None,
        "image_bytes": image.image_bytes,
        "image_width": image.width,
        "image_height": image.height,
    }
    if image.width and image.height:
        row["image_min_side"] = min(image.width, image.height)
        row["image_aspect_ratio"] = max(image.width, image.height) / min(image.width, image.height)
    prepared = scorer.prepare_image(image.picture) if scorer is not None and image.picture is not None else None
    return pair_id, row, prepared


def _assemble(candidates: pl.DataFrame, rows: dict[str, Row]) -> pl.DataFrame:
    captions = ("caption_chars", "caption_words")
    measured = {name: dtype for name, dtype in IMAGE_SIGNALS.schema.items() if name not in captions}
    detail = pl.col("image_detail")
    told = detail.str.extract(rf"^({'|'.join(_FETCH_STATUSES)})\b")
    is_missing = pl.col("decode_status").is_null()
    frame = (
        candidates.select(
            "pair_id",
            "image_detail",
            caption_chars=count_caption_chars(),
            caption_words=count_caption_words(),
        )
        .join(pl.DataFrame(list(rows.values()), schema=measured), on="pair_id", how="left", maintain_order="left")
        .with_columns(
            decode_status=pl.coalesce("decode_status", told, pl.lit("missing_image")),
            decode_detail=pl.when(is_missing).then(detail).otherwise("decode_detail"),
        )
        .drop("image_detail")
    )
    return IMAGE_SIGNALS.conform(frame)
