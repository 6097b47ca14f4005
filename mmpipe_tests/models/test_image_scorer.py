from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.clip import ClipModel
from mmpipe.models.clip_training import train_tiny_clip
from mmpipe.models.image_heads import ToxicTexts, load_head
from mmpipe.models.image_scorer import SCORE_COLUMNS, ImageScorer, open_scorer

COLOURS = {
    "red": (210, 30, 30),
    "green": (30, 150, 50),
    "blue": (30, 60, 200),
    "yellow": (240, 210, 20),
    "black": (10, 10, 10),
    "white": (245, 245, 245),
    "pink": (245, 120, 180),
    "brown": (120, 70, 30),
}
TOXIC = [("a red sheet", 0.3), ("a black sheet", 0.4)]


def paint(count: int, seed: int = 0) -> tuple[list[Image.Image], list[str]]:
    rng, names = np.random.default_rng(seed), list(COLOURS)
    pixels = [np.array(COLOURS[names[n % 8]]) + rng.normal(0, 12, (50, 60, 3)) for n in range(count)]
    pictures = [Image.fromarray(picture.clip(0, 255).astype(np.uint8)) for picture in pixels]
    return pictures, [f"a {names[n % 8]} sheet" for n in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clip")
    train_tiny_clip(zip(*paint(64), strict=True), place, seed=1, steps=60, batch_size=8)
    return place


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("heads")
    draw = torch.Generator().manual_seed(4)
    for name in ("aesthetic", "watermark", "nsfw"):
        save_file({"weight": torch.randn(1, 64, generator=draw), "bias": torch.zeros(1)}, place / f"{name}.safetensors")
    np.save(place / "q16.npy", torch.randn(2, 64, generator=draw).numpy())
    return {path.stem: str(path) for path in place.iterdir()}


@pytest.fixture(scope="module")
def scorer(folder: Path, weights: dict[str, str]) -> ImageScorer:
    return open_scorer(ClipModel(str(folder), device="cpu", threads=1), list(SCORE_COLUMNS), weights, TOXIC)


def score(scorer: ImageScorer, pictures: list[Image.Image], captions: list[str]) -> dict[str, np.ndarray]:
    return dict(scorer.score_prepared([scorer.prepare_image(picture) for picture in pictures], captions))


def test_every_score_of_a_recipe_comes_with_embeddings_and_digests(scorer: ImageScorer) -> None:
    scores = score(scorer, *paint(11))
    columns = {"clip_similarity", *SCORE_COLUMNS.values()}
    assert set(scores) == columns | {"image_embedding", "caption_embedding"}
    assert set(scorer.digests) == columns
    assert len(set(scorer.digests.values())) == len(columns)
    for column in columns:
        assert (scores[column].dtype, scores[column].shape) == (np.float32, (11,))
    for column in ("image_embedding", "caption_embedding"):
        assert (scores[column].dtype, scores[column].shape) == (np.float16, (11, 64))
        assert np.linalg.norm(scores[column].astype(float), axis=1) == pytest.approx(1, abs=2e-3)


def test_scores_are_what_clip_and_each_head_say_alone(scorer: ImageScorer, weights: dict[str, str]) -> None:
    pictures, captions = paint(9, seed=3)
    scores = score(scorer, pictures, captions)
    assert np.abs(scores["clip_similarity"] - scorer.clip.score_pairs(pictures, captions)).max() < 1e-6
    rows = scorer.clip.embed_images(pictures)
    alone = load_head(weights["aesthetic"], "aesthetic_score").score(torch.from_numpy(rows)).numpy()
    assert np.abs(scores["aesthetic_score"] - alone).max() < 1e-6
    texts = scorer.clip.embed_texts([text for text, _ in TOXIC])
    excess = (rows @ texts.T - np.array([limit for _, limit in TOXIC])).max(axis=1)
    assert np.abs(scores["toxic_text_excess"] - excess).max() < 1e-5
    # of the eight colours, red and black are on the list
    assert list(np.flatnonzero(scores["toxic_text_excess"] > 0)) == [0, 4, 8]


def test_each_picture_and_caption_is_embedded_once(folder: Path, weights: dict[str, str], monkeypatch: Any) -> None:
    clip = ClipModel(str(folder), device="cpu", threads=1)
    scorer = open_scorer(clip, list(SCORE_COLUMNS), weights, TOXIC)
    scorer.heads[-1].score(torch.zeros(1, 64))  # the list's own texts are embedded at the first use, and never again
    seen = {"image": 0, "text": 0}

    def count(kind: str, encode: Callable[[list[Any]], torch.Tensor]) -> Callable[[list[Any]], torch.Tensor]:
        def counted(batch: list[Any]) -> torch.Tensor:
            seen[kind] += 1
            return encode(batch)

        return counted

    model = clip._parts[0]
    monkeypatch.setattr(model, "encode_image", count("image", model.encode_image))
    monkeypatch.setattr(model, "encode_text", count("text", model.encode_text))
    score(scorer, *paint(64))
    assert seen == {"image": 2, "text": 2}, "64 pairs are two batches of 32"
    picture = scorer.prepare_image(paint(1)[0][0])
    same = scorer.score_prepared([picture] * 64, [f"a red sheet {number}" for number in range(64)])
    assert seen == {"image": 3, "text": 4}, "one picture with 64 captions is one picture"
    assert (same["image_embedding"] == same["image_embedding"][0]).all()
    assert len(set(same["clip_similarity"].tolist())) > 10


@pytest.mark.parametrize("size", [1, 7])
def test_score_does_not_depend_on_its_company(scorer: ImageScorer, size: int) -> None:
    pictures, captions = paint(40, seed=9)
    together = score(scorer, pictures, captions)
    apart = [score(scorer, pictures[n : n + size], captions[n : n + size]) for n in range(0, 40, size)]
    for column in scorer.digests:
        joined = np.concatenate([scores[column] for scores in apart])
        assert np.abs(together[column] - joined).max() <= 1e-6, column


def test_out_of_memory_halves_the_batch_and_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = ClipModel(str(folder), device="cpu", threads=1, batch_size=16)
    pictures, captions = paint(30, seed=2)
    whole = score(ImageScorer(clip), pictures, captions)
    encode, widths = clip._parts[0].encode_image, []

    def hold(images: torch.Tensor) -> torch.Tensor:
        if len(images) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        widths.append(len(images))
        encoded: torch.Tensor = encode(images)
        return encoded

    monkeypatch.setattr(clip._parts[0], "encode_image", hold)
    halved = score(ImageScorer(clip), pictures, captions)
    assert clip.batch_size == 4
    assert widths == [4] * 8
    assert np.abs(halved["clip_similarity"] - whole["clip_similarity"]).max() < 1e-5


def test_nothing_in_gives_nothing_out(scorer: ImageScorer) -> None:
    scores = score(scorer, [], [])
    assert scores["image_embedding"].shape == (0, 64)
    assert {scores[column].shape for column in scorer.digests} == {(0,)}


def test_unequal_lists_are_no_pairs(scorer: ImageScorer) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        score(scorer, paint(2)[0], ["one"])


def test_head_for_another_model_is_refused_with_both_sizes(folder: Path, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1, 768), "bias": torch.zeros(1)}, tmp_path / "l14.safetensors")
    message = r"aesthetic_score: its head .*l14.safetensors takes embeddings of 768 numbers, CLIP .* gives 64"
    with pytest.raises(ConfigurationError, match=message):
        open_scorer(ClipModel(str(folder)), ["aesthetic"], {"aesthetic": str(tmp_path / "l14.safetensors")})


