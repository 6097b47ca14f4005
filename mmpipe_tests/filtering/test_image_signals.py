from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mmpipe.errors import InvariantBroken
from mmpipe.filtering import image_pixels, image_signals
from mmpipe.filtering.caption_signals import measure_captions
from mmpipe.filtering.image_signals import measure_pairs
from mmpipe.tables.images import IMAGE_SIGNALS

LIMIT = 1_000_000


class BrightnessScorer:
    """Scores a picture by its mean brightness; remembers the sizes of the batches it was given."""

    digests: ClassVar[dict[str, str]] = {"clip_similarity": "brightness", "nsfw_score": "half"}

    def __init__(self) -> None:
        self.batches: list[int] = []

    def prepare_image(self, picture: Image.Image) -> float:
        return float(np.asarray(picture.convert("L")).mean() / 255)

    def score_prepared(self, images: Sequence[Any], captions: Sequence[str]) -> Mapping[str, np.ndarray]:
        assert len(images) == len(captions)
        self.batches.append(len(images))
        values = np.array(images, dtype=np.float32)
        lengths = np.array([len(caption) for caption in captions])
        return {
            "clip_similarity": values,
            "nsfw_score": values / 2,
            "image_embedding": np.stack([values, -values], 1).astype(np.float16),
            "caption_embedding": np.stack([lengths, lengths + 1], 1).astype(np.float16),
        }


def make_png(grey: int, size: tuple[int, int] = (30, 20)) -> bytes:
    stream = BytesIO()
    Image.new("L", size, grey).save(stream, "PNG")
    return stream.getvalue()


def make_candidates(details: dict[str, str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "pair_id": list(details),
            "caption": ["A red kite"] * len(details),
            "image_url": ["https://a.example/kite.png"] * len(details),
            "image_detail": list(details.values()),
        },
        schema=dict.fromkeys(("pair_id", "caption", "image_url", "image_detail"), pl.String),
    )


def test_every_candidate_has_one_row_in_its_order_whatever_came() -> None:
    candidates = make_candidates(
        {"c": None, "a": "no record of the dump has this URL", "b": "fetch_refused: robots.txt", "d": None, "e": None,
         "f": "fetch_failed: 404", "g": "empty_image: the record of this URL holds no bytes",
         "h": "not_an_image: the record of this URL is html", "i": "ok: no status of its own"}
    )  # fmt: skip
    images = [("e", b"<html>"), ("d", b"\xff\xd8\xff"), ("c", make_png(255)), ("a", None), ("b", None), ("f", None)]
    frame = measure_pairs(candidates, images, BrightnessScorer(), max_pixels=LIMIT)
    assert frame.schema == IMAGE_SIGNALS.schema
    assert frame.select("pair_id", "decode_status", "clip_similarity").rows() == [
        ("c", "ok", 1.0),
        ("a", "missing_image", None),
        ("b", "fetch_refused", None),
        ("d", "undecodable_image", None),
        ("e", "not_an_image", None),
        ("f", "fetch_failed", None),
        ("g", "empty_image", None),
        ("h", "not_an_image", None),
        ("i", "missing_image", None),
    ]
    row = frame.row(0, named=True)
    assert (row["image_width"], row["image_height"], row["image_min_side"]) == (30, 20, 20)
    assert (row["image_aspect_ratio"], row["caption_words"], row["caption_chars"]) == (1.5, 3, 10)
    assert (row["image_format"], row["clip_weights"], row["phash_algorithm"]) == (
        "png",
        "brightness",
        "imagehash_phash_64",
    )
    assert frame.row(2, named=True)["decode_detail"] == "fetch_refused: robots.txt"
    assert frame.get_column("caption_words").null_count() == 0


