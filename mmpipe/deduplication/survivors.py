"""Decides which of several alike documents stays, by what the documents are and never by who came first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: The `stable` policy, strongest reason first: name, column, whether the larger value is the better.
STABLE_POLICY = (
    ("published by an earlier dump", "dump_sequence", False),
    ("longer text", "text_chars", True),
    ("earlier date", "date", False),
    ("smaller id", "doc_id", False),
)


def rank_documents(documents: pl.DataFrame) -> pl.DataFrame:
    """Return the documents, best first: a total order, whatever order they came in.

    What an earlier dump has published wins, so that datasets already delivered stay as they are; then the longest
    text, then the earliest date (unknown dates last), then the smallest id.

    Args:
        documents: `doc_id` (unique), `dump_sequence`, `text_chars`, `date` (nullable, ISO 8601).
    """
    return documents.sort(
        [column for _, column, _ in STABLE_POLICY],
        descending=[larger for _, _, larger in STABLE_POLICY],
        nulls_last=True,
    )


def explain_choice(kept: Mapping[str, Any], removed: Mapping[str, Any]) -> str:
    """Return the reason why `kept` was preferred to `removed`, with both values.

    Args:
        kept: the row of the kept document; columns as in `rank_documents`.
        removed: the row of the other.
    """
    for reason, column, _ in STABLE_POLICY:
        if kept[column] != removed[column]:
            return f"{reason}: {column} {kept[column]} against {removed[column]}"
    return "the same document"


def choose_survivors(
    count: int, better: NDArray[np.int64], worse: NDArray[np.int64], similarities: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each document the index of the one kept for it (its own if it is kept) and their similarity.

    Documents are decided best first: one that is a near-duplicate of a kept document goes, any other stays. So every
    removed document is as like its kept one as the limit asks, and no two kept documents are a known pair. Keeping
    one document per connected component instead would remove, along a chain of small changes, documents that have
    nothing in common with what is kept.

    Args:
        count: documents, best first.
        better: the better document of each near-duplicate pair.
        worse: the worse document of each pair; one that may not be removed is never here.
        similarities: of the pairs; of several kept documents the most similar one counts, then the best.
    """
    from mmpipe.deduplication.cluster_kernels import choose_keepers

    order = np.lexsort((better, worse))
    return choose_keepers(count, better[order], worse[order], similarities[order])
