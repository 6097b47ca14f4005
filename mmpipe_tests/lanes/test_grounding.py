"""Kept pairs get boxes from a detector or from the data, and what gets none is counted, not lost."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.image_sections import GroundingSettings
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.grounding import GROUNDING_LANE, ground_given, grounded_shard, pairs_read
from mmpipe.lanes.image_lane import IMAGE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.text import TEXT_LANE
from mmpipe.models.phrase_detector import PhraseDetector
from mmpipe.release.grounding_tokens import decode_caption
from mmpipe.sampling.noun_phrases import RuleChunker
from mmpipe.storage.lake import Lake
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe_tests.lanes.pair_lake import add_pairs
from mmpipe_tests.lanes.running import add_dump, run_stages
from mmpipe_tests.models.tiny_vision import save_owl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0)}


@dataclass(frozen=True)
class Seen:
    phrase: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float


@dataclass(frozen=True)
class ColourDetector:
    """Finds what a phrase names by its colour: the box of the pixels of that colour, as sure as it is filled."""

    digest: str = "colours"

    def find(
        self, pictures: Sequence[Image.Image], phrases: Sequence[Sequence[str]], *, least_confidence: float = 0.1
    ) -> list[list[Seen]]:
        return [
            [box for phrase in of_one for box in self._look(picture, phrase) if box.confidence >= least_confidence]
            for picture, of_one in zip(pictures, phrases, strict=True)
        ]

    def _look(self, picture: Image.Image, phrase: str) -> list[Seen]:
        pixels = np.asarray(picture.convert("RGB"), np.int64)
        height, width, _ = pixels.shape
        found = []
        for word in phrase.split():
            if word in COLOURS:
                rows, columns = np.nonzero((np.abs(pixels - COLOURS[word]) < 40).all(axis=2))
                if rows.size:
                    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                    filled = rows.size / ((box[2] - box[0]) * (box[3] - box[1]))
                    shares = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
                    found.append(Seen(phrase, *map(float, shares), float(filled)))
        return found


def draw(*shapes: tuple[str, tuple[int, int, int, int]], is_round: bool = False) -> bytes:
    import io

    picture = Image.new("RGB", (320, 160), "white")
    pen = ImageDraw.Draw(picture)
    for colour, box in shapes:
        (pen.arc if is_round else pen.rectangle)(box, *([0, 360] if is_round else []), COLOURS[colour])
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


DRAWN = [
    (draw(("red", (32, 16, 95, 79)), ("blue", (160, 80, 319, 159))), "png", "a red ball beside a blue box"),
    (draw(("red", (32, 16, 95, 79)), is_round=True), "png", "a red ring"),
    (draw(("green", (0, 0, 159, 159))), "png", "the red house"),
    (draw(("green", (0, 0, 159, 159))), "png", "of and with"),
    (b"no picture", "png", "a green wall"),
]


def make_recipe(**settings: object):  # type: ignore[no-untyped-def]
    return replace(load_recipe("refinedweb"), grounding=GroundingSettings(**settings))  # type: ignore[arg-type]


def test_phrases_of_kept_captions_get_the_boxes_that_a_detector_finds(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    add_pairs(lake, "one", DRAWN, str(tmp_path / "cache"))
    pairs = lake.dataset(FILTERED_IMAGE_PAIRS, "one")

    made = grounded_shard(
        pairs, "all", lake, make_recipe(detector=True), str(tmp_path / "cache"), ColourDetector(), RuleChunker()
    )

    (row,) = GROUNDED_PAIRS.conform(made.frame).iter_rows(named=True)
    assert row["noun_chunks"] == [[0, 10, 0.1, 0.1, 0.3, 0.5, 1.0], [18, 28, 0.5, 0.5, 1.0, 1.0, 1.0]]
    assert row["ref_exps"] == [[0, 28, 0.1, 0.1, 0.3, 0.5, 1.0]]
    assert (row["width"], row["height"], row["box_origin"]) == (320, 160, "detector")
    caption, spans = decode_caption(row["grounded_caption"])
    assert caption == row["caption"]
    assert [(span.start, span.end, len(span.boxes)) for span in spans] == [(0, 28, 1)]
    assert spans[0].boxes[0] == pytest.approx((0.1, 0.1, 0.3, 0.5), abs=0.5 / 32)
    # the ring is there, but its box is mostly white: not sure enough
    assert made.counts == {
        "grounded": 1, "no_box": 2, "no_phrase": 1, "unreadable_image": 1, "unsure_boxes": made.counts["unsure_boxes"],
        "repeated_boxes": 0,
    }  # fmt: skip
    assert made.rows_in == len(DRAWN) == pairs_read(Counter(made.counts))


def test_boxes_that_the_data_bring_are_taken_without_a_detector() -> None:
    rows = pl.DataFrame(
        {
            "pair_id": ["a", "b"], "dump": ["one"] * 2, "image_url": ["http://a.example/1.jpg"] * 2,
            "caption": ["a dog in a field", "a cat"], "image_width": [10, 10], "image_height": [20, 20],
            "clip_similarity": [0.3, None],
        }
    )  # fmt: skip
    given = {
        "a": [[0, 5, 0.1, 0.1, 0.5, 0.5, 0.9], [9, 16, 0.0, 0.0, 1.0, 1.0, 0.8]],
        "b": [[0, 5, 0.1, 0.1, 0.5, 0.5, 0.5]],
    }
    counts: Counter[str] = Counter()

    (row,) = ground_given(rows, given, GroundingSettings(), counts)

    assert GROUNDED_PAIRS.conform(pl.DataFrame([row], schema=GROUNDED_PAIRS.schema)).height == 1
    assert row["ref_exps"] == [[0, 16, 0.1, 0.1, 0.5, 0.5, 0.9]]
    assert (counts["grounded"], counts["no_box"], counts["unsure_boxes"]) == (1, 1, 1)


def test_boxes_of_a_list_of_pairs_are_read_from_what_it_tells(tmp_path: Path) -> None:
    boxes = [[0, 5, 0.1, 0.1, 0.5, 0.5, 0.9]]
    folder = tmp_path / "pairs"
    (folder / "images").mkdir(parents=True)
    rows = []
    generator = np.random.default_rng(1)
    for name, caption in (("a", "a dog runs over the field"), ("b", "a  cat sits on a wide mat")):
        pixels = generator.integers(0, 255, (220, 240, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        rows.append({"file_name": f"images/{name}.png", "text": caption, "noun_chunks": boxes})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lake = Lake(str(tmp_path / "lake"))
    add_dump(lake, "one", folder, [folder / "metadata.jsonl"])
    recipe = load_recipe("refinedweb")
    recipe = replace(recipe, images=replace(recipe.images, rules=()), grounding=GroundingSettings())

    last = [stage.table for stage in IMAGE_LANE].index(GROUNDED_PAIRS)
    run_stages(lake, "one", [TEXT_LANE[0], *IMAGE_LANE[: last + 1]], recipe=recipe)

    (row,) = lake.dataset(GROUNDED_PAIRS, "one").scan().collect().iter_rows(named=True)
    # of the other caption two spaces became one, so that the characters of its boxes say nothing
    assert (row["caption"], row["box_origin"]) == ("a dog runs over the field", "given")
    assert row["noun_chunks"] == [[0, 5, 0.1, 0.1, 0.5, 0.5, 0.9]]


def test_a_recipe_without_a_detector_makes_an_empty_table(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    add_pairs(lake, "one", DRAWN[:1], str(tmp_path / "cache"))

    run_stages(lake, "one", GROUNDING_LANE, recipe=make_recipe())

    assert lake.dataset(GROUNDED_PAIRS, "one").scan().collect().is_empty()


def test_a_detector_without_weights_says_what_to_name(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    add_pairs(lake, "one", DRAWN[:1], str(tmp_path / "cache"))

    with pytest.raises(ConfigurationError, match="MMPIPE_DETECTOR"):
        run_stages(lake, "one", GROUNDING_LANE, recipe=make_recipe(detector=True))


def test_the_detector_of_the_knobs_looks_and_its_digest_is_kept(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    cache = str(tmp_path / "cache")
    add_pairs(lake, "one", DRAWN, cache)
    weights = save_owl(tmp_path / "owl", "owlvit")
    knobs = Knobs(cache_folder=cache, device="cpu", detector_weights=str(weights))
    # untrained: its boxes mean nothing, and are sure by half
    recipe = make_recipe(detector=True, least_confidence=0.1, most_overlap=0.3)

    made = run_stages(lake, "one", GROUNDING_LANE, recipe=recipe, knobs=knobs)["grounded_pairs"].manifest
    frame = lake.dataset(GROUNDED_PAIRS, "one").scan().collect()

    assert made.rows_in == len(DRAWN)
    assert frame.height == made.counts["grounded"] > 0
    assert made.counts["grounded"] + made.counts.get("no_box", 0) == 3
    assert set(frame["detector_weights"]) == {PhraseDetector(str(weights)).digest}
    assert set(frame["noun_chunker"]) == {RuleChunker().name}
    for row in frame.iter_rows(named=True):
        assert decode_caption(row["grounded_caption"])[0] == row["caption"]
        for start, end, left, top, right, bottom, confidence in row["noun_chunks"]:
            assert 0 <= start < end <= len(row["caption"])
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
            assert 0.1 < confidence <= 1
