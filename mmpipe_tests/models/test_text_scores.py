"""Texts get the scores a recipe asks for and nulls for the rest, each with the digest of its weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.filtering.recipe_sections import ScoreSettings
from mmpipe.models.encoder import EncoderClassifier
from mmpipe.models.perplexity import TransformersPerplexity
from mmpipe.models.quality import QualityClassifier
from mmpipe.models.quality_training import QualitySettings, train_quality_classifier
from mmpipe.models.text_scores import SCORE_COLUMNS, digest_scores, score_texts
from mmpipe.tables.text import TEXT_SCORES
from mmpipe_tests.models.tiny_transformers import SENTENCES, save_encoder, save_language_model

ALL = ScoreSettings(
    quality=True, perplexity=True, perplexity_tokens=32, encoder=True, encoder_tokens=32, encoder_label="high"
)
TEXTS = [None, *SENTENCES, "", None]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    positive = [f"{SENTENCES[0]} {number}" for number in range(30)]
    negative = [f"{SENTENCES[2]} {number}" for number in range(30)]
    settings = QualitySettings(dimensions=4, buckets=100, least_texts=5, held_out=0.3)
    return {
        "quality_path": str(train_quality_classifier(positive, negative, folder, settings).folder),
        "perplexity_path": str(save_language_model(folder / "lm")),
        "encoder_path": str(save_encoder(folder / "encoder", ["low", "high"])),
    }


def test_columns_hold_what_each_model_says(paths: dict[str, Any]) -> None:
    frame = score_texts(TEXTS, **paths, settings=ALL, device="cpu", batch_size=2)
    assert frame.schema == {name: TEXT_SCORES.schema[name] for name in SCORE_COLUMNS}
    quality = QualityClassifier(paths["quality_path"])
    perplexity = TransformersPerplexity(paths["perplexity_path"], max_tokens=32)
    encoder = EncoderClassifier(paths["encoder_path"], label="high", max_tokens=32)
    for column, model in (("quality_score", quality), ("perplexity", perplexity), ("encoder_score", encoder)):
        plain = [None, *(model.score([text])[0] for text in TEXTS[1:-1]), None]
        assert frame.get_column(column).to_list() == [v if v is None else pytest.approx(v, rel=1e-4) for v in plain]
        weights = frame.get_column(f"{column.split('_')[0]}_weights").to_list()
        assert weights == [None, *[model.digest] * 5, None]
    TEXT_SCORES.conform(frame.with_columns(doc_id=frame.hash_rows().cast(str)))


def test_a_model_not_asked_for_is_not_opened(paths: dict[str, Any]) -> None:
    only = score_texts(
        TEXTS, **{**paths, "perplexity_path": "", "encoder_path": "./none"}, settings=ScoreSettings(quality=True)
    )
    assert only.get_column("quality_score").null_count() == 3
    for name in ("perplexity", "perplexity_weights", "encoder_score", "encoder_weights"):
        assert only.get_column(name).null_count() == len(TEXTS)
    nothing = score_texts(TEXTS, quality_path="", perplexity_path="", encoder_path="", settings=ScoreSettings())
    assert nothing.height == len(TEXTS)
    assert score_texts([], **paths, settings=ALL).height == 0


def test_what_is_asked_for_must_be_named_and_there(paths: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"scores\.quality asks for a model and none is named"):
        score_texts(TEXTS, **{**paths, "quality_path": ""}, settings=ALL)
    with pytest.raises(WeightsNotFound, match="no such file"):
        digest_scores(**{**paths, "encoder_path": "./none"}, settings=ALL)


def test_the_digest_follows_the_models_asked_for(paths: dict[str, Any]) -> None:
    digest = digest_scores(**paths, settings=ALL)
    assert len(digest) == 16
    assert digest == digest_scores(**paths, settings=replace(ALL, encoder_tokens=16))
    assert digest != digest_scores(**paths, settings=replace(ALL, encoder=False))
    assert digest != digest_scores(**paths, settings=replace(ALL, encoder_label="low"))


@pytest.mark.gpu
def test_an_accelerator_gives_the_same_scores(paths: dict[str, Any]) -> None:
    on_cpu, on_gpu = (score_texts(TEXTS, **paths, settings=ALL, device=device) for device in ("cpu", "cuda:0"))
    for column in ("perplexity", "encoder_score"):
        plain = on_cpu.get_column(column).to_list()
        assert on_gpu.get_column(column).to_list() == [v if v is None else pytest.approx(v, rel=2e-3) for v in plain]
