"""NLTK's words with a Punkt model from files, and what is wrong with a model is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.nltk_words import NltkWords, number_words
from mmpipe.filtering.recipes import load_recipe

pytest.importorskip("nltk")

FILES = ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab")


def write_recipe(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).write_text("mr" if name == "abbrev_types.txt" else "", encoding="utf-8")
    path = folder / "own.yaml"
    path.write_text(f"extends: fineweb_release\ntext: {{sentence_model: [{', '.join(names)}]}}\n", encoding="utf-8")
    return str(path)


def test_a_model_of_the_recipe_knows_its_abbreviations_and_moves_the_digest(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, *FILES))
    assert NltkWords(recipe.text.sentence_model).split("Mr. Smith went.") == ["Mr.", "Smith", "went", "."]
    assert NltkWords().split("Mr. Smith went.") == ["Mr", ".", "Smith", "went", "."]
    assert recipe.digest_section("signals") != load_recipe("fineweb_release").digest_section("signals")


def test_a_model_that_is_not_whole_says_which_file_it_lacks(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, *FILES[:3]))
    with pytest.raises(ConfigurationError, match=r"lacks ortho_context\.tab"):
        NltkWords(recipe.text.sentence_model)


def test_words_are_numbered_and_described_once() -> None:
    batch = number_words([["the", "cat", "."], [], ["the", "🎉", "\ud800"]])
    assert batch.words.tolist() == [0, 1, 2, 0, 3, 4]
    assert batch.start.tolist() == [0, 3, 3, 6]
    assert batch.table.is_word.tolist() == [1, 1, 0, 1, 1]
    assert batch.table.is_alphabetic.tolist() == [1, 1, 0, 0, 0]
    assert batch.table.stop_word.tolist() == [1, 0, 0, 0, 0]
