"""Knows the lists and evaluation sets that recipes name: where they come from, under which licence, what for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Literal

from mmpipe.filtering.recipe_nodes import compose, read_mapping, read_settings

#: What a list is: which key of a recipe it belongs under.
Kind = Literal["domains", "urls", "categories", "words", "evaluation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownList:
    """One entry of the catalogue.

    Attributes:
        kind: which key of a recipe it belongs under.
        title: its name in full.
        homepage: where it is published.
        licence: its licence and author.
        purpose: what a recipe uses it for.
        is_checked: whether homepage and licence were read at the source.
    """

    kind: Kind
    title: str
    homepage: str
    licence: str
    purpose: str
    is_checked: bool


def read_catalogue() -> dict[str, KnownList]:
    """Return the packaged catalogue by name."""
    file = resources.files("mmpipe") / "recipes" / "lists" / "catalogue.yaml"
    entries = read_mapping(compose(file.read_text(encoding="utf-8"), "catalogue.yaml"), "catalogue.yaml")
    return {name: read_settings(KnownList, node, "catalogue.yaml", {}) for name, node in entries.items()}
