"""Where datasets lie and how they are read: a reader sees committed shards only, and none whose checks failed."""

from __future__ import annotations

import fcntl
import io
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import DatasetNotReady
from mmpipe.storage.commits import FAILED, Commit, Manifest, read_commit, read_manifest, write_manifest
from mmpipe.storage.places import Place
from mmpipe.tables.left_out import make_left_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmpipe.tables.columns import Table

LOCK_PATIENCE_SECONDS = 6 * 3600
_NATIVE_SCHEMES = ("s3://", "gs://", "gcs://", "az://", "abfs://", "abfss://", "hf://", "http://", "https://")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lake:
    """The folder of all datasets: `{root}/{asset}/dump={dump}/`, or `{root}/{asset}/` for one over all dumps."""

    root: str

    def dataset(self, table: Table, dump: str | None = None) -> Dataset:
        """Return the dataset of a table, for one dump or for all."""
        folder = Place(self.root).join(table.name)
        return Dataset(table, dump, folder if dump is None else folder.join(f"dump={dump}"))

    def list_dumps(self, table: Table) -> list[str]:
        """Return the dumps for which a table is published, sorted by name."""
        folder = Place(self.root).join(table.name)
        parts = [path.split("/") for path in folder.list_files() if path.endswith("/manifest.json")]
        return sorted({part[0].removeprefix("dump=") for part in parts if part[0].startswith("dump=")})


