"""Counts lines, paragraphs, marks and sentences of texts, for the dialects that share a notion of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Counts by name, of `unicode_lines.MARK_COUNTS` and `line_repeats.PART_COUNTS`: one entry per text.
LineCounts: TypeAlias = "dict[str, NDArray[np.int64]]"


def join_counts(parts: Sequence[LineCounts]) -> LineCounts:
    """Return the counts of all parts, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def count_lines(characters: NDArray[np.uint32], text_start: NDArray[np.int64]) -> LineCounts:
    """Return what is counted of lines, paragraphs, marks and sentences of texts; arguments as of `count_marks`."""
    from mmpipe.filtering.line_repeats import PART_COUNTS, count_parts
    from mmpipe.filtering.unicode_lines import MARK_COUNTS, count_marks

    marks = dict(zip(MARK_COUNTS, count_marks(characters, text_start).T, strict=True))
    parts = dict(zip(PART_COUNTS, count_parts(characters, text_start).T, strict=True))
    return marks | parts
