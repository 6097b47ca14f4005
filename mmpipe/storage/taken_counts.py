"""Accounts for rows that were taken down: what a shard's record says of them, in a run or long after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES
from mmpipe.tables.keep import count_removed_by_rule
from mmpipe.tables.takedowns import BLANKED, TAKEN_DOWN
from mmpipe.tables.text import EXTRACTED_TEXT

if TYPE_CHECKING:
    from mmpipe.storage.commits import Commit
    from mmpipe.tables.columns import Table


def account_for_taken(table: Table, commit: Commit, frame: pl.DataFrame) -> Commit:
    """Return a shard's record for the rows that are left of it: rows in are still rows out and rows removed.

    Rows in stays what was read when the shard was made. The same rows give the same record, however often.

    Args:
        table: the shard's table.
        commit: its record as it stands.
        frame: its rows without what was taken down.
    """
    gone = commit.rows_out - frame.height
    if "rule" in table.schema:
        key = table.key[0]
        taken = count_removed_by_rule(frame, key=key)
        return replace(
            commit, rows_out=frame.height, rows_removed=frame.get_column(key).n_unique(), removed_by_rule=taken
        )
    if table.name in BLANKED:
        return replace(commit, rows_out=frame.height, counts=_recount(table, commit.counts, frame))
    if commit.rows_in == commit.rows_out + commit.rows_removed:
        by_rule = dict(commit.removed_by_rule)
        if gone:
            by_rule[TAKEN_DOWN] = by_rule.get(TAKEN_DOWN, 0) + gone
        return replace(commit, rows_out=frame.height, rows_removed=commit.rows_removed + gone, removed_by_rule=by_rule)
    counts = dict(commit.counts)
    if gone:
        counts[TAKEN_DOWN] = counts.get(TAKEN_DOWN, 0) + gone
    return replace(commit, rows_out=frame.height, counts=counts)


def _recount(table: Table, counts: dict[str, float], frame: pl.DataFrame) -> dict[str, float]:
    if table is RAW_CRAWL:
        names = frame.select(pl.format("{}_{}", "kind", "record_status").alias("name")).to_series()
        return dict(names.value_counts().sort("name").iter_rows())
    if table is EXTRACTED_TEXT:
        return dict(frame.get_column("extraction_status").value_counts().sort("extraction_status").iter_rows())
    status, _ = BLANKED[table.name]
    told = dict(counts)
    if status is not None and (taken := int((frame.get_column(status) == TAKEN_DOWN).sum())):
        told[TAKEN_DOWN] = taken
    if table is INSTRUCTION_CANDIDATES and "accepted" in told:
        told["accepted"] = int((frame.get_column(status or "") == "ok").sum())
    return told
