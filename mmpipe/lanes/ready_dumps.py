"""Says which dumps a release over all of them is made from: those whose tables are there and passed their checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.storage.commits import PASSED

if TYPE_CHECKING:
    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.lake import Dataset
    from mmpipe.tables.columns import Table


def list_ready(run: StageRun, *tables: Table) -> list[tuple[Dataset, ...]]:
    """Return the datasets of each dump for which all the tables are published and passed their checks.

    Waiting for every dump would let one that is missing hold the others up for ever; one that failed, or that nobody
    judged because its run was cut off, is left out until its own checks pass.
    """
    ready = []
    for dump in run.lake.list_dumps(tables[0]):
        datasets = tuple(run.lake.dataset(table, dump) for table in tables)
        manifests = [dataset.find_manifest() for dataset in datasets]
        if all(manifest is not None and manifest.checks == PASSED for manifest in manifests):
            ready.append(datasets)
    return ready
