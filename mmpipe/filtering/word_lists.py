"""Finds the stop words and flagged words of a language: the recipe's own lists, or the stop words that spaCy ships."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mmpipe.filtering.list_files import read_entries

if TYPE_CHECKING:
    from mmpipe.filtering.list_references import ListReference
    from mmpipe.filtering.recipe_sections import WordSettings

_CODE = re.compile(r"[a-z]{2,3}")


def find_stop_words(language: str | None, settings: WordSettings) -> frozenset[str] | None:
    """Return the stop words of a language as listed; None if there is no list.

    Args:
        language: as the language model names it.
        settings: the recipe's `words` section; languages it does not name have spaCy's list (MIT licence).

    Raises:
        ConfigurationError: a list cannot be read or is not the one the recipe was loaded with.
    """
    if language is None:
        return None
    if language in settings.stop:
        return read_words(settings.stop[language])
    return _load_spacy_stop_words(language)


def find_flagged_words(language: str | None, settings: WordSettings) -> frozenset[str] | None:
    """Return the flagged words and phrases of a language as listed; None if the recipe names no list for it.

    Raises:
        ConfigurationError: a list cannot be read or is not the one the recipe was loaded with.
    """
    if language is None or language not in settings.flagged:
        return None
    return read_words(settings.flagged[language])


@lru_cache(maxsize=256)
def read_words(references: tuple[ListReference, ...]) -> frozenset[str]:
    """Return the union of some lists of words, one entry per line."""
    return frozenset(entry for reference in references for entry in read_entries(reference, str.strip))


@lru_cache(maxsize=256)
def _load_spacy_stop_words(language: str) -> frozenset[str] | None:
    if not _CODE.fullmatch(language):
        return None
    try:
        module = importlib.import_module(f"spacy.lang.{language}.stop_words")
    except ModuleNotFoundError:
        return None
    return frozenset(module.STOP_WORDS)
