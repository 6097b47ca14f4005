"""Decides which of several alike documents stays, by what the documents are and never by who came first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mmpipe.deduplication.pair_files import Neighbours, Scratch

#: How two documents were found to be alike; where several ways say so, the first of these is named.
METHODS = ("url", "exact", "minhash", "simhash", "semantic")

#: What holds of one document and not of others with the same text. All other pairs hold of every copy of the text.
DOCUMENT_METHOD = "url"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One reason to prefer a document: a column, and which of its values are better. Unknown values come last."""

    reason: str
    column: str
    is_larger_better: bool = False


#: Only the `stable` policy may use this one: it knows in which order dumps came.
PUBLISHED = Criterion("published by an earlier dump", "dump_sequence")
LENGTH = Criterion("longer text", "text_chars", is_larger_better=True)
DATE = Criterion("earlier date", "date")
ID = Criterion("smaller id", "doc_id")


@dataclass(frozen=True, slots=True)
class KeepPolicy:
    """Which document of several alike stays, within a dump and across dumps.

    Attributes:
        criteria: reasons, strongest first, beside `published` and `id`: with `stable` what an earlier dump published
            comes first, and the id always decides what nothing else does.
        across: `stable`: what an earlier dump published stays, whatever comes later. `canonical`: the documents kept
            depend on the documents alone, so that a later dump can take one that was published, or give one back.
        scope: `across_dumps`, or `within_dump`: each dump is compared with itself alone (as FineWeb does).
        clusters: `components`: a cluster is whatever pairs connect; `stars`: a kept document and those it is kept for.
    """

    criteria: tuple[Criterion, ...] = (LENGTH, DATE)
    across: Literal["stable", "canonical"] = "stable"
    scope: Literal["within_dump", "across_dumps"] = "across_dumps"
    clusters: Literal["components", "stars"] = "components"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("across", self.across, ("stable", "canonical")),
            ("scope", self.scope, ("within_dump", "across_dumps")),
            ("clusters", self.clusters, ("components", "stars")),
        ):
            if value not in allowed:
                raise ConfigurationError(f"Keep policy: {name} must be one of {', '.join(allowed)}, not {value!r}.")
        columns = [criterion.column for criterion in self.criteria]
        for column in ("dump_sequence", "doc_id"):
            if column in columns:
                raise ConfigurationError(f"Keep policy: {column} has its place already and cannot be a criterion.")
        if len(set(columns)) < len(columns):
            raise ConfigurationError(f"Keep policy: a column decides twice among {', '.join(columns)}.")

    @property
    def order(self) -> tuple[Criterion, ...]:
        """All criteria in the order in which they decide."""
        return (*((PUBLISHED,) if self.across == "stable" else ()), *self.criteria, ID)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a dump's documents must have, beside their ids."""
        return tuple(criterion.column for criterion in self.criteria)

    def order_sql(self) -> str:
        """Return the order as DuckDB's ORDER BY takes it: bytes of text compared, NaN below and null after all."""
        parts = []
        for criterion in self.order:
            column = '"' + criterion.column.replace('"', '""') + '"'
            parts.append(f"{column} {'DESC' if criterion.is_larger_better else 'ASC'} NULLS LAST")
        return ", ".join(parts)


STABLE_POLICY = KeepPolicy()
CANONICAL_POLICY = KeepPolicy(across="canonical")


def rank_documents(documents: pl.DataFrame, policy: KeepPolicy = STABLE_POLICY) -> pl.DataFrame:
    """Return the documents, best first: a total order, whatever order they came in.

    Args:
        documents: `doc_id` (unique), the policy's columns and, for a stable one, `dump_sequence`.
        policy: which are better.
    """
    return documents.sort(
        [criterion.column for criterion in policy.order],
        descending=[criterion.is_larger_better for criterion in policy.order],
        nulls_last=True,
    )


def explain_choice(kept: Mapping[str, Any], removed: Mapping[str, Any], policy: KeepPolicy = STABLE_POLICY) -> str:
    """Return the reason why `kept` was preferred to `removed`, with both values.

    Args:
        kept: the row of the kept document; columns as in `rank_documents`.
        removed: the row of the other.
        policy: that chose.
    """
    for criterion in policy.order:
        one, other = kept[criterion.column], removed[criterion.column]
        if one != other:
            return f"{criterion.reason}: {criterion.column} {one} against {other}"
    return "the same document"


@dataclass(frozen=True, slots=True)
class Survivors:
    """Of every document the one kept for it (its own place if it stays), how alike, and how found (255: it stays)."""

    keepers: NDArray[np.int64]
    similarities: NDArray[np.float64]
    methods: NDArray[np.uint8]


def choose_survivors(
    neighbours: Neighbours, groups: NDArray[np.int64], is_published: NDArray[np.bool_], scratch: Scratch
) -> Survivors:
    """Decide all documents, best first: one that is like a kept document goes, any other stays.

    So every removed document is as like its kept one as the limit asks, and no two kept documents are a known pair.
    Keeping one document per connected component instead would remove, along a chain of small changes, documents that
    have nothing in common with what is kept. The set that stays is the only one with both properties (the kernel of
    an acyclic graph; von Neumann and Morgenstern 1944, §65), so it does not depend on how the pairs were found.

    Of several kept documents that of the first method counts (METHODS), then the most similar, then the best.

    Args:
        neighbours: rows of pairs; those of a text stand at the best document with that text.
        groups: (documents,) best document with the same text; documents stand best first.
        is_published: (documents,) documents that stay whatever they are like.
        scratch: for 50 bytes per document.
    """
    from mmpipe.deduplication.cluster_kernels import choose_keepers

    count = len(groups)
    survivors = Survivors(
        scratch.make_array("keepers.i64", count, np.int64),
        scratch.make_array("nearest.f64", count, np.float64),
        scratch.make_array("found_by.u8", count, np.uint8),
    )
    choose_keepers(
        neighbours.starts,
        neighbours.others,
        neighbours.similarities,
        neighbours.methods,
        groups,
        is_published,
        METHODS.index(DOCUMENT_METHOD),
        METHODS.index("exact"),
        survivors.keepers,
        survivors.similarities,
        survivors.methods,
        scratch.make_array("group_keepers.i64", count, np.int64),
        scratch.make_array("group_similarities.f64", count, np.float64),
        scratch.make_array("group_methods.u8", count, np.uint8),
    )
    return survivors
