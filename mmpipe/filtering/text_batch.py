"""What a family of text signals is handed: texts as the family should see them, and what else is known of each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mmpipe.filtering.recipes import Recipe


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Some documents with text. All sequences are parallel, one entry per document.

    Attributes:
        texts: what the family measures: the text before the step that `text.measured_before` names for it, else the
            corrected text as it stands before personal data is masked.
        extracted: the text as extracted, before any correction.
        corrected: the text after all corrections.
        corrections: entries of type `tables.corrections.CORRECTION` of each text, in the order they were made.
        languages: language of each text, as the language model names it; None if unknown.
        urls: URL of each page; None if unknown.
        dialect: the recipe's `text.dialect`.
        recipe: the recipe; no limit of it is read.
        cache_folder: where unpacked lists are kept; empty for the user's cache folder.
    """

    texts: Sequence[str]
    extracted: Sequence[str]
    corrected: Sequence[str]
    corrections: Sequence[Sequence[Mapping[str, Any]]]
    languages: Sequence[str | None]
    urls: Sequence[str | None]
    dialect: str
    recipe: Recipe
    cache_folder: str = ""
