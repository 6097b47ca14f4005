"""The image lane's counts over a whole dump: how often captions, URLs and pictures occur, and ranks of similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.lanes.duplicates import make_scratch
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.images import IMAGE_CANDIDATES, IMAGE_SIGNALS

if TYPE_CHECKING:
    import polars as pl

    from mmpipe.deduplication.image_counts import DumpCounts
    from mmpipe.deduplication.pair_files import Scratch
    from mmpipe.storage.commits import Commit
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
    _counted: DumpCounts | None = None

    def read_shard(self, shard: str) -> pl.DataFrame:
        from mmpipe.deduplication.image_counts import count_pairs

        commits = self.candidates.require_manifest().commits
        if self._counted is None:
            rows = sum(commit.rows_out for commit in commits)
            self._counted = count_pairs(map(self._read_pairs, commits), rows, self.scratch)
        names = [commit.shard for commit in commits]
        first = sum(commit.rows_out for commit in commits[: names.index(shard)])
        return self._counted.read(first, self.candidates.read_shard(shard).get_column("pair_id"))

    def _read_pairs(self, commit: Commit) -> pl.DataFrame:
        pairs = self.candidates.read_shard(commit.shard).select("pair_id", "doc_id", "caption", "image_url")
        measured = self.signals.read_shard(commit.shard).select("pair_id", "phash", "clip_similarity")
        return pairs.join(measured, on="pair_id", how="left", maintain_order="left")
