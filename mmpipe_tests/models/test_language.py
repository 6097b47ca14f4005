"""Languages are told in batches, whatever the strings hold, and missing weights say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmpipe.errors import WeightsNotFound
from mmpipe.models.language import LanguageModel, find_language_weights

try:
    WEIGHTS = find_language_weights()
except WeightsNotFound as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel(WEIGHTS)


def test_languages_in_order(model: LanguageModel) -> None:
    texts = [
        "The cat sat on the mat\nand slept.",
        "",
        "Der Hund schläft unter dem Tisch.",
        " \n\0",
        "これは日本語です。",
        "\ud800",
    ]
    found = model.identify(texts)
    assert [language for language, _ in found] == ["en", "und", "de", "und", "ja", "und"]
    assert found[1] == ("und", 0.0)
    assert all(0 <= score <= 1 for _, score in found)
    assert model.identify([]) == []


def test_only_the_start_is_looked_at(model: LanguageModel) -> None:
    start = "This is an English sentence about nothing at all. " * 20
    assert model.identify([start]) == model.identify([start + "Das ist ein deutscher Satz. " * 500])


def test_batches_and_single_texts_agree(model: LanguageModel) -> None:
    texts = ["une phrase en français", "una frase en español", "een zin in het Nederlands"]
    assert model.identify(texts) == [model.identify([text])[0] for text in texts]


def test_loading_says_nothing_and_digest_is_of_the_file(capfd: pytest.CaptureFixture[str]) -> None:
    digest = LanguageModel(WEIGHTS).digest
    assert len(digest) == 16
    assert capfd.readouterr() == ("", "")


def test_missing_or_wrong_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"lid\.176\.bin"):
        find_language_weights(str(tmp_path))
    (tmp_path / "lid.176.ftz").write_bytes(b"no model")
    assert find_language_weights(str(tmp_path)) == tmp_path / "lid.176.ftz"
    with pytest.raises(WeightsNotFound, match="no fastText model"):
        LanguageModel(tmp_path / "lid.176.ftz")
