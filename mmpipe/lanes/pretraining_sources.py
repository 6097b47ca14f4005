"""Says what pretraining_dataset is mixed from: documents of each dump, and their rephrased twins where asked for."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.rephrasing import choose_twins
from mmpipe.tables.rephrased import REPHRASED_DOCUMENTS
from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.lake import Dataset

_log = logging.getLogger(__name__)

#: What a source of rephrased documents is called, behind its dump: `DUMP/rephrased`.
REPHRASED = "rephrased"


@dataclass(frozen=True, slots=True)
class PretrainingSource:
    """One source of training sequences.

    Attributes:
        dataset: its documents.
        dump: theirs.
        name: what sequences say.
        key: column of the id.
        taken: ids that the mixture takes; None for all.
        left_out: documents that it does not take.
    """

    dataset: Dataset
    dump: str
    name: str
    key: str
    taken: frozenset[str] | None = None
    left_out: int = 0

    def read(self, shard: str) -> pl.DataFrame:
        """Return the documents of a shard that are taken: doc_id, text, source."""
        rows = self.dataset.read_shard(shard).select("text", doc_id=self.key, source=pl.lit(self.name))
        return rows if self.taken is None else rows.filter(pl.col("doc_id").is_in(list(self.taken)))

    def limit(self, shards: Iterable[str]) -> PretrainingSource:
        """Return the source with the ids of some shards alone, so that a worker is not sent those of the whole dump."""
        if self.taken is None:
            return self
        return replace(self, taken=self.taken.intersection(self.list_ids(shards)))

    def list_ids(self, shards: Iterable[str]) -> list[str]:
        """Return the ids of some shards, whether they are taken or not."""
        columns = [self.dataset.scan_shard(shard).select(self.key).collect().get_column(self.key) for shard in shards]
        return pl.concat(columns).to_list()


def open_source(corpus: Dataset) -> PretrainingSource:
    """Return all documents of a dump as a source."""
    dump = str(corpus.dump)
    return PretrainingSource(corpus, dump, dump, "doc_id")


def list_sources(run: StageRun, corpus: Dataset) -> list[PretrainingSource]:
    """Return the sources of a dump: its documents; with rephrased ones, both in the recipe's ratio."""
    real = open_source(corpus)
    if not run.recipe.rephrasing.is_mixed:
        return [real]
    rephrased = run.lake.dataset(REPHRASED_DOCUMENTS, real.dump)
    choice = choose_twins(corpus, rephrased, run.recipe.rephrasing)
    _log.info(
        "pretraining_dataset, dump %s: %d documents beside %d rephrased ones; left out for the ratio: %d and %d.",
        real.dump, len(choice.real), len(choice.rephrased), choice.left_out_real, choice.left_out_rephrased,
    )  # fmt: skip
    twins = PretrainingSource(
        rephrased,
        real.dump,
        f"{real.dump}/{REPHRASED}",
        "rephrased_id",
        choice.rephrased,
        choice.left_out_rephrased,
    )
    return [replace(real, taken=choice.real, left_out=choice.left_out_real), twins]


def tell_mixture(recipe: Recipe, sources: Sequence[PretrainingSource]) -> list[str]:
    """Return what the card tells of a mixture with rephrased documents, in sentences; nothing where there are none."""
    ratio = recipe.rephrasing.ratio
    if not recipe.rephrasing.is_mixed or ratio is None:
        return []
    told = (
        f"Of each dump, documents and rephrased ones (source `DUMP/{REPHRASED}`) stand {ratio[0]} : {ratio[1]}, "
        f"whole; what models wrote again may have lost or added facts."
    )
    left = [f"{source.left_out:,} of {source.name}" for source in sources if source.left_out]
    return [told] + ([f"The ratio left documents out: {', '.join(left)}."] if left else [])


#: What a dump needs before it is mixed, by whether rephrased documents are part of it.
SOURCE_TABLES = {False: (DEDUPED_CORPUS,), True: (DEDUPED_CORPUS, REPHRASED_DOCUMENTS)}
