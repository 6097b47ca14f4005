"""Embeddings are the mean of an encoder's tokens, one text at a time or many; n-grams need no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.text_embeddings import NgramEmbedder, SentenceEmbedder, TextEmbedder
from mmpipe_tests.models.tiny_transformers import SENTENCES, save_encoder

TEXTS = [*SENTENCES, SENTENCES[1] * 9, "", " \n", "t", "\ud800 words", "x" * 10_000_000]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"), ["LABEL_0"])


def average_alone(folder: Path, text: str, max_tokens: int) -> Any:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"][:max_tokens]
    with torch.inference_mode():
        mean = AutoModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0].mean(dim=0)
    return (mean / mean.norm()).numpy()


def test_a_vector_is_the_mean_of_the_tokens(encoder: Path) -> None:
    alone = np.stack([average_alone(encoder, text, 40) for text in TEXTS[:5]])
    for batch_size, batch_tokens in ((1, 9999), (3, 9999), (50, 90)):
        model = SentenceEmbedder(str(encoder), max_tokens=40, batch_size=batch_size, batch_tokens=batch_tokens)
        vectors = model.embed(TEXTS)
        assert np.allclose(vectors[:5], alone, atol=1e-5)
        assert not vectors[5:7].any()
        assert np.allclose(np.linalg.norm(np.delete(vectors, [5, 6], axis=0), axis=1), 1, atol=1e-5)
    assert vectors.dtype == np.float32
    assert model.embed([]).shape == (0, 32)


def test_where_memory_ends_the_batch_is_halved(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model = SentenceEmbedder(str(encoder), max_tokens=40)
    expected = model.embed(TEXTS)
    network, tokenizer = model._loaded
    sizes: list[int] = []

    def forward(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("no more")
        return network(**inputs)

    forward.config = network.config  # type: ignore[attr-defined]
    monkeypatch.setitem(model.__dict__, "_loaded", (forward, tokenizer))
    most = 2
    assert np.allclose(model.embed(TEXTS), expected, atol=1e-5)
    assert sizes == [8, 4, 2, 2, 2, 2]
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        model.embed(TEXTS)


def test_what_cannot_be_embedded_says_why(encoder: Path) -> None:
    with pytest.raises(WeightsNotFound, match="no such file"):
        SentenceEmbedder("./none").embed(["a"])
    with pytest.raises(ConfigurationError, match="reads 64 tokens at most, not 256"):
        SentenceEmbedder(str(encoder)).embed(["a"])
    with pytest.raises(ConfigurationError, match="at least 1"):
        NgramEmbedder(0)
    digests = {
        SentenceEmbedder(str(encoder), max_tokens=tokens, prefix=prefix).digest
        for tokens in (40, 64)
        for prefix in ("", "query: ")
    }
    assert len(digests) == 4


def test_ngrams_tell_texts_apart() -> None:
    model: TextEmbedder = NgramEmbedder()
    vectors = model.embed(
        [*SENTENCES, SENTENCES[0].upper().replace(" ", "\n "), SENTENCES[0].replace("spring", "fall")]
    )
    similar = vectors @ vectors.T
    assert similar[0, 4] == pytest.approx(1)
    assert similar[0, 5] > 0.8
    assert np.abs(similar[:4, :4] - np.eye(4)).max() < 0.35
    assert model.digest != NgramEmbedder(64).digest


@given(st.lists(st.text(max_size=30), max_size=6), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_ngrams_of_a_text_depend_on_it_alone(texts: list[str], dimensions: int) -> None:
    model = NgramEmbedder(dimensions)
    together = model.embed(texts)
    assert together.shape == (len(texts), dimensions)
    for text, vector in zip(texts, together, strict=True):
        assert np.array_equal(model.embed([text])[0], vector)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) or not vector.any()


def test_ngrams_of_hostile_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmpipe.models import text_embeddings

    vectors = NgramEmbedder().embed(["", " \n", "\ud800", "a", "é" * 10_000_000])
    assert vectors.any(axis=1).tolist() == [False, False, True, True, True]
    whole = NgramEmbedder().embed(SENTENCES)
    monkeypatch.setattr(text_embeddings, "_PIECE_CHARACTERS", 7)
    assert np.allclose(NgramEmbedder().embed(SENTENCES), whole)


@pytest.mark.gpu
def test_an_accelerator_gives_nearly_the_same(encoder: Path) -> None:
    here = SentenceEmbedder(str(encoder), max_tokens=40).embed(TEXTS)
    there = SentenceEmbedder(str(encoder), max_tokens=40, device="cuda").embed(TEXTS)
    # half precision keeps two to three digits
    assert (here * there).sum(axis=1)[[0, 1, 2, 3, 4, 7, 8, 9]] == pytest.approx(1, abs=1e-2)
