"""Measures what corrections took from a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.tables.correction_steps import LINE_STEP
from mmpipe.tables.corrections import replay

if TYPE_CHECKING:
    from mmpipe.filtering.text_batch import TextBatch


def measure_corrections(batch: TextBatch) -> pl.DataFrame:
    """Return the share of words that the line corrections removed.

    RefinedWeb (Penedo et al. 2023, arXiv 2306.01116), G.2, and DCLM (Li et al. 2024, arXiv 2406.11794),
    `word_removal_ratio_filter`: fastText's words that begin with a letter or digit, before and after the step
    `refinedweb_lines`. 0 if the recipe has no such step; null if there was no word before it.
    """
    from mmpipe.filtering.dclm_words import count_spaced_words

    names = [item.step for item in batch.recipe.corrections.steps]
    step = names.index(LINE_STEP) if LINE_STEP in names else None
    before, after = list(batch.extracted), list(batch.extracted)
    if step is not None:
        for index, (text, entries) in enumerate(zip(batch.extracted, batch.corrections, strict=True)):
            if entries:
                before[index] = replay(text, entries, before_step=step)
                after[index] = replay(text, entries, before_step=step + 1)
    words = count_spaced_words(before)[:, 5]
    left = count_spaced_words(after)[:, 5]
    share = np.full(words.size, np.nan)
    np.divide(words - left, words, out=share, where=words > 0)
    return pl.DataFrame({"corrected_word_ratio": share}).fill_nan(None)
