"""Turns a recipe's settings into plain values: all of them for its file, or what of them can change a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmpipe.filtering.duplicate_sections import DUPLICATE_STEPS
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_sections import CorrectionStep, EvaluationSet
from mmpipe.filtering.rephrasing_sections import RephrasingSettings
from mmpipe.filtering.rules import Rule
from mmpipe.filtering.synthesis_sections import SynthesisMethod

if TYPE_CHECKING:
    from collections.abc import Sequence


def resolve_settings(value: Any) -> Any:
    """Return settings as the plain values a recipe is written in."""
    match value:
        case Rule():
            limits = {"allowed": list(value.allowed)} if value.allowed else {"low": value.low, "high": value.high}
            plain: Any = {"rule": value.name, **limits, **value.resolve_own_limits(), "source": value.source}
        case ListReference():
            plain = {"list": value.list, "sha256": value.sha256, "licence": value.licence}
        case CorrectionStep():
            plain = {"step": value.step} | {name: resolve_settings(option) for name, option in value.options.items()}
        case SynthesisMethod():
            plain = {"method": value.method, **resolve_settings(value.files), **resolve_settings(value.options)}
        case EvaluationSet():
            plain = {"name": value.name, **resolve_settings(value.file), "fields": list(value.fields)}
        case Mapping():
            plain = {key: resolve_settings(item) for key, item in value.items()}
        case tuple():
            plain = [resolve_settings(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            plain = {item.name: resolve_settings(getattr(value, item.name)) for item in dataclasses.fields(value)}
        case _:
            plain = value
    return plain


#: Steps that depend on a part of a section: its name, and which of its keys. A moved criterion asks no teacher again.
STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{step: ("deduplication", names) for step, names in DUPLICATE_STEPS.items()},
    "image_candidates": ("images", ("caption_sources",)),
    "image_signals": (
        "images",
        (
            "max_image_bytes",
            "max_pixels",
            "scores",
            "header_first",
            "codes",
            "toxic_texts",
            "flagged_words",
            "political_words",
        ),
    ),
    "image_duplicates": ("images", ("duplicates",)),
    "image_balance": ("images", ("balance",)),
    "interleaved": ("interleaved", ("order", "surplus", "node_rules")),
    "interleaved_rules": ("interleaved", ("rules",)),
    "instructions": (
        "instructions",
        ("methods", "documents_per_dump", "pairs_per_dump", "questions_per_document", "seed"),
    ),
    "instruction_duplicates": ("instructions", ("duplicates",)),
    "responses": (
        "instructions",
        (
            "answered_per_dump",
            "samples_per_prompt",
            "response_teachers",
            "principles",
            "temperature",
            "max_tokens",
            "seed",
        ),
    ),
    "judgements": ("instructions", ("criterion", "judges_own_family", "seed")),
    "release": (
        "release",
        (
            "dialects",
            "validation_share",
            "seed",
            "method_epochs",
            "method_weights",
            "mixture_rows",
            "max_tokens",
            "pack_tokens",
            "template_date",
            "preference_forms",
            "end_of_context",
        ),
    ),
    "memory_maps": ("release", ("memory_mapped",)),
    # how they are mixed changes no rephrased document
    "rephrasing": (
        "rephrasing",
        tuple(item.name for item in dataclasses.fields(RephrasingSettings) if item.name != "ratio"),
    ),
}


def pick_settings(settings: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return what of the named keys of settings can change a row."""
    return {name: identify(getattr(settings, name)) for name in names}


def identify(value: Any) -> Any:
    """Return what of the settings can change a row."""
    if isinstance(value, Rule):
        return {key: item for key, item in value.resolve().items() if key != "source"}
    if isinstance(value, ListReference):
        return value.identity
    if isinstance(value, SynthesisMethod):
        return [value.method, identify(value.options), identify(value.files)]
    if dataclasses.is_dataclass(value):
        return {item.name: identify(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: identify(item) for key, item in value.items()}
    return [identify(item) for item in value] if isinstance(value, tuple) else value
