"""Rewrites text step by step and says what was changed: each step returns edits, and they are applied here only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mmpipe.errors import InvariantBroken
from mmpipe.tables.corrections import Edit, apply_edits

#: A rewriting step: a text in, its edits out, ordered by start and not overlapping. It changes nothing by itself.
Step = Callable[[str], list[Edit]]


@dataclass(frozen=True, slots=True)
class CorrectedText:
    """A text after all steps, and each edit with the position of its step."""

    text: str
    edits: tuple[tuple[int, Edit], ...]


def correct_text(text: str, steps: Iterable[Step]) -> CorrectedText:
    """Return the text after the steps, each of which sees what the steps before it left.

    Args:
        text: extracted text.
        steps: as `find_step` returns them.

    Raises:
        InvariantBroken: a step's edits overlap or lie outside the text.
    """
    made: list[tuple[int, Edit]] = []
    for position, step in enumerate(steps):
        edits = step(text)
        _check(text, edits)
        made += ((position, edit) for edit in edits)
        text = apply_edits(text, edits)
    return CorrectedText(text, tuple(made))


def find_step(name: str, options: Mapping[str, Any]) -> Step:
    """Return a step with its options set.

    Args:
        name: one of `tables.correction_steps.CORRECTION_STEPS`.
        options: the step's options, as the recipe resolved them.
    """
    from mmpipe.extraction import bare_urls, bloom_words, c4_lines, cleaning, pii, refinedweb_lines

    steps: dict[str, Callable[..., list[Edit]]] = {
        "refinedweb_remove_urls": bare_urls.remove_marked_urls,
        "dclm_remove_urls": bare_urls.remove_urls,
        "dclm_collapse_newlines": cleaning.collapse_newlines,
        "refinedweb_lines": refinedweb_lines.correct_lines,
        "c4_lines": c4_lines.correct_c4_lines,
        "bloom_words": bloom_words.remove_scraps,
        "mask_pii": pii.mask_pii,
    }
    return partial(steps[name], **options)


def _check(text: str, edits: list[Edit]) -> None:
    at = 0
    for edit in edits:
        if not at <= edit.start <= edit.end <= len(text):
            raise InvariantBroken(f"{edit.correction}: the span {edit.start} to {edit.end} overlaps or is outside.")
        at = edit.start if edit.replacement is None else edit.end
