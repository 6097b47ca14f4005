"""Makes datasets shard by shard: maps a pure function, commits each shard atomically, resumes at the missing ones."""

from __future__ import annotations

import contextlib
import logging
import resource
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
import xxhash

from mmpipe.errors import ConfigurationError, InvariantBroken, MmpipeError, ShardError, TeacherError
from mmpipe.storage.commits import Commit, Manifest, write_commit
from mmpipe.storage.takedowns import read_takedowns
from mmpipe.storage.taken_counts import account_for_taken
from mmpipe.storage.worker_pool import run_tasks
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.takedowns import withhold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mmpipe.storage.lake import Dataset

#: Rows of a Parquet row group: small enough to stream, large enough to compress.
ROW_GROUP_ROWS = 16_384
#: Failed shards that an error names; the log names all.
_TOLD_FAILURES = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """Who does the work: `workers` processes on this machine, or tasks of a Ray cluster."""

    workers: int = 1
    backend: str = "local"


@dataclass(frozen=True, slots=True)
class _Failure:
    """A shard that was not made: what it died of in one line, and what the log tells."""

    shard: str
    cause: str
    told: str


@dataclass(frozen=True, slots=True)
class ShardWork:
    """One shard to make.

    Attributes:
        shard: its id.
        inputs: digest of everything the shard is made from; a change makes the shard stale.
        arguments: what the shard function is called with; picklable, and paths rather than rows.
    """

    shard: str
    inputs: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What a shard function returns.

    Attributes:
        frame: rows to write.
        rows_in: rows read.
        rows_removed: distinct rows removed.
        removed_by_rule: rows per failing rule.
        counts: other tallies by name.
        device_seconds: wall time for which the shard held a model's device.
        accounts_for_rows: whether rows_in = rows written + rows_removed must hold (it need not for a stage that
            makes new rows or writes removals).
        left_out: rows of `tables.left_out.LEFT_OUT` that this function itself removed, where no table of removals
            tells them; committed beside the part. None for a stage that removes none.
    """

    frame: pl.DataFrame
    rows_in: int
    rows_removed: int = 0
    removed_by_rule: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)
    device_seconds: float = 0.0
    accounts_for_rows: bool = True
    left_out: pl.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class Production:
    """A dataset after a run: its manifest, and how many shards were already there."""

    manifest: Manifest
    resumed_shards: int
    made_shards: int


def produce(
    dataset: Dataset,
    work: Sequence[ShardWork],
    function: Callable[..., ShardResult],
    *,
    code_version: str,
    recipe_yaml: str,
    inputs: Mapping[str, str],
    engine: Engine,
    preload: Sequence[str] = (),
) -> Production:
    """Make the shards of a dataset that are not committed yet, then publish them as its current content.

    A shard whose key (inputs, code version) is committed is not made again. A shard that fails does not stop its
    neighbours; what they made stays committed, and the next call goes on from there.

    Args:
        dataset: where to write.
        work: all shards of the dataset, those already committed included.
        function: makes one shard from `ShardWork.arguments`; must be importable (it runs in other processes).
        code_version: digest of the code and recipe section behind the rows.
        recipe_yaml: the resolved recipe, written beside the dataset.
        inputs: fingerprint of each dataset read.
        engine: who does the work.
        preload: modules that are loaded once for all its workers.

    Raises:
        ShardError: at least one shard failed; the message names each, and nothing committed is lost.
    """
    with dataset.lock():
        committed = dataset.find_commits()
        keys = {item.shard: _make_key(item, code_version) for item in work}
        if len(keys) != len(work):
            raise ShardError(f"{dataset.label}: two shards have one id; ids must be unique.")
        missing = [item for item in work if not _is_whole(dataset, committed.get(keys[item.shard]))]
        if len(missing) < len(work):
            _log.info("%s: %d of %d shards are committed already.", dataset.label, len(work) - len(missing), len(work))
        made: dict[str, Commit] = {}
        failures: list[_Failure] = []
        tasks = [(dataset, item, keys[item.shard], function) for item in missing]
        for outcome in map_shards(_make_shard, tasks, engine, preload):
            if isinstance(outcome, Commit):
                made[outcome.key] = outcome
                _log.info(
                    "%s: shard %s committed (%d of %d): %d rows in, %d out, %.1f s of CPU.",
                    dataset.label, outcome.shard, len(made), len(missing), outcome.rows_in, outcome.rows_out,
                    outcome.cpu_seconds,
                )  # fmt: skip
            else:
                same = next((known for known in failures if known.cause == outcome.cause), None)
                failures.append(outcome)
                said = outcome.told if same is None else f"as shard {same.shard}"
                _log.error("%s: shard %s failed: %s", dataset.label, outcome.shard, said)
        if failures:
            raise ShardError(
                f"{dataset.label}: {len(failures)} of {len(work)} shards failed; {len(committed | made)} are committed "
                f"and stay. Mend the cause and run again: only the failed shards are made.\n" + _list_causes(failures)
            )
        commits = tuple((committed | made)[keys[item.shard]] for item in work)
        manifest = Manifest(
            asset=dataset.table.name,
            dump=dataset.dump,
            code_version=code_version,
            recipe=digest_settings(recipe_yaml),
            inputs=dict(inputs),
            commits=commits,
        )
        return Production(dataset.publish(manifest, recipe_yaml), len(work) - len(missing), len(made))


def map_shards(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], engine: Engine, preload: Sequence[str] = ()
) -> Iterator[Any]:
    """Yield `function(*task)` for every task, as they end, on the engine's workers.

    Args:
        function: importable by name.
        tasks: arguments of each call.
        engine: who does the work.
        preload: modules that are loaded once for all workers of this machine; see `worker_pool.run_tasks`.

    Raises:
        ShardError: a worker process was killed (out of memory, or by hand); what others committed stays.
    """
    if not tasks:
        return
    if engine.backend == "local" and min(engine.workers, len(tasks)) == 1:
        yield from (function(*task) for task in tasks)
        return
    if engine.backend == "local":
        yield from run_tasks(function, tasks, engine.workers, preload)
        return
    from joblib import Parallel, delayed, parallel_config
    from ray.util.joblib import register_ray

    register_ray()
    with parallel_config(backend="ray", n_jobs=-1):
        pool = Parallel(return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
        yield from pool(delayed(function)(*task) for task in tasks)


def _list_causes(failures: Sequence[_Failure]) -> str:
    """Return the first causes, each with the shards that died of it; the log has the rest."""
    shards: dict[str, list[str]] = {}
    for failure in failures:
        shards.setdefault(failure.cause, []).append(failure.shard)
    told = [f"{_name_shards(names)} failed: {cause}" for cause, names in list(shards.items())[:_TOLD_FAILURES]]
    more = len(shards) - len(told)
    return "\n".join(told) + (f"\nand {more} more; the run's log names each." if more else "")


def _name_shards(names: Sequence[str]) -> str:
    more = len(names) - _TOLD_FAILURES
    listed = ", ".join(names[:_TOLD_FAILURES]) + (f" and {more} more" if more > 0 else "")
    return f"shard {listed}" if len(names) == 1 else f"shards {listed}"


def is_made(dataset: Dataset, work: Sequence[ShardWork], code_version: str) -> bool:
    """Return whether `produce` would find every shard committed, and make none."""
    return len(list_made(dataset, work, code_version)) == len(work)


def list_made(dataset: Dataset, work: Sequence[ShardWork], code_version: str) -> set[str]:
    """Return the shards that `produce` would find committed, and not make."""
    committed = dataset.find_commits()
    return {item.shard for item in work if _is_whole(dataset, committed.get(_make_key(item, code_version)))}


def read_committed(dataset: Dataset, work: Sequence[ShardWork], code_version: str) -> pl.DataFrame:
    """Return the rows of shards that are committed, also those of a run that has not ended: later shards read them.

    Raises:
        ShardError: one of them is not there.
    """
    from mmpipe.storage.lake import scan_files

    committed = dataset.find_commits()
    commits = [committed.get(_make_key(item, code_version)) for item in work]
    lacking = [item.shard for item, commit in zip(work, commits, strict=True) if not _is_whole(dataset, commit)]
    if lacking:
        raise ShardError(f"{dataset.label}: shard {lacking[0]} is needed first, and is not committed.")
    files = [dataset.folder.join(commit.file) for commit in commits if commit is not None]
    return scan_files(files, dataset.table).collect()


def _make_key(item: ShardWork, code_version: str) -> str:
    return digest_settings([item.shard, item.inputs, code_version])


def _is_whole(dataset: Dataset, commit: Commit | None) -> bool:
    """Whether a shard is committed and its files there in full; a file that was cut or lost is made again."""
    if commit is None:
        return False
    sizes = {commit.file: commit.bytes} | (
        {commit.left_out_file: commit.left_out_bytes} if commit.left_out_bytes else {}
    )
    places = {dataset.folder.join(file): size for file, size in sizes.items()}
    return all(place.is_file() and place.size() == size for place, size in places.items())


def _make_shard(dataset: Dataset, item: ShardWork, key: str, function: Callable[..., ShardResult]) -> Commit | _Failure:
    cpu_before = _measure_cpu()
    try:
        result = function(*item.arguments)
        _check_account(dataset.label, item.shard, result)
        frame = dataset.table.conform(result.frame)
        return _commit_shard(dataset, item, key, frame, result, cpu_before)
    except Exception as error:  # noqa: BLE001  (a bad shard fails alone: produce() raises for all of them)
        # the first line of a message says what is wrong; further ones, where it happened
        is_ours = isinstance(error, MmpipeError) and str(error)
        (cause, *_) = (str(error) if is_ours else "".join(traceback.format_exception_only(error))).splitlines()
        # whoever reads it can mend these: the place in the code tells nothing more
        is_theirs = is_ours and isinstance(error, (ConfigurationError, TeacherError))
        return _Failure(item.shard, cause, str(error) if is_theirs else f"{cause}\n{traceback.format_exc()}")


def _commit_shard(
    dataset: Dataset, item: ShardWork, key: str, frame: pl.DataFrame, result: ShardResult, cpu_before: float
) -> Commit:
    stem = f"{item.shard}-{key}"
    place = dataset.folder.join(f"part-{stem}.parquet")
    made = frame.height
    # the one door to what is published: nothing that was taken down comes back through it, whatever made it
    frame, taken = withhold(dataset.table, frame, read_takedowns(dataset.find_lake()))
    with place.replace_file() as path:
        frame.write_parquet(path, compression="zstd", row_group_size=ROW_GROUP_ROWS, statistics=True)
        digest, size = digest_file(path), path.stat().st_size
    told = 0
    if result.left_out is not None and result.left_out.height:
        with dataset.folder.join(f"left_out-{stem}.parquet").replace_file() as path:
            result.left_out.write_parquet(path, compression="zstd")
            told = path.stat().st_size
    commit = Commit(
        shard=item.shard,
        key=key,
        file=place.name,
        file_digest=digest,
        rows_in=result.rows_in,
        rows_out=made,
        rows_removed=result.rows_removed,
        removed_by_rule=dict(result.removed_by_rule),
        counts=dict(result.counts),
        bytes=size,
        cpu_seconds=round(_measure_cpu() - cpu_before, 3),
        device_seconds=round(result.device_seconds, 3),
        left_out_bytes=told,
    )
    if taken:
        commit = account_for_taken(dataset.table, commit, frame)
    dataset.folder.join("commits", f"{stem}.json").write_text(write_commit(commit))
    return commit


def digest_file(path: Path) -> str:
    """Return the digest of a file's bytes; a part with pictures is not read into memory whole."""
    hashed = xxhash.xxh3_128()
    with path.open("rb") as stored:
        while block := stored.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()


def _check_account(label: str, shard: str, result: ShardResult) -> None:
    if result.accounts_for_rows and result.rows_in != result.frame.height + result.rows_removed:
        raise InvariantBroken(
            f"{label}, shard {shard}: {result.rows_in} rows in, {result.frame.height} out and {result.rows_removed} "
            f"removed do not add up."
        )


def _measure_cpu() -> float:
    """Return the processor time of this process and its children, those that live on to serve the next shard too."""
    import psutil

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = time.process_time() + children.ru_utime + children.ru_stime
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            spent += times.user + times.system
    return spent