def test_oversized_picture_keeps_its_header_values() -> None:
    frame = measure_pairs(make_candidates({"a": None}), [("a", make_png(1))], BrightnessScorer(), max_pixels=599)
    assert frame.select("decode_status", "image_width", "phash", "clip_similarity").row(0) == (
        "oversized_image", 30.0, None, None,
    )  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_result_does_not_depend_on_batches_or_order(batch_size: int) -> None:
    images = [(f"p{n:02}", make_png(n * 10)) for n in range(20)]
    candidates = make_candidates(dict.fromkeys(sorted(name for name, _ in images)))
    scorer = BrightnessScorer()
    frame = measure_pairs(candidates, reversed(images), scorer, max_pixels=LIMIT, batch_size=batch_size)
    assert frame.get_column("clip_similarity").to_list() == pytest.approx([n * 10 / 255 for n in range(20)])
    assert max(scorer.batches) <= batch_size
    assert sum(scorer.batches) == 20


def test_images_are_read_at_most_two_batches_ahead() -> None:
    pulled, scored = 0, 0

    class Counting(BrightnessScorer):
        def score_prepared(self, images: Sequence[Any], captions: Sequence[str]) -> Mapping[str, np.ndarray]:
            nonlocal scored
            assert pulled - scored <= 8
            scored += len(images)
            return super().score_prepared(images, captions)

    def stream():
        nonlocal pulled
        for n in range(40):
            pulled += 1
            yield f"p{n:02}", make_png(n)

    candidates = make_candidates({f"p{n:02}": None for n in range(40)})
    measure_pairs(candidates, stream(), Counting(), max_pixels=LIMIT, batch_size=4)
    assert scored == 40


def test_without_a_scorer_the_similarity_is_null_and_a_header_may_spare_it() -> None:
    candidates = make_candidates({"a": None, "b": None})
    images = [("a", make_png(5)), ("b", make_png(5, (300, 300)))]
    assert measure_pairs(candidates, images, None, max_pixels=LIMIT).get_column("clip_similarity").null_count() == 2
    frame = measure_pairs(
        candidates, images, BrightnessScorer(), max_pixels=LIMIT, needs_embedding=lambda row: row["image_min_side"] > 99
    )
    assert frame.get_column("clip_similarity").is_null().to_list() == [True, False]


@pytest.mark.parametrize("ids", [["a", "a"], ["a", "x"]])
def test_images_must_name_one_candidate_each(ids: list[str]) -> None:
    images = [(pair_id, make_png(5)) for pair_id in ids]
    with pytest.raises(InvariantBroken, match="comes twice" if ids[1] == "a" else "is no candidate"):
        measure_pairs(make_candidates({"a": None}), images, None, max_pixels=LIMIT)


def test_no_candidates_give_an_empty_table() -> None:
    assert measure_pairs(make_candidates({}), [], None, max_pixels=LIMIT).schema == IMAGE_SIGNALS.schema


def test_every_score_has_its_column_its_weights_and_its_embeddings() -> None:
    frame = measure_pairs(make_candidates({"a": None}), [("a", make_png(51))], BrightnessScorer(), max_pixels=LIMIT)
    row = frame.row(0, named=True)
    assert (row["clip_similarity"], row["clip_weights"]) == (pytest.approx(0.2), "brightness")
    assert (row["nsfw_score"], row["nsfw_weights"]) == (pytest.approx(0.1), "half")
    assert (row["aesthetic_score"], row["aesthetic_weights"]) == (None, None)
    assert np.frombuffer(row["image_embedding"], "<f2").tolist() == pytest.approx([0.2, -0.2], abs=1e-3)
    assert np.frombuffer(row["caption_embedding"], "<f2").tolist() == [10, 11]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("is_scored", [True, False])
