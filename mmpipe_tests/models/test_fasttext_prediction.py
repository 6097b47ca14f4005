"""The compiled prediction gives the library's own labels and numbers, whatever a line holds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from mmpipe.errors import WeightsNotFound
from mmpipe.models.fasttext_files import load_fasttext, make_line
from mmpipe.models.fasttext_prediction import FastTextPrediction, open_prediction
from mmpipe.models.fasttext_training import train_fasttext
from mmpipe.models.fasttext_weights import read_weights
from mmpipe.models.language import LanguageModel, find_language_weights

try:
    WEIGHTS = find_language_weights()
except WeightsNotFound as error:
    pytest.skip(str(error), allow_module_level=True)

PARTS = (
    "the ", "und ", "a", "é", "日", "ß", "\U0001f600", "<", ">", "x1", " ", "\0", "\t", "\v", "__label__en", " </s> ",
)  # fmt: skip


def make_lines() -> list[str]:
    draw = random.Random(7)
    lines = ["".join(draw.choices(PARTS, k=draw.randint(1, 60))) for _ in range(500)]
    lines += ["x" * 5000, "日本" * 1500, "word " * 3000, "é", "</s>", "__label__en", "__label__ __label__xx y"]
    return [line for line in map(make_line, lines) if line]


def predict_by_library(library: Any, lines: list[str], top_k: int) -> list[list[tuple[str, float]]]:
    found = zip(*library.predict(lines, k=top_k), strict=True)
    return [[(label[9:], float(score)) for label, score in zip(*pair, strict=True)] for pair in found]


@pytest.fixture(scope="module")
def library() -> Any:
    return load_fasttext(WEIGHTS, "Weights", "")


@pytest.mark.parametrize("top_k", [1, 3, 500])
def test_labels_and_numbers_are_the_librarys(library: Any, top_k: int) -> None:
    prediction = open_prediction(WEIGHTS, library)
    if prediction is None:
        pytest.skip("fastText was built to multiply and add in one step: its own prediction is used")
    lines = make_lines()
    ours = [prediction.predict(line, top_k) for line in lines]
    assert ours.count(None) < 10
    theirs = predict_by_library(library, lines, top_k)
    assert all(mine in (None, their) for mine, their in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("settings", [{"minn": 2, "maxn": 4}, {"minn": 1, "maxn": 1}, {"minn": 0, "maxn": 0}])
def test_models_that_are_not_compressed_are_read_too(settings: dict[str, int], tmp_path: Path) -> None:
    source, made = tmp_path / "texts.txt", tmp_path / "model.bin"
    rows = (("a", "the cat sat on a mat"), ("b", "der Hund schläft dort"), ("c", "日本 の 文"), ("d", "été à la mer"))
    source.write_text("".join(f"__label__{label} {text}\n" for label, text in rows) * 30)
    train_fasttext(source, made, {"dim": 8, "bucket": 1000, "epoch": 20, "loss": "hs", **settings})
    library = load_fasttext(made, "Weights", "")
    weights = read_weights(made)
    assert weights is not None
    prediction = FastTextPrediction(weights)
    lines = make_lines()
    theirs = predict_by_library(library, lines, 1)
    assert all(
        mine is None or [mine[0][0]] == [label for label, _ in their]
        for mine, their in zip((prediction.predict(line, 1) for line in lines), theirs, strict=True)
        if mine
    )


def test_other_kinds_are_left_to_the_library(tmp_path: Path) -> None:
    source, made = tmp_path / "texts.txt", tmp_path / "model.bin"
    source.write_text("__label__a one\n__label__b two\n" * 30)
    train_fasttext(source, made, {"dim": 8, "bucket": 1000, "epoch": 20})
    assert read_weights(made) is None
    assert open_prediction(made, load_fasttext(made, "Weights", "")) is None


def test_a_language_model_changes_over_without_a_trace() -> None:
    lines = make_lines()
    fresh, warm = LanguageModel(WEIGHTS), LanguageModel(WEIGHTS)
    warm.identify_all(["word " * 1_000_000], prefix_chars=None)
    for top_k in (1, 400):
        assert warm.identify_all(lines, top_k=top_k) == fresh.identify_all(lines, top_k=top_k)


def test_loops_that_predict_otherwise_are_not_believed(tmp_path: Path) -> None:
    source, made = tmp_path / "texts.txt", tmp_path / "model.bin"
    source.write_text("__label__a one\n__label__b two\n" * 30)
    train_fasttext(source, made, {"dim": 8, "bucket": 1000, "epoch": 20, "loss": "hs"})
    assert open_prediction(WEIGHTS, load_fasttext(made, "Weights", "")) is None
