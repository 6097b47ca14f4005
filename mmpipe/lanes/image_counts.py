"""The image lane's counts over a whole dump: how often captions, URLs and pictures occur, and ranks of similarity."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.duplicates import make_scratch
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.images import IMAGE_CANDIDATES, IMAGE_SIGNALS

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.deduplication.pair_files import Scratch
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production


def count_images(run: StageRun) -> Production:
    """Count what only the whole dump tells of its pairs; every shard depends on all of them.

    All candidates count, also those whose picture is missing; ranks are among the pairs with a CLIP similarity.
    """
    from mmpipe.deduplication.pair_files import Scratch

    candidates, signals = run.read(IMAGE_CANDIDATES), run.read(IMAGE_SIGNALS)
    inputs = fingerprint_inputs(candidates, signals)
    with make_scratch(run.knobs) as folder:
        counts = _Counts(candidates, signals, Scratch(folder, run.knobs.memory_bytes, run.engine.workers))
        work = [
            ShardWork(item.shard, item.inputs, (counts, item.shard))
            for item in follow_shards(candidates, signals, extra=digest_settings(inputs))
        ]
        # one process: what is counted for the first shard that is missing holds for all
        return run.write(work, counts_shard, inputs=inputs, is_in_process=True)


def counts_shard(counts: _Counts, shard: str) -> ShardResult:
    """Return the counts of one shard's pairs."""
    frame = counts.read_shard(shard)
    return ShardResult(frame, frame.height)


@dataclass(slots=True)
class _Counts:
    """The counts of a dump, made when the first shard asks for them."""

    candidates: Dataset
    signals: Dataset
    scratch: Scratch
    _file: Path | None = None
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def read_shard(self, shard: str) -> pl.DataFrame:
        if self._file is None:
            self._file = self._count()
        first, rows = self._places[shard]
        return IMAGE_COUNTS.conform(pl.scan_parquet(self._file).slice(first, rows).collect())

    def _count(self) -> Path:
        from mmpipe.deduplication.external_sort import write_rows
        from mmpipe.deduplication.image_counts import count_pairs, identify_pairs

        commits = self.candidates.require_manifest().commits
        ends = list(accumulate(commit.rows_out for commit in commits))
        files = []
        for commit, end in zip(commits, ends, strict=True):
            first = end - commit.rows_out
            self._places[commit.shard] = first, commit.rows_out
            pairs = self.candidates.read_shard(commit.shard).select("pair_id", "doc_id", "caption", "image_url")
            measured = self.signals.read_shard(commit.shard).select("pair_id", "phash", "clip_similarity")
            whole = pairs.join(measured, on="pair_id", how="left", maintain_order="left")
            files.append(write_rows(identify_pairs(whole.lazy(), first), self.scratch, "keys"))
        return count_pairs(files, self.scratch)