@dataclass(frozen=True, slots=True)
class Dataset:
    """One table in the lake: part files, a commit record per shard, a manifest, the resolved recipe."""

    table: Table
    dump: str | None
    folder: Place

    @property
    def label(self) -> str:
        """Name for messages: asset and dump."""
        return self.table.name if self.dump is None else f"{self.table.name}[{self.dump}]"

    def find_lake(self) -> Lake:
        """Return the lake that this dataset lies in."""
        levels = 1 if self.dump is None else 2
        return Lake(self.folder.url.rstrip("/").rsplit("/", levels)[0])

    def find_manifest(self) -> Manifest | None:
        """Return the current manifest, or None if nothing was published yet."""
        place = self.folder.join("manifest.json")
        return read_manifest(place.read_text()) if place.is_file() else None

    def require_manifest(self) -> Manifest:
        """Return the manifest of a dataset that may be read.

        Raises:
            DatasetNotReady: nothing was published, or a blocking check failed on it.
        """
        manifest = self.find_manifest()
        if manifest is None:
            partitions = "" if self.dump is None else f" --partitions {self.dump}"
            raise DatasetNotReady(
                f"{self.label} is not materialized yet in {self.folder.url}. Materialize it first, and what it is "
                f"made from: mmpipe backfill +{self.table.name}{partitions}"
            )
        if manifest.checks == FAILED:
            raise DatasetNotReady(
                f"{self.label} is refused: blocking checks failed: {', '.join(manifest.failed_checks)}. Look at "
                f"data_contracts/{self.table.name}.odcs.yaml and the asset's Checks tab, mend the data or the "
                f"contract, and materialize {self.table.name} again."
            )
        return manifest

    def list_files(self) -> list[Place]:
        """Return the committed part files, in shard order."""
        return [self.folder.join(commit.file) for commit in self.require_manifest().commits]

    def scan(self) -> pl.LazyFrame:
        """Return all committed rows, read lazily, in shard order.

        Raises:
            DatasetNotReady: as `require_manifest`.
        """
        return scan_files(self.list_files(), self.table)

    def read_shard(self, shard: str) -> pl.DataFrame:
        """Return the rows of one committed shard.

        Raises:
            DatasetNotReady: the dataset may not be read, or has no such shard.
        """
        return self.scan_shard(shard).collect()

    def scan_shard(self, shard: str) -> pl.LazyFrame:
        """Return the rows of one committed shard, read lazily; raises as `read_shard`."""
        for commit in self.require_manifest().commits:
            if commit.shard == shard:
                return scan_files([self.folder.join(commit.file)], self.table)
        raise DatasetNotReady(f"{self.label} has no shard {shard!r}. Materialize {self.table.name} again.")

    def read_rows(self, ids: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
        """Return the rows with these ids, in shard order; files without any are read no further than their ids.

        Args:
            ids: values of the table's first key column, in any order; those that no row has are left out.
            columns: what of the rows is wanted beside the id, which comes first.

        Raises:
            DatasetNotReady: as `require_manifest`.
        """
        key = self.table.key[0]
        wanted = pl.DataFrame({key: ids}, schema={key: self.table.schema[key]}).unique()
        named = [key, *(name for name in columns if name != key)]
        found = [self.table.make_empty().select(named)]
        for place in self.list_files():
            rows = scan_files([place], self.table)
            here = rows.select(key).collect().join(wanted, on=key, how="semi")
            if here.height:
                found.append(rows.select(named).join(here.lazy(), on=key, how="semi", maintain_order="left").collect())
        return pl.concat(found)

    def read_left_out(self) -> pl.DataFrame:
        """Return the rows that the stage itself left out, with the reason; LEFT_OUT, none where it removes none."""
        manifest = self.find_manifest()
        told = [commit for commit in manifest.commits if commit.left_out_bytes] if manifest is not None else []
        stored = [pl.read_parquet(io.BytesIO(self.folder.join(item.left_out_file).read_bytes())) for item in told]
        return pl.concat([make_left_out(()), *stored])

    def find_commits(self) -> dict[str, Commit]:
        """Return the commit records in the folder by key, those of unfinished runs included."""
        commits = {}
        for path in self.folder.join("commits").list_files():
            if path.endswith(".json"):
                commit = read_commit(self.folder.join("commits", path).read_text())
                commits[commit.key] = commit
        return commits

    def publish(self, manifest: Manifest, recipe_yaml: str) -> Manifest:
        """Make the manifest's shards the current ones, in one step, and clear what neither it nor the last one names.

        Its verdict is open until the checks have judged it, also where the content is the same as before: the contract
        may be another by now.
        """
        before = self.find_manifest()
        files_before = tuple(commit.file for commit in before.commits) if before is not None else ()
        manifest = replace(manifest, files_before=files_before)
        self.folder.join("recipe.yaml").write_text(recipe_yaml)
        self.folder.join("manifest.json").write_text(write_manifest(manifest))
        self._clear_unnamed(manifest)
        return manifest

    def record_verdict(self, failed_checks: Sequence[str], judged: str | None = None) -> None:
        """Write the verdict of the blocking checks into the manifest, where readers of later runs see it.

        A refused dataset also loses the files rendered for trainers (`release/` and the card), which are read without
        asking the manifest; they are rendered again with the next materialization.

        Args:
            failed_checks: names of the blocking checks that failed; none means the dataset passed.
            judged: fingerprint of the content that was judged; if other content was published meanwhile, it stays
                unjudged. None: the current content.
        """
        with self.lock():
            manifest = self.find_manifest()
            if manifest is None or (judged is not None and manifest.fingerprint != judged):
                _log.warning("%s: published anew while it was judged; the verdict is not recorded.", self.label)
                return
            verdict = manifest.with_verdict(tuple(failed_checks))
            self.folder.join("manifest.json").write_text(write_manifest(verdict))
            if verdict.checks == FAILED:
                for path in list(self.folder.list_files()):
                    if path.startswith("release/") or path == "README.md":
                        self.folder.join(path).remove()
                self.folder.join("release").remove_empty_folders()

    def _clear_unnamed(self, manifest: Manifest) -> None:
        # files of the manifest before stay for one more round: a reader may still be scanning them
        named = {commit.file for commit in manifest.commits} | set(manifest.files_before)
        stems = {file.removeprefix("part-").removesuffix(".parquet") for file in named}
        for path in list(self.folder.list_files()):
            is_part = path.startswith("part-") and path.endswith(".parquet") and path not in named
            is_told = path.startswith("left_out-") and path[9:].removesuffix(".parquet") not in stems
            is_commit = path.startswith("commits/") and path[8:].removesuffix(".json") not in stems
            if is_part or is_told or is_commit:
                self.folder.join(path).remove()

    @contextmanager
    def lock(self, patience_seconds: float = LOCK_PATIENCE_SECONDS) -> Iterator[None]:
        """Hold this dataset for writing; a second writer waits, then finds the work done.

        On a local disk the kernel frees the lock when its holder dies. Object stores have no lock: two runs of one
        partition may do the same work there, but each writes whole files under keys of their content, and manifests
        are replaced whole, so that the last one to end is what readers see.

        Raises:
            DatasetNotReady: another writer held it for longer than `patience_seconds`.
        """
        if self.folder.local_path is None:
            yield
            return
        self.folder.local_path.mkdir(parents=True, exist_ok=True)
        with (self.folder.local_path / ".lock").open("wb") as handle:
            _wait_for_lock(handle, self.label, patience_seconds)
            yield


def _wait_for_lock(handle: io.BufferedWriter, label: str, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    is_told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise DatasetNotReady(
                    f"{label}: another run has been writing it for {patience_seconds:.0f} s. "
                    f"See the runs page, or `mmpipe doctor` for stuck runs."
                ) from error
            if not is_told:
                _log.warning("%s: another run is writing it; waiting for it to end.", label)
                is_told = True
            time.sleep(0.2)
        else:
            return


def scan_files(files: Sequence[Place], table: Table) -> pl.LazyFrame:
    """Return the rows of Parquet files as a lazy frame with the table's schema; no files give no rows."""
    if not files:
        return table.make_empty().lazy()
    if all(place.local_path is not None or place.url.startswith(_NATIVE_SCHEMES) for place in files):
        paths = [str(place.local_path or place.url) for place in files]
        # the folder's `dump=` is a name for people and DuckDB; the column in the file is the truth
        return pl.scan_parquet(paths, hive_partitioning=False)
    return pl.concat([pl.read_parquet(io.BytesIO(place.read_bytes())) for place in files]).lazy()
