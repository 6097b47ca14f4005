"""Finds the duplicates of a dump, within it and in what earlier dumps published, and says which documents go."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.deduplication.bands import DEFAULT_HUBS
from mmpipe.deduplication.cluster_tables import write_tables
from mmpipe.deduplication.clusters import label_documents
from mmpipe.deduplication.duplicate_index import DEFAULT_MEMORY_BYTES, build_index
from mmpipe.deduplication.near_duplicates import find_near_duplicates
from mmpipe.deduplication.pair_files import PairLog, Scratch
from mmpipe.deduplication.ranked_documents import log_pairs, rank_together, refuse_unknown_methods
from mmpipe.deduplication.survivors import METHODS, STABLE_POLICY, KeepPolicy
from mmpipe.tables.removals import describe_removals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.deduplication.duplicate_index import DuplicateIndex
    from mmpipe.deduplication.minhash import MinHashSettings
    from mmpipe.deduplication.verification import Texts

_REMOVALS = describe_removals("text_duplicates", "doc_id", "text_signatures")

#: The rule that removes a document, by the method that found it.
RULES = {"exact": "exact_duplicate", "minhash": "near_duplicate"} | {
    method: f"{method}_duplicate" for method in METHODS if method not in ("exact", "minhash")
}

_MINHASH = METHODS.index("minhash")
#: What goes for one of these is not compared any more; the others count after MinHash has had its say.
_BEFORE_MINHASH, _AFTER_MINHASH = METHODS[: _MINHASH + 1], METHODS[_MINHASH + 1 :]


@dataclass(frozen=True, slots=True)
class DuplicateSearch:
    """What a search found, in Parquet files of the folder it was given.

    Attributes:
        duplicates: TEXT_DUPLICATES, by `doc_id`: of the current dump, and with the `canonical` policy of all dumps.
        pairs: `ranked_documents.PAIR_SCHEMA`: all pairs known, by id; what a later `canonical` search takes as known.
        clusters: `cluster_tables.CLUSTER_SCHEMA`: size and diameter of every cluster.
        is_cut: whether more documents of one bucket stay than were compared with each other (`MOST_HUBS`).
    """

    duplicates: pl.LazyFrame
    pairs: pl.LazyFrame
    clusters: pl.LazyFrame
    is_cut: bool


def search_duplicates(
    current: DuplicateIndex,
    earlier: Sequence[DuplicateIndex],
    texts: Texts,
    settings: MinHashSettings,
    folder: Path,
    *,
    policy: KeepPolicy = STABLE_POLICY,
    removed: pl.LazyFrame | None = None,
    pairs: pl.LazyFrame | None = None,
    known: pl.LazyFrame | None = None,
    hubs: int = DEFAULT_HUBS,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    workers: int = 1,
) -> DuplicateSearch:
    """Compare one dump with itself and the indexes of earlier dumps, of whose documents only candidates are read.

    With the `stable` policy documents that earlier dumps published stay, and `duplicates` has rows of the current dump
    alone. With `canonical` every document is decided again, so that the kept set depends on the documents alone, in
    whatever order dumps came and came again; `duplicates` then has rows of all dumps. One proviso: buckets of which
    more than `near_duplicates.MOST_HUBS` documents stay are not compared in full (`is_cut`).

    Beside `memory_bytes`, 100 bytes per document of the search and 68 per pair lie in memory-mapped files of a folder
    made within `folder`, which the system may write out.

    Args:
        current: index of this dump.
        earlier: of the dumps that came before (`canonical`: of all others), in their order.
        texts: where the texts of documents to compare come from, by id, in this dump and earlier ones; called by
            several threads if there are several workers.
        settings: those the signatures were made with; the limit may differ.
        folder: where to write the tables.
        policy: who stays, what a cluster is, and whether earlier dumps count at all.
        removed: `doc_id` of the documents of earlier dumps that are removed now.
        pairs: `ranked_documents.PAIR_SCHEMA`: what other methods found in the current dump, and between it and earlier
            ones (`canonical`: in all dumps). Pairs of method url hold of the two documents, all others of every
            document with the same text as one of them.
        known: for `canonical`: the `pairs` of the searches so far; without them earlier dumps are compared again.
        hubs: how many documents of a bucket each other one is compared with at first (`bands.DEFAULT_HUBS`).
        memory_bytes: held at once, about, beside the libraries themselves.
        workers: threads; the result does not depend on them.

    Raises:
        SchemaError: an index lacks a column of the policy.
        ConfigurationError: pairs of an unknown method.
        InvariantBroken: a text is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if pairs is not None:
        refuse_unknown_methods(pairs)
    if policy.scope == "within_dump":
        earlier, removed, known = [], None, None
    if known is not None:
        # a document of the current dump may have been another when these were found
        mine = current.scan_documents().select("doc_id")
        for end in ("better", "worse"):
            known = known.join(mine, left_on=end, right_on="doc_id", how="anti")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".search-") as place:
        scratch = Scratch(Path(place), memory_bytes, workers)
        ranked = rank_together(current, earlier, removed, pairs, policy, scratch, is_compared=known is not None)
        log = PairLog(scratch)
        given = [found for found in (pairs, known) if found is not None]
        for found in given:
            log_pairs(found, _BEFORE_MINHASH, ranked, log, scratch)
        survivors, neighbours, is_cut = find_near_duplicates(ranked, log, texts, settings, scratch, hubs=hubs)
        searched = log.pairs
        for found in given:
            log_pairs(found, _AFTER_MINHASH, ranked, log, scratch)
        if log.pairs > searched:
            # what went for a document that goes now comes back, and has yet to be compared
            survivors, neighbours, is_cut = find_near_duplicates(ranked, log, texts, settings, scratch, hubs=hubs)
        labels = label_documents(ranked.groups, survivors.keepers, log, policy.clusters, scratch)
        write_tables(folder, ranked, survivors, neighbours, labels, log, policy, scratch)
    duplicates, pairs, clusters = (
        pl.scan_parquet(folder / f"{name}.parquet") for name in ("duplicates", "pairs", "clusters")
    )
    return DuplicateSearch(duplicates, pairs, clusters, is_cut)


