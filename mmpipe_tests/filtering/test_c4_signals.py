"""C4's page rules see the lines that its line rules left, and none that had gone before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mmpipe.filtering.judge import judge
from mmpipe.filtering.recipe_sections import CorrectionSettings
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.filtering.text_signals import measure_text
from mmpipe_tests.filtering.test_datatrove_parity import make_corrected

C4 = load_recipe("c4")
LINE = "This is a line of six words."


def measure(text: str, recipe: Recipe = C4) -> dict[str, Any]:
    return measure_text(make_corrected([text], recipe), recipe).row(0, named=True)


def list_removals(text: str, recipe: Recipe = C4) -> list[str]:
    signals = measure_text(make_corrected([text], recipe), recipe)
    rules = [rule for rule in recipe.text.rules if rule.name.startswith("c4_") and "language" not in rule.name]
    return judge(signals, rules, key="doc_id", status="extraction_status").get_column("rule").to_list()


@pytest.mark.parametrize(
    ("lines", "lorem_ipsum", "curly_bracket", "sentences"),
    [
        ([LINE], 0, 0, 1),
        ([LINE, f"{LINE} {LINE}"], 0, 0, 3),
        (["One line with lorem ipsum in it.", LINE], 1, 0, 2),
        (["A line with lorem ipsum and no mark", LINE], 0, 0, 1),
        (["Its JavaScript has lorem ipsum in it.", LINE], 1, 0, 1),
        (["Its JavaScript has a { in it.", LINE], 0, 0, 1),
        (["Our privacy policy has a { in it.", LINE], 0, 1, 1),
        (["Only { four words.", LINE], 0, 0, 1),
        (["A line with lorem[1] ipsum in it.", "Two { of { them in here."], 1, 1, 2),
        (["[1] [2] [3] [4] [5].", LINE], 0, 0, 1),
    ],
)
def test_a_line_that_has_gone_triggers_nothing(
    lines: list[str], lorem_ipsum: int, curly_bracket: int, sentences: int
) -> None:
    row = measure("\n".join(lines))
    assert (row["lorem_ipsum_count"], row["curly_bracket_count"]) == (lorem_ipsum, curly_bracket)
    assert row["sentence_count"] == sentences


def test_a_page_needs_three_sentences_and_at_most_190_000_characters_as_extracted() -> None:
    assert list_removals(f"{LINE}\n{LINE}") == ["c4_sentence_count"]
    assert list_removals(f"{LINE}\n{LINE}\n{LINE}") == []
    long = "\n".join([LINE] * 3 + ["x" * 1500] * 126)
    assert measure(long)["page_char_count"] == len(long) > 189_000
    assert list_removals(long) == []
    assert list_removals(long + "\n" + "x" * 1500) == ["c4_page_char_count"]


def test_without_the_step_every_line_counts() -> None:
    recipe = replace(C4, corrections=CorrectionSettings())
    row = measure("Lorem ipsum\n{ {\n{\n\nOne. Two", recipe)
    assert (row["lorem_ipsum_count"], row["curly_bracket_count"], row["sentence_count"]) == (1, 2, 6)


def test_three_lines_of_200_characters_are_what_mc4_asks_for() -> None:
    text = "\n".join(["x" * 200, "y" * 199, "z" * 400, "", "w" * 200])
    recipe = replace(C4, corrections=CorrectionSettings(), text=replace(C4.text, signals=("c4",)))
    assert measure(text, recipe)["long_line_count"] == 3
    assert measure("", recipe)["long_line_count"] == 0


@pytest.mark.parametrize("text", ["", "\n\n", "\x00", "🎉" * 1000, "[" * 100_000, "a. " * 100_000, "1 2 3\n" * 1000])
def test_hostile_texts_have_finite_signals(text: str) -> None:
    row = measure(text)
    assert all(row[name] is not None and row[name] >= 0 for name in ("sentence_count", "page_char_count"))
