"""Perplexity is that of the plain sum over tokens, whatever the batch; KenLM's is that of the chances it holds."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.hub_weights import group_by_length
from mmpipe.models.kenlm_perplexity import KenlmPerplexity, normalize_as_cc_net
from mmpipe.models.perplexity import TransformersPerplexity, open_perplexity_model
from mmpipe_tests.models.tiny_transformers import SENTENCES, save_language_model

TEXTS = [*SENTENCES, SENTENCES[0] * 9, "", "t", "the the", "\ud800", "words\nover\n\nlines", "zwölf 🦦 \0 otters"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language_model(tmp_path_factory.mktemp("lm"))


def measure_plainly(folder: Path, texts: list[str], max_tokens: int) -> list[float | None]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    scores: list[float | None] = []
    for text in texts:
        ids = tokenizer(text.encode("utf-8", "ignore").decode())["input_ids"][:max_tokens]
        with torch.inference_mode():
            chances = model(torch.tensor([ids])).logits[0].double().log_softmax(-1) if len(ids) > 1 else []
        losses = [-float(chances[place, token]) for place, token in enumerate(ids[1:])]
        scores.append(math.exp(sum(losses) / len(losses)) if losses else None)
    return scores


def test_scores_are_those_of_the_plain_sum_in_every_batch(folder: Path) -> None:
    plain = measure_plainly(folder, TEXTS, 48)
    assert [place for place, score in enumerate(plain) if score is None] == [5, 6, 8]
    for batch_size, batch_tokens in ((1, 10_000), (4, 10_000), (100, 10_000), (100, 50)):
        model = TransformersPerplexity(str(folder), max_tokens=48, batch_size=batch_size, batch_tokens=batch_tokens)
        scores = model.score(TEXTS)
        assert scores == [score if score is None else pytest.approx(score, rel=1e-4) for score in plain]
        assert all(score >= 1 for score in scores if score is not None)
        assert model.score(TEXTS) == scores
    assert model.score([]) == []
    assert model.score(["", "t"]) == [None, None]


def test_only_the_first_tokens_are_read(folder: Path) -> None:
    model = TransformersPerplexity(str(folder), max_tokens=8)
    short, long = model.score([SENTENCES[0], SENTENCES[0] + " cart" * 3_000_000])
    assert short == pytest.approx(long)
    assert short != pytest.approx(TransformersPerplexity(str(folder), max_tokens=9).score([SENTENCES[0]])[0], rel=1e-3)


def test_digest_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    digest = open_perplexity_model(str(folder)).digest
    assert len(digest) == 16
    other = save_language_model(tmp_path)
    assert open_perplexity_model(str(other)).digest == digest
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert open_perplexity_model(str(other)).digest != digest


def test_what_cannot_be_had_says_what_to_do(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsNotFound, match="no such file or folder"):
        TransformersPerplexity("./none").score(["a b"])
    with pytest.raises(WeightsNotFound, match="a folder without weights"):
        _ = TransformersPerplexity(str(tmp_path)).digest
    with pytest.raises(WeightsNotFound, match="Without a network, name a local folder"):
        TransformersPerplexity("nobody/has-this-model").score(["a b"])
    with pytest.raises(WeightsNotFound, match="Without a network, name a local folder"):
        _ = TransformersPerplexity("nobody/has-this-model").digest
    with pytest.raises(WeightsNotFound, match="no model of the kind"):
        TransformersPerplexity(str(tmp_path)).score(["a b"])
    with pytest.raises(ConfigurationError, match="reads 64 tokens at most, not 65"):
        TransformersPerplexity(str(folder), max_tokens=65).score(["a b"])
    with pytest.raises(ConfigurationError, match="dtype 'int8' is unknown"):
        TransformersPerplexity(str(folder), max_tokens=64, dtype="int8").score(["a b"])


@given(st.lists(st.integers(0, 100), max_size=60), st.integers(1, 9), st.integers(1, 300))
def test_batches_hold_every_row_once_within_their_bounds(lengths: list[int], rows: int, tokens: int) -> None:
    batches = group_by_length(lengths, rows, tokens)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= tokens


_ARPA = """\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-1.5\t<unk>\t0
0\t<s>\t-0.3
-1.0\t</s>\t0
-0.7\tthe\t-0.2
-1.1\totter\t-0.1
-1.3\tswims\t0

\\2-grams:
-0.2\t<s> the
-0.4\tthe otter
-0.5\totter swims

\\end\\
"""


def has_kenlm() -> bool:
    try:
        importlib.import_module("kenlm")
    except ImportError:
        return False
    return True


needs_kenlm = pytest.mark.skipif(not has_kenlm(), reason="the package kenlm is not installed: pip install kenlm")


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.arpa"
    file.write_text(_ARPA)
    return file


@needs_kenlm
def test_kenlm_gives_what_its_table_holds(arpa: Path) -> None:
    model = open_perplexity_model(str(arpa))
    assert isinstance(model, KenlmPerplexity)
    assert len(model.digest) == 16
    one = -0.2 - 0.4 - 0.5 - 1.0  # <s> the, the otter, otter swims, </s>
    two = -0.3 - 1.1 - 0.1 - 1.5 - 1.0  # back-offs before otter and before an unknown word
    scores = model.score(["the otter swims", "the otter  swims\n\n otter fox", "", " \n\0", "\ud800"])
    assert scores[0] == pytest.approx(10 ** (-one / 4), rel=1e-5)
    assert scores[1] == pytest.approx(10 ** (-(one + two) / 7), rel=1e-5)
    assert scores[2:] == [None, None, None]


@needs_kenlm
def test_kenlm_takes_the_pieces_beside_it(arpa: Path) -> None:
    pieces: Any = pytest.importorskip("sentencepiece", reason="pip install sentencepiece")
    pieces.SentencePieceTrainer.train(
        sentence_iterator=iter([text.lower() for text in SENTENCES] * 5),
        model_prefix=str(arpa.with_name("tiny.sp")),
        vocab_size=60,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    assert arpa.with_name("tiny.sp.model").is_file()
    plain_digest = "-" not in KenlmPerplexity(arpa).digest
    assert not plain_digest
    model = KenlmPerplexity(arpa)
    assert model.score(["The Otters, 1234"]) == model.score(["the otters， 9999"])
    assert model.score([""]) == [None]


def test_lines_are_normalised_as_cc_nets_were() -> None:
    assert normalize_as_cc_net("  Zwölf «Otter» — 1234… ") == 'zwolf "otter"  -  0000...'


def test_kenlm_without_its_file_or_package_says_so(arpa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsNotFound, match="no file at"):
        open_perplexity_model(str(tmp_path / "none.arpa"))
    if has_kenlm():
        bad = tmp_path / "bad.arpa"
        bad.write_text("no model")
        with pytest.raises(WeightsNotFound, match="no KenLM model"):
            open_perplexity_model(str(bad))
    monkeypatch.setitem(__import__("sys").modules, "kenlm", None)
    with pytest.raises(WeightsNotFound, match="pip install kenlm"):
        open_perplexity_model(str(arpa))
