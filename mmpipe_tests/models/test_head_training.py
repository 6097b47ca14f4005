from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from mmpipe.errors import ConfigurationError
from mmpipe.models.head_training import train_head
from mmpipe.models.image_heads import load_head


def make_rows(count: int, seed: int = 0, dimension: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_ring(rows: np.ndarray) -> np.ndarray:
    """Return labels that no linear head can find: whether the first two numbers have one sign."""
    return (rows[:, 0] * rows[:, 1] > 0).astype(float)


def test_linear_head_finds_a_half_space_and_gives_probabilities(tmp_path: Path) -> None:
    rows = make_rows(600)
    labels = (rows[:, 0] + 0.5 * rows[:, 1] > 0.1).astype(float)
    report = train_head(rows, labels, folder=tmp_path)
    assert (report.measure, report.trained + report.held_out) == ("auc", 600)
    assert report.value > 0.98
    fresh = make_rows(300, seed=9)
    scores = load_head(str(tmp_path), "nsfw_score").score(torch.from_numpy(fresh)).numpy()
    wanted = fresh[:, 0] + 0.5 * fresh[:, 1] > 0.1
    assert ((scores > 0.5) == wanted).mean() > 0.93
    assert 0 <= scores.min() < scores.max() <= 1


def test_rating_head_gives_ratings_on_the_labels_own_scale(tmp_path: Path) -> None:
    rows = make_rows(500)
    ratings = 5.5 + 6 * rows[:, 3] + np.random.default_rng(1).normal(0, 0.1, 500)
    report = train_head(rows, ratings, folder=tmp_path)
    assert report.measure == "correlation"
    assert report.value > 0.98
    fresh = make_rows(100, seed=9)
    scores = load_head(str(tmp_path), "aesthetic_score").score(torch.from_numpy(fresh)).numpy()
    assert np.abs(scores - (5.5 + 6 * fresh[:, 3])).mean() < 0.15


def test_mlp_finds_what_a_linear_head_cannot(tmp_path: Path) -> None:
    rows = make_rows(2000, dimension=4)
    linear = train_head(rows, make_ring(rows), kind="linear", folder=tmp_path / "linear")
    mlp = train_head(rows, make_ring(rows), kind="mlp", folder=tmp_path / "mlp")
    assert linear.value < 0.65
    assert mlp.value > 0.95
    fresh = make_rows(300, seed=9, dimension=4)
    scores = load_head(str(tmp_path / "mlp"), "watermark_score").score(torch.from_numpy(fresh)).numpy()
    assert ((scores > 0.5) == make_ring(fresh)).mean() > 0.9


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_same_labelled_pictures_give_the_same_head_in_any_order(tmp_path: Path, kind: str) -> None:
    rows = make_rows(200)
    labels = (rows[:, 0] > 0).astype(float)
    order = np.random.default_rng(5).permutation(200)
    threads = torch.get_num_threads()
    first = train_head(rows, labels, kind=kind, folder=tmp_path / "a")  # type: ignore[arg-type]
    second = train_head(rows[order], labels[order], kind=kind, folder=tmp_path / "b")  # type: ignore[arg-type]
    assert first == second
    assert (tmp_path / "a/head.safetensors").read_bytes() == (tmp_path / "b/head.safetensors").read_bytes()
    assert first.digest == hashlib.sha256((tmp_path / "a/head.safetensors").read_bytes()).hexdigest()
    assert torch.get_num_threads() == threads


def test_labels_without_a_pattern_are_reported_as_none(tmp_path: Path) -> None:
    rows = make_rows(400, dimension=100)
    labels = np.random.default_rng(6).integers(0, 2, 400).astype(float)
    report = train_head(rows, labels, folder=tmp_path)
    assert 0.3 < report.value < 0.7, "the held-out pictures must not have been trained on"


def test_same_picture_twice_is_not_on_both_sides(tmp_path: Path) -> None:
    rows = make_rows(60)
    labels = np.random.default_rng(6).integers(0, 2, 60).astype(float)
    once = train_head(rows, labels, folder=tmp_path / "once")
    thrice = train_head(np.repeat(rows, 3, axis=0), np.repeat(labels, 3), folder=tmp_path / "thrice")
    assert thrice.held_out == 3 * once.held_out


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (make_rows(19), np.arange(19.0), "19 labelled pictures"),
        (make_rows(50), np.ones(50), "of different labels"),
        (make_rows(50), np.ones(49), "one label for each"),
        (make_rows(50) * np.nan, np.arange(50.0), "finite"),
        (make_rows(50), np.eye(50)[0], "Too few labelled pictures"),
    ],
)
def test_labels_that_train_nothing_are_refused(
    tmp_path: Path, rows: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        train_head(rows, labels, folder=tmp_path)
    assert not list(tmp_path.iterdir())