def test_what_a_recipe_asks_for_in_vain_stops_with_what_to_do(folder: Path, weights: dict[str, str]) -> None:
    clip = ClipModel(str(folder), device="cpu")
    with pytest.raises(WeightsNotFound, match="asks for 'nsfw', and no weights of such a head are named"):
        open_scorer(clip, ["nsfw"], {})
    with pytest.raises(ConfigurationError, match="Did you mean 'aesthetic'"):
        open_scorer(clip, ["esthetic"], weights)
    with pytest.raises(ConfigurationError, match="list of toxic texts is empty"):
        open_scorer(clip, ["toxic_texts"], weights)
    with pytest.raises(ConfigurationError, match="a limit is a cosine"):
        ToxicTexts(clip, [("gore", 20)])
    with pytest.raises(ConfigurationError, match="Two heads give one column"):
        ImageScorer(clip, [load_head(weights["nsfw"], "x"), load_head(weights["watermark"], "x")])


def test_digest_of_a_list_follows_its_texts_and_limits_not_their_order(folder: Path) -> None:
    clip = ClipModel(str(folder), device="cpu")
    assert ToxicTexts(clip, TOXIC).digest == ToxicTexts(clip, TOXIC[::-1]).digest
    assert ToxicTexts(clip, TOXIC).digest != ToxicTexts(clip, [(TOXIC[0][0], 0.31), TOXIC[1]]).digest


@pytest.mark.parametrize("precision", ["amp_bf16", "bf16"])
def test_half_precision_says_nearly_the_same(folder: Path, precision: str) -> None:
    pictures, captions = paint(16, seed=8)
    whole = score(ImageScorer(ClipModel(str(folder), device="cpu")), pictures, captions)
    half = score(ImageScorer(ClipModel(str(folder), device="cpu", precision=precision)), pictures, captions)
    difference = np.abs(half["clip_similarity"] - whole["clip_similarity"])
    assert 0 < difference.max() < 0.1, "some, because it computed in half precision, and not much"
