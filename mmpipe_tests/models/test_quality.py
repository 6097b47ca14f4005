"""A classifier learns what it is shown, always to the same bytes, and no text can write its class into itself."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.fasttext_training import train_fasttext
from mmpipe.models.quality import QualityClassifier, normalize_quality_text
from mmpipe.models.quality_training import (
    KEPT_SHARES,
    QualitySettings,
    TrainedQuality,
    measure_held_out,
    train_quality_classifier,
)

TINY = QualitySettings(dimensions=8, buckets=2000, epochs=15, learning_rate=0.5, least_texts=20, held_out=0.2)
_COMMON = ("the", "of", "and", "a", "to", "in", "is", "was", "for", "that", "with", "as", "at", "by", "this", "be")


def make_texts(words: str, count: int, seed: int) -> list[str]:
    """Sentences of common words, a few of which are told by `words`."""
    random_ = random.Random(seed)
    vocabulary = [*_COMMON, *_COMMON, *words.split()]
    return [f"{' '.join(random_.choices(vocabulary, k=40))}\n{random_.choice(words.split())}." for _ in range(count)]


POSITIVE = make_texts("theorem proof lemma otter river geology experiment measure", 150, 1)
NEGATIVE = make_texts("cart login subscribe cookie discount checkout wishlist password", 150, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedQuality:
    return train_quality_classifier(POSITIVE, NEGATIVE, tmp_path_factory.mktemp("quality"), TINY, sources={"a": "b"})


@pytest.fixture(scope="module")
def classifier(trained: TrainedQuality) -> QualityClassifier:
    return QualityClassifier(trained.folder)


def test_it_tells_the_sets_apart_and_says_how_well(trained: TrainedQuality, classifier: QualityClassifier) -> None:
    good, bad = classifier.score(["the proof of a lemma is a theorem", "login to the cart for a discount"])
    assert good is not None
    assert bad is not None
    assert good > 0.9 > 0.1 > bad
    held_out = trained.report["held_out"]
    assert held_out["auc"] > 0.99
    assert held_out["precision"] > 0.95
    assert held_out["recall"] > 0.95
    texts = trained.report["texts"]
    assert sum(texts.values()) == 300
    assert texts["positive_held_out"] == held_out["positive"] > 10
    assert [row["share"] for row in held_out["thresholds"]] == list(KEPT_SHARES)


def test_it_lands_under_its_digest_with_report_and_recipe(
    trained: TrainedQuality, classifier: QualityClassifier
) -> None:
    assert trained.digest == classifier.digest == trained.folder.name
    assert trained.folder.parent.name == "quality_classifier"
    assert sorted(file.name for file in trained.folder.iterdir()) == ["model.bin", "recipe.yaml", "report.json"]
    assert [path.name for path in trained.folder.parent.iterdir()] == [trained.digest]
    assert json.loads((trained.folder / "report.json").read_text()) == trained.report
    recipe = yaml.safe_load((trained.folder / "recipe.yaml").read_text())
    assert recipe["settings"]["buckets"] == TINY.buckets
    assert recipe["sources"] == {"a": "b"}
    assert QualityClassifier(trained.folder / "model.bin").digest == trained.digest


def test_order_and_repeats_change_no_byte(trained: TrainedQuality, tmp_path: Path) -> None:
    again = train_quality_classifier(
        [*reversed(POSITIVE), POSITIVE[0], " \n", ""], iter(NEGATIVE[::-1]), tmp_path, TINY
    )
    assert again.digest == trained.digest
    assert again.report["repeated"] == {"positive": 1, "negative": 0}
    assert again.report["empty"] == {"positive": 2, "negative": 0}
    assert train_quality_classifier(POSITIVE, NEGATIVE, tmp_path, TINY).folder == again.folder


def test_batches_change_no_score(classifier: QualityClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*POSITIVE[:5], "", *NEGATIVE[:5], "\ud800", "proof " * 1000]
    together = classifier.score(texts)
    assert together == [classifier.score([text])[0] for text in texts]
    assert together[5] is None
    assert together[11] is None
    assert all(0 <= score <= 1 for score in together if score is not None)
    monkeypatch.setattr("mmpipe.models.quality._BATCH_CHARS", 300)
    assert classifier.score(texts) == together
    assert classifier.score([]) == []


def test_no_text_writes_its_class_into_itself(classifier: QualityClassifier, tmp_path: Path) -> None:
    assert "__label__" not in normalize_quality_text("a __label__positive b __label____label__ c")
    assert "</s>" not in normalize_quality_text("a </s> b").split()
    plain, with_end = classifier.score(["login " * 50, "login </s> " * 50])
    assert plain is not None
    assert with_end == pytest.approx(plain, abs=0.2)
    # a label or an end in the middle must not cut a training line in two
    hostile = [f"{text} </s> __label__negative cart" for text in POSITIVE]
    report = train_quality_classifier(hostile, NEGATIVE, tmp_path, TINY).report
    assert sum(report["texts"].values()) == 300
    assert report["held_out"]["auc"] > 0.9


_MARKS = st.sampled_from(["__label__", "__la", "bel__", "</s>", "\0", "\x1f", "\x85", "\ud800"])


@given(st.lists(st.text(max_size=4) | _MARKS, max_size=9).map("".join))
@example("0\x1f\0")
@example("__la\ud800bel__quality")
@settings(max_examples=200, deadline=None)
def test_a_normalised_text_is_one_line_and_stays_as_it_is(text: str) -> None:
    line = normalize_quality_text(text)
    assert "\n" not in line
    assert len(line.splitlines()) <= 1
    assert normalize_quality_text(line) == line
    assert "__label__" not in line


def test_figures_are_those_of_their_definition() -> None:
    random_ = np.random.default_rng(3)
    is_positive = random_.random(300) < 0.4
    scores = np.round(np.clip(random_.normal(0.4 + 0.2 * is_positive, 0.2), 0, 1), 2)
    found = measure_held_out(scores, is_positive)
    pairs = [(good > bad) + (good == bad) / 2 for good in scores[is_positive] for bad in scores[~is_positive]]
    assert found["auc"] == pytest.approx(sum(pairs) / len(pairs))
    chosen = scores >= 0.5
    assert found["precision"] == pytest.approx(is_positive[chosen].mean())
    assert found["recall"] == pytest.approx(chosen[is_positive].mean())
    for row in found["thresholds"]:
        kept = (scores[~is_positive] >= row["least_score"]).mean()
        assert kept == row["negative_kept"] <= row["share"]
        assert row["recall"] == (scores[is_positive] >= row["least_score"]).mean()
        lower = math.nextafter(row["least_score"], 0)
        assert (scores[~is_positive] >= lower).mean() > row["share"]
    assert measure_held_out(np.array([0.1, 0.2]), np.array([True, False]))["precision"] is None


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        ([], NEGATIVE, "positive set has 0 distinct"),
        (POSITIVE, ["", " \n"], r"negative set has 0 distinct texts with words \(2 empty"),
        (POSITIVE[:19], NEGATIVE, "positive set has 19 distinct"),
        (POSITIVE, POSITIVE, "150 texts stand in both sets"),
        (POSITIVE, NEGATIVE + POSITIVE[:5], "5 texts stand in both sets"),
    ],
    ids=["none", "empty", "few", "same", "overlap"],
)
def test_sets_that_teach_nothing_are_refused(
    positive: list[str], negative: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        train_quality_classifier(positive, negative, tmp_path, TINY)
    assert list((tmp_path / "quality_classifier").iterdir()) == []


def test_a_few_texts_of_both_sets_are_left_out(tmp_path: Path) -> None:
    report = train_quality_classifier(POSITIVE, [*NEGATIVE, POSITIVE[0]], tmp_path, TINY).report
    assert report["overlapping"] == 1
    assert sum(report["texts"].values()) == 299


def test_training_that_diverges_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lower the learning rate"):
        train_quality_classifier(
            POSITIVE, NEGATIVE, tmp_path, QualitySettings(learning_rate=1e30, dimensions=8, buckets=2000)
        )


def test_missing_or_other_models_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match="mmpipe quality train"):
        QualityClassifier(tmp_path / "none.bin")
    with pytest.raises(WeightsNotFound, match=r"neither model\.bin nor"):
        QualityClassifier(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"no model" * 50)
    with pytest.raises(WeightsNotFound, match="no fastText model"):
        QualityClassifier(tmp_path)


def test_models_of_others_have_their_own_labels(tmp_path: Path) -> None:
    lines = [f"__label__hq {normalize_quality_text(text)}\n" for text in POSITIVE]
    lines += [f"__label__cc {normalize_quality_text(text)}\n" for text in NEGATIVE]
    random.Random(0).shuffle(lines)
    (tmp_path / "lines.txt").write_text("".join(lines))
    made = tmp_path / "dclm.bin"
    train_fasttext(tmp_path / "lines.txt", made, {"dim": 8, "bucket": 2000, "wordNgrams": 2, "epoch": 15, "lr": 0.5})
    hq, cc = QualityClassifier(made), QualityClassifier(made, "cc")
    (good,), (bad,) = hq.score(POSITIVE[:1]), cc.score(POSITIVE[:1])
    assert good is not None
    assert bad is not None
    assert good > 0.9
    assert good + bad == pytest.approx(1, abs=1e-4)
    assert hq.digest != cc.digest
    with pytest.raises(ConfigurationError, match=r"no class hqq\. Did you mean 'hq'"):
        QualityClassifier(made, "hqq")
