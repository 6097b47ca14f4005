"""Finds the lists a recipe names: packaged, beside the recipe, or at a URL."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from mmpipe.errors import RecipeError, name_nearest

if TYPE_CHECKING:
    from mmpipe.filtering.recipe_sections import ListReference


def find_list(reference: ListReference, folder: Path | None) -> ListReference:
    """Return the reference with its place and the digest of its content.

    A digest that is stated is trusted here and checked when the list is read: a list of millions of domains is not read
    to load a recipe.

    Args:
        reference: as the recipe writes it.
        folder: folder of the recipe's file; None for a packaged recipe.

    Raises:
        RecipeError: no such list, or a URL without a digest.
    """
    if "://" in reference.list:
        if not reference.sha256:
            raise RecipeError(f"The list {reference.list} comes from a URL, so its sha256 must be stated beside it.")
        return replace(reference, path=reference.list)
    lists = resources.files("mmpipe") / "recipes" / "lists"
    packaged = lists / f"{reference.list}.txt"
    path = Path(str(packaged)) if packaged.is_file() else (folder or Path()) / reference.list
    if not path.is_file():
        names = [entry.name.removesuffix(".txt") for entry in lists.iterdir()]
        raise RecipeError(f"No list {reference.list!r}, packaged or at that path.{name_nearest(reference.list, names)}")
    sha256 = reference.sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(reference, path=str(path), sha256=sha256)
