"""Makes batches of texts for tests of families of signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.filtering.recipes import Recipe
from mmpipe.filtering.text_batch import TextBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.filtering.recipe_sections import WordSettings


def make_batch(
    texts: Sequence[str], languages: Sequence[str | None] | str | None = "en", words: WordSettings | None = None
) -> TextBatch:
    """Return a batch of texts that nothing corrected."""
    recipe = Recipe(name="test", source="test", words=words) if words else Recipe(name="test", source="test")
    named = [languages] * len(texts) if languages is None or isinstance(languages, str) else languages
    return TextBatch(
        texts=texts,
        extracted=texts,
        corrected=texts,
        corrections=[()] * len(texts),
        languages=named,
        urls=[None] * len(texts),
        dialect="datatrove_0_10",
        recipe=recipe,
    )
