"""Measures image-text pairs: every signal of the picture, of its caption, and of how well the two fit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from mmpipe.errors import InvariantBroken
from mmpipe.filtering.caption_signals import measure_captions
from mmpipe.filtering.image_pixels import PixelChoice, measure_image
from mmpipe.tables.images import CAPTION_SIGNALS, EMBEDDINGS, IMAGE_SIGNALS, PAGE_SIGNALS, SCORE_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    import numpy as np
    from PIL import Image

__all__ = ["PairScorer", "PixelChoice", "measure_image", "measure_pairs"]

# statuses that stand at the head of image_detail where there are no bytes, as "fetch_refused: robots.txt"
_TOLD_STATUSES = ("broken_address", "fetch_refused", "fetch_failed", "empty_image", "not_an_image")

# what candidates tell of where a picture stands
_SOURCE_COLUMNS = ("rendered_width", "rendered_height", "source_likes", "source_shares")

Row = dict[str, Any]


class PairScorer(Protocol):
    """What scores pictures against captions; `models.image_scorer.ImageScorer` is one."""

    @property
    def digests(self) -> Mapping[str, str]:
        """Score column to the digest of the weights behind it, stored with every score."""

    def prepare_image(self, picture: Image.Image) -> Any:
        """Return the model's small input for a picture; runs in threads, beside decoding."""

    def score_prepared(self, images: Sequence[Any], captions: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Return each score as [n], and `image_embedding` and `caption_embedding` as float16 [n, d].

        Pairs of one picture come with the very same object in `images`, which need be embedded only once.
        """


@dataclass(slots=True)
class _Picture:
    """One file of a batch and the pairs that show it; `outcome` gives its signals and the model's input."""

    data: bytes
    pair_ids: list[str] = field(default_factory=list)
    outcome: Future[tuple[Row, Any]] | None = None


def measure_pairs(
    candidates: pl.DataFrame,
    images: Iterable[tuple[str, bytes | None]],
    scorer: PairScorer | None,
    *,
    max_pixels: int,
    max_bytes: int | None = None,
    batch_size: int = 64,
    decode_threads: int = 2,
    captions: pl.DataFrame | None = None,
    choice: PixelChoice | None = None,
    header_rules: Callable[[Mapping[str, Any]], bool] | None = None,
    needs_embedding: Callable[[Row], bool] | None = None,
) -> pl.DataFrame:
    """Return the signals of every candidate, in their order; what could not be measured is null.

    Pictures are read in batches, and the next batch is decoded while the model scores the last, so that at most two
    batches of files are in memory, each picture only as the model's input. Pairs that show the same bytes share one
    picture, by SHA-256: it is decoded and measured once among all of them, and prepared for the model once in a batch;
    should its bytes come again later, another caption is scored with the picture prepared again.

    Args:
        candidates: rows of `tables.images.IMAGE_CANDIDATES`; `pair_id`, `caption`, `image_url` and `image_detail` are
            read.
        images: `pair_id` and file of pairs in any order. None, or no entry, is `missing_image`, or what `image_detail`
            begins with: `fetch_refused`, `fetch_failed`, `empty_image`, `not_an_image`.
        scorer: scores picture and caption; None leaves all scores null, which pass no rule.
        max_pixels: pictures of more are `oversized_image`, undecoded.
        max_bytes: files of more are `oversized_image` too, and nothing of them is measured; None for no limit. Of a
            file, one byte more than this must be given to tell.
        batch_size: pictures decoded, and pairs scored, at once.
        decode_threads: threads that decode.
        captions: `pair_id` and `tables.images.CAPTION_SIGNALS`, of `caption_signals.measure_captions`; None measures
            them with the packaged lists of words and no identifier of languages.
        choice: measurements of pixels beside the usual ones.
        header_rules: says by the signals of a header whether its picture need be decoded, as
            `image_verdicts.decide_by_header` makes it; one that need not is `header_only`, which
            `image_verdicts.judge_images` explains. None decodes all, so that limits can be moved later.
        needs_embedding: says by the measured row whether a picture is worth a score; None scores all.

    Returns:
        Rows of `tables.images.IMAGE_SIGNALS`.

    Raises:
        InvariantBroken: an image names a pair that is no candidate, or one pair comes twice.
    """
    texts = dict(candidates.select("pair_id", "caption").iter_rows())

    def measure(data: bytes, digest: bytes) -> tuple[Row, Any]:
        """Measure one picture and prepare it for the model; the full picture is let go here."""
        if max_bytes is not None and len(data) > max_bytes:
            return {"decode_status": "oversized_image", "decode_detail": f"more than {max_bytes} bytes"}, None
        image = measure_image(data, max_pixels, choice, header_rules, digest.hex())
        row: Row = {"decode_status": image.status, "decode_detail": image.detail, **image.signals}
        if scorer is None or image.picture is None or not (needs_embedding is None or needs_embedding(row)):
            return row, None
        return row, scorer.prepare_image(image.picture)

    rows: dict[str, Row] = {}
    for batch in _decode_ahead(_check_pairs(images, texts), measure, batch_size, decode_threads, scorer is not None):
        wanted: list[tuple[Row, Any]] = []
        for pair_ids, measured, prepared in batch:
            for pair_id in pair_ids:
                rows[pair_id] = {"pair_id": pair_id, **measured}
                if prepared is not None:
                    wanted.append((rows[pair_id], prepared))
        if scorer is not None and wanted:
            _score(wanted, texts, scorer)
    return _assemble(candidates, rows, captions)


def _check_pairs(
    images: Iterable[tuple[str, bytes | None]], texts: Mapping[str, str | None]
) -> Iterator[tuple[str, bytes]]:
    """Yield the pairs whose bytes are there, each a candidate and once."""
    seen: set[str] = set()
    for pair_id, data in images:
        if pair_id not in texts or pair_id in seen:
            problem = "comes twice" if pair_id in seen else "is no candidate"
            raise InvariantBroken(f"image_signals: an image for pair {pair_id} {problem}; ids must name one row.")
        seen.add(pair_id)
        if data is not None:
            yield pair_id, data


def _score(pairs: Sequence[tuple[Row, Any]], texts: Mapping[str, str], scorer: PairScorer) -> None:
    """Write the scores of some pairs into their rows."""
    import numpy as np

    scores = scorer.score_prepared([prepared for _, prepared in pairs], [texts[row["pair_id"]] for row, _ in pairs])
    for column, values in scores.items():
        if column in EMBEDDINGS:
            cells = [vector.tobytes() for vector in np.asarray(values).astype("<f2")]
        else:
            cells = np.asarray(values).tolist()
        for (row, _), cell in zip(pairs, cells, strict=True):
            row[column] = cell
            if column in SCORE_WEIGHTS:
                row[SCORE_WEIGHTS[column]] = scorer.digests[column]


def _decode_ahead(
    pairs: Iterator[tuple[str, bytes]],
    measure: Callable[[bytes, bytes], tuple[Row, Any]],
    batch_size: int,
    threads: int,
    is_scored: bool,
) -> Iterator[list[tuple[list[str], Row, Any]]]:
    """Yield (pair ids, signals, model's input) of the pictures of each batch, decoding while the one before is used."""
    from concurrent.futures import ThreadPoolExecutor

    known: dict[bytes, Row] = {}
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:

        def submit(before: Mapping[bytes, _Picture]) -> dict[bytes, _Picture]:
            """Let a batch be measured: what the batch before has, or what is known and asks for no score, is not."""
            batch = _group_pictures(islice(pairs, batch_size))
            for digest, picture in batch.items():
                row = known.get(digest)
                if digest in before:
                    picture.outcome = before[digest].outcome
                elif row is not None and (not is_scored or row["decode_status"] != "ok"):
                    picture.outcome = pool.submit(_repeat, row)
                else:
                    picture.outcome = pool.submit(measure, picture.data, digest)
            return batch

        ahead = submit({})
        while ahead:
            following = submit(ahead)
            done = []
            for digest, picture in ahead.items():
                assert picture.outcome is not None
                row, prepared = picture.outcome.result()
                known[digest] = row
                done.append((picture.pair_ids, row, prepared))
            yield done
            ahead = following


def _repeat(row: Row) -> tuple[Row, Any]:
    return row, None


def _group_pictures(pairs: Iterable[tuple[str, bytes]]) -> dict[bytes, _Picture]:
    """Return the pictures of some pairs by the digest of their bytes."""
    pictures: dict[bytes, _Picture] = {}
    last, digest = None, b""
    for pair_id, data in pairs:
        if data is not last:  # the pairs of one record come with one object
            last, digest = data, hashlib.sha256(data).digest()
        pictures.setdefault(digest, _Picture(data)).pair_ids.append(pair_id)
    return pictures


def _assemble(candidates: pl.DataFrame, rows: dict[str, Row], captions: pl.DataFrame | None) -> pl.DataFrame:
    if captions is None:
        captions = measure_captions(candidates, flagged_words={}, political_words=())
    told_elsewhere = {*CAPTION_SIGNALS, *PAGE_SIGNALS}
    measured = {name: dtype for name, dtype in IMAGE_SIGNALS.schema.items() if name not in told_elsewhere}
    detail = pl.col("image_detail")
    told = detail.str.extract(rf"^({'|'.join(_TOLD_STATUSES)})\b")
    is_missing = pl.col("decode_status").is_null()
    frame = (
        candidates.select("pair_id", "image_detail", *(name for name in _SOURCE_COLUMNS if name in candidates.columns))
        .join(captions.select("pair_id", *CAPTION_SIGNALS), on="pair_id", how="left", maintain_order="left")
        .join(pl.DataFrame(list(rows.values()), schema=measured), on="pair_id", how="left", maintain_order="left")
        .with_columns(_list_page_signals(candidates.columns))
        .with_columns(
            decode_status=pl.coalesce("decode_status", told, pl.lit("missing_image")),
            decode_detail=pl.when(is_missing).then(detail).otherwise("decode_detail"),
        )
        .drop("image_detail", "rendered_width", "rendered_height", strict=False)
    )
    return IMAGE_SIGNALS.conform(frame)


def _list_page_signals(known: Sequence[str]) -> list[pl.Expr]:
    """Return what the page or the list says of each picture; null where the candidates lack the columns."""

    def read(name: str) -> pl.Expr:
        return (pl.col(name) if name in known else pl.lit(None)).cast(pl.Float64)

    return [
        # a browser shows a picture at its own size where the page asks for none
        pl.coalesce(read("rendered_width"), "image_width").alias("image_shown_width"),
        pl.coalesce(read("rendered_height"), "image_height").alias("image_shown_height"),
        read("source_likes").alias("source_likes"),
        read("source_shares").alias("source_shares"),
    ]