def test_one_file_of_many_pairs_is_measured_once(
    batch_size: int, is_scored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[bytes] = []

    def count(data: bytes, *rest: Any) -> image_pixels.ImageMeasurement:
        measured.append(data)
        return image_pixels.measure_image(data, *rest)

    monkeypatch.setattr(image_signals, "measure_image", count)
    one, other = make_png(50), make_png(99)
    # bytes of another record are another object
    images = [("a", one), ("b", one), ("c", bytes(bytearray(one))), ("d", other), ("e", b"GIF89a"), ("f", b"GIF89a")]
    candidates = make_candidates(dict.fromkeys("abcdef"))
    scorer = BrightnessScorer() if is_scored else None
    frame = measure_pairs(candidates, images, scorer, max_pixels=LIMIT, batch_size=batch_size)
    assert sorted(measured) == sorted([one, other, b"GIF89a"])
    alone = pl.concat(
        measure_pairs(make_candidates({pair: None}), [(pair, data)], scorer, max_pixels=LIMIT) for pair, data in images
    )
    assert frame.equals(alone)
    assert frame.get_column("image_sha256").to_list() == [hashlib.sha256(data).hexdigest() for _, data in images]


def test_bytes_that_come_again_much_later_are_scored_with_their_own_caption() -> None:
    images = [("a", make_png(50)), *((f"p{n}", make_png(100 + n)) for n in range(9)), ("z", make_png(50))]
    candidates = make_candidates({pair: None for pair, _ in images}).with_columns(
        caption=pl.when(pl.col("pair_id") == "z").then(pl.lit("A blue kite flies")).otherwise("caption")
    )
    frame = measure_pairs(candidates, images, BrightnessScorer(), max_pixels=LIMIT, batch_size=2)
    first, last = frame.row(0, named=True), frame.row(10, named=True)
    for name in ("clip_similarity", "phash", "image_brightness", "image_embedding", "clip_weights"):
        assert first[name] == last[name] is not None
    assert np.frombuffer(last["caption_embedding"], "<f2").tolist() == [17, 18]


def test_a_pair_that_a_header_decides_is_neither_decoded_nor_scored() -> None:
    scorer = BrightnessScorer()
    frame = measure_pairs(
        make_candidates({"a": None, "b": None}),
        [("a", make_png(5)), ("b", make_png(5, (300, 300)))],
        scorer,
        max_pixels=LIMIT,
        header_rules=lambda signals: signals["image_min_side"] > 99,
    )
    columns = ("decode_status", "image_min_side", "image_brightness", "phash", "clip_similarity", "caption_words")
    assert frame.select(columns).row(0) == ("header_only", 20, None, None, None, 3)
    assert frame.row(1, named=True)["decode_status"] == "ok"
    assert scorer.batches == [1]


def test_captions_measured_elsewhere_are_taken() -> None:
    candidates = make_candidates({"a": None, "b": None})
    captions = measure_captions(candidates, flagged_words={}, political_words=()).with_columns(
        caption_language=pl.lit("fr")
    )
    frame = measure_pairs(candidates, [], None, max_pixels=LIMIT, captions=captions)
    assert frame.get_column("caption_language").to_list() == ["fr", "fr"]
    assert frame.get_column("caption_words").to_list() == [3, 3]


def test_what_the_page_asks_for_and_the_source_counts_stands_beside_the_picture() -> None:
    rows = make_candidates({"p1": None, "p2": None}).with_columns(
        rendered_width=pl.Series([90, None], dtype=pl.Int64),
        rendered_height=pl.Series([None, None], dtype=pl.Int64),
        source_likes=pl.Series([7.0, None]),
        source_shares=pl.Series([None, None], dtype=pl.Float64),
    )

    png = make_png(9)
    frame = measure_pairs(rows, [("p1", png), ("p2", png)], None, max_pixels=LIMIT)

    width, height = frame["image_width"][0], frame["image_height"][0]
    shown = frame.select("image_shown_width", "image_shown_height", "source_likes", "source_shares").rows()
    assert shown == [(90.0, height, 7.0, None), (width, height, None, None)]


def test_a_file_above_the_limit_is_oversized_and_nothing_of_it_is_measured() -> None:
    png = make_png(9)
    rows = make_candidates({"p1": None, "p2": None})

    frame = measure_pairs(rows, [("p1", png), ("p2", png + b"\0")], None, max_pixels=LIMIT, max_bytes=len(png))

    assert frame["decode_status"].to_list() == ["ok", "oversized_image"]
    assert frame["decode_detail"][1] == f"more than {len(png)} bytes"
    assert frame["image_bytes"].to_list() == [len(png), None]
