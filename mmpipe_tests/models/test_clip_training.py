"""What the demo's tiny CLIP has learnt, on drawings whose combinations it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from mmpipe.demo.picture_scenes import describe_scene, draw_lessons, draw_scene, list_digits, list_layouts
from mmpipe.demo.picture_specs import COLOURS, find_unlike, list_specs
from mmpipe.demo.pictures import describe_picture, draw_picture
from mmpipe.models.clip import ClipModel
from mmpipe.models.head_training import train_head
from mmpipe.models.image_scorer import open_scorer

# the trained model is made once, in one process
pytestmark = pytest.mark.xdist_group("clip_training")

SPECS = list_specs(3, part="crawl")


@pytest.fixture(scope="module")
def clip(demo_clip: Path) -> ClipModel:
    return ClipModel(str(demo_clip), device="cpu", threads=1)


def find_auc(right: np.ndarray, wrong: np.ndarray) -> float:
    return float((right[:, None] > wrong[None]).mean())


@dataclass(frozen=True)
class Drawn:
    """Drawings of items with their embeddings; captions are scored against them."""

    items: list[Any]
    describe: Callable[..., str]
    vectors: np.ndarray
    clip: ClipModel

    def score(self, captions: Sequence[str]) -> np.ndarray:
        scores: np.ndarray = (self.vectors * self.clip.embed_texts(captions)).sum(axis=1)
        return scores


@pytest.fixture(scope="module")
def drawn(clip: ClipModel) -> dict[str, Drawn]:
    """Return drawings of three kinds, each drawn and embedded once for all that is said of them."""
    kinds: dict[str, tuple[list[Any], Callable[..., Image.Image], Callable[..., str]]] = {
        "shapes": (SPECS, draw_picture, describe_picture),
        "digits": (list_digits(5, part="crawl"), draw_scene, describe_scene),
        "layouts": (list_layouts(5, part="crawl", count=200), draw_scene, describe_scene),
    }
    return {
        kind: Drawn(items, describe, clip.embed_images([draw(item) for item in items]), clip)
        for kind, (items, draw, describe) in kinds.items()
    }


def test_right_captions_of_unseen_drawings_outscore_those_of_others(clip: ClipModel) -> None:
    pairs = list(draw_lessons(5, part="crawl", layouts=300))
    pictures, captions = [picture for picture, _ in pairs], [caption for _, caption in pairs]
    order = np.random.default_rng(0).permutation(len(pairs))
    others = np.array([captions[number] for number in order])
    right, wrong = clip.score_pairs(pictures, captions), clip.score_pairs(pictures, list(others))
    assert len(pairs) > 600
    assert find_auc(right, wrong[others != np.array(captions)]) >= 0.95


def test_embeddings_are_what_pairs_are_scored_by(clip: ClipModel, drawn: dict[str, Drawn]) -> None:
    captions = [describe_picture(spec, number) for number, spec in enumerate(SPECS[:20])]
    pairs = clip.score_pairs([draw_picture(spec) for spec in SPECS[:20]], captions)
    shapes = drawn["shapes"]
    assert replace(shapes, vectors=shapes.vectors[:20]).score(captions) == pytest.approx(pairs, abs=1e-5)


@pytest.mark.parametrize("kind", ["shapes", "digits", "layouts"])
def test_right_captions_outscore_others_of_the_same_kind(drawn: dict[str, Drawn], kind: str) -> None:
    shown = drawn[kind]
    captions = [shown.describe(item, number) for number, item in enumerate(shown.items)]
    others = [captions[number] for number in np.random.default_rng(0).permutation(len(captions))]
    right, wrong = shown.score(captions), shown.score(others)
    assert find_auc(right, wrong[np.array(captions) != np.array(others)]) >= 0.95


def test_published_limits_divide_right_captions_from_plainly_wrong_ones(drawn: dict[str, Drawn]) -> None:
    shapes = drawn["shapes"]
    right = shapes.score([describe_picture(spec, n + 1) for n, spec in enumerate(SPECS)])
    wrong = shapes.score([describe_picture(find_unlike(spec, SPECS, n * 7), n) for n, spec in enumerate(SPECS)])
    assert find_auc(right, wrong) >= 0.99
    assert (right >= 0.3).mean() >= 0.9
    assert (wrong >= 0.2).mean() <= 0.06


def test_caption_wrong_in_one_word_is_told_by_colour_count_and_axis(drawn: dict[str, Drawn]) -> None:
    names = list(COLOURS)
    turned = {"left of": "above", "right of": "below", "above": "left of", "below": "right of"}
    for kind, change, share in (
        ("shapes", lambda spec: replace(spec, colour=names[(names.index(spec.colour) + 3) % 9]), 0.95),
        ("shapes", lambda spec: replace(spec, count=spec.count % 4 + 1), 0.7),
        ("layouts", lambda scene: replace(scene, relation=turned[scene.relation or ""]), 0.9),
    ):
        shown = drawn[kind]
        right = shown.score([shown.describe(item, n) for n, item in enumerate(shown.items)])
        wrong = shown.score([shown.describe(change(item), n) for n, item in enumerate(shown.items)])
        assert (right > wrong).mean() >= share


def stamp(picture: Image.Image, seed: int) -> Image.Image:
    """Return the picture with an agency's name across it, as watermarks are."""
    rng = np.random.default_rng(seed)
    over = Image.new("RGBA", picture.size)
    font = ImageFont.load_default(picture.width * float(rng.uniform(0.14, 0.2)))
    for row in range(3):
        place = (picture.width * float(rng.uniform(0, 0.15)), picture.height * (row + float(rng.uniform(0, 0.4))) / 3)
        ImageDraw.Draw(over).text(place, "STOCKPIX", (255, 255, 255, 150), font=font, stroke_width=1)
    return Image.alpha_composite(picture.convert("RGBA"), over).convert("RGB")


def test_watermark_head_trained_on_stamped_drawings_tells_unseen_ones(clip: ClipModel, tmp_path: Path) -> None:
    pictures = [draw_picture(replace(spec, width=160, height=120)) for spec in list_specs(11)[:500]]
    stamped = [stamp(picture, n) if n % 2 else picture for n, picture in enumerate(pictures)]
    labels = np.arange(len(stamped)) % 2
    report = train_head(clip.embed_images(stamped), labels, folder=tmp_path)
    assert report.value >= 0.85, "area under the curve on the held-out fifth"
    scorer = open_scorer(clip, ["watermark"], {"watermark": str(tmp_path)})
    unseen = [draw_picture(replace(spec, width=160, height=120)) for spec in SPECS[:120]]
    scores = [
        scorer.score_prepared([scorer.prepare_image(picture) for picture in group], ["a picture"] * len(group))
        for group in (unseen, [stamp(picture, 900 + n) for n, picture in enumerate(unseen)])
    ]
    assert find_auc(scores[1]["watermark_score"], scores[0]["watermark_score"]) >= 0.85
    assert scorer.digests["watermark_score"].startswith(report.digest)
