"""What a correction of a text is: a span, what stands there instead, and how corrections are replayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: One entry of `text_corrections.corrections`.
CORRECTION = pl.Struct(
    {
        "step": pl.Int16,  # position of the step in the recipe, from 0
        "correction": pl.String,  # what was corrected, such as `dclm_uppercase_line` or `pii_email`
        "start": pl.Int64,  # characters of the text before the step
        "end": pl.Int64,
        "replacement": pl.String,  # null: the span is tagged, not changed
    }
)


@dataclass(frozen=True, slots=True)
class Edit:
    """One changed or tagged span: characters `start` to `end` of the text given to the step.

    Attributes:
        correction: what was corrected, `{paper}_{what}`; counts are made by it.
        start: first character.
        end: character after the last.
        replacement: what stands there instead, empty for a removal; None if the span is only tagged.
    """

    correction: str
    start: int
    end: int
    replacement: str | None = ""


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with the edits made; tags change nothing.

    Args:
        text: the text the spans count in.
        edits: ordered by start; those that change text do not overlap.
    """
    parts: list[str] = []
    at = 0
    for edit in edits:
        if edit.replacement is None:
            continue
        parts += (text[at : edit.start], edit.replacement)
        at = edit.end
    return "".join((*parts, text[at:]))


def replay(text: str, corrections: Sequence[Mapping[str, Any]] | None, *, before_step: int | None = None) -> str:
    """Return the text as it was before a step, or after all.

    Args:
        text: the extracted text.
        corrections: entries of type CORRECTION, in the order they were made.
        before_step: position of the step; None for the text after all steps.
    """
    at, pending = 0, list[Edit]()
    for entry in corrections or ():
        if before_step is not None and entry["step"] >= before_step:
            break
        if entry["step"] != at:
            text, pending, at = apply_edits(text, pending), [], entry["step"]
        pending.append(Edit(entry["correction"], entry["start"], entry["end"], entry["replacement"]))
    return apply_edits(text, pending)
