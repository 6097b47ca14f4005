"""Says which tables a recipe leaves empty on purpose, and what to write in it to have them filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.filtering.preference_sections import REVISING_METHOD

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.filtering.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Switch:
    """What of a recipe decides whether a table has something to hold.

    Attributes:
        is_on: whether a recipe asks for it.
        off: what is so without.
        written: what a recipe writes to ask for it.
        besides: what else is needed, or may fill the table all the same.
    """

    is_on: Callable[[Recipe], bool]
    off: str
    written: str
    besides: str = ""


def _makes_pairs(recipe: Recipe) -> bool:
    """Whether a preference method has answers to compare: those to instructions, or those of a file."""
    entries = recipe.preferences.list_entries(recipe.name)
    return any(entry.files for entry in entries) or bool(entries and recipe.instructions.methods)


_SETS = Switch(
    lambda recipe: bool(recipe.contamination.sets),
    "it names no evaluation set, so no row is held against one",
    "contamination: {sets: [{name: gsm8k, list: gsm8k.jsonl}]}",
)
_ORDER = Switch(
    lambda recipe: recipe.interleaved.order != "none",
    "it brings texts and pictures into no order",
    "interleaved: {order: page}",
)
_METHODS = Switch(
    lambda recipe: bool(recipe.instructions.methods),
    "it names no synthesis method",
    "instructions: {methods: [grounded_questions]}",
    "`docs/synthesis.md` lists the methods.",
)
_STYLES = Switch(
    lambda recipe: bool(recipe.rephrasing.styles),
    "no document is written again",
    "rephrasing: {styles: [easy]}",
)
_RESPONSES = Switch(
    lambda recipe: bool(recipe.instructions.methods) and recipe.preferences.reads_responses,
    "no instruction is made, or no preference method reads further answers to one",
    "instructions: {methods: [grounded_questions]}",
    "`docs/preferences.md` lists the preference methods; best_worst, which every recipe begins with, reads answers.",
)
_PAIRS = Switch(
    _makes_pairs,
    "it names no preference method, or none that has answers to compare",
    "instructions: {methods: [grounded_questions]}",
    "`docs/preferences.md` lists the preference methods, also those that read answers from files.",
)

#: Tables that a recipe may leave empty (of `text_scores`: without values).
SWITCHES: dict[str, Switch] = {
    "text_corrections": Switch(
        lambda recipe: bool(recipe.corrections.steps),
        "it names no correction, so every text stays as it was extracted",
        "corrections: {steps: [refinedweb_remove_urls]}",
    ),
    "text_scores": Switch(
        lambda recipe: recipe.scores.quality or recipe.scores.perplexity or recipe.scores.encoder,
        "it asks no model, so every score is null",
        "scores: {quality: true}",
        "The model itself is named by MMPIPE_QUALITY, MMPIPE_PERPLEXITY or MMPIPE_ENCODER.",
    ),
    "text_repeats": Switch(
        lambda recipe: bool(recipe.deduplication.lines or recipe.deduplication.substring),
        "it cuts no text that stands elsewhere too",
        "deduplication: {substring: {}}",
    ),
    "text_contamination": _SETS,
    "image_duplicates": Switch(
        lambda recipe: recipe.images.duplicates is not None,
        "pictures are not compared",
        "images: {duplicates: {}}",
    ),
    "image_balance": Switch(
        lambda recipe: recipe.images.balance is not None,
        "every subject keeps all its pairs",
        "images: {balance: {method: queries}}",
    ),
    "image_captions": Switch(
        lambda recipe: bool(recipe.captions.methods),
        "pairs keep the caption of the crawl alone",
        "captions: {methods: [recaption]}",
        "The captioner itself is named by MMPIPE_CAPTIONER.",
    ),
    "grounded_pairs": Switch(
        lambda recipe: recipe.grounding.detector,
        "no detector looks for the phrases of captions",
        "grounding: {detector: true}",
        "The detector itself is named by MMPIPE_DETECTOR. Boxes that a list of pairs brings are taken all the same.",
    ),
    "interleaved_candidates": _ORDER,
    "interleaved_removals": _ORDER,
    "interleaved_documents": _ORDER,
    "interleaved_dataset": _ORDER,
    "rephrased_candidates": _STYLES,
    "rephrased_removals": _STYLES,
    "rephrased_documents": _STYLES,
    "instruction_candidates": _METHODS,
    "synthesized_instructions": _METHODS,
    "instruction_removals": _METHODS,
    "sft_dataset": _METHODS,
    "instruction_contamination": _SETS,
    "instruction_duplicates": Switch(
        lambda recipe: recipe.instructions.duplicates is not None,
        "instructions of one dump are not compared with each other; a method may still refuse its own repeats",
        "instructions: {duplicates: {}}",
    ),
    "responses": _RESPONSES,
    "judgements": _RESPONSES,
    "response_revisions": Switch(
        # without instructions there are no responses either, and their own switch says so
        lambda recipe: recipe.preferences.find(REVISING_METHOD) is not None,
        "no model revises its responses",
        "preferences: {methods: [best_worst, self_refinement]}",
    ),
    "preference_pairs": _PAIRS,
    "preference_removals": _PAIRS,
    "preference_dataset": _PAIRS,
    "preference_contamination": _SETS,
}


def explain_switch(table: str, recipe: Recipe) -> str:
    """Return why a recipe leaves a table empty and what switches it on, as Markdown; nothing if it does not.

    Args:
        table: its name.
        recipe: the recipe in use.
    """
    switch = SWITCHES.get(table)
    if switch is None or switch.is_on(recipe):
        return ""
    told = f"**Off in the recipe {recipe.name}:** {switch.off}. To have it, write `{switch.written}` in a recipe."
    return f"{told} {switch.besides}".strip()
