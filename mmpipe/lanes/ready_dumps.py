"""Says which dumps a release over all of them is made from: those whose tables are there and passed their checks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mmpipe.storage.commits import FAILED, PASSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.tables.columns import Table

_log = logging.getLogger(__name__)


def list_ready(run: StageRun, *tables: Table) -> list[tuple[Dataset, ...]]:
    """Return the datasets of each dump for which all the tables are published and passed their checks.

    Waiting for every dump would let one that is missing hold the others up for ever; one that failed, or that nobody
    judged because its run was cut off, is left out until its own checks pass. The log names each that is left out.
    """
    ready = []
    for dump in run.lake.list_dumps(tables[0]):
        lacking = find_lacking(run.lake, dump, tables)
        if lacking:
            _log.warning("%s: dump %s is left out: %s.", run.stage.table.name, dump, lacking)
        else:
            ready.append(tuple(run.lake.dataset(table, dump) for table in tables))
    return ready


def find_lacking(lake: Lake, dump: str, tables: Sequence[Table]) -> str:
    """Return why a dump is not ready, by the first of the tables that is at fault; empty if it is."""
    for table in tables:
        manifest = lake.dataset(table, dump).find_manifest()
        if manifest is None:
            return f"{table.name} is not made yet"
        if manifest.checks == FAILED:
            return f"checks of {table.name} failed: {', '.join(manifest.failed_checks)}"
        if manifest.checks != PASSED:
            return f"{table.name} has not been checked"
    return ""
