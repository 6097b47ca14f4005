"""Finds the lists a recipe names: packaged, beside the recipe, or at a URL."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from mmpipe.errors import RecipeError, name_nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.filtering.list_references import ListReference


def find_list(reference: ListReference, folder: Path | None, *, is_own_file: bool = False) -> ListReference:
    """Return the reference with its place and the digest of its content.

    A digest that is stated is trusted here and checked when the list is read: a list of millions of domains is not read
    to load a recipe.

    Args:
        reference: as the recipe writes it.
        folder: folder of the recipe's file; None for a packaged recipe.
        is_own_file: whether a file of the user's is wanted, in whose place no packaged list is offered.

    Raises:
        RecipeError: no such list, with the place that was looked at and the nearest right name; or a URL without a
            digest.
    """
    file = reference.file
    if "://" in reference.list:
        if not reference.sha256:
            raise RecipeError(f"The list {reference.list} comes from a URL, so its sha256 must be stated beside it.")
        return replace(reference, path=file)
    lists = resources.files("mmpipe") / "recipes" / "lists"
    packaged = lists / f"{file}.txt"
    path = Path(str(packaged)) if packaged.is_file() else (folder or Path()) / file
    if not path.is_file():
        names = [entry.name.removesuffix(".txt") for entry in lists.iterdir() if entry.name.endswith(".txt")]
        beside = [found.name for found in path.parent.iterdir() if found.is_file()] if path.parent.is_dir() else []
        if is_own_file:
            raise RecipeError(f"No file {path.absolute()}.{_name_near(path.name, beside)}")
        near = _name_near(path.name, beside) or name_nearest(file, names)
        raise RecipeError(f"No list {file!r}, neither packaged nor at {path.absolute()}.{near}")
    sha256 = reference.sha256 or _digest_file(path)
    return replace(reference, path=str(path), sha256=sha256)


def _name_near(wrong: str, files: Sequence[str]) -> str:
    """Return ` Did you mean 'x'?` for the file of the nearest stem, or nothing: files of one ending are not alike."""
    by_stem = {Path(file).stem: file for file in sorted(files)}
    near = get_close_matches(Path(wrong).stem, by_stem, n=1)
    return f" Did you mean {by_stem[near[0]]!r}?" if near else ""


def _digest_file(path: Path) -> str:
    with path.open("rb") as stored:
        return hashlib.file_digest(stored, "sha256").hexdigest()


#: Files of a folder of lists by language: `en`, `pt-br`, `zh_Hant`, with or without `.txt`.
_LANGUAGE_FILE = re.compile(r"([a-z]{2,3}(?:[-_]\w+)?)(?:\.txt)?")


def find_folder(name: str, licence: str, folder: Path | None) -> dict[str, tuple[ListReference, ...]]:
    """Return the lists of a folder that holds one file per language, named by it, as LDNOOBW's does.

    Args:
        name: the folder as the recipe writes it; a relative one stands beside the recipe.
        licence: licence and author of all the lists.
        folder: folder of the recipe's file; None for a packaged recipe.

    Raises:
        RecipeError: no such folder, or no file in it is named by a language.
    """
    path = (folder or Path()) / name
    if not path.is_dir():
        raise RecipeError(f"No folder {name!r} of lists by language.")
    from mmpipe.filtering.list_references import ListReference

    found: dict[str, tuple[ListReference, ...]] = {}
    for file in sorted(path.iterdir()):
        match = _LANGUAGE_FILE.fullmatch(file.name)
        if match and file.is_file():
            found[match[1]] = (find_list(ListReference(list=str(Path(name) / file.name), licence=licence), folder),)
    if not found:
        raise RecipeError(f"No file in the folder {name!r} is named by a language, as `en` or `en.txt`.")
    return found
