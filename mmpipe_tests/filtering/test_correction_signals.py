"""The share of words that line corrections took: by hand, and what it is where there was nothing to take."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from mmpipe.extraction.corrections import correct_text, find_step
from mmpipe.filtering.correction_signals import measure_corrections
from mmpipe.filtering.recipe_sections import CorrectionSettings, CorrectionStep
from mmpipe.filtering.recipes import Recipe
from mmpipe.tables.correction_steps import CORRECTION_STEPS
from mmpipe_tests.filtering.batches import make_batch


def measure(text: str, *steps: str) -> float | None:
    """Return the share after the steps named were made."""
    settings = CorrectionSettings(
        steps=tuple(CorrectionStep(step=step, options=CORRECTION_STEPS[step]) for step in steps)
    )
    corrected = correct_text(text, [find_step(item.step, item.options) for item in settings.steps])
    entries = [{"step": step, **asdict(edit)} for step, edit in corrected.edits]
    batch = replace(
        make_batch([text]),
        corrected=[corrected.text],
        corrections=[entries],
        recipe=Recipe(name="test", source="test", corrections=settings),
    )
    return measure_corrections(batch).get_column("corrected_word_ratio").item()  # type: ignore[no-any-return]


LINES = "refinedweb_lines"


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("one two three\nSHARE\nfour five", 1 / 6),  # one of six words
        ("one two three four\nSign-in now (please)", 1 / 6),  # (please) begins with no letter, and Sign-in is one
        ("one two three", 0),
        ("ALL OF IT", 1),
        ("... !!!", None),  # no word to remove
        ("", None),
    ],
)
def test_by_hand(text: str, share: float | None) -> None:
    assert measure(text, LINES) == (None if share is None else pytest.approx(share))


def test_only_the_line_step_counts() -> None:
    text = "one two http://a.com/b\n\n\n\nthree four\nSHARE"
    # the URL is one of six words as extracted, but gone before the lines are looked at: one of five
    assert measure(text, "refinedweb_remove_urls", "dclm_collapse_newlines", LINES) == pytest.approx(1 / 5)
    # what later steps take is no line correction's
    assert measure(text, LINES, "dclm_remove_urls") == pytest.approx(1 / 6)
    assert measure(text, "refinedweb_remove_urls") == 0
    assert measure(text) == 0
