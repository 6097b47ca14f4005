"""`mmpipe crawl remove`: says what of a dump lies in the lake and what was made from it, and takes it out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from rich.markup import escape

from mmpipe.assets.partitions import DUMPS
from mmpipe.commands.doctor import end_lost_runs
from mmpipe.commands.printing import make_grid
from mmpipe.errors import ConfigurationError
from mmpipe.lanes.image_duplicates import DUMP_SEQUENCE as IMAGE_SEQUENCE
from mmpipe.lanes.instruction_reviews import VERDICTS, find_review_file
from mmpipe.storage.commits import FAILED
from mmpipe.storage.dump_removal import HeldTable, find_made_from, measure_dump, remove_from_lake
from mmpipe.storage.dumps import describe_unknown_dump, list_dumps, read_dump
from mmpipe.storage.places import Place
from mmpipe.tables.published import PUBLISHED_TABLES
from mmpipe.tables.text import FILTERED_TEXT, TEXT_REPEATS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from mmpipe.storage.lake import Dataset, Lake

#: The orders in which dumps were first compared: texts, pictures.
SEQUENCES = ("dump_sequence", IMAGE_SEQUENCE)


@dataclass(frozen=True, slots=True)
class Removal:
    """What a dump holds, and who was made from it.

    Attributes:
        dump: its name.
        root: where its crawl files lie, which stay; None where its record is gone.
        held: its tables.
        over_all: datasets over all dumps that hold rows of it.
        later: by dump, rows that went as duplicates of its rows, by table.
        has_verdicts: whether people's verdicts about its instructions are kept.
        is_watched: whether its folder lies where the sensor looks for dumps.
    """

    dump: str
    root: str | None
    held: tuple[HeldTable, ...]
    over_all: tuple[str, ...]
    later: Mapping[str, Mapping[str, int]]
    has_verdicts: bool
    is_watched: bool


def plan_removal(lake: Lake, instance: dg.DagsterInstance, names: Sequence[str], crawl: str) -> list[Removal]:
    """Return what removing dumps means, one after the other.

    Args:
        lake: where their datasets lie.
        instance: Dagster's records.
        names: the dumps.
        crawl: the folder that the sensor watches.

    Raises:
        ConfigurationError: nothing is known of a name.
    """
    recorded, partitions = list_dumps(lake), instance.get_dynamic_partitions(str(DUMPS.name))
    planned = []
    for name in dict.fromkeys(names):
        held = tuple(measure_dump(lake, name, PUBLISHED_TABLES)) if _is_name(name) else ()
        if not held and name not in recorded and name not in partitions:
            raise ConfigurationError(describe_unknown_dump(lake, name, partitions))
        over_all: list[str] = []
        later: dict[str, dict[str, int]] = {}
        for dataset in find_made_from(lake, name, PUBLISHED_TABLES):
            if dataset.dump is None:
                over_all.append(dataset.table.name)
            elif dataset.dump not in names and (lost := count_lost(lake, dataset, name)):
                later.setdefault(dataset.dump, {})[dataset.table.name] = lost
        planned.append(
            Removal(
                name,
                read_dump(lake, name).root if name in recorded else None,
                held,
                tuple(over_all),
                later,
                has_verdicts=find_review_file(lake, name, VERDICTS).is_file(),
                is_watched=Place(crawl).join(name).exists(),
            )
        )
    return planned


def count_lost(lake: Lake, dataset: Dataset, gone: str) -> int:
    """Return how many rows of a search for duplicates lead to a row of another dump; 0 for any other table."""
    manifest = dataset.find_manifest()
    if manifest is None or manifest.checks == FAILED:
        return 0
    if "kept_dump" in dataset.table.schema:
        lost = dataset.scan().filter(pl.col("kept_dump") == gone)
    elif dataset.table is TEXT_REPEATS and gone in lake.list_dumps(FILTERED_TEXT):
        stood = lake.dataset(FILTERED_TEXT, gone).scan()
        lost = dataset.scan().join(stood, left_on="kept_doc_id", right_on="doc_id", how="semi")
    else:
        return 0
    return int(lost.select(pl.len()).collect().item())


def _is_name(name: str) -> bool:
    # a path would measure, and then remove, what lies elsewhere
    return bool(name) and Path(name).name == name and name not in (".", "..")


def refuse_at_work(instance: dg.DagsterInstance, then: str = "remove the dump") -> None:
    """Refuse while a run or a backfill is queued or at work, here or through a server: it may read the dump.

    A run of another dump compares with it, and a release reads all. Runs whose process is gone are ended first.

    Args:
        instance: Dagster's records.
        then: what can be done when they ended.

    Raises:
        ConfigurationError: naming the run and what to do.
    """
    end_lost_runs(instance, lambda _: None)
    runs = instance.get_runs(dg.RunsFilter(statuses=[*IN_PROGRESS_RUN_STATUSES, dg.DagsterRunStatus.QUEUED]))
    if runs:
        told = ", ".join(f"{run.run_id[:8]} of {run.tags.get('dagster/partition', 'all dumps')}" for run in runs[:3])
        raise ConfigurationError(
            f"A run is queued or at work that may read it: {told}. Wait until it ends, or stop it in the web UI; "
            f"then {then}."
        )
    open_states = [state for state in BulkActionStatus if state not in BULK_ACTION_TERMINAL_STATUSES]
    if instance.get_backfills(filters=BulkActionsFilter(statuses=open_states)):
        raise ConfigurationError(
            f"A backfill is at work that may read it. Wait until it ends, or cancel it in the web UI; then {then}."
        )


def remove_dump(lake: Lake, instance: dg.DagsterInstance, name: str) -> None:
    """Remove a dump: its partition first, so that no run of it begins, then its datasets, then its record.

    Raises:
        DatasetNotReady: a run began meanwhile and writes one of its datasets; nothing in the lake was removed.
    """
    had = name in instance.get_dynamic_partitions(str(DUMPS.name))
    instance.delete_dynamic_partition(str(DUMPS.name), name)
    try:
        remove_from_lake(lake, name, PUBLISHED_TABLES, SEQUENCES)
    except BaseException:
        if had and name in list_dumps(lake):
            instance.add_dynamic_partitions(str(DUMPS.name), [name])
        raise


def print_plan(console: Console, planned: Sequence[Removal]) -> None:
    """Print what goes, and what stays."""
    for removal in planned:
        filled = [held for held in removal.held if held.rows]
        total = sum(held.bytes for held in removal.held)
        console.print(
            f"[bold]{escape(removal.dump)}[/]: its partition, and {total / 1e6:,.1f} MB in the lake, "
            f"{len(removal.held)} tables, {len(removal.held) - len(filled)} of them without a row."
        )
        if filled:
            grid = make_grid("table", "rows", "MB")
            for held in filled:
                grid.add_row(held.table, f"{held.rows:,}", f"{held.bytes / 1e6:,.2f}")
            console.print(grid)
        if removal.root is not None:
            console.print(f"Its crawl files stay: {escape(removal.root)}", soft_wrap=True)
        if removal.has_verdicts:
            console.print("What people said of its instructions is kept, should it come again.")


def print_removed(console: Console, removed: Sequence[Removal]) -> None:
    """Print what is to be made again, and what may bring a dump back."""
    console.print(f"Removed: {escape(', '.join(removal.dump for removal in removed))}.")
    over_all = list(dict.fromkeys(table for removal in removed for table in removal.over_all))
    if over_all:
        console.print(
            f"Its rows are still in {', '.join(over_all)}. Make them without: mmpipe backfill {' '.join(over_all)}",
            soft_wrap=True,
        )
    later: dict[str, Counter[str]] = {}
    for removal in removed:
        for dump, lost in removal.later.items():
            later.setdefault(dump, Counter()).update(lost)
    for dump, lost in later.items():
        told = ", ".join(f"{table} {rows:,}" for table, rows in lost.items())
        console.print(
            f"Of {escape(dump)}, rows are gone as duplicates of what was removed ({told}). They come back with: "
            f"mmpipe backfill {' '.join(f'{table}+' for table in lost)} --partitions {dump}",
            soft_wrap=True,
        )
    for removal in removed:
        if removal.is_watched:
            console.print(
                f"[yellow]The folder {escape(removal.dump)} still lies where `mmpipe dev` looks for new dumps: it is "
                f"added again if it changes, or if it was never taken before. Move it elsewhere.[/]",
                soft_wrap=True,
            )
