"""Takes a dump out of the lake: what it holds there, what was made from it, and the removal itself."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.storage.dumps import forget_dump
from mmpipe.storage.places import Place
from mmpipe.storage.sequence import hold_sequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.tables.columns import Table


@dataclass(frozen=True, slots=True)
class HeldTable:
    """What a table holds of a dump: committed rows, and bytes of all its files."""

    table: str
    rows: int
    bytes: int


def measure_dump(lake: Lake, dump: str, tables: Iterable[Table]) -> list[HeldTable]:
    """Return what each of the tables holds of a dump; those that hold nothing are left out."""
    held = []
    for table in tables:
        dataset = lake.dataset(table, dump)
        sizes = [dataset.folder.join(path).size() for path in dataset.folder.list_files()]
        if sizes:
            manifest = dataset.find_manifest()
            held.append(HeldTable(table.name, manifest.rows_out if manifest is not None else 0, sum(sizes)))
    return held


def find_made_from(lake: Lake, dump: str, tables: Iterable[Table]) -> list[Dataset]:
    """Return the datasets of other dumps, and over all dumps, that were made from a dataset of this dump."""
    label = f"[{dump}]"
    found = []
    for table in tables:
        others = [lake.dataset(table), *(lake.dataset(table, name) for name in lake.list_dumps(table) if name != dump)]
        for dataset in others:
            manifest = dataset.find_manifest()
            if manifest is not None and any(name.endswith(label) for name in manifest.inputs):
                found.append(dataset)
    return found


def remove_from_lake(lake: Lake, dump: str, tables: Sequence[Table], sequences: Iterable[str]) -> None:
    """Remove a dump's datasets, its place in the orders of dumps, and its record last.

    Cut off half-way, it is called again and goes on: the record is what makes the dump known.

    Args:
        lake: where.
        dump: its name.
        tables: every table that is made per dump.
        sequences: names of the orders of dumps (`sequence.hold_sequence`).

    Raises:
        DatasetNotReady: a run is writing one of the datasets; nothing was removed.
    """
    present = [lake.dataset(table, dump) for table in tables]
    present = [dataset for dataset in present if dataset.folder.exists()]
    with ExitStack() as held:
        for dataset in present:
            held.enter_context(dataset.lock(patience_seconds=0))
        for dataset in present:
            # readers trust the manifest alone
            dataset.folder.join("manifest.json").remove()
        for dataset in present:
            _remove_folder(dataset.folder)
    for name in sequences:
        if Place(lake.root).join(f"{name}.json").is_file():
            with hold_sequence(lake, name) as sequence:
                sequence.remove(dump)
    forget_dump(lake, dump)


def _remove_folder(folder: Place) -> None:
    if folder.local_path is not None:
        shutil.rmtree(folder.local_path)
        return
    for path in list(folder.list_files()):
        folder.join(path).remove()
