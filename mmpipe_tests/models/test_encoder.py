"""An encoder's score is its head's, one text at a time or many; a model without such a head is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.encoder import EncoderClassifier
from mmpipe_tests.models.tiny_transformers import SENTENCES, save_encoder, save_language_model

TEXTS = [*SENTENCES, SENTENCES[1] * 9, "", " \n", "t", "\ud800 words"]


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("regression"), ["LABEL_0"])


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("classes"), ["low", "medium", "high"])


def read_logits(folder: Path, texts: list[str], max_tokens: int) -> list[list[float]]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        return [model(torch.tensor([tokenizer(text)["input_ids"][:max_tokens]])).logits[0].tolist() for text in texts]


def test_a_head_of_one_number_is_the_score(regression: Path) -> None:
    words = TEXTS[:5]
    plain = [logits[0] for logits in read_logits(regression, words, 40)]
    assert len({round(value, 4) for value in plain}) == 5
    for batch_size, batch_tokens in ((1, 9999), (3, 9999), (50, 60)):
        model = EncoderClassifier(str(regression), max_tokens=40, batch_size=batch_size, batch_tokens=batch_tokens)
        scores = model.score(TEXTS)
        assert scores[:5] == [pytest.approx(value, abs=1e-4) for value in plain]
        assert scores[5:7] == [None, None]
        assert None not in scores[7:]
    assert model.score([]) == []
    assert model.score([""]) == [None]


def test_a_class_has_its_probability(classes: Path) -> None:
    scores = {
        label: EncoderClassifier(str(classes), label=label, max_tokens=64).score(SENTENCES)
        for label in ("low", "medium", "high")
    }
    for number in range(len(SENTENCES)):
        values = [column[number] for column in scores.values()]
        assert all(value is not None and 0 <= value <= 1 for value in values)
        assert sum(value or 0 for value in values) == pytest.approx(1)
    assert EncoderClassifier(str(classes), label="low").digest != EncoderClassifier(str(classes), label="high").digest


def test_what_cannot_be_scored_says_why(regression: Path, classes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has 3 classes, name the one that is wanted .* low, medium"):
        EncoderClassifier(str(classes), max_tokens=64).score(["a"])
    with pytest.raises(ConfigurationError, match=r"none is 'hihg'.*Did you mean 'high'"):
        EncoderClassifier(str(classes), label="hihg", max_tokens=64).score(["a"])
    with pytest.raises(ConfigurationError, match="has no classes"):
        EncoderClassifier(str(regression), label="high", max_tokens=64).score(["a"])
    with pytest.raises(ConfigurationError, match="reads 64 tokens at most, not 512"):
        EncoderClassifier(str(regression)).score(["a"])
    with pytest.raises(WeightsNotFound, match="no such file"):
        EncoderClassifier("./none").score(["a"])


def test_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    save_language_model(tmp_path)
    with pytest.raises(WeightsNotFound, match=r"its weights lack .*score"):
        EncoderClassifier(str(tmp_path), max_tokens=64).score(["a"])
