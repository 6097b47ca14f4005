"""Counts of personal data: what the mask step found, and null for what it was not asked to look for."""

from __future__ import annotations

import polars as pl
import pytest

from mmpipe.errors import RecipeError
from mmpipe.filtering.judge import judge
from mmpipe.filtering.pii_signals import measure_pii
from mmpipe.filtering.recipe_sections import CorrectionSettings, CorrectionStep
from mmpipe.filtering.recipes import Recipe
from mmpipe.filtering.rules_pii import DOLMA_PII
from mmpipe.filtering.text_batch import TextBatch
from mmpipe.tables.correction_steps import CORRECTION_STEPS
from mmpipe.tables.text_signals import FAMILIES


def _entry(correction: str, at: int) -> dict:
    return {"step": 0, "correction": correction, "start": at, "end": at + 1, "replacement": None}


def _measure(corrections: list[list[dict]], **options: tuple[str, ...]) -> pl.DataFrame:
    steps = (CorrectionStep(step="mask_pii", options={**CORRECTION_STEPS["mask_pii"], **options}),)
    recipe = Recipe(name="r", source="", corrections=CorrectionSettings(steps=steps if options else ()))
    texts = ["text"] * len(corrections)
    nothing = [None] * len(corrections)
    return measure_pii(TextBatch(texts, texts, texts, corrections, nothing, nothing, "unicode", recipe))


def test_each_kind_is_counted_and_others_are_null() -> None:
    corrections = [
        [*(_entry("pii_email", at) for at in range(3)), _entry("pii_reserved_ip", 9), _entry("dclm_url", 4)],
        [],
    ]
    counts = _measure(corrections, mask=("email", "ip"), tag=())
    assert counts.columns == [column.name for column in FAMILIES["pii"]]
    assert counts.row(0, named=True) == {
        "pii_email_count": 3.0,
        "pii_phone_count": None,
        "pii_ip_count": 0.0,
        "pii_reserved_ip_count": 1.0,
        "pii_iban_count": None,
        "pii_card_count": None,
        "pii_key_count": None,
        "pii_user_count": None,
        "pii_span_count": 3.0,
    }
    assert counts.row(1, named=True)["pii_span_count"] == 0.0


def test_without_the_step_nothing_is_measured() -> None:
    assert _measure([[], []]).null_count().row(0) == (2,) * len(FAMILIES["pii"])


def test_six_spans_are_one_too_many_for_dolma() -> None:
    corrections = [[_entry("pii_email", at) for at in range(count)] for count in (5, 6)]
    signals = _measure(corrections, mask=("email",), tag=()).with_columns(doc_id=pl.Series(["five", "six"]))
    removals = judge(signals, DOLMA_PII, key="doc_id", status=None)
    assert removals.select("doc_id", "rule", "value").rows() == [("six", "dolma_pii_span_count", 6.0)]


@pytest.mark.parametrize(("option", "word", "named"), [("mask", ("emial",), "email"), ("style", "tags", "tag")])
def test_a_word_that_an_option_cannot_be_stops_at_load(option: str, word: object, named: str) -> None:
    with pytest.raises(RecipeError, match=f"mask_pii, {option}: unknown word .* Did you mean '{named}'"):
        CorrectionStep(step="mask_pii", options={**CORRECTION_STEPS["mask_pii"], option: word})
