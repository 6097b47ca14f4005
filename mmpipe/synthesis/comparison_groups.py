"""Keeps the comparisons of one prompt together: in splits, in batches, and when accounts are joined.

Comparisons of one prompt are correlated, so that a split through them leaks (InstructGPT, section 3.5).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.synthesis.comparisons import COMPARISONS_SCHEMA, Comparisons
from mmpipe.synthesis.drafts import sort_counts
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def split_groups(frame: pl.DataFrame, validation_share: float, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return training and validation pairs; a prompt's pairs all stand on one side, which its id alone decides."""
    groups = frame.get_column("group_id").unique().to_list()
    chosen = [group for group in groups if int(make_id("split", seed, group)[:13], 16) < validation_share * 16**13]
    is_chosen = pl.col("group_id").is_in(chosen)
    return frame.filter(~is_chosen), frame.filter(is_chosen)


def batch_groups(frame: pl.DataFrame, pairs_per_batch: int) -> Iterator[pl.DataFrame]:
    """Yield batches of whole groups, of at most `pairs_per_batch` pairs unless one group alone has more."""
    batch: list[pl.DataFrame] = []
    for group in frame.partition_by("group_id", maintain_order=True):
        if batch and sum(part.height for part in batch) + group.height > pairs_per_batch:
            yield pl.concat(batch)
            batch = []
        batch.append(group)
    if batch:
        yield pl.concat(batch)


def join_comparisons(parts: Iterable[Comparisons]) -> Comparisons:
    """Return several accounts as one."""
    listed = list(parts)
    left_out: Counter[str] = Counter()
    for part in listed:
        left_out.update(part.left_out)
    frame = pl.concat([pl.DataFrame(schema=COMPARISONS_SCHEMA), *(part.frame for part in listed)])
    return Comparisons(frame, sum(part.planned for part in listed), sort_counts(left_out))
