from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmpipe.errors import ConfigurationError
from mmpipe.models.clip import ClipModel
from mmpipe.models.clip_training import train_tiny_clip

COLOURS = {
    "red": (210, 30, 30), "green": (30, 150, 50), "blue": (30, 60, 200), "yellow": (240, 210, 20),
    "black": (10, 10, 10), "white": (245, 245, 245), "pink": (245, 120, 180), "brown": (120, 70, 30),
}  # fmt: skip


def paint(colour: str, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    size = tuple(int(side) for side in rng.integers(40, 120, 2))
    pixels = np.array(COLOURS[colour]) + rng.normal(0, 12, (size[1], size[0], 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def paint_pairs(count: int, seed: int = 0) -> list[tuple[Image.Image, str]]:
    names = list(COLOURS)
    return [(paint(names[n % 8], seed + n), f"a {names[n % 8]} sheet") for n in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clip")
    train_tiny_clip(paint_pairs(64), place, seed=1, steps=60, batch_size=8, threads=1)
    return place


@pytest.fixture(scope="module")
def clip(folder: Path) -> ClipModel:
    return ClipModel(str(folder), device="cpu", threads=1)


def test_right_captions_score_above_wrong_ones(clip: ClipModel) -> None:
    pairs = paint_pairs(16, seed=1000)
    pictures, captions = [picture for picture, _ in pairs], [caption for _, caption in pairs]
    right = clip.score_pairs(pictures, captions)
    wrong = clip.score_pairs(pictures, captions[3:] + captions[:3])
    assert right.dtype == np.float32
    assert (right > wrong).mean() >= 0.9
    assert (np.abs(right) <= 1).all()


def test_embeddings_have_length_one(clip: ClipModel) -> None:
    images, texts = clip.embed_images([paint("red", 1)]), clip.embed_texts(["a", "", "b " * 500])
    assert images.shape[1] == texts.shape[1] == 64
    assert np.linalg.norm(images, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1, abs=1e-5)


def test_nothing_in_gives_nothing_out(clip: ClipModel) -> None:
    assert clip.score_pairs([], []).shape == (0,)


def test_unequal_lists_are_no_pairs(clip: ClipModel) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        clip.score_pairs([paint("red", 1)], [])


@pytest.mark.parametrize("size", [1, 5, 33])
def test_score_does_not_depend_on_its_company(folder: Path, clip: ClipModel, size: int) -> None:
    pairs = paint_pairs(40, seed=50)
    pictures, captions = [picture for picture, _ in pairs], [caption for _, caption in pairs]
    together = clip.score_pairs(pictures, captions)
    apart = np.concatenate(
        [clip.score_pairs(pictures[n : n + size], captions[n : n + size]) for n in range(0, 40, size)]
    )
    assert np.abs(together - apart).max() <= 1e-6


def test_pictures_are_prepared_as_the_checkpoint_says(clip: ClipModel) -> None:
    import open_clip

    pictures = [Image.new("L", (300, 100), 128), paint("red", 1), paint("pink", 2).convert("CMYK")]
    prepared = clip.normalize([clip.prepare_image(picture) for picture in pictures])
    assert tuple(prepared.shape) == (3, 3, 64, 64)
    assert prepared[0].mean().item() == pytest.approx((128 / 255 - 0.5) / 0.25, abs=1e-3)
    _, _, own = open_clip.create_model_and_transforms(f"local-dir:{clip.folder}")
    for picture, tensor in zip(pictures, prepared, strict=True):
        assert (tensor - own(picture.convert("RGB"))).abs().max().item() < 1e-6


def test_digest_names_the_weights(folder: Path, clip: ClipModel, tmp_path: Path) -> None:
    train_tiny_clip(paint_pairs(16), tmp_path, seed=2, steps=1, batch_size=8, threads=1)
    assert len(clip.digest) == 64
    assert ClipModel(str(tmp_path), device="cpu").digest != clip.digest


def test_training_is_repeatable_and_leaves_torch_as_it_was(tmp_path: Path) -> None:
    import torch

    before, draw = torch.get_num_threads(), torch.random.get_rng_state()
    digests = set()
    for name in ("a", "b"):
        train_tiny_clip(paint_pairs(24), tmp_path / name, seed=3, steps=3, batch_size=8, threads=1)
        digests.add(ClipModel(str(tmp_path / name), device="cpu").digest)
    assert len(digests) == 1
    assert torch.get_num_threads() == before
    assert torch.equal(torch.random.get_rng_state(), draw)


def test_too_few_pairs_or_captions_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="7 different captions"):
        train_tiny_clip(paint_pairs(7), tmp_path, seed=3, steps=1, batch_size=8)


@pytest.mark.parametrize(("settings", "message"), [
    ({"device": "cuda:99"}, "is not there"), ({"device": "tpuu"}, "is unknown"), ({"precision": "fp8"}, "is none of"),
])  # fmt: skip
def test_settings_that_cannot_work_stop_at_load(folder: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ClipModel(str(folder), **settings)


@pytest.mark.gpu
def test_accelerator_scores_as_the_processor_does(folder: Path, clip: ClipModel) -> None:
    pairs = paint_pairs(40, seed=50)
    pictures, captions = [picture for picture, _ in pairs], [caption for _, caption in pairs]
    there = ClipModel(str(folder), device="cuda:0").score_pairs(pictures, captions)
    assert np.abs(there - clip.score_pairs(pictures, captions)).max() < 1e-4
