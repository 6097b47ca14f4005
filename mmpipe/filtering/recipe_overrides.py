"""Moves limits of a recipe's rules for a what-if: `rule.limit=value`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmpipe.errors import RecipeError, name_nearest
from mmpipe.filtering.recipe_readers import RULES, find_own_column
from mmpipe.filtering.rules import set_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.filtering.recipes import Recipe


def apply_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return the recipe with limits moved, for a what-if.

    Args:
        recipe: the recipe.
        overrides: `rule.limit=value`, for example `gopher_word_count.low=80`, `refinedweb_language.allowed=en,de`,
            `gopher_word_count.high=null`; `rule.language.limit=value` for a limit of one language, for example
            `bloom_stop_word_ratio.en.low=0.25`, and `rule.method.limit=value` likewise for rules of instructions.

    Raises:
        RecipeError: not of that form, or no such rule in the recipe, limit or number.
    """
    for override in overrides:
        target, equals, text = override.partition("=")
        parts = [part.strip() for part in target.split(".")]
        if not equals or len(parts) not in (2, 3):
            raise RecipeError(
                f"{override!r} is not of the form rule.limit=value, for example gopher_word_count.low=80."
            )
        name, *word, limit = parts
        known = {rule.name: section for section in RULES for rule in getattr(recipe, section).rules}
        if name not in known:
            raise RecipeError(f"{override!r}: recipe {recipe.name!r} has no rule {name!r}.{name_nearest(name, known)}")
        settings = getattr(recipe, known[name])
        value = _parse_limit(override, limit, text.strip())
        column = find_own_column(known[name])
        rules = set_limit(settings.rules, name, limit, value, word=word[0] if word else None, column=column)
        recipe = replace(recipe, **{known[name]: replace(settings, rules=rules)})
    return recipe


def _parse_limit(override: str, limit: str, word: str) -> Any:
    if limit == "allowed":
        return tuple(part.strip() for part in word.split(",") if part.strip())
    if word in ("null", "none", ""):
        return None
    try:
        return float(word.replace("_", ""))
    except ValueError:
        raise RecipeError(f"{override!r}: {word!r} is not a number.") from None
