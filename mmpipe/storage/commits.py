"""The ledger of a dataset: one commit record per shard, one manifest that names the current ones and their verdict."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mmpipe.tables.identity import digest_settings

#: Verdict of a dataset's blocking checks. Readers refuse `failed`.
UNKNOWN, PASSED, FAILED = "unknown", "passed", "failed"


@dataclass(frozen=True, slots=True)
class Commit:
    """What one shard is made of and what became of its rows.

    Attributes:
        shard: id of the shard; shards are read in the order of their ids.
        key: digest of inputs, recipe and code version. A shard with the same key is never made twice.
        file: name of the Parquet file in the dataset's folder.
        file_digest: 128-bit xxh3 of the file's bytes, hexadecimal.
        rows_in: rows read from the asset before.
        rows_out: rows written.
        rows_removed: distinct rows that failed at least one rule.
        removed_by_rule: rows per failing rule; a row that fails two counts under both.
        counts: other tallies by name, such as rejected replies by reason, tokens or cost.
        bytes: size of the file.
        cpu_seconds: processor time spent, children included.
        device_seconds: wall time for which the shard held a model's device, its reading and decoding included.
        left_out_bytes: size of the file beside it that tells rows which this stage itself left out; 0 for none.
    """

    shard: str
    key: str
    file: str
    file_digest: str
    rows_in: int
    rows_out: int
    rows_removed: int
    removed_by_rule: dict[str, int]
    counts: dict[str, float]
    bytes: int
    cpu_seconds: float
    device_seconds: float
    left_out_bytes: int = 0

    @property
    def left_out_file(self) -> str:
        """Name of the file that tells rows which this stage itself left out; it is there only if it has bytes."""
        return self.file.replace("part-", "left_out-", 1)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The current state of a dataset; readers trust nothing else in the folder.

    Attributes:
        asset: name of the dataset.
        dump: partition, or None for a dataset over all dumps.
        code_version: version of the code that made it.
        recipe: digest of the whole resolved recipe, as it stands beside the dataset.
        inputs: fingerprint of each dataset it was made from.
        commits: the current shards, in order.
        checks: verdict of the blocking checks on exactly these shards.
        failed_checks: names of the blocking checks that failed.
    """

    asset: str
    dump: str | None
    code_version: str
    recipe: str
    inputs: dict[str, str]
    commits: tuple[Commit, ...]
    checks: str = UNKNOWN
    failed_checks: tuple[str, ...] = ()
    files_before: tuple[str, ...] = field(default=())

    @property
    def fingerprint(self) -> str:
        """Digest of the content: equal bytes give an equal fingerprint."""
        return digest_settings([(commit.shard, commit.file_digest) for commit in self.commits])

    @property
    def rows_in(self) -> int:
        """Rows read, all shards."""
        return sum(commit.rows_in for commit in self.commits)

    @property
    def rows_out(self) -> int:
        """Rows written, all shards."""
        return sum(commit.rows_out for commit in self.commits)

    @property
    def rows_removed(self) -> int:
        """Distinct rows removed, all shards."""
        return sum(commit.rows_removed for commit in self.commits)

    @property
    def removed_by_rule(self) -> dict[str, int]:
        """Rows per failing rule, all shards, most first."""
        return _add_up(commit.removed_by_rule for commit in self.commits)

    @property
    def counts(self) -> dict[str, float]:
        """Other tallies, all shards, most first."""
        return _add_up(commit.counts for commit in self.commits)

    def with_verdict(self, failed_checks: tuple[str, ...]) -> Manifest:
        """Return this manifest with the verdict of its blocking checks."""
        return replace(self, checks=FAILED if failed_checks else PASSED, failed_checks=failed_checks)


def _add_up(tallies: Any) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for tally in tallies:
        for name, count in tally.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def write_commit(commit: Commit) -> str:
    """Return a commit record as JSON."""
    return json.dumps(asdict(commit), indent=1, sort_keys=True)


def read_commit(text: str) -> Commit:
    """Return the commit record written as JSON."""
    return Commit(**json.loads(text))


def write_manifest(manifest: Manifest) -> str:
    """Return a manifest as JSON."""
    return json.dumps(asdict(manifest) | {"fingerprint": manifest.fingerprint}, indent=1, sort_keys=True)


def read_manifest(text: str) -> Manifest:
    """Return the manifest written as JSON."""
    stored = json.loads(text)
    stored.pop("fingerprint", None)
    stored["commits"] = tuple(Commit(**commit) for commit in stored["commits"])
    stored["failed_checks"] = tuple(stored["failed_checks"])
    stored["files_before"] = tuple(stored["files_before"])
    return Manifest(**stored)