def find_duplicates(
    current: pl.DataFrame | pl.LazyFrame,
    earlier: pl.DataFrame | pl.LazyFrame | None,
    texts: Texts,
    settings: MinHashSettings,
    *,
    policy: KeepPolicy = STABLE_POLICY,
    pairs: pl.DataFrame | pl.LazyFrame | None = None,
    hubs: int = DEFAULT_HUBS,
    scratch: Path | None = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    workers: int = 1,
) -> pl.DataFrame:
    """Return TEXT_DUPLICATES of a search without stored indexes: they are built from signatures, and go afterwards.

    With the `stable` policy there is a row for every document of this dump in a cluster of two or more; documents of
    earlier dumps are published and stay, and appear only as `kept_doc_id` and in `cluster_id`. A row whose
    `kept_doc_id` is its own id is a document that stays. A cluster (connected component) may keep several documents,
    where its ends are less alike than the limit: every removed document is as like its own kept document as the
    settings ask (see `survivors.choose_survivors`).

    The result depends on the documents alone, not on their order, on shards or on workers.

    Args:
        current: TEXT_SIGNATURES of this dump, with further columns of the policy if it names some.
        earlier: those of the documents kept by earlier dumps, with `dump_sequence` (the dump's place in the order of
            dumps); None if there are none.
        texts: as in `search_duplicates`.
        settings: those the signatures were made with; the limit may differ.
        policy: as in `search_duplicates`.
        pairs: as in `search_duplicates`.
        hubs: as in `search_duplicates`.
        scratch: a folder to lay in what does not fit in memory; the caller makes and removes it. Default: a folder of
            the system's, removed at once.
        memory_bytes: as in `search_duplicates`.
        workers: as in `search_duplicates`.

    Raises:
        SchemaError: signatures were made with other settings, or an id comes twice.
        InvariantBroken: a text is missing.
    """
    with ExitStack() as stack:
        folder = scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmpipe-duplicates-")))

        def build(name: str, signatures: pl.LazyFrame) -> DuplicateIndex:
            return build_index(
                folder / name,
                signatures,
                settings,
                rank_columns=policy.columns,
                memory_bytes=memory_bytes,
                workers=workers,
            )

        before: list[DuplicateIndex] = []
        if earlier is not None and policy.scope == "across_dumps":
            dumps = earlier.lazy()
            sequence = dumps.select(pl.col("dump_sequence").unique().sort()).collect().get_column("dump_sequence")
            before = [
                build(f"earlier-{number}", dumps.filter(pl.col("dump_sequence") == number))
                for number in sequence.to_list()
            ]
        found = search_duplicates(
            build("current", current.lazy()),
            before,
            texts,
            settings,
            folder / "found",
            policy=policy,
            pairs=pairs.lazy() if pairs is not None else None,
            hubs=hubs,
            memory_bytes=memory_bytes,
            workers=workers,
        )
        return found.duplicates.collect()


def removals_of(duplicates: pl.DataFrame, settings: MinHashSettings) -> pl.DataFrame:
    """Return the removals that TEXT_DUPLICATES asks for, in the columns of every table of removals.

    Rules: see RULES, all on the signal `similarity`; `value_text` is the document kept.

    Args:
        duplicates: what a search returned.
        settings: the settings it was given; `high` of a near-duplicate is their limit.
    """
    limits = {"url": 1.0, "exact": 1.0, "minhash": settings.verify_jaccard}
    return _REMOVALS.conform(
        duplicates.filter(pl.col("doc_id") != pl.col("kept_doc_id")).select(
            "doc_id",
            pl.col("method").replace_strict(RULES, return_dtype=pl.String).alias("rule"),
            pl.lit("similarity").alias("signal"),
            pl.col("similarity").alias("value"),
            pl.col("kept_doc_id").alias("value_text"),
            pl.lit(None, dtype=pl.Float64).alias("low"),
            pl.col("method").replace_strict(limits, default=None, return_dtype=pl.Float64).alias("high"),
            pl.lit(None, dtype=pl.List(pl.String)).alias("allowed"),
        )
    )
